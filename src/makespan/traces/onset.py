"""Where a run first went wrong: the onset, and the chain from there to the failure.

    checks of each result ──▶ the first one in the order of data that breaks its contract, or comes out otherwise
    nothing could be checked ──▶ the task that all failures, and nothing that succeeded, were made from

Checks that need the code are made elsewhere (`diagnosis`) and come in as findings; nothing is run here.

Source: CodeTracer (its onset is the first incorrect step of a tree of steps, said by a model). Changed: steps are
tasks with their recorded arguments, so that "incorrect" is found by doing them again; blame only where that cannot be.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

import msgspec

from makespan.graph.node import Kind
from makespan.machine import forking
from makespan.machine.records import Status, TaskState
from makespan.machine.resolve import arguments
from makespan.machine.state import State
from makespan.traces.flow import Flow, flow_of, sinks
from makespan.traces.importers.foreign import IMPORTED
from makespan.traces.labels import Label, is_change, propagated
from makespan.traces.words import name_of
from makespan.values import untyped

CONTRACT, REEXECUTION, BLAME, ERROR = "contract", "reexecution", "blame", "error"
SAME, FLAKY, UNCHECKED = "same", "flaky", "unchecked"
WRONG = (CONTRACT, REEXECUTION)
MOST_CANDIDATES = 20
MOST_TYPED = 2_000
"""Characters of a run's inputs in a command; where they are longer it stands for them with `…`."""
PLAIN: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "bool": (bool,),
    "bytes": (bytes,),
    "list": (list,),
    "dict": (dict,),
    "NoneType": (type(None),),
    "None": (type(None),),
}
"""Declared result types whose contract can be checked without the code."""


class Finding(msgspec.Struct, frozen=True):
    """What a check of one task came to: `contract`, `reexecution`, `same`, `flaky` or `unchecked`."""

    kind: str
    says: str = ""


class Onset(msgspec.Struct, frozen=True):
    """A task and what speaks against it: `contract`, `reexecution`, `blame` or `error`; ids in hex."""

    task: str
    name: str
    kind: str
    says: str


class Link(msgspec.Struct, frozen=True):
    """One task on the way from the onset to the failure."""

    task: str
    name: str
    says: str


class Why(msgspec.Struct, frozen=True):
    """What a diagnosis came to."""

    run_id: str
    status: str
    onset: Onset | None
    chain: list[Link]
    steps: list[Label]
    candidates: list[Onset]
    """Others with something against them, in the order of data."""
    flaky: list[Link]
    """Tasks that come out otherwise each time: not to be trusted, and not accused."""
    unchecked: list[Link]
    """Tasks that ended and could not be checked, and why."""
    checked: int = 0
    """Tasks that were done again, or failed a check before that."""
    fix_command: str = ""
    fix_says: str = ""


def why(state: State, findings: Mapping[int, Finding], *, store: str = "") -> Why:
    """The onset of a run, from what is recorded and from findings by number of the task.

    Args:
        store: named in the command that mends it; empty for the default one.
    Cost: one walk over the data for the onset, and one for each sink where blame is looked for.
    """
    flow, found = flow_of(state), {**findings}
    for task in state.tasks:
        said = None if found.get(task.number, _NONE).kind in WRONG else broken_plainly(state, task)
        if said is not None:
            found[task.number] = Finding(CONTRACT, said)
    failed = failures(state)
    accused = [number for number in flow.order if found.get(number, _NONE).kind in WRONG]
    onset = _first(state, flow, failed, accused, found)
    number = None if onset is None else state.index[bytes.fromhex(onset.task)]
    fix_command, fix_says = ("", "") if onset is None or number is None else _fix(state, number, onset.kind, store)
    others = [_onset(state, n, found[n].kind, found[n].says) for n in accused if n != number]
    others += [_error(state, n) for n in failed if n != number and n not in accused]
    wrong = dict.fromkeys((*accused, *failed), -1) | ({} if number is None else {number: -1})
    return Why(
        state.run_id,
        state.status,
        onset,
        [] if number is None else chain(state, flow, number, failed, found),
        labels(state, flow, wrong),
        others[:MOST_CANDIDATES],
        [_link(state, n, f.says) for n, f in sorted(found.items()) if f.kind == FLAKY],
        [_link(state, n, f.says) for n, f in sorted(found.items()) if f.kind == UNCHECKED],
        sum(f.kind != UNCHECKED for f in found.values()),
        fix_command,
        fix_says,
    )


