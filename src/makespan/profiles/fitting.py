"""Journals to a profile: what attempts took, cost and gave, by task key and mode. A pure fold of many runs' facts.

    AttemptStarted ──▶ AttemptFailed, TaskSucceeded            one row: from start to end, without queueing and backoff
                   ├─▶ timed out, then LateResult              one row: as long as it really took
                   └─▶ cached, interrupted, stopped, unknown   none: nobody knows how long it would have taken

Waits for people and messages are fitted as well, from the moment they are waited for. Rows are kept by a hash of the
attempt, so the same runs in any order give the same profile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from math import sqrt

import msgspec

from makespan.graph.node import Kind
from makespan.machine.facts import (
    ApprovalAsked,
    AttemptFailed,
    AttemptInterrupted,
    AttemptStarted,
    AttemptUnknown,
    DecisionMade,
    Fact,
    LateResult,
    MapExpanded,
    MessageTaken,
    TaskCancelled,
    TaskFailed,
    TaskSucceeded,
)
from makespan.machine.items import is_bookkeeping
from makespan.machine.records import TaskState
from makespan.machine.state import State
from makespan.profiles.distributions import Distribution, Empirical, LogNormal, empirical, fitted_log_normal
from makespan.profiles.profile import ANY, ModeProfile, Profile, Seen
from makespan.values import Blob, Value

ROWS_LIMIT = 200
"""Attempts of one mode that a profile keeps whole, to draw from."""
VALUE_BYTES = 1024
"""A larger result is not kept."""
QUANTILES = 200
"""Values that a distribution keeps at most."""
LOG_NORMAL_DISTANCE = 0.03
"""A log-normal distribution that is never further off than this share of the attempts takes the place of values."""
APPROVAL = "approval of "
"""Before the key of a task: the key of the wait for its approval."""

_Attempt = tuple[int, int]
"""(task, attempt)."""
_waits = (Kind.CALL, Kind.SIGNAL)


class _Start(msgspec.Struct):
    """An attempt in flight, or told to stop and not yet seen to."""

    at: int
    mode: str
    failed: Seen | None = None
    """How its task saw it end, when it timed out."""


class _Rows(msgspec.Struct):
    """Everything seen of one mode."""

    durations: list[int] = []
    costs: list[int] = []
    succeeded: int = 0
    kept: list[tuple[bytes, Seen]] = []

    def add(self, identity: bytes, row: Seen, keep: int) -> None:
        self.durations.append(row.takes_ns)
        self.costs.append(row.cost)
        self.succeeded += row.ok
        self.kept.append((blake2b(identity, digest_size=8).digest(), row))
        if len(self.kept) >= 4 * keep:
            self.cut(keep)

    def cut(self, keep: int) -> None:
        """The rows of the lowest hashes: a sample that does not depend on the order of the runs."""
        self.kept = sorted(self.kept, key=lambda entry: entry[0])[:keep]


class Figures(msgspec.Struct, frozen=True):
    """One mode of a task in a few numbers. Times in nanoseconds, money in nano-USD."""

    key: str
    mode: str
    attempts: int
    p50_ns: int
    p95_ns: int
    mean_cost: float
    success: float


class Fit:
    """Runs in, a profile out.

    Args:
        rows: attempts of one mode kept whole. value_bytes: a larger result is not kept.
    Cost: about 5 µs a fact.
    """

    def __init__(self, *, rows: int = ROWS_LIMIT, value_bytes: int = VALUE_BYTES) -> None:
        self._keep, self._value_bytes = rows, value_bytes
        self._modes: dict[tuple[str, str], _Rows] = {}
        self._widths: dict[str, list[int]] = {}
        self.runs = 0

    def add(self, facts: Iterable[Fact], load: Callable[[bytes], bytes]) -> None:
        """One run, whether it ended or not.

        Args:
            load: content of a blob by its sha256.
        """
        run, has_begun = _Run(self, load), False
        for fact in facts:
            run.take(fact)
            has_begun = True
        run.end()
        self.runs += has_begun

    def note(self, key: str, mode: str, identity: bytes, row: Seen) -> None:
        """One attempt that is over."""
        if row.value is not None and len(row.value) > self._value_bytes:
            row = msgspec.structs.replace(row, value=None)
        rows = self._modes.setdefault((key, mode), _Rows())
        rows.add(identity, row, self._keep)

    def note_width(self, key: str, width: int) -> None:
        """How many items a result had."""
        self._widths.setdefault(key, []).append(width)

    @property
    def profile(self) -> Profile:
        """Everything that was seen, keys and modes in the order of the alphabet."""
        tasks: dict[str, dict[str, ModeProfile]] = {}
        for (key, mode), rows in sorted(self._modes.items()):
            rows.cut(self._keep)
            tasks.setdefault(key, {})[mode] = ModeProfile(
                summary(rows.durations),
                _thinned(rows.costs),
                rows.succeeded / len(rows.durations),
                seen=tuple(row for _, row in rows.kept),
            )
        widths: dict[str, Distribution] = {key: _thinned(seen) for key, seen in sorted(self._widths.items())}
        return Profile(tasks, widths=widths)

    def figures(self) -> Iterator[Figures]:
        """The modes for people."""
        for (key, mode), rows in sorted(self._modes.items()):
            times = empirical(rows.durations)
            count = len(times.values)
            mean_cost = sum(rows.costs) / count
            yield Figures(
                key, mode, count, times.quantile(0.5), times.quantile(0.95), mean_cost, rows.succeeded / count
            )


class _Run:
    """One run's facts, looked at one by one."""

    def __init__(self, fit: Fit, load: Callable[[bytes], bytes]) -> None:
        self._fit, self._load = fit, load
        self._state = State(load)
        self._starts: dict[_Attempt, _Start] = {}
        self._asked: dict[int, int] = {}

    def take(self, fact: Fact) -> None:
        """Fold one fact in."""
        state = self._state
        state.apply(fact)
        match fact:
            case AttemptStarted():
                task = state.tasks[fact.task]
                if task.kind in _waits and not is_bookkeeping(task.declaration):
                    self._starts[(fact.task, task.attempt)] = _Start(fact.at, fact.mode or _only_model(task))
            case TaskSucceeded():
                self._succeeded(fact)
            case AttemptFailed():
                self._failed(fact)
            case AttemptInterrupted():
                self._starts.pop(self._which(fact.task, fact.attempt), None)
            case TaskCancelled() if not fact.lingers:
                self._starts.pop(self._which(fact.task), None)
            case AttemptUnknown() | TaskFailed():
                self._starts.pop(self._which(fact.task), None)
            case LateResult():
                self._late(fact)
            case MessageTaken():
                self._end(self._which(fact.task), fact.at, 0, True, fact.value)
            case MapExpanded():
                self._widened(fact)
            case ApprovalAsked():
                self._asked[fact.task] = fact.at
            case DecisionMade():
                self._decided(fact)
            case _:
                pass

    def end(self) -> None:
        """What timed out and was never heard of again took at least as long as its task waited."""
        for (number, attempt), start in self._starts.items():
            if start.failed is not None:
                self._note(number, attempt, start.mode, start.failed)

    def _which(self, number: int, attempt: int = 0) -> _Attempt:
        return number, attempt or self._state.tasks[number].attempt

    def _succeeded(self, fact: TaskSucceeded) -> None:
        which = self._which(fact.task, fact.attempt)
        if fact.cached:
            self._starts.pop(which, None)
            return
        if which in self._starts and self._state.tasks[fact.task].kind == Kind.CALL:
            width = _width(fact.value, self._load)
            if width is not None:
                self._fit.note_width(self._state.tasks[fact.task].declaration.key, width)
        self._end(which, fact.at, fact.cost, True, fact.value)

    def _failed(self, fact: AttemptFailed) -> None:
        which = self._which(fact.task, fact.attempt)
        start = self._starts.get(which)
        if fact.lingers and start is not None:
            start.failed = Seen(fact.at - start.at, fact.cost, False)
        else:
            self._end(which, fact.at, fact.cost, False)

    def _late(self, fact: LateResult) -> None:
        which = self._which(fact.task, fact.attempt)
        start = self._starts.get(which)
        if start is None:
            return
        before = 0 if start.failed is None else start.failed.cost
        if fact.value is not None or fact.error is not None:
            self._end(which, fact.at, before + fact.cost, fact.error is None, fact.value)
        elif start.failed is None:  # it was stopped: nobody knows how long it would have taken
            del self._starts[which]

    def _end(self, which: _Attempt, at: int, cost: int, ok: bool, value: Value | None = None) -> None:
        start = self._starts.pop(which, None)
        if start is not None:
            kept = value if isinstance(value, bytes) else None
            self._note(*which, start.mode, Seen(max(at - start.at, 0), cost, ok, kept))

    def _note(self, number: int, attempt: int, mode: str, row: Seen) -> None:
        task = self._state.tasks[number]
        self._fit.note(task.declaration.key, mode, self._identity(task, attempt), row)

    def _identity(self, task: TaskState, attempt: int) -> bytes:
        return f"{self._state.run_id}:{task.generation}:{attempt}:".encode() + task.spec.id

    def _widened(self, fact: MapExpanded) -> None:
        source, path, _ = self._state.tasks[fact.task].spec.sources[0]
        task = self._state.tasks[source]
        if path and task.kind == Kind.CALL:  # without a path the whole result is the list, and was counted
            self._fit.note_width(task.declaration.key, len(fact.outputs))

    def _decided(self, fact: DecisionMade) -> None:
        asked = self._asked.pop(fact.task, None)
        if asked is not None and fact.verdict in ("approve", "refuse"):
            task = self._state.tasks[fact.task]
            row = Seen(fact.at - asked, 0, fact.verdict == "approve")
            self._fit.note(f"{APPROVAL}{task.declaration.key}", ANY, self._identity(task, 0), row)


