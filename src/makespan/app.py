"""`Engine`: the only place that wires concrete parts together: store, world, machine, bodies, models, broker.

async with Engine() as engine:
    result = await engine.start(incident("payments"), budget_usd=0.10)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self, TypedDict, TypeVar, Unpack

import msgspec

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.fakes import Fakes
from makespan.authoring.place import Registry
from makespan.authoring.ref import Ref
from makespan.authoring.schedule import wall_and_zone
from makespan.authoring.task import HOOKS, Task
from makespan.authoring.trace import StandsIn, Traced, collector_resting, template_of, trace_call
from makespan.ends import END_CALL_WAIT_S, EndCalls
from makespan.errors import JournalError, LeaseLost, SessionBusy, UsageError
from makespan.files import sweep, using
from makespan.fingerprints import files_are_in, fingerprint_of
from makespan.following import Reader, follow_run
from makespan.handle import Answer, Run, observed
from makespan.inbox import post_request
from makespan.logs import logger
from makespan.machine.broker import Broker, Held, Rate
from makespan.machine.facts import Limits, RunStarted, decode_facts
from makespan.machine.machine import Machine, Turn
from makespan.machine.observations import CancelAsked, Granted
from makespan.machine.retrying import stale
from makespan.machine.state import State
from makespan.models.prices import Price
from makespan.ports import Journal, Lease, Model, RunRow, Timer
from makespan.redaction import KNOWN
from makespan.redo import tasks_to_redo, tell_stale
from makespan.runtime.attempts import Attempts, Interceptor, Workers
from makespan.runtime.caching import Awaited, RunCache
from makespan.runtime.committer import Committer
from makespan.runtime.drive import Clock, Driver
from makespan.runtime.emitting import Outbox
from makespan.runtime.lending import Lender
from makespan.runtime.resources import Resources
from makespan.runtime.targets import load_target
from makespan.runtime.watchdog import Blocked, Watchdog
from makespan.runtime.workers import WorkerPool
from makespan.runtime.world import RealWorld
from makespan.services import EngineServices, RunPricing
from makespan.sessions import LINE_LOOK_NS, RunSlotStore, SessionLine, Waiting, enter_state, give_up, session_of
from makespan.slots import RunSlots
from makespan.stores import DEFAULT_STORE, open_journal, room_of
from makespan.traces.summary import summarise
from makespan.traces.updates import Update
from makespan.values import nano_usd, nanos

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

LEASE_NS = 10_000_000_000
RENEW_NS = 3_000_000_000
ALONE_NS = 10 * 365 * 86_400 * 1_000_000_000
"""Lease of a run in a store that no other process can see."""
SOON_NS = 1_000_000
LOOK_NS = 50_000_000
"""How often the store is looked at for what other processes ask (3 µs a look)."""


class RunOptions(TypedDict, total=False):
    """The options of one run."""

    budget_usd: float
    deadline_s: float
    id: str
    sync: Literal["normal", "full"]
    seed: int
    limits: Limits
    target: str
    session: str
    """Runs of one session work one at a time, in the whole store, and share the slots of `ms.state`."""
    busy: Literal["queue", "reject", "cancel"]
    """While the session has another run: wait in line, raise SessionBusy, or end those before and then begin."""
    scheduled_at: datetime
    """The moment that `ms.context().scheduled_at` gives, as if a schedule had started the run: for backfills."""


class ResumeOptions(TypedDict, total=False):
    """The options of going on with a run."""

    budget_usd: float
    deadline_s: float
    on_change: Literal["stop", "allow", "rerun"]
    """What a resumed body may do otherwise than before. stop: nothing that costs money; allow: that too; rerun: also
    do finished tasks again whose code has changed, and what was made from them. Irreversible tasks always ask."""
    retry: bool | Sequence[str]
    """Do again what failed (True), or these tasks (ids or keys): also in a run that has ended."""
    decisions: Mapping[bytes, Answer]
    """`retry`, `run`, `skip` or `("happened", value)` by task id, for tasks whose outcome is unknown or that
    diverged."""
    cancel: bool
    """Cancel it: only what must be undone before is done."""


class Engine:
    """Runs workflows in this process, on the running asyncio loop. Use it as `async with`.

    Args:
        store: a folder or file for SQLite (`.makespan`, `sqlite:///path/to.db`), or `"memory"`.
        models: what model names stand for: Models, or built-in names.
        prices: nano-USD per token by model name, over the packaged list.
        pools: slots by name, for `needs=`. rates: `Rate`s by name, likewise.
        interceptors: `async def (call, next)` around every attempt, outermost first.
        fakes: for tests, what stands in for a provider or secret (a value, or a function that gives it) or for a task
            or sub-workflow (a function of the same arguments), by object or key.
        worker_processes: how many, for `executor="process"`. workers: what runs such tasks instead.
        look_s: how often the store is looked at for what other processes ask (3 µs a look).
        codecs: (to_plain, from_plain) by type, for values that no built-in codec knows. They hold for the process: a
            call is encoded before it has an engine.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] = DEFAULT_STORE,
        *,
        models: Mapping[str, Model | str] | None = None,
        prices: Mapping[str, Price] | None = None,
        allow_unknown_prices: bool = False,
        pools: Mapping[str, int] | None = None,
        rates: Mapping[str, Rate] | None = None,
        interceptors: Sequence[Interceptor] = (),
        codecs: Mapping[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] | None = None,
        limits: Limits | None = None,
        worker_processes: int = 2,
        workers: Workers | None = None,
        fakes: Mapping[Any, Any] | None = None,
        world: Any = None,
        journal: Journal | None = None,
        look_s: float = LOOK_NS / 1e9,
    ) -> None:
        self.store = os.fspath(store)
        self._given_world, self._given_journal = world, journal
        self._look_ns = nanos(look_s)
        self._limits = limits or Limits()
        self._worker_processes = worker_processes
        self.services = EngineServices(models or {}, prices or {}, allow_unknown_prices=allow_unknown_prices)
        self.broker = Broker(dict(pools or {}), dict(rates or {}))
        self._interceptors = tuple(interceptors)
        self._fakes = Fakes(fakes or {})
        HOOKS.register(codecs or {})
        self._runs: dict[str, Run[Any]] = {}
        self._workers: Any = workers
        self._is_open = False

    # ------------------------------------------------------------ life

    async def __aenter__(self) -> Self:
        self.open()
        return self

    def open(self) -> None:
        """Open store and world; `async with` does it, and closes."""
        self._loop = asyncio.get_running_loop()
        self.world = self._given_world or RealWorld()
        self.journal: Journal = self._given_journal or open_journal(self.store)
        self._lease_ns = LEASE_NS if self.journal.is_shared else ALONE_NS
        self.committer = Committer(self.journal, self.world)
        logger("makespan")  # masks its records from here on
        self.room = room_of(self.store, self.journal, is_given=self._given_journal is not None)
        self._awaited = Awaited(self.world)
        self._salt = self.world.random_bytes(16) if self._fakes else b""  # what fakes gave is for nobody else
        self._resources = Resources(self.world, replaced=self._fakes.dependency if self._fakes else None)
        self.services.slots = RunSlotStore(self.journal, self.world, self._lease_of)
        self.line = SessionLine(
            self.journal, self.world, lease_ns=self._lease_ns, resume=self.resume, drives=self._runs.__contains__
        )
        self._is_open = True
        self._watchdog = Watchdog(report_blocked, self._task_at_work)
        if self._given_world is None:
            self._watchdog.start()
        self._look_timer: Timer | None = None
        self._renew_timer: Timer | None = None
        self._grant_timer: Any = None
        self.end_calls = EndCalls(
            self.journal,
            self.store,
            self.world.wall_ns,
            start=self._start,
            resume=self.resume,
            fold=self._folded,
            is_free=self.is_free,
        )

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Interrupt what runs (it can be resumed), give leases back, close store, models and workers."""
        if not self._is_open:
            return
        await self._finish_end_calls()
        self.line.close()
        for run in list(self._runs.values()):
            if not run.done.done():
                run.interrupt("the engine was closed")
                await asyncio.wait([run.done])
        self._is_open = False
        for timer in (self._look_timer, self._renew_timer, self._grant_timer):
            if timer is not None:
                timer.cancel()
        if self._workers is not None:
            await self._workers.close()
        await self._resources.close()
        await self.services.close()
        if self._given_journal is None:
            self.journal.close()
        if self._given_world is None:
            self._watchdog.stop()
            self.world.close()

    async def _finish_end_calls(self) -> None:
        calls = [run.done for run in self._runs.values() if self.end_calls.is_call(run.id)]
        if calls:
            await asyncio.wait(calls, timeout=END_CALL_WAIT_S)

    # ------------------------------------------------------------ runs

    def start(self, call: Ref[T], /, **options: Unpack[RunOptions]) -> Run[T]:
        """Start a run. With an `id=` that exists, returns that run's handle instead.

        Raises:
            GraphError: the workflow cannot be traced. UsageError: not a call, or the engine is closed. SessionBusy: see
                `busy=`.
        """
        self._must_be_open()
        KNOWN.look()
        with collector_resting(), using(self.room):
            traced = trace_call(call, self._stand_in)
            self._fakes.check(traced.template.registry, traced.task)
            return self._start(traced, options)

    def _start(self, traced: Traced, options: RunOptions) -> Run[Any]:
        run_id = options.get("id") or self._new_id()
        if run_id in self._runs:
            return self._runs[run_id]
        world, now = self.world, self.world.wall_ns()
        target = options.get("target") or traced.target
        scheduled = wall_and_zone(options.get("scheduled_at"), getattr(traced.task, "schedule", None))
        self.end_calls.promise(run_id, traced.task)
        session, busy = session_of(options)
        budget, deadline = options.get("budget_usd"), options.get("deadline_s")
        header = RunStarted(
            run_id,
            traced.workflow,
            traced.template.root,
            traced.inputs,
            now,
            options.get("seed", int.from_bytes(world.random_bytes(4), "big")),
            options.get("limits", self._limits),
            None if budget is None else nano_usd(budget),
            None if deadline is None else nanos(deadline),
            options.get("sync") == "full",
            target,
            session,
            scheduled_ns=scheduled[0],
            zone=scheduled[1],
        )
        opening = traced.template.opening
        if session:
            lease = self.line.enter(header, opening, busy)
        else:
            lease = self.journal.create(run_id, traced.workflow, target, world.owner(), now, self._lease_ns)
            lease = lease or self._not_begun(run_id)
        if lease is None:
            return self.get(run_id)
        run: Run[Any] = Run(
            lease, State(self._loader(dict(opening.blobs))), traced.template.registry.copy(), traced.returns, self.store
        )
        run.workflow = traced.task

        if session:
            enter_state(run.state, header, opening)

        def first() -> Turn:
            if session:
                return run.machine.resume(run.driver.clock(), budget=None, deadline_ns=None, on_change="stop")
            turn = run.machine.begin([header, *opening.facts], opening.graph)
            turn.blobs.extend(opening.blobs)
            return turn

        self._launch(run, header, first)
        if busy == "cancel" and not self.committer.is_busy:
            self._read_inbox([*self._runs])
        return run

    def resume(
        self, run_id: str, /, workflow: Task[..., Any] | None = None, **options: Unpack[ResumeOptions]
    ) -> Run[Any]:
        """Go on with a run: nothing that finished runs again, unless `retry` or `on_change="rerun"` asks for it.

        Args:
            workflow: its code; found by the recorded target unless given.
        Raises:
            UsageError: no such run, its code cannot be found, or it cannot be retried. LeaseLost: another live process
                owns it.
        """
        self._must_be_open()
        if run_id in self._runs and not self._runs[run_id].done.done():
            return self._runs[run_id]
        _, state = self._folded(run_id)
        retry, on_change = options.get("retry", False), options.get("on_change", "stop")
        if state.status in ("succeeded", "failed", "cancelled"):
            if not retry:
                return self.get(run_id)
            if state.status == "cancelled":
                raise UsageError(f"run {run_id} was cancelled, which is final: start it again")
        assert state.started is not None
        code = workflow if workflow is not None else self._find_code(state.started.target)
        lease = self.journal.acquire(
            run_id, self.world.owner(), self.world.wall_ns(), self._lease_ns, may_replace=lambda row: self._may_replace(row)
        )
        _row, state = self._folded(run_id)
        KNOWN.look()
        template = template_of(code, self._stand_in)
        try:
            again = tasks_to_redo(state, retry=retry, nodes=template.nodes, on_change=on_change)
            self.line.reenter(state, lease)
        except (UsageError, SessionBusy):
            self.journal.release(lease)
            raise
        run: Run[Any] = Run(lease, state, template.registry.copy(), code.returns, self.store)
        run.workflow = code
        self.end_calls.promise(run_id, code)
        budget, deadline = options.get("budget_usd"), options.get("deadline_s")
        assert state.started is not None
        try:
            decided = run.decided(options.get("decisions", {}))
        except UsageError:
            self.journal.release(lease)
            raise

        def first() -> Turn:
            return run.machine.resume(
                run.driver.clock(),
                budget=None if budget is None else nano_usd(budget),
                deadline_ns=None if deadline is None else nanos(deadline),
                on_change="allow" if retry and on_change == "stop" else on_change,
                retry=again,
                decided=decided,
                cancel=CancelAsked(run.driver.clock()) if options.get("cancel") else None,
            )

        kept = [number for number in stale(state, template.nodes) if number not in again]
        self._launch(run, state.started, first)
        tell_stale(state, [*kept, *run.machine.stale], on_change)
        if not run.done.done():
            self._read_inbox([run_id])  # what was sent while nobody drove it
        return run

    def get(self, run_id: str, /) -> Run[Any]:
        """The handle of a run: live if this engine runs it, otherwise as the store has it."""
        self._must_be_open()
        if run_id in self._runs:
            return self._runs[run_id]
        row, state = self._folded(run_id)
        target = state.started.target if state.started else ""
        try:
            returns = self._find_code(target).returns
        except Exception:  # noqa: BLE001 - whatever importing user code raises
            returns = Any  # the code is not at hand: the output is shown as plain data
        run: Run[Any] = Run(Lease(run_id, row.number, row.epoch), state, Registry(), returns, self.store)
        run.room = self.room
        run.is_queued = row.status == "queued"
        run.post_request = lambda kind, said, id: self._request(run_id, kind, said, id)
        run.feed = self.updates
        run.done.set_result(None)
        return run

    def updates(
        self,
        run_id: str,
        /,
        after: str | None = None,
        only: str | Iterable[str] | None = None,
        *,
        follow: bool = False,
    ) -> AsyncIterator[Update]:
        """`Run.updates` of any run of the store, whichever process drives it. Raises UsageError for an unknown one."""
        self._must_be_open()
        if run_id not in self._runs and self.journal.run(run_id) is None:
            self._folded(run_id)
        is_file = self._given_journal is None and self.store != "memory"
        return follow_run(
            Reader(self.journal, run_id, after, only),
            live=lambda: self._runs[run_id].outbox if run_id in self._runs else None,
            is_open=lambda: self._is_open,
            reopen=(lambda: open_journal(self.store, readonly=True)) if is_file else None,
            until_final=follow,
        )

    def ask(self, run_id: str, kind: str, body: Any = None, *, request_id: str | None = None) -> bool:
        """Append a request to the inbox of the run's owner; False when the id was seen before."""
        return self.journal.ask(
            run_id, kind, msgspec.json.encode(body), request_id or self._new_id(), self.world.wall_ns()
        )

    def send(self, run_id: str, name: str, value: Any = None, *, id: str | None = None) -> bool:
        """Send a run a message for `ms.receive(name, ...)`, whatever process drives it; durable when this returns.

        Args:
            value: JSON-like, a dataclass, a Struct or a model; the receiver decodes it by its own type.
            id: sent again with the same id it is the same message, and this returns False.
        Raises:
            UsageError: no such run, it has ended, or the message is larger than the limit `message_bytes`.
        """
        return self._request(run_id, "send", {"name": name, "value": value}, id)

    def _request(self, run_id: str, kind: str, said: dict[str, Any], id: str | None) -> bool:
        self._must_be_open()
        is_new = post_request(self.journal, run_id, kind, said, id or self._new_id(), self.world.wall_ns())
        run = self._runs.get(run_id)
        if run is not None:
            self._look_at(run_id)
        return is_new

    def _look_at(self, run_id: str) -> None:
        """Read a run's inbox as soon as no commit is under way."""
        if not self._is_open:
            return
        if self.committer.is_busy:
            self.world.call_at(self.world.monotonic_ns() + SOON_NS, lambda: self._look_at(run_id))
        else:
            self._read_inbox([run_id])

    # ------------------------------------------------------------ wiring

    def _launch(self, run: Run[Any], header: RunStarted, first: Callable[[], Turn]) -> None:
        self._runs[run.id] = run
        run.resources, run.fakes = self._resources.inside("run"), self._fakes
        if self._look_timer is None:  # nobody looks while nothing runs
            self._look_timer = self.world.call_at(self.world.monotonic_ns() + self._look_ns, self._look)
        if self._renew_timer is None and self.journal.is_shared:
            self._renew_timer = self.world.call_at(self.world.monotonic_ns() + RENEW_NS, self._renew)
        run.post_request = lambda kind, said, id: self._request(run.id, kind, said, id)
        bodies = LiveBodies(run.registry, run.id, header.seed, header.started_wall_ns)
        slots = RunSlots(self.broker, self.journal, self.world, run.lease, self._grant)
        pricing = RunPricing(run.code_of, self.services)
        clock = Clock(self.world, header.started_wall_ns, run.state.at)
        cache = RunCache(
            self.journal,
            self.world,
            run.lease,
            self._awaited,
            fingerprint=fingerprint_of(run.registry, self.services, self._salt),
            has_files=files_are_in(self.room),
            wake=lambda task: run.driver.post(Granted(clock(), task)),
        )
        run.machine = Machine(run.state, bodies=bodies, pricing=pricing, slots=slots, cache=cache)
        run.bodies, run.slots, run.room, bodies.room = bodies, slots, self.room, self.room
        sweep(self.room.work / run.id)
        run.driver = Driver(
            run.machine,
            run.lease,
            self.world,
            self.committer,
            clock,
            summary=lambda state: b"" if self.store == "memory" else msgspec.json.encode(summarise(state)),
            on_end=lambda error: run.resources.then(lambda: self._ended(run, error)),
            ledger=slots.take_changes,
            cache=cache.take_changes,
        )
        lender = Lender(self.world, self.journal, run.lease, lambda: not self.committer.is_busy)
        run.feed = self.updates
        run.outbox = Outbox(self.world, run.lease, lender)
        run.driver.watchers.extend([*run.watchers, run.outbox.wake])
        run.driver.attempts = Attempts(
            self.world,
            run.code_of,
            run.driver.post,
            clock,
            run_id=run.id,
            seed=header.seed,
            session=header.session,
            services=self.services,
            workers=self._worker_pool,
            interceptors=self._interceptors,
            outbox=run.outbox,
            resources=run.resources,
            cache=cache,
            files=str(self.room.path),
            units=slots.units,
        )
        deadline = run.state.scopes[0].deadline_ns if run.state.scopes else header.deadline_ns
        if deadline is not None:
            run.driver.attempts.deadline_ns = header.started_wall_ns + deadline
        run.driver.attempts.scheduled = bodies.scheduled = (header.scheduled_ns, header.zone)
        if header.session:
            self._wait_in_line(run, header, first)
        else:
            run.driver.begin(first)

    def _wait_in_line(self, run: Run[Any], header: RunStarted, first: Callable[[], Turn]) -> None:
        def begin() -> None:
            run.is_queued = False
            run.driver.begin(first)
            if not run.done.done():
                self._read_inbox([run.id])

        run.is_queued, run.driver.give_up = True, lambda seen: give_up(run.machine, seen)
        self.line.wait(Waiting(run.id, header.session, header.target, run.workflow, begin))

    def _ended(self, run: Run[Any], error: BaseException | None) -> None:
        try:
            self._let_go(run, is_ours=not isinstance(error, LeaseLost))
        except Exception as problem:  # noqa: BLE001 - whatever it was, whoever waits for the run must hear of it
            error = error or problem
        if error is None and self._is_open:
            self.end_calls.ended(run.workflow, run.state)
        if not run.done.done():
            if error is None:
                run.done.set_result(None)
            else:
                run.done.set_exception(error)

    def _let_go(self, run: Run[Any], *, is_ours: bool) -> None:
        """Give back what the run held in this process, and the run itself."""
        try:
            run.bodies.close()
        finally:
            self.broker.release_run(run.id)
            self._grant()
            self._runs.pop(run.id, None)
            run.outbox.close()
            self.line.leave(run.id)
            if is_ours:
                self.journal.release(run.lease)
            if self.line.is_waiting:
                self.world.call_soon(lambda: self.line.look(True))

    def _lease_of(self, run_id: str) -> Lease:
        run = self._runs.get(run_id)
        if run is None:
            raise LeaseLost(f"run {run_id} has ended in this process", run_id=run_id)
        return run.lease

    def _folded(self, run_id: str) -> tuple[RunRow, State]:
        row = self.journal.run(run_id)
        if row is None:
            known = [r.run_id for r in self.journal.runs()[:3]]
            raise UsageError(f"no run has the id {run_id!r} in {self.store}; newest: {', '.join(known) or 'none'}")
        state = State(self._loader({}))
        for body in self.journal.read(run_id):
            for fact in decode_facts(body):
                state.apply(fact)
        if state.started is None:
            raise UsageError(f"run {run_id!r} was cut before its first commit; start it again")
        return row, state

    def _loader(self, fresh: dict[bytes, bytes]) -> Callable[[bytes], bytes]:
        def load(digest: bytes) -> bytes:
            found = fresh.get(digest)
            return found if found is not None else self.journal.blob(digest)

        return load

    def _not_begun(self, run_id: str) -> Lease | None:
        """The lease of a run that was created and killed before its first commit; None for any other."""
        if next(iter(self.journal.read(run_id)), None) is not None:
            return None
        return self.journal.acquire(
            run_id, self.world.owner(), self.world.wall_ns(), self._lease_ns, may_replace=self._may_replace
        )

    def _find_code(self, target: str) -> Task[..., Any]:
        found = load_target(target)
        if not isinstance(found, Task):
            raise UsageError(f"{target} is {type(found).__name__}, not a workflow or task")
        return found

    def is_free(self, row: RunRow) -> bool:
        """Whether no living process drives the run, as far as this one can know."""
        if row.run_id in self._runs:
            return False
        return self._may_replace(row) or row.lease_until_ns <= self.world.wall_ns()

    def _may_replace(self, row: RunRow) -> bool:
        return row.owner is None or self.world.is_alive(row.owner) is False

    def _task_at_work(self) -> str:
        """What has the loop right now, for the watchdog (asked from its thread)."""
        at_work = asyncio.current_task(self._loop)
        if at_work is not None:
            return at_work.get_name()
        return next((run.driver.attempts.current for run in self._runs.values() if run.driver.attempts), "")

    @property
    def _stand_in(self) -> StandsIn | None:
        return self._fakes.stand_in if self._fakes else None

    def _worker_pool(self) -> Any:
        if self._workers is None:
            self._workers = WorkerPool(self._worker_processes)
        return self._workers

    def _new_id(self) -> str:
        return f"r-{self.world.random_bytes(5).hex()}"

    def _must_be_open(self) -> None:
        if not self._is_open:
            raise UsageError("the engine is not open: use `async with Engine() as engine:`")

    # ------------------------------------------------------------ the store's inbox, leases, grants

    def _look(self) -> None:
        """Every now and then: has another process asked for something?"""
        self._look_timer = None
        if not self._runs:
            return
        every_ns = LINE_LOOK_NS if self.line.is_waiting else self._look_ns
        self._look_timer = self.world.call_at(self.world.monotonic_ns() + every_ns, self._look)
        live = [run_id for run_id, run in self._runs.items() if not run.done.done()]
        if self.broker.waiting and not self.committer.is_busy:
            self._grant()  # other processes may have made room
        if self._awaited and not self.committer.is_busy:
            self._awaited.look()
        if not live or self.committer.is_busy:
            return
        has_changed = self.journal.changed()
        if has_changed:
            self._read_inbox(live)
            if self.broker.pools:
                self._observe_ledger()
        self.line.look(has_changed)

    def _read_inbox(self, live: Sequence[str]) -> None:
        """Hand what was asked of these runs to their machines."""
        for request in self.journal.requests(live):
            run = self._runs.get(request.run_id)
            if run is None or request.number in run.requests_seen or run.done.done():
                continue
            if run.is_queued and request.kind not in ("cancel", "interrupt"):
                continue  # it hears them when its turn has come
            run.requests_seen.add(request.number)
            observation = observed(request.kind, request.body, run.driver.clock())
            run.driver.requests_done.append(request.number)
            if observation is not None:
                run.driver.post(observation)

    def _observe_ledger(self) -> None:
        rows = [Held(c.resource, (c.run_id, c.task, c.attempt), c.units, c.at_ns) for c in self.journal.ledger()]
        self.broker.observe(row for row in rows if row.holder[0] not in self._runs)
        self._grant()

    def _renew(self) -> None:
        self._renew_timer = None
        if not self._runs:
            return
        self._renew_timer = self.world.call_at(self.world.monotonic_ns() + RENEW_NS, self._renew)
        leases = [run.lease for run in self._runs.values() if not run.done.done()]
        if not leases or self.committer.is_busy:
            return
        try:
            lost = self.journal.renew(leases, self.world.wall_ns(), self._lease_ns)
        except JournalError:
            return
        for lease in lost:
            self._runs[lease.run_id].driver.fail(LeaseLost(f"another process took over run {lease.run_id}"))
        self.journal.checkpoint()

    def _grant(self) -> None:
        """Hand units that came back to those in line."""
        if not self.broker.waiting:
            return
        for run_id, task, attempt in self.broker.grants(self.world.wall_ns()):
            run = self._runs[run_id]
            needs = self.broker.held()[(run_id, task, attempt)]
            if run.slots.claim(task, attempt, needs):
                run.driver.post(Granted(run.driver.clock(), task))
        due = self.broker.next_grant_at()
        if due is not None and self._grant_timer is None:
            wait = max(due - self.world.wall_ns(), 0)
            self._grant_timer = self.world.call_at(self.world.monotonic_ns() + wait, self._granted_later)

    def _granted_later(self) -> None:
        self._grant_timer = None
        self._grant()


def report_blocked(blocked: Blocked) -> None:
    """Say which task keeps everything else from running."""
    logger("makespan").warning(blocked.message)
