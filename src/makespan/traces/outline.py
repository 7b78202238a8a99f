"""A run's tasks as an indented list, wide groups folded into one line with counts.

plan                 a task
search × 500         many of one key in one scope
  fetch              what a sub-workflow or a map holds
booking/             a named scope
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from makespan.graph.node import Kind
from makespan.machine.records import ScopeState, Status, TaskState
from makespan.machine.resolve import failure_of
from makespan.machine.state import State
from makespan.traces.summary import duration_ns
from makespan.traces.words import is_shown, name_of, short_id, word_of

WIDEST = 12
"""More tasks of one key in one scope are shown as a group."""
LISTED_FAILURES = 5


class Entry(msgspec.Struct):
    """One line: a task (`count` 1), a group of tasks, or a scope (`count` 0)."""

    depth: int
    name: str
    count: int = 1
    status: str = ""
    counts: dict[str, int] = {}
    task: str = ""
    attempts: int = 0
    duration_s: float = 0.0
    cost_usd: float = 0.0
    error: str = ""


def outline(state: State, widest: int = WIDEST) -> Iterator[Entry]:
    """All lines, top to bottom. Cost: O(tasks)."""
    if state.scopes:
        yield from _scope(state, state.scopes[0], 0, widest)


def task_entry(state: State, task: TaskState, depth: int = 0) -> Entry:
    """One task as a line."""
    failure = failure_of(state, task) if task.status == Status.FAILED else None
    error = failure or (task.errors[-1] if task.errors and not task.is_final else None)
    return Entry(
        depth,
        name_of(task),
        status=word_of(task, state),
        task=short_id(task),
        attempts=task.attempt,
        duration_s=duration_ns(task) / 1e9,
        cost_usd=task.cost / 1e9,
        error=f"{error.type}: {error.message}" if error else "",
    )


def _scope(state: State, scope: ScopeState, depth: int, widest: int) -> Iterator[Entry]:
    groups: dict[str, list[TaskState]] = {}
    for number in scope.tasks:
        task = state.tasks[number]
        if task.status != Status.REMOVED and (is_shown(task) or task.kind == Kind.MAP):
            groups.setdefault(task.declaration.key, []).append(task)
    for key, tasks in groups.items():
        if len(tasks) > widest:
            yield from _group(state, key, tasks, depth)
        else:
            for task in tasks:
                yield task_entry(state, task, depth)
                yield from _inside(state, task, depth, widest)
    for number in scope.children:
        child = state.scopes[number]
        if child.owner < 0:
            yield Entry(depth, f"{child.name}/", count=0, error=_limit(child))
            yield from _scope(state, child, depth + 1, widest)


def _inside(state: State, task: TaskState, depth: int, widest: int) -> Iterator[Entry]:
    number = state.scope_index.get(task.spec.id)  # type: ignore[call-overload, unused-ignore]
    if number is not None:
        yield from _scope(state, state.scopes[number], depth + 1, widest)


def _group(state: State, key: str, tasks: list[TaskState], depth: int) -> Iterator[Entry]:
    counts: dict[str, int] = {}
    for task in tasks:
        word = word_of(task, state)
        counts[word] = counts.get(word, 0) + 1
    yield Entry(
        depth,
        key,
        count=len(tasks),
        counts=counts,
        attempts=sum(task.attempt for task in tasks),
        duration_s=sum(duration_ns(task) for task in tasks) / 1e9,
        cost_usd=sum(task.cost for task in tasks) / 1e9,
    )
    bad = [task for task in tasks if task.status in (Status.FAILED, Status.UNKNOWN, Status.DIVERGED)]
    for task in bad[:LISTED_FAILURES]:
        yield task_entry(state, task, depth + 1)


def _limit(scope: ScopeState) -> str:
    return f"{scope.met_limit} reached" if scope.met_limit else ""
