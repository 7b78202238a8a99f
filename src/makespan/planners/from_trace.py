"""A run that is over as a plan: its tool calls in order, what they took from each other, and steps that say so.

    turn ─▶ search ─▶ turn ─▶ search ─▶ turn ─▶ compare          search ─┐
                                                          ──▶            ├▶ compare
                                                                 search ─┘

What a call was given as a Ref is known to be a dependency; what a model wrote is looked for in the results before it.
Turns of models, joins, timers and values are no calls; a workflow or agent that a model called is one, whatever it did
inside. Source: see `makespan.passes.dataflow`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from makespan.graph.node import Effect, Kind, Mode
from makespan.machine.records import Status, TaskState
from makespan.machine.resolve import arguments
from makespan.machine.state import State
from makespan.passes.dataflow import Dataflow, recovered
from makespan.passes.occurrences import Path
from makespan.passes.uses import Call, Joined, Known, Orders, Taken
from makespan.passes.uses import Effect as EffectWord
from makespan.planners.steps import Argument, Reference, Step, Text, depends_on
from makespan.values import untyped

ENGINE = "makespan."
"""Tasks whose keys begin so are the engine's own: what planners put between steps."""
_HOLE = 119
"""Code of the msgpack extension that stands for a hole while places are looked for."""
_ENDED = (Status.SUCCEEDED, Status.FAILED)
_NO_CALLS = frozenset({Kind.VALUE, Kind.FIRST, Kind.MAP, Kind.TIMER, Kind.SIGNAL, Kind.EDIT})


class Trace(msgspec.Struct, frozen=True):
    """The tool calls of a run."""

    calls: tuple[Call, ...]
    """In the order in which they were asked for, named `1`, `2`, …"""
    given: tuple[Any, ...]
    """What the run was called with, and the messages it got."""
    tasks: dict[str, str]
    """By call: the hexadecimal id of its task."""
    turns: int = 0
    """Of models, that ended."""
    model_ns: int = 0
    """What these took together."""


def dataflow_of(state: State, *, orders: Orders = "writes", rounded: bool = False) -> tuple[Trace, Dataflow]:
    """The calls of a run and the plan behind them. Cost: that of `recovered`; values are decoded once."""
    trace = trace_of(state)
    return trace, recovered(trace.calls, trace.given, orders=orders, rounded=rounded)


def steps_of(flow: Dataflow) -> tuple[Step, ...]:
    """The plan as steps, in the order of the trace; `after` holds what their arguments do not refer to."""
    return tuple(_step(call, flow) for call in flow.calls)


def _step(call: Call, flow: Dataflow) -> Step:
    said = {name: _argument(value) for name, value in flow.arguments[call.name].items()}
    step = Step(call.name, call.tool, kwargs=said)
    referred = depends_on(step)
    return msgspec.structs.replace(step, after=tuple(name for name in flow.needs[call.name] if name not in referred))


