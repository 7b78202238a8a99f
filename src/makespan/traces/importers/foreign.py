"""What another tool logged, in one neutral form: steps with what they took, gave and cost; and that as facts of a run.

    file ──atif, openai, otlp──▶ ForeignTrace ──facts_of──▶ facts: one workflow task, and one task for each step in it

Nothing of it ever ran here, so nothing can be resumed or done again; it is shown, compared and diagnosed like any run.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from makespan.errors import ErrorRecord
from makespan.graph.node import Declaration, Effect, Kind, Mode, Options
from makespan.machine.facts import (
    AttemptFailed,
    AttemptStarted,
    DeclarationAdded,
    Fact,
    Limits,
    RunEnded,
    RunStarted,
    ScopeAdded,
    TaskAdded,
    TaskFailed,
    TaskSucceeded,
)
from makespan.traces.labels import changes_by_name
from makespan.values import Usage

IMPORTED = "imported:"
"""Begins the target of a run that another tool did."""
MESSAGE, MODEL, TOOL, AGENT, OTHER = "message", "model", "tool", "agent", "other"
STEP_NS = 1_000_000
"""Between steps of a file that has no times."""
COMMANDS = ("command", "cmd", "keystrokes", "script")
"""Arguments of shell tools that hold what is typed."""
MOST_STEPS = 200_000


class ForeignStep(msgspec.Struct, kw_only=True):
    """One step. `of` is its step in the file, from 0: a model's turn and each of its tool calls have the same one."""

    kind: str
    name: str
    of: int
    arguments: Any = None
    output: Any = None
    error: str | None = None
    sources: list[int] = []
    """Places of the steps whose results it takes."""
    parent: int = -1
    """Place of the agent that it belongs to; -1 for the run."""
    start_ns: int | None = None
    end_ns: int | None = None
    """Wall clock."""
    model: str = ""
    usage: Usage | None = None
    cost: int = 0
    """Nano-USD."""


class ForeignTrace(msgspec.Struct, kw_only=True):
    """One file."""

    form: str
    name: str
    session: str = ""
    steps: list[ForeignStep]
    in_file: int
    """Steps that the file has, however the form calls them."""
    output: Any = None
    error: str | None = None
    cost: int = 0
    usage: Usage | None = None
    """What the file says of the whole and of none of its steps."""

    @property
    def taken(self) -> int:
        """Steps of the file that are here."""
        return len({step.of for step in self.steps})

    @property
    def has_times(self) -> bool:
        return any(step.start_ns is not None or step.end_ns is not None for step in self.steps)


class NotReadable(ValueError):
    """A file is not of the form it should have: what, where, and what is possible."""


def run_id_of(content: bytes) -> str:
    """The id of the run that a file becomes: the same file is the same run."""
    return f"import-{blake2b(content, digest_size=6).hexdigest()}"


def facts_of(trace: ForeignTrace, run_id: str, wall_ns: int) -> list[Fact]:
    """A trace as the facts of a run that has ended. Cost: O(steps log steps).

    Args:
        wall_ns: when it was, for files that do not say.
    Raises:
        NotReadable: it has no step, or too many.
    """
    if not trace.steps:
        raise NotReadable(f"the file has no step that could be imported as {trace.form}")
    if len(trace.steps) > MOST_STEPS:
        raise NotReadable(f"the file has {len(trace.steps)} steps; at most {MOST_STEPS} fit (importers.MOST_STEPS)")
    return _Writer(trace, run_id, wall_ns).written()