_NONE = Finding(UNCHECKED)
_NOT_HERE = "another tool did this run, so nothing of it can be done again here"
_AGAIN = "does that task and all that was made from it again; nothing else"
_OTHERWISE = "does it again: correct its code first, or give it other arguments"
_ANEW = "does all of it anew: {why}"


def _fix(state: State, number: int, kind: str, store: str) -> tuple[str, str]:
    """The command that mends a run whose onset this is, and what it does: a fork, where one can be made there."""
    if _is_imported(state):
        return "", _NOT_HERE
    place = f" --store {shlex.quote(store)}" if store else ""
    hindrance = forking.problem(state, forking.to_do_again(state, number))
    if hindrance is None:
        command = f"makespan fork {state.run_id} --at {_id(state, number)[:12]}{place}"
        return command, _AGAIN if kind in WRONG else f"{_OTHERWISE}{_settable(state, number)}"
    why_not, started = hindrance.partition(":")[0], state.started
    if started is None or not started.target:
        return "", f"start it anew in its program: {why_not}"
    return f"makespan run {shlex.quote(started.target)}{_typed(state)}{place}", _ANEW.format(why=why_not)


def _settable(state: State, number: int) -> str:
    try:
        given = untyped(arguments(state, state.tasks[number]))
    except (LookupError, ValueError, msgspec.MsgspecError):
        return ""
    names = [name for name in given if isinstance(name, str)] if isinstance(given, dict) else []
    return f" with {' '.join(f'--set {name}=…' for name in names)}" if names else ""


def _typed(state: State) -> str:
    """The inputs of a run as its command takes them."""
    assert state.started is not None
    try:
        said = untyped(state.bytes_of(state.started.inputs))
        text = msgspec.json.encode(said).decode() if said else ""
    except (LookupError, TypeError, ValueError, msgspec.MsgspecError):
        text = "…"
    return f" -i {shlex.quote(text if len(text) <= MOST_TYPED else '…')}" if text else ""


def failures(state: State) -> list[int]:
    """Tasks that failed by themselves, in the order in which they did."""
    failed = [t for t in state.tasks if t.status == Status.FAILED and t.cause < 0 and t.errors]
    own = [t for t in failed if t.kind == Kind.CALL] or failed
    return [task.number for task in sorted(own, key=lambda task: task.finish)]


def _first(
    state: State, flow: Flow, failed: list[int], accused: list[int], found: Mapping[int, Finding]
) -> Onset | None:
    """What is accused and behind a failure, the first in the order of data; else what carries the blame."""
    behind = flow.behind(failed)
    for number in [n for n in accused if n in behind] or accused:
        return _onset(state, number, found[number].kind, found[number].says)
    if not failed or state.status == "succeeded":
        return None
    carrier = blamed(state, flow, failed, found)
    if carrier is None or carrier in failed:
        return _error(state, failed[0] if carrier is None else carrier)
    says = f"all {len(failed)} tasks that failed were made from its result, and nothing that succeeded was"
    return _onset(state, carrier, BLAME, says)


def blamed(state: State, flow: Flow, failed: Sequence[int], found: Mapping[int, Finding]) -> int | None:
    """The nearest task that dominates the failures: its result reaches all of them, and no sink that succeeded.

    Tasks that came out the same when they were done again are cleared. None where no task has them all.
    Source: dominance in flow graphs, Lowry and Medlock (1969), here by sets of what lies before.
    """
    good = flow.behind(number for number in sinks(state, flow) if state.tasks[number].status == Status.SUCCEEDED)
    shared = {failed[0], *flow.before(failed[0])}
    for each in failed[1:]:
        shared &= {each, *flow.before(each)}
    calls = [n for n in flow.order if n in shared and n not in good and state.tasks[n].kind == Kind.CALL]
    open_ = [n for n in calls if found.get(n, _NONE).kind != SAME or n in failed]
    return open_[-1] if open_ else None


