"""From sources to values: fills the holes of a task's arguments with the encoded results of other tasks.

Values stay bytes from the journal to the consumer: arguments are joined, not decoded, so the consumer's one typed
decode sees exactly what was stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from makespan.errors import ErrorRecord
from makespan.graph.node import Kind, Mode
from makespan.machine.records import Status, TaskState
from makespan.machine.state import State
from makespan.values import NONE_VALUE, untyped

_items = msgspec.msgpack.Decoder(list[msgspec.Raw])
_fields = msgspec.msgpack.Decoder(dict[Any, msgspec.Raw])
_encode = msgspec.msgpack.encode

STATUS_WORDS = {
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.SKIPPED: "skipped",
    Status.CANCELLED: "cancelled",
    Status.REMOVED: "cancelled",
}


class OutcomeRecord(msgspec.Struct, frozen=True):
    """What an OUTCOME edge carries: how a task ended, as data."""

    status: str
    value: msgspec.Raw = msgspec.Raw(NONE_VALUE)
    error: ErrorRecord | None = None
    task: str = ""


def at_path(value: bytes, path: Sequence[str | int]) -> bytes:
    """The encoded part of an encoded value. Raises LookupError naming the missing step."""
    for step in path:
        if isinstance(step, int) and (value[0] >> 4 == 0x9 or value[0] in (0xDC, 0xDD)):
            items = _items.decode(value)
            if not -len(items) <= step < len(items):
                raise LookupError(f"no item {step} in a list of {len(items)}")
            value = bytes(items[step])
            continue
        try:
            value = bytes(_fields.decode(value)[step])
        except (KeyError, msgspec.ValidationError):
            raise LookupError(f"no field {step!r}") from None
    return value


def split_items(value: bytes) -> list[bytes]:
    """The encoded items of an encoded list. Raises LookupError when it is not a list."""
    try:
        return [bytes(item) for item in _items.decode(value)]
    except msgspec.ValidationError:
        raise LookupError("the value to map over is not a list") from None


def join_items(items: Sequence[bytes]) -> bytes:
    """The encoded list of already encoded items."""
    count = len(items)
    if count < 16:
        header = bytes([0x90 | count])
    elif count < 65536:
        header = b"\xdc" + count.to_bytes(2, "big")
    else:
        header = b"\xdd" + count.to_bytes(4, "big")
    return header + b"".join(items)


def failure_of(state: State, task: TaskState) -> ErrorRecord | None:
    """Why a final task has no value: its own error, or that of the task that made it impossible."""
    if task.status == Status.FAILED:
        return task.errors[-1]
    if task.status == Status.SKIPPED and task.cause >= 0:
        return failure_of(state, state.tasks[task.cause])
    if task.status in (Status.CANCELLED, Status.REMOVED):
        limited = _limited_scope(state, task)
        if limited is not None:
            return limit_record(state, limited)
        return ErrorRecord("makespan.Cancelled", "the task was cancelled")
    if task.status == Status.SKIPPED:
        return ErrorRecord("makespan.Skipped", "a guard skipped the task")
    return None


def _limited_scope(state: State, task: TaskState) -> int | None:
    """The scope around a task that met a limit before the task ended, which is why the task was cancelled."""
    scope = state.scopes[task.spec.scope]
    while True:
        if any(e.is_limit and e.after < task.finish for e in map(state.scope_log.__getitem__, scope.events)):
            return scope.number
        if not scope.number:
            return None
        scope = state.scopes[scope.parent]


def limit_record(state: State, number: int) -> ErrorRecord:
    """The LimitError of a scope that met one, in the journal's form."""
    scope = state.scopes[number]
    where = f"scope {scope.name!r}" if scope.owner < 0 else f"{state.tasks[scope.owner].declaration.key!r}"
    if number == 0:
        where = "the run"
    unit = {"deadline_s": "s", "budget_usd": "USD"}.get(scope.met_limit, "")
    size = 1e9 if unit else 1
    used, allowed = f"{scope.limit_used / size:g}", f"{scope.limit_allowed / size:g}"
    message = f"{scope.met_limit} of {where} reached: {used} of {allowed} {unit}".rstrip()
    details: dict[str, str | float] = {
        "limit": scope.met_limit,
        "allowed": scope.limit_allowed / size,
        "used": scope.limit_used / size,
        "unit": unit,
        "where": where,
    }
    return ErrorRecord("makespan.errors.LimitError", message, ("makespan.errors.LimitError",), False, details=details)


def status_word(state: State, task: TaskState) -> str:
    """The end of a final task as its consumers see it: impossible because of a failure counts as failed."""
    if task.status == Status.SKIPPED and task.cause >= 0:
        return status_word(state, state.tasks[task.cause])
    return STATUS_WORDS[task.status]


def outcome_of(state: State, task: TaskState) -> bytes:
    """The encoded OutcomeRecord of a final task."""
    value = NONE_VALUE if task.value is None else state.bytes_of(task.value)
    word = status_word(state, task)
    error = None if word in ("succeeded", "skipped") else failure_of(state, task)
    return _encode(OutcomeRecord(word, msgspec.Raw(value), error, task.spec.label or task.declaration.key))


def source_bytes(state: State, edge: tuple[int, tuple[str | int, ...], Mode]) -> bytes:
    """The encoded value an edge carries; its source has ended as the mode demands."""
    number, path, mode = edge
    task = state.tasks[number]
    if mode == Mode.OUTCOME:
        value = outcome_of(state, task)
    elif task.value is None:
        value = NONE_VALUE
    else:
        value = state.bytes_of(task.value)
    return at_path(value, path) if path else value


def arguments(state: State, task: TaskState) -> bytes:
    """The encoded arguments of a task whose sources have ended. Raises LookupError for a field that is not there."""
    args = task.spec.args
    if len(args) == 1 and type(args[0]) is bytes:
        return args[0]
    if not args and task.kind == Kind.VALUE and state.started is not None:
        return state.bytes_of(state.started.inputs)
    sources, tasks = task.spec.sources, state.tasks
    parts: list[bytes] = []
    for piece in args:
        if type(piece) is bytes:
            parts.append(piece)
            continue
        edge = sources[piece]  # type: ignore[index]  # a piece that is not bytes is the index of a hole
        value = tasks[edge[0]].value
        if type(value) is bytes and not edge[1] and edge[2] == 0:
            parts.append(value)
        else:
            parts.append(source_bytes(state, edge))
    return b"".join(parts)


def guard_values(state: State, task: TaskState, names: frozenset[str]) -> dict[str, Any]:
    """The plain values of the sources a guard reads: `s0` is the first source's, and so on."""
    sources = task.spec.sources
    return {name: untyped(source_bytes(state, sources[int(name[1:])])) for name in names}
