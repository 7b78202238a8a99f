"""What is given as pools, rates and budgets means what it says, or is refused with its place."""

from __future__ import annotations

from typing import Any

import pytest

from makespan.capacity import budgets_of, check_account, pools_of, rates_of
from makespan.errors import UsageError
from makespan.machine.resources import Pool, Rate

NAN = float("nan")


def test_a_pool_is_a_number_or_a_table() -> None:
    pools = pools_of({"gpu": 2, "cpu": {"slots": 4, "closed": ["Sat,Sun 00:00-24:00"]}, "own": Pool(1)})

    assert [pool.slots for pool in pools.values()] == [2, 4, 1]
    assert [pool.closed is None for pool in pools.values()] == [True, False, True]


def test_units_of_a_pool_may_have_names() -> None:
    closed = {"names": ["a"], "closed": ["Sat,Sun 00:00-24:00"]}
    pools = pools_of({"truck": ["t1", "t2"], "crane": closed, "both": {"slots": 1, "names": ["x"]}})

    assert [pool.names for pool in pools.values()] == [("t1", "t2"), ("a",), ("x",)]
    assert [pool.slots for pool in pools.values()] == [2, 1, 1]


def test_a_rate_is_a_rate_or_a_table() -> None:
    assert rates_of({"a": Rate(1, 2), "b": {"count": 60, "per_s": 60}}) == {"a": Rate(1, 2), "b": Rate(60, 60 * 10**9)}


def test_amounts_without_an_account_are_those_of_the_default_one() -> None:
    budgets = budgets_of({"usd": 0.5, "team": {"usd": 5, "tokens": 2_000_000, "seconds": 1.5, "per": "day"}})

    assert {name: budget.amount for name, budget in budgets.items()} == {
        "default/usd": 500_000_000,
        "team/usd": 5 * 10**9,
        "team/tokens": 2_000_000,
        "team/seconds": 1_500_000_000,
    }
    assert budgets["team/usd"].periods is not None
    assert budgets["default/usd"].periods is None


@pytest.mark.parametrize(
    ("make", "given", "said"),
    [
        (pools_of, {"gpu": 0}, "pools.gpu: 0 slots"),
        (pools_of, {"gpu": "two"}, "pools.gpu = 'two'"),
        (pools_of, {"gpu": {"slots": 2, "close": []}}, "pools.gpu: Object contains unknown field `close`"),
        (pools_of, {"gpu": {"slots": 2, "closed": ["Mo 1"]}}, "pools.gpu: closed = 'Mo 1'"),
        (pools_of, {"lock:x": 1}, "'lock:x' is no name"),
        (pools_of, {"truck": ["t1", "t1"]}, "pools.truck: two units are called 't1'"),
        (pools_of, {"truck": ["t,1"]}, "pools.truck: 't,1' is no name"),
        (pools_of, {"truck": ["7"]}, "pools.truck: '7' is a number"),
        (pools_of, {"truck": []}, "pools.truck = []"),
        (pools_of, {"truck": {"slots": 3, "names": ["t1"]}}, "pools.truck: 1 names, but slots = 3"),
        (pools_of, {"truck": [f"t{n}" for n in range(1025)]}, "at most 1024 units have names"),
        (pools_of, {"lock": ["t1"]}, "cannot be called that"),
        (rates_of, {"api": {"count": 0, "per_s": 1}}, "rates.api: a rate has a count"),
        (rates_of, {"api": {"count": 1, "per_s": 1, "unit": "tokens"}}, "write model ="),
        (rates_of, {"api": {"count": 1, "per_s": 1, "unit": "words"}}, "rates.api: Invalid enum value"),
        (rates_of, {"api": {"count": 2**70, "per_s": 1}}, "rates.api: a rate has a count"),
        *((rates_of, {"api": {"count": 1, "per_s": s}}, "rates.api: per_s") for s in (NAN, float("inf"), -1, 1e12)),
        (rates_of, {5: {"count": 1, "per_s": 1}}, "rates: 5 is no name"),
        (budgets_of, {"usd": -1}, "budgets.usd = -1"),
        (budgets_of, {"usd": NAN}, "budgets.usd = nan"),
        (budgets_of, {"usd": 1, "per": 1}, "budgets: per = 1"),
        (budgets_of, {"usd": 1, "per": "day", "tz": 5}, "tz = 5"),
        (budgets_of, {"tokens": 1.5}, "budgets.tokens = 1.5: it is a whole number"),
        (budgets_of, {"team": {"per": "day"}}, "budgets.team has no amount"),
        (budgets_of, {"team": {"usd": 1, "per": "dai"}}, "did you mean 'day'"),
        (budgets_of, {"usd": 1, "tz": "UTC"}, "the zone of `per`"),
        (budgets_of, {"usd": 1, "default": {"usd": 2}}, "which is given as well"),
        (budgets_of, {"usd": True}, "budgets.usd = True"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(make: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        make(given)

    assert said in str(caught.value)


def test_an_account_without_budgets_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'team'"):
        check_account("tea", budgets_of({"team": {"usd": 1}}))
