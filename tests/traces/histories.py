"""Short histories of runs as facts, for the folds of `traces`."""

from __future__ import annotations

from makespan.errors import ErrorRecord
from makespan.graph.node import Declaration, Kind, Mode
from makespan.machine.facts import (
    AttemptFailed,
    AttemptInterrupted,
    AttemptStarted,
    DeclarationAdded,
    Fact,
    LateResult,
    Limits,
    RunEnded,
    RunPaused,
    RunResumed,
    RunStarted,
    ScopeAdded,
    TaskAdded,
    TaskFailed,
    TaskSucceeded,
)
from makespan.machine.state import State

S = 1_000_000_000
ERROR = ErrorRecord("ValueError", "no")


def task_id(number: int) -> bytes:
    return bytes([number + 1]) * 16


def header() -> list[Fact]:
    return [
        RunStarted("r-1", "study", task_id(0), b"\x80", 0, 1, Limits()),
        DeclarationAdded(Declaration("plan")),
        DeclarationAdded(Declaration("search")),
        DeclarationAdded(Declaration("inner", Kind.WORKFLOW)),
    ]


def added(number: int, declaration: int, *sources: int, scope: int = 0) -> TaskAdded:
    edges = tuple((source, (), Mode.VALUE) for source in sources)
    return TaskAdded(declaration, scope, task_id(number), (), edges)


def diamond() -> list[Fact]:
    """plan (2 s), then two searches (1 s and 3 s), then plan again (1 s)."""
    return [
        *header(),
        added(0, 0),
        added(1, 1, 0),
        added(2, 1, 0),
        added(3, 0, 1, 2),
        AttemptStarted(0, 0),
        TaskSucceeded(0, 2 * S, b"\x01", 5_000_000),
        AttemptStarted(1, 2 * S),
        AttemptStarted(2, 2 * S),
        TaskSucceeded(1, 3 * S, b"\x01"),
        TaskSucceeded(2, 5 * S, b"\x01"),
        AttemptStarted(3, 5 * S),
        TaskSucceeded(3, 6 * S, b"\x01"),
        RunEnded(6 * S, "succeeded"),
    ]


def retried() -> list[Fact]:
    """A search that fails once, then succeeds."""
    return [
        *header(),
        added(0, 1),
        AttemptStarted(0, 0),
        AttemptFailed(0, 1 * S, ERROR, 2_000_000),
        AttemptStarted(0, 2 * S),
        TaskSucceeded(0, 4 * S, b"\x01", 3_000_000),
    ]


def hedged() -> list[Fact]:
    """A search in mode large, and 2 s later another beside it in mode small, which wins after 5 s."""
    return [
        *header(),
        added(0, 1),
        AttemptStarted(0, 0, mode="large"),
        AttemptStarted(0, 2 * S, mode="small", beside=True),
        TaskSucceeded(0, 5 * S, b"\x01", 1_000_000, attempt=2),
        LateResult(0, 5 * S, cost=4_000_000, attempt=1),
    ]


def crashed() -> list[Fact]:
    """Cut after 1 s, found by the next life after 100 s."""
    return [
        *header(),
        added(0, 1),
        added(1, 1),
        AttemptStarted(0, 0),
        AttemptStarted(1, 0),
        TaskSucceeded(1, 1 * S, b"\x01"),
        RunResumed(100 * S),
        AttemptInterrupted(0, 100 * S, "the process ended"),
        AttemptStarted(0, 100 * S),
        TaskFailed(0, 102 * S, ERROR),
        RunPaused(102 * S, "interrupted"),
    ]


def nested(count: int) -> list[Fact]:
    """A sub-workflow with many searches in it."""
    return [
        *header(),
        added(0, 2),
        AttemptStarted(0, 0),
        ScopeAdded(task_id(0), 0, "inner", 0, owner=0),
        *(added(number, 1, scope=1) for number in range(1, count + 1)),
        *(AttemptStarted(number, number) for number in range(1, count + 1)),
        TaskFailed(1, 2 * S, ERROR),
    ]


def folded(facts: list[Fact]) -> State:
    state = State()
    for fact in facts:
        state.apply(fact)
    return state
