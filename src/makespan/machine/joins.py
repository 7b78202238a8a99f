"""Nodes the machine runs itself: FIRST (k of n, first that passes) and MAP (one sub-graph an item).

    FIRST   a ─┐                      every ended source is judged once: passed, or spent
            b ─┼▶ first ─▶            enough passed: [which, value], the rest is cancelled
            c ─┘                      all spent: failed, or skipped when all were skipped

The value of a FIRST node is `[index, value]`, or `[indexes, values]` for several: consumers read path `(1,)`, and
a body that awaits it decodes by the type of the one that won.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from makespan.graph.expression import parse
from makespan.graph.instantiate import instantiate
from makespan.graph.node import Effect, Errors, First, Kind, Mode, Source
from makespan.graph.terms import GuardError, is_true
from makespan.machine.facts import MapExpanded, ScopeAdded, TaskFailed, TaskSkipped
from makespan.machine.records import Status, TaskState
from makespan.machine.requests import add_node
from makespan.machine.resolve import failure_of, join_items, outcome_of, source_bytes, split_items
from makespan.values import NONE_VALUE, ScopeId, TaskId, untyped

if TYPE_CHECKING:
    from makespan.machine.machine import Machine


_NOTHING = join_items([msgspec.msgpack.encode(-1), NONE_VALUE])


class JoinState(msgspec.Struct):
    """What is known of a FIRST node's candidates: index → passed."""

    judged: dict[int, bool]


def look(machine: Machine, number: int, source: int) -> None:
    """A source of a join ended: judge it, and end the join if that settles it."""
    task = machine.state.tasks[number]
    if task.status != Status.WAITING:
        return
    if task.kind == Kind.MAP:
        _look_at_map(machine, task, source)
    else:
        _look_at_first(machine, task, source)


# ---------------------------------------------------------------- FIRST


def _candidates(task: TaskState) -> int:
    """How many of the sources are candidates; the others are their gates, in the same order."""
    first = task.spec.first
    assert first is not None
    return len(task.spec.sources) // 2 if first.gated else len(task.spec.sources)


def _look_at_first(machine: Machine, task: TaskState, source: int) -> None:
    first, count = task.spec.first, _candidates(task)
    assert first is not None
    join = machine.joined.setdefault(task.number, JoinState({}))
    for position, edge in enumerate(task.spec.sources):
        candidate = position % count
        if edge[0] == source and candidate not in join.judged:
            passed = _judge(machine, task, first, candidate, count)
            if passed is not None:
                join.judged[candidate] = passed
    winners = [i for i, passed in join.judged.items() if passed]
    if len(winners) >= first.wanted:
        _decide_first(machine, task, first, winners[: first.wanted])
    elif len(join.judged) == count:
        _give_up(machine, task, first)


def _judge(machine: Machine, task: TaskState, first: First, candidate: int, count: int) -> bool | None:
    """Whether a candidate passes; None while that is open."""
    tasks, sources = machine.state.tasks, task.spec.sources
    ended = tasks[sources[candidate][0]]
    if not ended.is_final:
        return None
    if ended.status != Status.SUCCEEDED and sources[candidate][2] != Mode.OUTCOME:
        return False
    if first.gated:
        gate = tasks[sources[candidate + count][0]]
        if not gate.is_final:
            return None
        return gate.status == Status.SUCCEEDED and is_true(
            untyped(source_bytes(machine.state, sources[candidate + count]))
        )
    if not first.accept:
        return True
    try:
        return parse(first.accept).holds({"value": untyped(source_bytes(machine.state, sources[candidate]))})
    except (GuardError, LookupError):
        return False


def _decide_first(machine: Machine, task: TaskState, first: First, winners: list[int]) -> None:
    sources = task.spec.sources
    winners = sorted(winners)
    values = [source_bytes(machine.state, sources[i]) for i in winners]
    del machine.joined[task.number]
    which, value = (winners, join_items(values)) if first.many else (winners[0], values[0])
    machine.succeed(task, join_items([msgspec.msgpack.encode(which), value]))
    for edge in reversed(sources):
        _drop(machine, machine.state.tasks[edge[0]])


def _drop(machine: Machine, loser: TaskState) -> None:
    """Cancel a task that nothing needs any more, and what it was made of: gates before their candidates, joins and
    groups before their parts, and in a traced graph whatever led to it only. What a live body called itself it may
    still await."""
    tasks = machine.state.tasks
    if loser.is_final or any(not tasks[number].is_final for number in loser.dependents or ()):
        return
    machine.cancel(loser, "another alternative was first")
    for edge in reversed(loser.spec.sources):
        source = tasks[edge[0]]
        is_ours = source.kind in (Kind.VALUE, Kind.FIRST) or not source.requested
        if is_ours and not (
            source.status == Status.RUNNING and source.declaration.options.effect == Effect.IRREVERSIBLE
        ):
            _drop(machine, source)


