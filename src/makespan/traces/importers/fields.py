"""Fields of decoded logs, whatever stands in them: objects, counts, money and times; or what is wrong, and where."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from makespan.traces.importers.foreign import NotReadable
from makespan.values import nano_usd

MOST_COUNT = 2**53
"""Tokens of one step."""
MOST_USD = 1e9
"""Cost of one step."""
MOST_NS = 2**63 - 1
"""Wall clock, in 2262."""


def objects(said: Any, where: str) -> list[dict[str, Any]]:
    """A list of objects; none where there is no field. Raises NotReadable for anything else: nothing is left out."""
    if said is None:
        return []
    if not isinstance(said, list):
        raise NotReadable(f"{where} is {kind_of(said)}, not a list")
    for place, each in enumerate(said):
        if not isinstance(each, dict):
            raise NotReadable(f"{where}[{place}] is {kind_of(each)}, not an object")
    return said


def fields(said: Any, where: str) -> dict[str, Any]:
    """An object; an empty one where there is no field."""
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise NotReadable(f"{where} is {kind_of(said)}, not an object")
    return said


def count(said: Any, where: str) -> int:
    """A number of tokens; 0 where there is none."""
    if said is None or isinstance(said, bool) or not isinstance(said, int | float):
        return 0
    if not math.isfinite(said) or not 0 <= said <= MOST_COUNT:
        raise NotReadable(f"{where} is {said:g}: a count lies between 0 and {MOST_COUNT}")
    return int(said)


def money(said: Any, where: str) -> int:
    """US dollars as nano-USD; 0 where there are none."""
    if said is None or isinstance(said, bool) or not isinstance(said, int | float):
        return 0
    if not math.isfinite(said) or not 0 <= said <= MOST_USD:
        raise NotReadable(f"{where} is {said:g}: a cost lies between 0 and {MOST_USD:g} USD")
    return nano_usd(said)


def wall_ns(said: Any, where: str) -> int | None:
    """A time in ISO 8601 as nanoseconds, in UTC unless it says otherwise; None without one."""
    if said is None:
        return None
    try:
        when = datetime.fromisoformat(said)
        found = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        since = found - datetime(1970, 1, 1, tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        raise NotReadable(f"{where} is {_short(said)}: no time in ISO 8601") from None
    return in_range((since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000, where)


def nanoseconds(said: Any, where: str) -> int:
    """Nanoseconds since 1970, a number or its text."""
    if said is None:
        raise NotReadable(f"there is no {where}")
    try:
        found = int(said)
    except (TypeError, ValueError, OverflowError):
        raise NotReadable(f"{where} is {_short(said)}: no number of nanoseconds") from None
    return in_range(found, where)


def in_range(at_ns: int, where: str) -> int:
    """The time, if it lies between 1970 and 2262."""
    if not 0 <= at_ns <= MOST_NS:
        raise NotReadable(f"{where} lies before 1970 or after 2262")
    return at_ns


def text_of(said: Any) -> str:
    """A name or an id; empty where there is none or it is no text or number."""
    return str(said) if isinstance(said, str | int) and not isinstance(said, bool) else ""


def kind_of(said: Any) -> str:
    """What JSON calls it."""
    return "null" if said is None else _KINDS.get(type(said), type(said).__name__)


_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", int: "a number", float: "a number"}


def _short(said: Any) -> str:
    text = repr(said)
    return text if len(text) <= 60 else f"{text[:60]}…"
