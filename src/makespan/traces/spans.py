"""One span an attempt, folded from a run's facts: when it ran, how it ended, what it cost.

An attempt cut by a crash ends where its process was last heard of, not where the next life found it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from makespan.graph.node import Kind
from makespan.machine.facts import (
    AttemptFailed,
    AttemptInterrupted,
    AttemptStarted,
    AttemptUnknown,
    Fact,
    LateResult,
    RunResumed,
    TaskCancelled,
    TaskFailed,
    TaskSucceeded,
)
from makespan.machine.state import State
from makespan.traces.summary import critical_path
from makespan.traces.words import name_of, scope_path, short_id


class Span(msgspec.Struct):
    """One attempt. Times in seconds since the run's start; `end_s` is None while it runs."""

    task: str
    key: str
    name: str
    scope: str
    kind: str
    attempt: int
    start_s: float
    end_s: float | None = None
    status: str = "running"
    cost_usd: float = 0.0
    tokens: int = 0
    error: str = ""
    critical: bool = False
    """Whether the task is on the realised critical path (its last attempt)."""


class SpanFold:
    """Facts in, spans out. Give it every fact of the run in order, then ask for `spans`."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.all: list[Span] = []
        self._last: dict[int, Span] = {}
        self._cut_s: dict[int, float] = {}

    def apply(self, fact: Fact) -> None:
        """Fold one fact in, into the state as well."""
        before_s = self.state.at / 1e9
        self.state.apply(fact)
        match fact:
            case AttemptStarted():
                self._open(fact)
            case TaskSucceeded():
                self._close(fact.task, fact.at, "cached" if fact.cached else "succeeded", fact.cost, fact.usage)
            case AttemptFailed():
                self._close(fact.task, fact.at, "failed", fact.cost, fact.usage)
                self._say(fact.task, f"{fact.error.type}: {fact.error.message}")
            case TaskFailed():
                self._close(fact.task, fact.at, "failed")
                self._say(fact.task, f"{fact.error.type}: {fact.error.message}")
            case TaskCancelled():
                self._close(fact.task, fact.at, "cancelled")
            case AttemptInterrupted():
                self._close(fact.task, fact.at, "interrupted")
            case AttemptUnknown():
                self._close(fact.task, fact.at, "unknown")
            case LateResult():
                self._pay(fact.task, fact.cost, fact.usage)
            case RunResumed():
                self._cut_s = {number: before_s for number, span in self._last.items() if span.end_s is None}
            case _:
                pass

    def spans(self) -> list[Span]:
        """All attempts by their start, with the critical path marked. Cost: O(tasks)."""
        for task in critical_path(self.state):
            span = self._last.get(task.number)
            if span is not None:
                span.critical = True
        return sorted(self.all, key=lambda span: span.start_s)

    def _open(self, fact: AttemptStarted) -> None:
        state, task = self.state, self.state.tasks[fact.task]
        scope = scope_path(state, task.spec.scope)
        kind = Kind(task.kind).name.lower()
        span = Span(short_id(task), task.declaration.key, name_of(task), scope, kind, task.attempt, fact.at / 1e9)
        self._last[fact.task] = span
        self.all.append(span)

    def _close(self, number: int, at: int, status: str, cost: int = 0, usage: object = None) -> None:
        span = self._last.get(number)
        if span is None or span.end_s is not None:
            return
        cut_s = self._cut_s.pop(number, None)
        is_lost = status in ("interrupted", "unknown", "cancelled")
        span.end_s = cut_s if cut_s is not None and is_lost else at / 1e9
        span.status = status
        self._pay(number, cost, usage)

    def _pay(self, number: int, cost: int, usage: object) -> None:
        span = self._last.get(number)
        if span is not None:
            span.cost_usd += cost / 1e9
            span.tokens += getattr(usage, "total_tokens", 0)

    def _say(self, number: int, error: str) -> None:
        span = self._last.get(number)
        if span is not None and not span.error:
            span.error = error


def spans_of(facts: Iterable[Fact], state: State) -> list[Span]:
    """All attempts of a run; `state` is empty before and the run's state after."""
    fold = SpanFold(state)
    for fact in facts:
        fold.apply(fact)
    return fold.spans()