def _give_up(machine: Machine, task: TaskState, first: First) -> None:
    tasks = [machine.state.tasks[edge[0]] for edge in task.spec.sources[: _candidates(task)]]
    del machine.joined[task.number]
    if all(t.status == Status.SKIPPED and t.cause < 0 for t in tasks):
        if first.default:
            machine.succeed(task, _NOTHING)
        else:
            machine.emit(TaskSkipped(task.number, machine.now))
        return
    errors = [
        error
        for error in (failure_of(machine.state, t) for t in tasks if t.status == Status.FAILED or t.cause >= 0)
        if error
    ]
    if errors and not any(t.status == Status.SUCCEEDED for t in tasks):
        machine.emit(TaskFailed(task.number, machine.now, errors[-1]))
    else:
        passed = sum(t.status == Status.SUCCEEDED for t in tasks)
        machine.fail(
            task,
            "makespan.NoneAccepted",
            f"none of {len(tasks)} alternatives was accepted ({passed} gave a result)",
        )


# ---------------------------------------------------------------- MAP


def expand(machine: Machine, task: TaskState) -> None:
    """The items of a map are known: add one copy of its template an item."""
    over, state = task.spec.over, machine.state
    assert over is not None
    if task.number in state.maps:
        return
    number, path, _ = task.spec.sources[0]
    try:
        items = split_items(source_bytes(state, task.spec.sources[0]))
    except LookupError as error:
        machine.fail(task, "TypeError", f"{error} (task {task.declaration.key!r})")
        return
    if state.scopes[task.spec.scope].depth + 1 > state.limits.depth:
        machine.fail(
            task,
            "makespan.errors.LimitError",
            f"maps nest deeper than the limit `depth` ({state.limits.depth})",
        )
        return
    if len(items) > state.limits.width:
        machine.fail(
            task,
            "makespan.errors.LimitError",
            f"{len(items)} items; the limit `width` is {state.limits.width}",
        )
        return
    if len(state.tasks) + len(items) * len(over.nodes) > state.limits.tasks:
        machine.fail(
            task,
            "makespan.errors.LimitError",
            f"{len(items)} more items pass the limit `tasks` ({state.limits.tasks})",
        )
        return
    machine.emit(
        ScopeAdded(
            task.spec.id,
            task.spec.scope,
            task.declaration.key,
            machine.now,
            limit=over.limit,
            owner=task.number,
        )
    )
    scope = len(state.scopes) - 1
    outputs = []
    source = TaskId(state.tasks[number].spec.id)
    for place, inside in enumerate(_item_scopes(task.spec.id, items)):
        instance = instantiate(over, Source(source, (*path, place)), inside)
        for node in instance.nodes:
            add_node(machine, node, scope)
        outputs.append((state.index[instance.output.task], instance.output.path))
    machine.emit(MapExpanded(task.number, machine.now, tuple(outputs)))


def _item_scopes(map_id: bytes, items: list[bytes]) -> Iterator[ScopeId]:
    """Where each item's tasks live: known by the item's content, and by a count among equal items."""
    seen: dict[bytes, int] = {}
    for item in items:
        times = seen[item] = seen.get(item, -1) + 1
        inside = blake2b(map_id + item, digest_size=16).digest()
        yield ScopeId(inside if not times else blake2b(inside + b"%d" % times, digest_size=16).digest())


def _look_at_map(machine: Machine, task: TaskState, source: int) -> None:
    expanded, over, state = machine.state.maps.get(task.number), task.spec.over, machine.state
    if expanded is None or over is None:
        return
    if source >= 0 and over.errors == Errors.RAISE and state.tasks[source].status != Status.SUCCEEDED:
        error = failure_of(state, state.tasks[source])
        if error is not None:
            machine.emit(TaskFailed(task.number, machine.now, error))
            return
    if task.unmet:
        return
    results = []
    for number, path in expanded.outputs:
        item = state.tasks[number]
        if over.errors == Errors.KEEP:
            results.append(outcome_of(state, item))
        elif item.status == Status.SUCCEEDED:
            results.append(source_bytes(state, (number, path, Mode.VALUE)))
    machine.succeed(task, join_items(results))