def chain(state: State, flow: Flow, onset: int, failed: Sequence[int], found: Mapping[int, Finding]) -> list[Link]:
    """From the onset along the data to the nearest failure; to the end of the run where nothing failed."""
    root = state.root
    ends = set(failed) & {onset, *flow.after(onset)}
    if not ends:
        ends = set(sinks(state, flow)) & flow.after(onset) or ({root.number} if root is not None else set())
    way = [n for n in flow.path(onset, ends) if n == onset or state.tasks[n].kind in (Kind.CALL, Kind.WORKFLOW)]
    return [_link(state, n, _part(state, n, way, found)) for n in way]


def _part(state: State, number: int, way: Sequence[int], found: Mapping[int, Finding]) -> str:
    task = state.tasks[number]
    if task.status == Status.FAILED and task.errors:
        return f"failed: {task.errors[-1].type}: {_short(task.errors[-1].message)}"
    if number == way[0]:
        return found.get(number, _NONE).says or "its result is where it begins"
    before = name_of(state.tasks[way[list(way).index(number) - 1]])
    return f"took what {before} gave" + (", and the run ended with it" if number == way[-1] else "")


def broken_plainly(state: State, task: TaskState) -> str | None:
    """What is wrong with the type of a recorded result, as far as that can be told without the code; or None."""
    wanted = PLAIN.get(task.declaration.returns)
    if wanted is None or task.kind != Kind.CALL or task.status != Status.SUCCEEDED or task.value is None:
        return None
    try:
        value = untyped(state.bytes_of(task.value))
    except (LookupError, msgspec.MsgspecError):
        return None
    if isinstance(value, wanted) and not (isinstance(value, bool) and bool not in wanted):
        return None
    return f"it declares {task.declaration.returns} and gave {type(value).__name__}: {_short(repr(value))}"


def labels(state: State, flow: Flow, wrong: Mapping[int, int]) -> list[Label]:
    """For each call that ran: -1 if it is wrong or made from what is, else 0 if it only looked and nothing was made
    from it, else +1; in the order of data. A task that failed gave no value: who goes on after it was told."""
    ended = (Status.SUCCEEDED, Status.FAILED)
    calls = [n for n in flow.order if state.tasks[n].kind == Kind.CALL and state.tasks[n].status in ended]
    given = {n: wrong.get(n, 1 if flow.readers[n] or is_change(state.tasks[n]) else 0) for n in calls}
    given |= {n: value for n, value in wrong.items() if n not in given}
    told = [n for n in flow.order if state.tasks[n].status == Status.FAILED]
    repairs: dict[int, list[int]] = {}
    for number in told:
        for reader in flow.readers[number]:
            repairs.setdefault(reader, []).append(number)
    marks = propagated(given, {n: flow.sources[n] for n in flow.order}, flow.order, repairs)
    return [Label(_id(state, n), marks[n], is_change(state.tasks[n])) for n in calls]


def _error(state: State, number: int) -> Onset:
    error = state.tasks[number].errors[-1]
    return _onset(state, number, ERROR, f"it failed: {error.type}: {_short(error.message)}")


def _onset(state: State, number: int, kind: str, says: str) -> Onset:
    return Onset(_id(state, number), name_of(state.tasks[number]), kind, says)


def _link(state: State, number: int, says: str) -> Link:
    return Link(_id(state, number), name_of(state.tasks[number]), says)


def _id(state: State, number: int) -> str:
    return state.tasks[number].spec.id.hex()


def _is_imported(state: State) -> bool:
    return state.started is not None and state.started.target.startswith(IMPORTED)


def _short(text: str, most: int = 160) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
