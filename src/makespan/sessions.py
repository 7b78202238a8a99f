"""Sessions: of the runs that share one, one works at a time in the whole store, in the order they were started.

    start ──one transaction──▶ line of the session:   r1 (works)   r2 (queued)   r3 (queued)
                                                       │ ends       └ begins in the process that started it;
                                                       ▼              if that is gone, in the next one in line
                                                    leaves the line

One invariant: only the first run of a line is driven. It stays first until it has ended, so whoever saw that a run is
first may begin it whenever its lease allows. Also here: the slots of `ms.state`, which the runs of a session share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from makespan.authoring.task import Task
from makespan.errors import EngineError, LeaseLost, LimitError, UsageError, suggestion
from makespan.logs import logger
from makespan.machine.compensation import owes
from makespan.machine.facts import Limits, RunStarted, ScopeAdded, TaskAdded, decode_facts, encode_facts
from makespan.machine.machine import Machine, Turn
from makespan.machine.observations import CancelAsked, EndRun, Interrupted
from makespan.machine.opening import Opening
from makespan.machine.state import State
from makespan.ports import AttemptInfo, SlotVersion, World
from makespan.store_port import FINAL, Journal, Lease, LineEntry, RunRow, SlotKey, SlotWrite, TurnRecord
from makespan.traces.summary import summarise

Busy = Literal["queue", "reject", "cancel"]

MOST_IN_LINE = 1_000
"""Runs that may stand in the line of one session, the one at work included."""
MAX_SESSION_CHARS = 200
LINE_LOOK_NS = 10_000_000
"""How often the store is looked at while a run waits in line."""
OWNERS_LOOK_NS = 500_000_000
"""How often a waiting run looks whether the process of the one before it still lives."""
KEPT_VERSIONS = 20
"""Versions of a session's slot that stay readable; a slot of a run alone keeps its newest."""
MAX_SLOT_BYTES = Limits().output_bytes


_log = logger("makespan")


def session_of(options: Mapping[str, Any]) -> tuple[str, Busy]:
    """`session=` and `busy=` of a run's options, checked. Raises UsageError."""
    session, busy = options.get("session"), options.get("busy")
    if busy is not None and busy not in ("queue", "reject", "cancel"):
        known = ("queue", "reject", "cancel")
        raise UsageError(f"busy={busy!r}: it is one of {', '.join(known)}{suggestion(str(busy), known)}")
    if session is None:
        if busy is not None:
            raise UsageError(f"busy={busy!r} says what to do when a session is busy: give session= too")
        return "", "queue"
    if not isinstance(session, str) or not session.strip() or len(session) > MAX_SESSION_CHARS or "\0" in session:
        raise UsageError(f"session={session!r}: it is a text of 1 to {MAX_SESSION_CHARS} characters")
    return session, busy or "queue"


class Waiting(msgspec.Struct, frozen=True):
    """A run of this process that stands in line."""

    run_id: str
    session: str
    target: str
    code: Task[..., Any] | None
    begin: Callable[[], object]


