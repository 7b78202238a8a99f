"""How much there is of what runs share, as `makespan.toml` or `Engine(...)` say it, made into what the broker takes.

pools    {"gpu": 2}  or  {"gpu": {"slots": 2, "closed": ["Mon-Fri 02:00-04:00 Europe/Berlin"]}}
         {"truck": ["truck_1", "truck_2"]}  or  {"truck": {"names": ["truck_1", "truck_2"], "closed": [...]}}
rates    {"api": Rate(60, ...)}  or  {"api": {"count": 60, "per_s": 60, "closed": [...]}}
budgets  {"usd": 5.0, "per": "day"}  and/or  {"team": {"usd": 5.0, "tokens": 2_000_000, "seconds": 3600}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from makespan.calendars import Closed, Periods
from makespan.errors import UsageError, suggestion
from makespan.machine.resources import BUDGET, GATE, LOCK, REQUESTS, UNIT, Budget, Pool, Rate
from makespan.store_port import NUMBERED_UNITS, Account
from makespan.values import nano_usd, nanos

DEFAULT_ACCOUNT = "default"
"""The account of runs that name none: budgets given without one are its."""
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_TAKEN = {kind.rstrip(UNIT) for kind in (LOCK, BUDGET, GATE)}
"""With a colon these are no pools."""
MOST_SLOTS = 2**60
"""Of a pool, and the count of a rate."""
MOST_AMOUNT = 4e9
"""Of a budget's dollars, seconds or units, and seconds of a rate's window: in billionths it still fits into 63 bits."""


class PoolConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `[pools]` in full: with `slots`, or the `names` of its units."""

    slots: int = 0
    closed: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


class RateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `[rates]`: at most `count` units in any window of `per_s` seconds."""

    count: int
    per_s: float
    closed: tuple[str, ...] = ()
    model: str = ""
    """Every call of this model takes of it, without saying so in `needs`."""
    unit: Literal["requests", "tokens"] = "requests"
    """What a call of the model takes: one, or the tokens it may use at most."""


def pools_of(given: Mapping[str, Any]) -> dict[str, Pool]:
    """Pools by name. Raises UsageError for what is none."""
    return {name: _pool(name, said) for name, said in given.items()}


def _pool(name: str, said: Any) -> Pool:
    _check_name("pools", name)
    if isinstance(said, Pool):
        pool = said
    elif isinstance(said, Mapping | PoolConfig):
        entry = said if isinstance(said, PoolConfig) else _typed(f"pools.{name}", said, PoolConfig)
        pool = _named(name, entry.slots, entry.names, _closed(f"pools.{name}", entry.closed))
    elif isinstance(said, list | tuple) and said:
        pool = _named(name, 0, said, None)
    elif isinstance(said, int) and not isinstance(said, bool):
        pool = Pool(said)
    else:
        raise UsageError(
            f'pools.{name} = {said!r}: write a number of slots, their names, or {{"slots": 2, "closed": [...]}}'
        )
    if not 0 < pool.slots <= MOST_SLOTS:
        raise UsageError(f"pools.{name}: {pool.slots} slots; a pool has at least one")
    return pool


def _named(pool: str, slots: int, names: Sequence[Any], closed: Closed | None) -> Pool:
    """A pool whose units may have names. By these they are known to all processes that share the store."""
    if names and pool in _TAKEN:
        raise UsageError(f"pools.{pool}: a pool whose units have names cannot be called that; call it {pool}_pool")
    for name in names:
        _check_name(f"pools.{pool}", name)
        if name.isdecimal():
            raise UsageError(f"pools.{pool}: {name!r} is a number; a unit's name has a letter in it")
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise UsageError(f"pools.{pool}: two units are called {twice!r}")
    if len(names) > NUMBERED_UNITS or (names and slots not in (0, len(names))):
        most = f"at most {NUMBERED_UNITS} units have names" if len(names) > NUMBERED_UNITS else f"slots = {slots}"
        raise UsageError(f"pools.{pool}: {len(names)} names, but {most}")
    return Pool(slots or len(names), closed, tuple(names))


def rates_of(given: Mapping[str, Any]) -> dict[str, Rate]:
    """Rates by name. Raises UsageError for what is none."""
    return {name: _rate(name, said) for name, said in given.items()}


def _rate(name: str, said: Any) -> Rate:
    _check_name("rates", name)
    if isinstance(said, Mapping):
        said = _typed(f"rates.{name}", said, RateConfig)
    if isinstance(said, RateConfig):
        if said.unit != REQUESTS and not said.model:
            raise UsageError(f'rates.{name}: unit = {said.unit!r} is for calls of a model: write model = "main" too')
        if not 0 < said.per_s <= MOST_AMOUNT:
            raise UsageError(f"rates.{name}: per_s = {said.per_s!r}; a window is longer than nothing, and it ends")
        closed = _closed(f"rates.{name}", said.closed)
        said = Rate(said.count, nanos(said.per_s), closed, said.model, said.unit)
    if not isinstance(said, Rate):
        raise UsageError(f'rates.{name} = {said!r}: write {{"count": 60, "per_s": 60}}')
    if not 0 < said.count <= MOST_SLOTS or said.window_ns < 1:
        raise UsageError(f"rates.{name}: a rate has a count of at least one and a window longer than nothing")
    return said


def budgets_of(given: Mapping[str, Any]) -> dict[str, Budget]:
    """Budgets by `account/unit`; amounts of usd in nano-USD, of seconds in nanoseconds, of others as they are.

    Raises:
        UsageError: for what is none.
    """
    own = {name: said for name, said in given.items() if not isinstance(said, Mapping)}
    accounts = {name: said for name, said in given.items() if isinstance(said, Mapping)}
    if own and DEFAULT_ACCOUNT in accounts:
        raise UsageError("budgets: amounts without an account are those of `default`, which is given as well")
    if own:
        accounts[DEFAULT_ACCOUNT] = own
    found: dict[str, Budget] = {}
    for account, said in accounts.items():
        found.update(_account(account, dict(said)))
    return found


def _account(account: str, said: dict[str, Any]) -> dict[str, Budget]:
    where = "budgets" if account == DEFAULT_ACCOUNT else f"budgets.{account}"
    _check_name("budgets", account)
    per, zone = said.pop("per", ""), said.pop("tz", "")
    if not isinstance(per, str) or not isinstance(zone, str):
        raise UsageError(f"{where}: per = {per!r}, tz = {zone!r}: both are texts, such as day and Europe/Berlin")
    if zone and not per:
        raise UsageError(f"{where}.tz is the zone of `per`, which is not given")
    try:
        periods = Periods(per, zone) if per else None
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    if not said:
        raise UsageError(f"{where} has no amount: write e.g. usd = 5.0")
    return {f"{account}/{unit}": Budget(_amount(where, unit, amount), periods) for unit, amount in said.items()}


def _amount(where: str, unit: str, said: Any) -> int:
    _check_name(where, unit)
    kinds = (int, float) if unit in ("usd", "seconds") else (int,)
    if isinstance(said, bool) or not isinstance(said, kinds) or not 0 <= said <= MOST_AMOUNT:
        kind = "a number" if unit in ("usd", "seconds") else "a whole number"
        raise UsageError(f"{where}.{unit} = {said!r}: it is {kind}, not below 0")
    if unit == "usd":
        return nano_usd(said)
    return nanos(said) if unit == "seconds" else int(said)


def check_account(account: str, budgets: Mapping[str, Budget]) -> None:
    """Raises UsageError for an account that has no budgets."""
    known = sorted({name.partition("/")[0] for name in budgets})
    if account and account not in known:
        there = f"; there are {', '.join(known)}" if known else ""
        raise UsageError(
            f"account={account!r}: no budget is given for it{suggestion(account, known)}{there}. Write it into "
            f"makespan.toml: [budgets.{account}] usd = 5.0"
        )


def why_denied(name: str, amount: int, opens_ns: int, account: Account, needed: int) -> str:
    """Why a run pauses for a budget that runs share; `name` is that of the ledger, without a period."""
    account_name, _, unit = name.partition(":")[2].partition("/")
    table = "[budgets]" if account_name == DEFAULT_ACCOUNT else f"[budgets.{account_name}]"
    lost = f" ({shown(unit, account.lost)} of it by runs whose process died)" if account.lost else ""
    over = account.spent + account.lost - amount
    more = f", {shown(unit, over)} over it" if over > 0 else ""
    again = f", or resume after {iso(opens_ns)}, when its next period begins" if opens_ns else ""
    return (
        f"the budget {account_name!r} is used up: {shown(unit, account.spent + account.lost)} of {shown(unit, amount)} "
        f"used{lost}{more}, and the next task needs up to {shown(unit, needed)}; raise `{unit}` in {table}{again}"
    )


def iso(wall_ns: int) -> str:
    """A moment as people write it, in UTC."""
    return datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC).isoformat()


def in_units(unit: str, amount: int) -> float:
    """An amount as it is written in makespan.toml."""
    return amount / 1e9 if unit in ("usd", "seconds") else amount


def shown(unit: str, amount: int) -> str:
    """An amount of a budget for people: `0.5 USD`, `3600 seconds`, `200 tokens`."""
    if unit == "usd":
        return f"{amount / 1e9:g} USD"
    return f"{amount / 1e9:g} seconds" if unit == "seconds" else f"{amount} {unit}"


def _closed(where: str, texts: Sequence[str]) -> Closed | None:
    try:
        return Closed(texts) if texts else None
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _typed(where: str, said: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(said, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: {error}") from None


def _check_name(table: str, name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{table}: {name!r} is no name; it has 1 to 100 letters, digits, `_`, `-` and `.`")
