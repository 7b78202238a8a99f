"""One run on a virtual clock: the live machine, a policy, a broker, and attempts whose ends are drawn, not waited for.

    Simulation(header, opening, attempts).run()  ──▶  Outcome

Events are ordered by (time, priority, sequence); all that happens at one moment is one turn, results before timers. The
facts are the live ones, so a simulated journal can be stored, traced and resumed like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Literal

import msgspec

from makespan.draws import draws
from makespan.errors import ErrorRecord
from makespan.graph.node import Declaration
from makespan.machine.broker import Broker
from makespan.machine.facts import Fact, Limits, RunStarted, encode_facts
from makespan.machine.hedging import Estimates
from makespan.machine.machine import Turn
from makespan.machine.observations import (
    Allotted,
    Answered,
    AskPlanner,
    AttemptRaised,
    AttemptStopped,
    AttemptSucceeded,
    Bodies,
    EndRun,
    Granted,
    Observation,
    Pricing,
    Sent,
    StartAttempt,
    StopAttempt,
    Tick,
)
from makespan.machine.opening import Opening
from makespan.machine.policy import Policy
from makespan.machine.state import State
from makespan.ports import Planner
from makespan.profiles.profile import Drawn, Profile
from makespan.sim.guessing import GuessingMachine, Values
from makespan.sim.outside import Outside
from makespan.sim.slots import SimulatedSlots
from makespan.values import NONE_VALUE, TaskId

SIMULATED = "simulated:"
"""Before the name of the workflow, and as the target, of a simulated run that is kept in a store."""
RESULTS, TICKS = 0, 1
"""Priorities of what happens at one moment: what ends exactly at a deadline has made it."""
FAILED = ErrorRecord("makespan.sim.Failed", "the simulated attempt failed", ("makespan.sim.Failed", "Exception"))

Attempts = Callable[[StartAttempt], Drawn]
"""How each attempt goes."""


class Outcome(msgspec.Struct, frozen=True):
    """What one simulated run came to."""

    status: str
    reason: str
    makespan_ns: int
    cost: int
    """Nano-USD, waste included."""
    waste: int
    """Nano-USD of attempts that nobody needed any more."""
    state: State
    journal: tuple[bytes, ...] = ()
    """The turns, encoded as stores hold them; only with `keep_journal`."""
    blobs: tuple[tuple[tuple[bytes, bytes], ...], ...] = ()
    """What each turn of the journal stores besides: (sha256, content)."""

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"


class Simulation:
    """One simulated run.

    Args:
        header, opening: the first turn, as a live run has it.
        attempts: how each attempt goes; `drawn_from` makes it from a profile.
        values: results for attempts that were drawn without one; None leaves them empty.
        planner: chooses modes and samples of the tasks that it wants.
        outside: whether messages, answers and approvals come by themselves, after a time that is drawn as well.
        billed: what a stopped attempt costs: all of it (`full`), or its share of the time it ran (`elapsed`).
        stop_ns: how long an attempt that was told to stop takes to do so.
        so_far: the state of a run that was cut: the rest of it is simulated, on this very state.
    Cost: about 20 µs a task.
    """

    def __init__(
        self,
        header: RunStarted,
        opening: Opening,
        attempts: Attempts,
        *,
        policy: Policy | None = None,
        broker: Broker | None = None,
        pricing: Pricing | None = None,
        bodies: Bodies | None = None,
        values: Values | None = None,
        planner: Planner | None = None,
        estimates: Estimates | None = None,
        outside: bool = False,
        billed: Literal["full", "elapsed"] = "full",
        stop_ns: int = 0,
        keep_journal: bool = False,
        so_far: State | None = None,
    ) -> None:
        self._blobs = dict(opening.blobs)
        self.state = State(self._blobs.__getitem__) if so_far is None else so_far
        self._slots = None if broker is None else SimulatedSlots(broker, header.run_id, header.started_wall_ns)
        self.machine = GuessingMachine(
            self.state,
            bodies=bodies,
            pricing=pricing,
            slots=self._slots,
            policy=policy,
            plans=None if planner is None else planner.wants,
            estimates=estimates,
        )
        self._attempts, self._values, self._planner = attempts, values, planner
        self._outside = Outside(self.state, attempts, values) if outside else None
        self._billed, self._stop_ns = billed, stop_ns
        self._events: list[tuple[int, int, int, Observation]] = []
        self._running: dict[tuple[int, int], tuple[int, Drawn]] = {}
        self._sequence, self._woken_at = 0, -1
        self._keep, self.journal = keep_journal, list[bytes]()
        self._new_blobs: list[tuple[tuple[bytes, bytes], ...]] = []
        self.starts: list[StartAttempt] = []
        """Every start, in the order of the decisions."""
        self.now = self.state.at
        if so_far is None:
            turn = self.machine.begin([header, *opening.facts], opening.graph)
            turn.blobs.extend(opening.blobs)
        else:
            turn = self.machine.resume(self.now, budget=None, deadline_ns=None, on_change="stop")
        self._take(turn)

    def run(self, until_ns: int | None = None) -> Outcome:
        """Go on until the run ends or pauses, nothing is to come, or `until_ns`."""
        while self.state.status == "running":
            due = self._next_due()
            if due is None or (until_ns is not None and due > until_ns):
                break
            self._step(due)
        return self.outcome

    @property
    def outcome(self) -> Outcome:
        """How things stand."""
        state = self.state
        return Outcome(
            state.status,
            state.reason,
            state.at,
            state.cost,
            state.late_cost,
            state,
            tuple(self.journal),
            tuple(self._new_blobs),
        )

    # ------------------------------------------------------------ inside

    def _next_due(self) -> int | None:
        dues = [self._events[0][0]] if self._events else []
        if self.machine.next_deadline is not None:
            dues.append(self.machine.next_deadline)
        return min(dues, default=None)

    def _step(self, due: int) -> None:
        self.now = max(self.now, due)
        seen: list[Observation] = []
        while self._events and self._events[0][0] <= self.now:
            observation = heappop(self._events)[3]
            if isinstance(observation, AttemptSucceeded | AttemptRaised):
                which = (observation.task, observation.attempt)
                if self._running.pop(which, None) is None:
                    continue  # it was stopped before
            elif (
                isinstance(observation, Sent | Answered)
                and self._outside is not None
                and not self._outside.is_awaited(observation)
            ):
                continue
            seen.append(observation)
        deadline = self.machine.next_deadline
        if deadline is not None and deadline <= self.now:
            seen.append(Tick(self.now))
        self._take(self.machine.turn(seen))

    def _take(self, turn: Turn) -> None:
        self._blobs.update(turn.blobs)
        if self._keep and turn.facts:
            self.journal.append(encode_facts(turn.facts))
            self._new_blobs.append(tuple(turn.blobs))
        if self._outside is not None:
            self._hear(turn.facts)
        for command in turn.commands:
            if type(command) is StartAttempt:
                self._start(command)
            elif type(command) is StopAttempt:
                self._stop(command.task, command.attempt, command.why)
            elif type(command) is EndRun:
                self._events.clear()
            elif type(command) is AskPlanner:
                chosen = () if self._planner is None else tuple(self._planner.choose(command.view))
                self._post(self.now, Allotted(self.now, chosen))
        if self._slots is not None:
            self._grant(self._slots)

    def _hear(self, facts: Sequence[Fact]) -> None:
        assert self._outside is not None
        for at, observation in self._outside.replies(facts):
            self._post(at, observation)

    def _grant(self, slots: SimulatedSlots) -> None:
        for task in slots.granted(self.now):
            self._post(self.now, Granted(self.now, task))
        due = slots.next_grant_at()
        if due is not None and due > self.now and due != self._woken_at:
            self._woken_at = due
            self._post(due, Tick(due), TICKS)

    def _post(self, at: int, observation: Observation, priority: int = RESULTS) -> None:
        self._sequence += 1
        heappush(self._events, (at, priority, self._sequence, observation))

    def _start(self, command: StartAttempt) -> None:
        self.starts.append(command)
        drawn = self._attempts(command)
        self._running[(command.task, command.attempt)] = self.now, drawn
        at = self.now + drawn.takes_ns
        if drawn.ok:
            value = self._value(command, drawn)
            self._post(at, AttemptSucceeded(at, command.task, command.attempt, value, drawn.cost))
        else:
            self._post(at, AttemptRaised(at, command.task, command.attempt, FAILED, drawn.cost))

    def _value(self, command: StartAttempt, drawn: Drawn) -> bytes:
        if self._values is None:
            return NONE_VALUE if drawn.value is None else drawn.value
        if drawn.value is not None and self._values.fits(command.declaration, drawn.value):
            return drawn.value
        self.machine.is_guessing = True
        return self._values.stand_in(command, self.state)

    def _stop(self, task: int, attempt: int, why: str) -> None:
        running = self._running.pop((task, attempt), None)
        if running is None:
            return
        started, drawn = running
        at = self.now + self._stop_ns
        share = 1.0 if self._billed == "full" or not drawn.takes_ns else (at - started) / drawn.takes_ns
        self._post(at, AttemptStopped(at, task, attempt, why, round(drawn.cost * min(share, 1.0))))


class WorstCase:
    """What attempts may cost, as a profile says: the most of the mode's cost, or the task's own `budget_usd`."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile

    def worst_case(self, declaration: Declaration, args: bytes, mode: str = "") -> int:
        """Nano-USD."""
        if declaration.options.budget is not None:
            return declaration.options.budget
        return self._profile.of(declaration.key, mode).cost.most


def drawn_from(profile: Profile, seed: int) -> Attempts:
    """Attempts drawn from a profile; the same seed is the same world, whatever the policy does."""

    def attempt(command: StartAttempt) -> Drawn:
        known = profile.of(command.declaration.key, command.mode)
        return known.draw(*draws(seed, command.id, command.attempt))

    return attempt


def header(
    root: TaskId, *, seed: int = 0, budget: int | None = None, deadline_ns: int | None = None, **fields: object
) -> RunStarted:
    """The header of a simulated run.

    Args:
        root: id of the task whose end is the run's. fields: any other field of `RunStarted`, `limits` for one.
    """
    values = {
        "run_id": f"s-{seed}",
        "workflow": "",
        "inputs": b"\x80",
        "started_wall_ns": 0,
        "limits": Limits(),
        **fields,
    }
    return RunStarted(root=root, seed=seed, budget=budget, deadline_ns=deadline_ns, **values)  # type: ignore[arg-type]
