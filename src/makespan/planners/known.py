"""What a plan has come to so far, in words for a model: each call, how it ended, and what it said."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from makespan.codec import Outcome
from makespan.planners.live import LivePlan
from makespan.planners.saved import shown

RESULT_CHARS = 2_000
"""Characters of one call, and of its result, that a model is shown."""
ALL_CHARS = 40_000
"""Characters of all results together that a model is shown: when there are more, the long ones give way."""


class Known(msgspec.Struct, frozen=True):
    """One step, as a model is told of it."""

    step: str
    call: str
    status: str
    """succeeded, failed, skipped, or missing: it has not ended, or took too long."""
    said: str
    """The result, or what went wrong."""

    def __str__(self) -> str:
        return f"{self.step}. {self.call} -> {self.status}: {self.said}"


def known(plan: LivePlan, chars: int = RESULT_CHARS, total: int = ALL_CHARS) -> list[Known]:
    """All steps of a plan, in its order; of long results the beginning."""
    said = {name: _said(planned.outcome) for name, planned in plan.steps.items()}
    most = min(chars, _share([len(text) for _, text in said.values()], total))
    return [
        Known(name, _cut(shown(planned.step), chars), said[name][0], _cut(said[name][1], most))
        for name, planned in plan.steps.items()
    ]


def _share(lengths: list[int], total: int) -> int:
    """What each may take at most so that all together take no more than `total`: the short ones are left whole."""
    for place, length in enumerate(lengths := sorted(lengths)):
        left = len(lengths) - place
        if length * left > total:
            return total // left
        total -= length
    return max(lengths, default=0)


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[: max(chars - 1, 0)]}…"


def gaps(calls: Iterable[Known]) -> tuple[Known, ...]:
    """Those without a result."""
    return tuple(call for call in calls if call.status != "succeeded")


def _said(outcome: Outcome[Any] | None) -> tuple[str, str]:
    if outcome is None or outcome.status == "cancelled":
        return "missing", "it has no result yet" if outcome is None else "it took too long"
    if outcome.failure is not None:
        return outcome.status, f"{outcome.failure.type}: {outcome.failure.message}"
    value = outcome.result
    return outcome.status, value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=repr).decode()