def fitted(runs: Iterable[tuple[Iterable[Fact], Callable[[bytes], bytes]]]) -> Profile:
    """The profile of runs, each given as its facts and the door to its blobs."""
    fit = Fit()
    for facts, load in runs:
        fit.add(facts, load)
    return fit.profile


def summary(values: Iterable[int]) -> Distribution:
    """Values as a distribution: themselves up to `QUANTILES`; more as a log-normal distribution where that is as good,
    else as so many quantiles."""
    ordered = sorted(values)
    if len(ordered) <= QUANTILES:
        return Empirical(tuple(ordered))
    smooth = fitted_log_normal(ordered)
    return smooth if _distance(ordered, smooth) <= LOG_NORMAL_DISTANCE else _thinned(ordered)


def _thinned(values: Iterable[int]) -> Empirical:
    """At most `QUANTILES` of them, evenly spread, the largest among them: what is reserved must stay a bound."""
    ordered = sorted(values)
    if len(ordered) <= QUANTILES:
        return Empirical(tuple(ordered))
    step = (len(ordered) - 1) / (QUANTILES - 1)
    return Empirical(tuple(ordered[round(place * step)] for place in range(QUANTILES)))


def _distance(ordered: list[int], smooth: LogNormal) -> float:
    """Largest difference between the share of values and the share of draws up to a point, with sampling allowed for.

    Source: Kolmogorov (1933), the statistic of the test of fit.
    """
    count = len(ordered)
    worst = max(abs((place + 0.5) / count - smooth.reached(value)) for place, value in enumerate(ordered))
    return worst - 1 / sqrt(count) if count < 10_000 else worst


def _only_model(task: TaskState) -> str:
    """The mode of an attempt that was given none: the first of a task's, but of a prompt, which goes on to its next
    model within an attempt, only where it has no other."""
    options = task.declaration.options
    is_told = len(options.models) == 1 or (options.models and not options.priced)
    return options.models[0] if is_told else ANY


_items = msgspec.msgpack.Decoder(list[msgspec.Raw])


def _width(value: Value, load: Callable[[bytes], bytes]) -> int | None:
    """How many items a result has; None when it is no list."""
    body = load(value.sha256) if isinstance(value, Blob) else value
    if not body or not (body[0] >> 4 == 0x9 or body[0] in (0xDC, 0xDD)):
        return None
    return len(_items.decode(body))