def _argument(value: Any) -> Argument:
    if isinstance(value, Taken | Joined):
        referring = _reference(value) if isinstance(value, Taken) else Text(tuple(map(_reference, value.parts)))
        assert not isinstance(referring, str)
        return referring
    if isinstance(value, dict):
        return {key: _argument(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_argument(each) for each in value]
    return value


def _reference(part: str | Taken) -> str | Reference:
    return part if isinstance(part, str) else Reference(part.producer, part.path)


# ---------------------------------------------------------------- from the journal


def trace_of(state: State) -> Trace:
    """The finished tool calls of a run with their arguments and results, decoded."""
    told = _told(state)
    chosen = _calls(state, told)
    chosen.sort(key=lambda task: (task.trigger, task.number))
    names = {task.number: str(place) for place, task in enumerate(chosen, 1)}
    ends = sorted(task.finish for task in chosen)
    turns = [task for task in state.tasks if _is_turn(task, told) and task.status == Status.SUCCEEDED]
    return Trace(
        tuple(_call(state, task, names, ends, told) for task in chosen),
        _given(state),
        {names[task.number]: task.spec.id.hex() for task in chosen},
        len(turns),
        sum(_took_ns(state, task) for task in turns),
    )


def _told(state: State) -> frozenset[int]:
    """Tasks whose end some turn of a model was told: what models called."""
    return frozenset(
        number
        for task in state.tasks
        if task.declaration.options.models and task.kind == Kind.CALL
        for number, _, mode in task.spec.sources
        if mode == Mode.OUTCOME
    )


def _is_turn(task: TaskState, told: frozenset[int]) -> bool:
    """Whether a model was asked, other than as a tool."""
    return task.kind == Kind.CALL and bool(task.declaration.options.models) and task.number not in told


def _calls(state: State, told: frozenset[int]) -> list[TaskState]:
    inside = _scopes_inside(state, [number for number in told if state.tasks[number].kind == Kind.WORKFLOW])
    found = []
    for task in state.tasks:
        is_tool = task.kind == Kind.CALL or (task.kind == Kind.WORKFLOW and task.number in told)
        if not is_tool or task.status not in _ENDED or task.spec.scope in inside:
            continue
        if not (_is_turn(task, told) or task.declaration.key.startswith(ENGINE) or _is_check(state, task)):
            found.append(task)
    return found


def _scopes_inside(state: State, workflows: Iterable[int]) -> set[int]:
    """Scopes of what these workflows did."""
    found: set[int] = set()
    waiting = [state.scope_index.get(state.tasks[number].spec.id) for number in workflows]
    while waiting:
        number = waiting.pop()
        if number is not None and number not in found:
            found.add(number)
            waiting += state.scopes[number].children
    return found


def _is_check(state: State, task: TaskState) -> bool:
    """Whether it judges the answer of the agent around it."""
    owner = state.scopes[task.spec.scope].owner
    return owner >= 0 and task.declaration.key == f"{state.tasks[owner].declaration.key} check"


def _given(state: State) -> tuple[Any, ...]:
    if state.started is None:
        return ()
    inputs = _plain(state.bytes_of(state.started.inputs))
    said = {} if state.root is None else _arguments(state, state.root)
    return (inputs, said, *(_plain(state.bytes_of(mail.value)) for mail in state.messages))


def _plain(encoded: bytes) -> Any:
    """JSON-like data; dates and the like as text."""
    return msgspec.to_builtins(untyped(encoded), str_keys=True, enc_hook=repr) if encoded else None


def _call(state: State, task: TaskState, names: dict[int, str], ends: list[int], told: frozenset[int]) -> Call:
    ok = task.status == Status.SUCCEEDED
    result = task.errors[-1].message if not ok and task.errors else None
    if ok and task.value is not None:
        result = _plain(state.bytes_of(task.value))
    return Call(
        names[task.number],
        task.declaration.key,
        _arguments(state, task),
        result,
        ok,
        cast("EffectWord", Effect(task.declaration.options.effect).name.lower()),
        _known(state, task, names, told),
        _took_ns(state, task),
        bisect_right(ends, _known_until(state, task, names)),
        bisect_right(ends, task.finish) - 1,
    )


def _arguments(state: State, task: TaskState) -> dict[str, Any]:
    try:
        said = _plain(arguments(state, task))
    except LookupError:  # a field that its source had not: it failed for that
        said = None
    return said if isinstance(said, dict) else {}


def _known_until(state: State, task: TaskState, names: dict[int, str]) -> int:
    """The last end that can have had a say in its arguments, besides those it refers to."""
    ends = [state.tasks[number].finish for number, _, _ in task.spec.sources if number not in names]
    return max([task.trigger, *ends])


def _known(state: State, task: TaskState, names: dict[int, str], told: frozenset[int]) -> tuple[Known, ...]:
    """The calls whose results it was given, or waited for, as the graph says."""
    places = _holes(task)
    found: dict[Known, None] = {}
    for index, (number, path, mode) in enumerate(task.spec.sources):
        if number in names:
            for at in places.get(index, [()]):
                is_value = mode == Mode.VALUE and bool(at)
                found[Known(names[number], at, path) if is_value else Known(names[number])] = None
        else:
            for each in _behind(state, number, names, told):
                found[Known(names[each])] = None
    return tuple(found)


def _holes(task: TaskState) -> dict[int, list[Path]]:
    """Where in its arguments each source stands."""
    found: dict[int, list[Path]] = {}
    if not any(isinstance(piece, int) for piece in task.spec.args):
        return found
    pieces = [piece if isinstance(piece, bytes) else _hole(piece) for piece in task.spec.args]
    waiting: list[tuple[Path, Any]] = [((), msgspec.msgpack.decode(b"".join(pieces)))]
    while waiting:
        at, value = waiting.pop()
        if isinstance(value, msgspec.msgpack.Ext) and value.code == _HOLE:
            found.setdefault(int.from_bytes(value.data, "big"), []).append(at)
        elif isinstance(value, dict):
            waiting += [((*at, str(key)), each) for key, each in value.items()]
        elif isinstance(value, list):
            waiting += [((*at, index), each) for index, each in enumerate(value)]
    return found


def _hole(source: int) -> bytes:
    return msgspec.msgpack.encode(msgspec.msgpack.Ext(_HOLE, source.to_bytes(4, "big")))


def _behind(state: State, number: int, names: dict[int, str], told: frozenset[int]) -> list[int]:
    """The calls that joins, values and the engine's own tasks stand for; nothing behind a model's turn."""
    found: dict[int, None] = {}
    seen: set[int] = set()
    waiting = [number]
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        task = state.tasks[at]
        if at in names:
            found[at] = None
        elif task.kind in _NO_CALLS or task.declaration.key.startswith(ENGINE):
            waiting += [source for source, _, _ in task.spec.sources]
        if task.kind in (Kind.WORKFLOW, Kind.MAP):
            waiting += _not_turns(state, at, told)
    return sorted(found)


def _not_turns(state: State, workflow: int, told: frozenset[int]) -> list[int]:
    """What a workflow did itself."""
    scopes = _scopes_inside(state, [workflow])
    inside = (each for scope in scopes for each in state.scopes[scope].tasks)
    return [each for each in inside if not _is_turn(state.tasks[each], told)]


def _took_ns(state: State, task: TaskState) -> int:
    """Start of its last attempt to its end; of a workflow, from the first start inside."""
    started = task.started_at
    if task.kind == Kind.WORKFLOW:
        inside = _scopes_inside(state, [task.number])
        starts = [state.tasks[each].started_at for scope in inside for each in state.scopes[scope].tasks]
        started = min((start for start in starts if start >= 0), default=-1)
    return task.ended_at - started if 0 <= started <= task.ended_at else 0
