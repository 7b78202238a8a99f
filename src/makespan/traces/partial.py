"""The best result so far of a run that has no output (yet): paused at a limit, failed, cancelled, or still at work.

A traced graph gives its output with what is there: missing parts are null, a map has the items that ended. A live body
says nothing before it returns, so the newest result of the type it declares stands in.
"""

from __future__ import annotations

from makespan.graph.node import Errors, Kind
from makespan.machine.records import Status, TaskState
from makespan.machine.resolve import at_path, join_items, outcome_of, source_bytes
from makespan.machine.state import State
from makespan.values import NONE_VALUE


def partial_value(state: State) -> bytes | None:
    """The encoded best result so far; None when nothing of it is there. Cost: O(tasks)."""
    root = state.root
    if root is None:
        return None
    if root.value is not None:
        return state.bytes_of(root.value)
    if root.kind == Kind.WORKFLOW:
        return _newest_of_its_type(state, root)
    found = _so_far(state, root.number)
    return None if found == NONE_VALUE else found


def _newest_of_its_type(state: State, root: TaskState) -> bytes | None:
    wanted = root.declaration.returns
    done = [t for t in state.tasks if t.status == Status.SUCCEEDED and t.declaration.returns == wanted]
    done = [t for t in done if t.value is not None and t.kind in (Kind.CALL, Kind.WORKFLOW)]
    newest = max(done, key=lambda task: task.finish, default=None)
    return None if newest is None or newest.value is None else state.bytes_of(newest.value)


def _so_far(state: State, number: int) -> bytes:
    """What there is of a task's value; null for nothing."""
    task = state.tasks[number]
    if task.value is not None:
        return state.bytes_of(task.value)
    if task.kind == Kind.MAP and number in state.maps:
        return _items_so_far(state, task)
    if task.kind != Kind.VALUE:
        return NONE_VALUE
    parts: list[bytes] = []
    for piece in task.spec.args:
        if isinstance(piece, bytes):
            parts.append(piece)
            continue
        source, path, mode = task.spec.sources[piece]
        if mode and state.tasks[source].is_final:
            parts.append(source_bytes(state, task.spec.sources[piece]))
        else:
            parts.append(_at(_so_far(state, source), path))
    return b"".join(parts) or NONE_VALUE


def _items_so_far(state: State, task: TaskState) -> bytes:
    over = task.spec.over
    assert over is not None
    items = []
    for number, path in state.maps[task.number].outputs:
        item = state.tasks[number]
        if over.errors == Errors.KEEP and item.is_final:
            items.append(outcome_of(state, item))
        elif item.value is not None:
            items.append(_at(state.bytes_of(item.value), path))
    return join_items(items)


def _at(value: bytes, path: tuple[str | int, ...]) -> bytes:
    try:
        return at_path(value, path) if path else value
    except LookupError:
        return NONE_VALUE
