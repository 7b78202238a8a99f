"""What a plan has come to so far, in words for a model: each call, how it ended, and what it said."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from makespan.codec import Outcome
from makespan.planners.live import LivePlan
from makespan.planners.saved import shown

RESULT_CHARS = 2_000
"""Characters of one result that a model is shown."""


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


def known(plan: LivePlan, chars: int = RESULT_CHARS) -> list[Known]:
    """All steps of a plan, in its order; of long results the beginning."""
    return [Known(name, shown(planned.step), *_said(planned.outcome, chars)) for name, planned in plan.steps.items()]


def gaps(calls: Iterable[Known]) -> tuple[Known, ...]:
    """Those without a result."""
    return tuple(call for call in calls if call.status != "succeeded")


def _said(outcome: Outcome[Any] | None, chars: int) -> tuple[str, str]:
    if outcome is None or outcome.status == "cancelled":
        return "missing", "it has no result yet" if outcome is None else "it took too long"
    if outcome.failure is not None:
        return outcome.status, f"{outcome.failure.type}: {outcome.failure.message}"
    value = outcome.result
    text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=repr).decode()
    return outcome.status, text if len(text) <= chars else f"{text[: chars - 1]}…"