class SessionLine:
    """The lines of all sessions, as one engine sees them.

    Args:
        resume: `(run id, code, **options)` takes over and drives a run that nobody drives; without code it finds it.
        drives: whether this engine drives (or has in line) a run.
    """

    def __init__(
        self,
        journal: Journal,
        world: World,
        *,
        lease_ns: int,
        resume: Callable[..., object],
        drives: Callable[[str], bool],
    ) -> None:
        self._journal, self._world, self._lease_ns = journal, world, lease_ns
        self._resume, self._drives = resume, drives
        self._waiting: dict[str, Waiting] = {}
        self._said: set[tuple[str, str]] = set()
        self._cancelled: set[str] = set()
        self._hopeless: set[str] = set()
        """Runs that this process could not finish; it leaves them to others."""
        self._owners_due_ns = 0
        self._is_closed = False

    @property
    def is_waiting(self) -> bool:
        """Whether a run of this process stands in line."""
        return bool(self._waiting)

    def enter(self, header: RunStarted, opening: Opening, busy: Busy) -> Lease | None:
        """Make the run durable at the end of its session's line; None when its id exists.

        Raises:
            SessionBusy: `busy="reject"` and the session has a run, or the line is full. LimitError: its graph is
                larger than a limit.
        """
        refuse_size(header.limits, opening)
        entry = LineEntry(
            header.run_id,
            header.session,
            header.workflow,
            header.target,
            busy,
            MOST_IN_LINE,
            encode_facts([header, *opening.facts]),
            opening.blobs,
            header.sync,
        )
        return self._journal.enter(entry, self._world.owner(), header.started_wall_ns, self._lease_ns)

    def reenter(self, state: State, lease: Lease) -> None:
        """Put a run that had ended and is retried back into the line of its session, if it has one.

        Raises:
            SessionBusy: other runs are in it: what they do may depend on how this one ended.
        """
        if state.status in FINAL and state.started is not None and state.started.session:
            self._journal.reenter(lease, state.started.session)

    def wait(self, waiting: Waiting) -> None:
        """Begin the run when it is its turn: now, if it is."""
        self._waiting[waiting.run_id] = waiting
        self._look_at(waiting.session)

    def leave(self, run_id: str) -> None:
        """The run has ended, or is not to be begun here."""
        self._waiting.pop(run_id, None)

    def close(self) -> None:
        """Begin nothing more."""
        self._is_closed = True

    def look(self, has_changed: bool) -> None:
        """Begin those whose turn it is, and take over what lost its process. Cost: 15 µs a session, when it changed."""
        now = self._world.monotonic_ns()
        if not self._waiting or (not has_changed and now < self._owners_due_ns):
            return
        self._owners_due_ns = now + OWNERS_LOOK_NS
        for session in dict.fromkeys(waiting.session for waiting in self._waiting.values()):
            self._look_at(session)

    # ------------------------------------------------------------ the head of a line

    def _look_at(self, session: str) -> None:
        while not self._is_closed:
            line = self._journal.line(session)
            if not line or not self._step(line[0]):
                return

    def _step(self, head: RunRow) -> bool:
        """Do what the first run of a line needs; True when the line may have another one now."""
        ours = self._waiting.pop(head.run_id, None)
        if ours is not None:
            ours.begin()
            return False
        if self._is_driven(head):
            return False
        try:
            return self._take_over(head)
        except LeaseLost:
            self._cancelled.discard(head.run_id)
            return False  # another process was faster
        except EngineError as error:
            self._hopeless.add(head.run_id)
            self._say(head, f"it cannot be finished here: {error}")
            return False

    def _is_driven(self, head: RunRow) -> bool:
        if self._drives(head.run_id):
            return True
        if head.owner is None or head.lease_until_ns <= self._world.wall_ns():
            return False
        return self._world.is_alive(head.owner) is not False

    def _take_over(self, head: RunRow) -> bool:
        if head.run_id not in self._cancelled:
            asked = [request for request in self._journal.requests([head.run_id]) if request.kind == "cancel"]
            if asked:
                self._cancelled.add(head.run_id)
                return self._cancel(head, [request.number for request in asked])
        if head.status == "paused":
            self._say(head, f"it is paused{_reason(head)}")
        elif head.run_id not in self._hopeless:
            self._resume_head(head)
            if not self._drives(head.run_id) and self._journal.line(head.session)[:1] == [head]:
                self._at_rest(head, (), lambda _: Turn())  # killed between its way back into the line and its retry
                return True
        return False

    def _cancel(self, head: RunRow, requests: Sequence[int]) -> bool:
        if owes(folded(self._journal, head.run_id)):
            self._resume_head(head, cancel=True)  # what it has done is undone first
            return False
        author, at = "a later run of its session", self._world.wall_ns() - head.started_wall_ns
        self._at_rest(head, requests, lambda state: Machine(state).cancel_at_rest(at, author))
        return True

    def _resume_head(self, head: RunRow, **options: Any) -> None:
        """Finish it here: with the code of a run behind it where that is the same, else with what its target names."""
        behind = [waiting for waiting in self._waiting.values() if waiting.session == head.session and waiting.code]
        same = next((waiting.code for waiting in behind if waiting.target == head.target), None)
        if same is not None:
            self._resume(head.run_id, same, **options)
            return
        try:
            self._resume(head.run_id, None, **options)
        except LeaseLost:
            raise
        except EngineError:
            alike = next((w.code for w in behind if w.code is not None and w.code.key == head.workflow), None)
            if alike is None:
                raise
            self._resume(head.run_id, alike, **options)

    def _at_rest(self, head: RunRow, requests: Sequence[int], decide: Callable[[State], Turn]) -> None:
        """Write one turn of a run that nobody drives."""
        world, journal = self._world, self._journal
        lease = journal.acquire(
            head.run_id,
            world.owner(),
            world.wall_ns(),
            self._lease_ns,
            may_replace=lambda row: row.owner is None or world.is_alive(row.owner) is False,
        )
        try:
            state, now = folded(journal, head.run_id), world.wall_ns()
            turn = decide(state)
            summary, facts = msgspec.json.encode(summarise(state)), encode_facts(turn.facts)
            record = TurnRecord(lease, facts, turn.blobs, True, requests, (), state.status, summary, now)
            journal.append([record])
        finally:
            journal.release(lease)

    def _say(self, head: RunRow, why: str) -> None:
        """Tell people, once, what keeps the runs of this process waiting."""
        if (head.run_id, why) in self._said:
            return
        self._said.add((head.run_id, why))
        ours = [waiting.run_id for waiting in self._waiting.values() if waiting.session == head.session]
        _log.warning(
            "session %r: %s waits behind run %s (%s): %s. Go on with `makespan resume %s`, or end it with "
            "`makespan cancel %s`",
            head.session,
            ", ".join(ours),
            head.run_id,
            head.workflow,
            why,
            head.run_id,
            head.run_id,
        )