class _Writer:
    def __init__(self, trace: ForeignTrace, run_id: str, wall_ns: int) -> None:
        self.trace, self.run_id = trace, run_id
        self.start_ns, times = _times(trace.steps, wall_ns)
        self.times = times
        self.facts: list[Fact] = []
        self.declared: dict[bytes, int] = {}
        self.numbers: dict[int, int] = {}
        """Place of a step → number of its task."""
        self.scopes: dict[int, int] = {}
        """Place of an agent → number of the scope inside it."""

    def written(self) -> list[Fact]:
        trace, root = self.trace, self._id(-1)
        first = next((step.arguments for step in trace.steps if step.kind == MESSAGE), None)
        inputs = _encoded({} if first is None else {"input": first})
        target = f"{IMPORTED}{trace.form}"
        self.facts.append(
            RunStarted(
                self.run_id, trace.name, root, inputs, self.start_ns, 0, Limits(), target=target, session=trace.session
            )
        )
        self._add(-1, Declaration(trace.name, Kind.WORKFLOW), 0, inputs, ())
        self.facts.append(AttemptStarted(0, 0))
        self._open(-1, trace.name, 0, 0)
        for at, is_end, place in self._moments():
            if is_end:
                self._end(place, at)
            else:
                self._begin(place, at)
        end = max(end for _, end in self.times)
        self._end_run(end)
        return self.facts

    def _moments(self) -> list[tuple[int, bool, int]]:
        """Begins and ends in order of time; what a step takes from, and the agent around it, come first."""
        order = sorted(range(len(self.times)), key=lambda place: (self.times[place][0], place))
        found: list[tuple[int, bool, int]] = []
        waiting: list[tuple[int, int, int]] = []  # (end, -depth, place): an agent ends after what is in it
        for place in order:
            start = self.times[place][0]
            ended = sorted(each for each in waiting if each[0] <= start and not self._holds(each[2], place))
            waiting = [each for each in waiting if each not in ended]
            found += [(end, True, number) for end, _, number in ended]
            found.append((start, False, place))
            waiting.append((self.times[place][1], -self._depth(place), place))
        return found + [(end, True, number) for end, _, number in sorted(waiting)]

    def _holds(self, agent: int, place: int) -> bool:
        while place >= 0:
            if place == agent:
                return True
            place = self.trace.steps[place].parent
        return False

    def _depth(self, place: int) -> int:
        depth = 0
        while (place := self.trace.steps[place].parent) >= 0:
            depth += 1
        return depth

    def _begin(self, place: int, at: int) -> None:
        step = self.trace.steps[place]
        sources = sorted({self.numbers[each] for each in step.sources if each in self.numbers})
        scope = self.scopes.get(step.parent, self.scopes[-1])
        edges = tuple((source, (), Mode.VALUE) for source in sources)
        number = self._add(place, _declaration(step), scope, _encoded(_named(step.arguments)), edges)
        self.facts.append(AttemptStarted(number, at))
        if step.kind == AGENT:
            self._open(place, step.name, number, at)

    def _add(self, place: int, said: Declaration, scope: int, args: bytes, edges: Any) -> int:
        key = msgspec.msgpack.encode(said)
        if key not in self.declared:
            self.declared[key] = len(self.declared)
            self.facts.append(DeclarationAdded(said))
        number = self.numbers[place] = len(self.numbers)
        self.facts.append(TaskAdded(self.declared[key], scope, self._id(place), (args,), edges))
        return number

    def _open(self, place: int, name: str, owner: int, at: int) -> None:
        around = 0 if place < 0 else self.scopes.get(self.trace.steps[place].parent, self.scopes[-1])
        self.scopes[place] = len(self.scopes) + 1
        self.facts.append(ScopeAdded(self._id(place), around, name, at, owner=owner))

    def _end(self, place: int, at: int) -> None:
        step, number = self.trace.steps[place], self.numbers[place]
        if step.error is None:
            self.facts.append(TaskSucceeded(number, at, _encoded(step.output), step.cost, step.usage))
            return
        error = ErrorRecord("ForeignError", step.error)
        self.facts.append(AttemptFailed(number, at, error, step.cost, step.usage))
        self.facts.append(TaskFailed(number, at, error))

    def _end_run(self, at: int) -> None:
        said = self.trace.error
        if said is None:
            ended = TaskSucceeded(0, at, _encoded(self.trace.output), self.trace.cost, self.trace.usage)
            self.facts += [ended, RunEnded(at, "succeeded")]
            return
        error = ErrorRecord("ForeignError", said)
        failed = [self.numbers[p] for p, step in enumerate(self.trace.steps) if step.error is not None]
        self.facts += [TaskFailed(0, at, error, failed[-1] if failed else -1), RunEnded(at, "failed", error)]

    def _id(self, place: int) -> bytes:
        return blake2b(f"{self.run_id}:{place}".encode(), digest_size=16).digest()


def _times(steps: Sequence[ForeignStep], wall_ns: int) -> tuple[int, list[tuple[int, int]]]:
    """The wall clock of the beginning, and (start, end) of each step since then; every step ends after what it takes
    from began. Where a file says only when a step was there, it began when what it takes from had ended."""
    said = [t for step in steps for t in (step.start_ns, step.end_ns) if t is not None]
    origin = min(said, default=wall_ns)
    found: list[tuple[int, int]] = []
    at = 0
    for place, step in enumerate(steps):
        before = max((found[source][1] for source in step.sources if source < place), default=0)
        inside = found[step.parent][0] if 0 <= step.parent < place else 0
        if step.start_ns is None and step.end_ns is None:
            start = max(before, inside, at if not said else before)
            end = start + (STEP_NS if not said else 0)
        else:
            start = (step.start_ns - origin) if step.start_ns is not None else max(before, inside)
            end = start if step.end_ns is None else step.end_ns - origin
            start = min(start, end)
        at = end if not said else at
        found.append((max(start, 0), max(end, start, 0)))
        while (place := steps[place].parent) >= 0 and steps[place].end_ns is None:
            found[place] = found[place][0], max(found[place][1], found[-1][1])  # it ends after what is in it
    return origin, found


def _declaration(step: ForeignStep) -> Declaration:
    if step.kind == AGENT:
        return Declaration(step.name, Kind.WORKFLOW)
    if step.kind == MODEL:
        models = (step.model,) if step.model else ()
        return Declaration(step.name, options=Options(models=models, priced=True))
    effect = Effect.PURE
    if step.kind == TOOL and changes_by_name(step.name, _command(step.arguments)):
        effect = Effect.IRREVERSIBLE
    return Declaration(step.name, options=Options(effect=effect))


def _command(arguments: Any) -> str:
    """What a shell tool was given to type; empty for another tool."""
    if not isinstance(arguments, dict):
        return ""
    said = next((arguments[name] for name in COMMANDS if isinstance(arguments.get(name), str)), "")
    return said.strip()


def _named(arguments: Any) -> dict[str, Any]:
    if isinstance(arguments, dict) and all(isinstance(name, str) for name in arguments):
        return arguments
    return {} if arguments is None else {"input": arguments}


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except (OverflowError, ValueError, TypeError):
        return msgspec.msgpack.encode(repr(value))  # numbers of more than 64 bits, for one
