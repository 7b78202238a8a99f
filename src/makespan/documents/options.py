"""The options of a task as a document writes them: the way back from `read_options`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from makespan.graph.node import Declaration, Effect, Options


def _exceptions(names: tuple[str, ...]) -> list[str]:
    """`module:Class` of qualified names; built-in ones as they are."""
    return [":".join(name.rsplit(".", 1)) if "." in name else name for name in names]


def _seconds(nanos: int | None) -> float | None:
    return None if nanos is None else nanos / 1e9


_SAID: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "effect": ("effect", lambda value: Effect(value).name.lower()),
    "retry_on": ("retry_on", _exceptions),
    "raises": ("raises", _exceptions),
    "timeout_ns": ("timeout_s", _seconds),
    "needs": ("needs", dict),
    "budget": ("budget_usd", _seconds),
    "deadline_ns": ("deadline_s", _seconds),
    "cache_ns": ("cache_s", _seconds),
    "models": ("models", list),
}
"""Declared field to the option's name and its public form; the rest is called and written as it is declared."""


def said_options(wanted: Declaration, base: Declaration) -> dict[str, Any]:
    """What a call of the task `base` has to say to get the declaration `wanted`."""
    said: dict[str, Any] = {}
    given, known = msgspec.structs.asdict(wanted.options), msgspec.structs.asdict(base.options)
    for field in Options.__struct_fields__:
        if given[field] != known[field]:
            name, form = _SAID.get(field, (field, lambda value: value))
            said[name] = form(given[field])
    return said if wanted.key == base.key else {"key": wanted.key, **said}