def folded(journal: Journal, run_id: str) -> State:
    """The state of a run as the store has it."""
    state = State(journal.blob)
    for body in journal.read(run_id):
        for fact in decode_facts(body):
            state.apply(fact)
    return state


def enter_state(state: State, header: RunStarted, opening: Opening) -> None:
    """Fold what a run entered its line with."""
    state.graph_at_hand = opening.graph
    for fact in (header, *opening.facts):
        state.apply(fact)


def give_up(machine: Machine, seen: CancelAsked | Interrupted) -> Turn:
    """The only turn of a life that ends before the run's turn has come; no task of it starts."""
    if type(seen) is CancelAsked:
        return machine.cancel_at_rest(seen.at, seen.author)
    if machine.state.status == "running":
        return machine.turn([seen])
    turn = Turn()
    turn.commands.append(EndRun(machine.state.status))
    return turn


def refuse_size(limits: Limits, opening: Opening) -> None:
    """Raise LimitError for a graph that is too large as it comes."""
    facts = opening.graph or opening.facts
    tasks = sum(isinstance(fact, TaskAdded) for fact in facts)
    if tasks > limits.tasks:
        raise LimitError("tasks", allowed=limits.tasks, used=tasks, unit="tasks")
    depths = [0]
    for fact in facts:
        if isinstance(fact, ScopeAdded):
            depths.append(depths[fact.parent] + 1)
    if max(depths) > limits.depth:
        raise LimitError("depth", allowed=limits.depth, used=max(depths), unit="scopes")


def _reason(head: RunRow) -> str:
    said = cast("dict[str, Any]", msgspec.json.decode(head.summary)) if head.summary else {}
    words = [str(said[name]) for name in ("reason", "detail") if said.get(name)]
    return f" ({': '.join(words)})" if words else ""


class RunSlotStore:
    """`SlotStore` over the journal. Reading may happen on the loop; writing waits for other processes, so does not.

    Args:
        lease: the lease of a run of this engine; LeaseLost when it is not its any more.
    """

    def __init__(self, journal: Journal, world: World, lease: Callable[[str], Lease]) -> None:
        self._journal, self._world, self._lease = journal, world, lease

    def read(self, info: AttemptInfo, name: str) -> SlotVersion | None:
        """The newest version, None while the slot was never set."""
        versions = self._journal.slot_versions(_key(info, name))
        return versions[0] if versions else None

    def write(self, info: AttemptInfo, name: str, value: bytes, expected: int | None) -> int:
        """Set the slot, once however often the attempt is repeated; returns the new version."""
        if len(value) > MAX_SLOT_BYTES:
            raise LimitError("slot_bytes", allowed=MAX_SLOT_BYTES, used=len(value), unit="bytes", where=f"slot {name}")
        slot, now = _key(info, name), self._world.wall_ns()
        keep = KEPT_VERSIONS if info.session else 1
        write = SlotWrite(slot, value, expected, info.idempotency_key, keep, now)
        return self._journal.write_slot(self._lease(info.run_id), write)


def _key(info: AttemptInfo, name: str) -> SlotKey:
    return SlotKey(info.session, "" if info.session else info.run_id, name)
