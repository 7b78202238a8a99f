"""The live bodies of one run: async workflows on their deterministic loop, as the machine sees them.

    machine ──start / deliver / scope_ended──▶ LiveBodies ──drain──▶ requests ──▶ machine

A body's only outputs are requests; its only inputs are deliveries, in the journal's order. Given the same deliveries it
does the same, so after a crash it runs again from the top and asks for the same tasks by the same ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextvars import copy_context
from typing import Any, TypeVar

import msgspec

from makespan.authoring.context import BodyContext, running_body
from makespan.authoring.failures import culprit, raisable
from makespan.authoring.items import Hearing, items_of
from makespan.authoring.loop import BodyLoop, TimerHandle
from makespan.authoring.place import Place, Registry, current, models_here
from makespan.authoring.ref import Ref, Several
from makespan.authoring.task import HOOKS
from makespan.authoring.workflow import Workflow
from makespan.codec import NotEncodable, Outcome
from makespan.errors import ErrorRecord, GraphError, JournalError, TaskError, UsageError, record_of
from makespan.files import ROOM, Room, using
from makespan.graph.node import Declaration, Errors, Kind, Mode, Node, Scope
from makespan.machine.observations import AddScope, AddTask, BodyEnded, CancelTask, CloseScope, Finished, Request
from makespan.machine.resolve import OutcomeRecord, at_path
from makespan.values import NONE_VALUE, ScopeId, TaskId, nanos, untyped

_CANCELLED = ("makespan.Cancelled", "makespan.errors.LimitError")
"""A branch that failed because what it waited for was cancelled is nobody's fault."""

TIMER = Declaration("sleep", Kind.TIMER)
_encode = msgspec.msgpack.encode
T = TypeVar("T")
Waiter = Callable[[Finished], None]


class LiveBodies:
    """All live bodies of one run; also the Builder their calls go to."""

    def __init__(self, registry: Registry, run_id: str, seed: int, started_wall_ns: int) -> None:
        self.registry = registry
        self.loop = BodyLoop(self._set_timer, _note_branch, _next_number)
        self._run_id, self._seed, self._started_wall_ns = run_id, seed, started_wall_ns
        self._requests: list[Request] = []
        self._results: dict[TaskId, Finished] = {}
        self._waiters: dict[TaskId, list[Waiter]] = {}
        self._received: set[TaskId] = set()
        self._bodies: dict[int, asyncio.Task[Any]] = {}
        self._contexts: dict[int, BodyContext] = {}
        self.hearings: dict[TaskId, Hearing] = {}
        """What tasks that yield have said, where a body reads it."""
        self._scope_ends: dict[ScopeId, Callable[[ErrorRecord | None], None]] = {}
        self._cancelled: set[int] = set()
        self.now_ns = 0
        self.scheduled: tuple[int | None, str] = (None, "")
        self.room: Room | str = ""
        """Wall clock and zone of the tick that the run stands for."""

    # ------------------------------------------------------------ the machine's side

    def start(self, task: int, id: TaskId, declaration: Declaration, args: bytes, at: int) -> None:
        """Begin the body of a WORKFLOW task; nothing runs before `drain`."""
        workflow = self.registry.get(declaration.key)
        if workflow is None:
            self._end(
                task,
                None,
                ErrorRecord("makespan.errors.GraphError", f"no workflow has the key {declaration.key!r}", (), False),
            )
            return
        try:
            values = workflow.signature.decode(args)
        except NotEncodable as error:
            self._end(task, None, record_of(error))
            return
        inside = BodyContext(self._run_id, declaration.key, id, self._seed, self._started_wall_ns)
        inside.now_ns = at
        inside.scheduled = self.scheduled
        self._contexts[task] = inside
        self._at(at)
        variables = copy_context()
        variables.run(current.set, Place(self, ScopeId(id)))
        variables.run(running_body.set, inside)
        variables.run(models_here.set, declaration.options.models if isinstance(workflow, Workflow) else ())
        variables.run(ROOM.set, self.room)
        body = variables.run(self.loop.create_task, workflow.body(values, declaration.options), name="body")
        self._bodies[task] = body
        body.add_done_callback(lambda done: self._body_done(task, workflow.signature.result.encode, done))

    def deliver(self, finished: Finished) -> None:
        """Hand one ended task to whoever waits for it."""
        self._at(finished.at)
        self._results[finished.id] = finished
        for waiter in self._waiters.pop(finished.id, ()):
            waiter(finished)

    def scope_ended(self, scope: ScopeId, at: int, error: ErrorRecord | None) -> None:
        """All tasks of a scope that was left have ended, or it met a limit."""
        self._at(at)
        ended = self._scope_ends.get(scope)
        if ended is not None:
            ended(error)

    def cancel(self, task: int) -> None:
        """Drop a body: it gets its CancelledError, and what it asks for from then on is not heard."""
        body = self._bodies.pop(task, None)
        self._cancelled.add(task)
        inside = self._contexts.pop(task, None)
        if inside is not None:
            inside.is_over = True
        if body is not None:
            body.cancel()

    def stray_failure(self, task: int) -> ErrorRecord | None:
        """The body is over: the first exception of an asyncio task of it that nobody awaited."""
        inside = self._contexts.pop(task, None)
        if inside is None:
            return None
        inside.is_over = True
        for branch in inside.failed_branches:
            if not branch._log_traceback:  # asyncio's own mark: somebody has looked at it
                continue
            error = branch.exception()
            if error is not None and not (isinstance(error, TaskError) and error.type in _CANCELLED):
                return record_of(error)
        return None

    def drain(self) -> Sequence[Request]:
        """Run the bodies until all of them wait; returns what they asked for."""
        self.loop.drain()
        asked, self._requests = self._requests, []
        return asked

    def fit(self, declaration: Declaration, value: bytes) -> bytes | str:
        """A message as the type its receiver declared, or why it does not fit."""
        kind = self.registry.awaited.get(declaration, Any)
        try:
            return HOOKS.codec(kind).encode(HOOKS.convert(untyped(value), kind))
        except NotEncodable as error:
            return str(error)

    def ended(self, ref: Ref[Any]) -> Finished | None:
        """How what a Ref stands for ended; None while it has not been delivered."""
        return self._results.get(ref._task)

    def received(self, id: TaskId) -> bool:
        """Whether some body looked at this task's failure."""
        return id in self._received

    def close(self) -> None:
        """Drop all bodies without letting them run on: the process is done with this run."""
        for body in [*self._bodies.values()]:
            body._log_destroy_pending = False  # type: ignore[attr-defined]  # dropped on purpose, the journal has it all
            try:
                body.get_coro().close()
            except Exception:  # noqa: BLE001 - dropped code may await or raise on its way out; nobody hears it
                continue
        self._bodies.clear()

    def _at(self, at: int) -> None:
        self.now_ns = at
        self.loop.now_s = at / 1e9
        for context in self._contexts.values():
            context.now_ns = at

    def _body_done(self, task: int, encode: Callable[[Any], bytes], body: asyncio.Task[Any]) -> None:
        self._bodies.pop(task, None)
        if task in self._cancelled:
            if not body.cancelled():
                body.exception()
            return
        if body.cancelled():
            self._end(
                task,
                None,
                ErrorRecord(
                    "asyncio.CancelledError", "the workflow's body cancelled itself", ("asyncio.CancelledError",)
                ),
            )
            return
        error = body.exception()
        if error is not None:
            self._requests.append(BodyEnded(task, None, record_of(error), culprit(error)))
            return
        try:
            with using(self.room):
                self._end(task, encode(body.result()), None)
        except NotEncodable as problem:
            self._end(task, None, record_of(NotEncodable(f"the workflow's result: {problem}")))
        except (JournalError, UsageError) as problem:  # a file that cannot be kept, or is not there any more
            self._end(task, None, record_of(problem))

    def _end(self, task: int, value: bytes | None, error: ErrorRecord | None) -> None:
        self._requests.append(BodyEnded(task, value, error))

    # ------------------------------------------------------------ the authors' side

    def _ask(self, request: Request) -> None:
        inside = running_body.get()
        if inside is None or not inside.is_over:
            self._requests.append(request)

    def add(self, node: Node) -> None:
        self._ask(AddTask(node, 0))

    def open_scope(self, scope: Scope) -> None:
        self._ask(AddScope(scope))

    def close_scope(self, scope: ScopeId, failed: bool) -> None:
        self._ask(CloseScope(scope, failed))

    def on_scope_end(self, scope: ScopeId, ended: Callable[[ErrorRecord | None], None]) -> None:
        """Call `ended` when the scope met a limit (with the error) or was left and is empty (with None)."""
        self._scope_ends[scope] = ended

    def cancel_ref(self, ref: Ref[Any]) -> None:
        """Ask for the cancellation of what a Ref stands for."""
        for leaf in _leaves(ref):
            self._ask(CancelTask(leaf._task))

    def wait(self, ref: Ref[Any]) -> Generator[Any, None, Any]:
        """`await ref`: the value by its declared type, or the task's error."""
        if ref._several is not None:
            return (yield from self._wait_for_all(ref))
        finished = self._results.get(ref._task)
        if finished is None:
            future = self.loop.create_future()
            self._waiters.setdefault(ref._task, []).append(
                lambda end: None if future.done() else future.set_result(end)
            )
            finished = yield from future
        return self._value(ref, finished)

    def _wait_for_all(self, ref: Ref[Any]) -> Generator[Any, None, Any]:
        group = ref._several
        assert group is not None
        yield from self._all(group).__await__()
        values = []
        for part in group.refs:
            if part._several is not None:
                values.append((yield from self._wait_for_all(part)))
            elif group.errors != Errors.DROP:
                values.append(self._value(part, self._results[part._task]))
            else:
                finished = self._results[part._task]
                self._received.add(part._task)
                if finished.error is None:
                    values.append(self._value(part, finished))
        return values

    async def _all(self, group: Several) -> None:
        """Until all have ended, or one has failed whose failure is the group's; one future for them all.

        As with asyncio.gather the other failures are received too: whoever awaits a group has looked at all of it.
        """
        fragile: dict[TaskId, bool] = {}
        _note_fragile(group, True, fragile)
        missing: list[TaskId] = []
        failed: list[Finished] = []
        for task, fails in fragile.items():
            known = self._results.get(task)
            if known is None:
                missing.append(task)
            elif fails and known.error is not None:
                self._received.add(task)
                failed.append(known)
        if failed and not missing:
            raise self._error(min(failed, key=lambda finished: finished.at))
        if not missing:
            return
        future = self.loop.create_future()
        left = len(missing)

        def ended(finished: Finished) -> None:
            nonlocal left
            left -= 1
            if future.cancelled():
                return
            if finished.error is not None and fragile[finished.id]:
                self._received.add(finished.id)
                if not future.done():
                    future.set_exception(self._error(finished))
            elif not left and not future.done():
                future.set_result(None)

        for task in missing:
            self._waiters.setdefault(task, []).append(ended)
        if failed:
            future.set_exception(self._error(min(failed, key=lambda finished: finished.at)))
        await future

    async def iterate(self, ref: Ref[Any]) -> AsyncIterator[Any]:
        """`async for`: the results of a live map or gather, or what a task yields, as they come."""
        group = ref._several
        if group is None:
            async for item in items_of(self, ref):
                yield item
            return
        queue: list[Ref[Any]] = []
        waiting = [self.loop.create_future()]

        def ended(part: Ref[Any]) -> Waiter:
            def note(_: Finished) -> None:
                queue.append(part)
                if not waiting[0].done():
                    waiting[0].set_result(None)

            return note

        left = 0
        for part in group.refs:
            left += 1
            if part._task in self._results:
                queue.append(part)
            else:
                self._waiters.setdefault(part._task, []).append(ended(part))
        while left:
            if not queue:
                await waiting[0]
            waiting[0] = self.loop.create_future()
            while queue:
                part = queue.pop(0)
                left -= 1
                finished = self._results[part._task]
                if group.errors == Errors.DROP and finished.error is not None:
                    self._received.add(part._task)
                    continue
                yield self._value(part, finished)

    def _value(self, ref: Ref[Any], finished: Finished) -> Any:
        if ref._mode == Mode.OUTCOME:
            self._received.add(finished.id)
            return self._typed(ref, _outcome(finished))
        if finished.error is not None:
            self._received.add(finished.id)
            raise self._error(finished)
        value = NONE_VALUE if finished.value is None else finished.value
        if ref._pick is not None:
            return ref._pick(value)
        return self._typed(ref, value)

    def _typed(self, ref: Ref[Any], value: bytes) -> Any:
        if ref._path:
            try:
                value = at_path(value, ref._path)
            except LookupError as error:
                raise GraphError(f"{ref!r}: {error}") from None
        return HOOKS.codec(type(None) if ref._type is None else ref._type).decode(value)

    def _error(self, finished: Finished) -> BaseException:
        assert finished.error is not None
        task = self.registry.get(finished.key)
        error = raisable(finished.key, finished.error, finished.attempts, () if task is None else task.raises)
        error.task_id = finished.id
        return error

    async def until_any(self, *tasks: TaskId) -> None:
        """Until the end of one of these tasks has been delivered."""
        if any(task in self._results for task in tasks):
            return
        future = self.loop.create_future()
        for task in tasks:
            self._waiters.setdefault(task, []).append(lambda _: None if future.done() else future.set_result(None))
        await future

    def finished(self, task: TaskId) -> Finished | None:
        """How a task ended, once that has been delivered."""
        return self._results.get(task)

    def watch(self, task: TaskId, ended: Callable[[Finished], None]) -> None:
        """Call `ended` with the end of a task; at once where that has been delivered."""
        known = self._results.get(task)
        if known is not None:
            ended(known)
        else:
            self._waiters.setdefault(task, []).append(ended)

    def look_at(self, ref: Ref[T]) -> Outcome[T]:
        """How what a Ref stands for ended, which counts as having looked at its failure."""
        finished = self._results[ref._task]
        self._received.add(ref._task)
        value = None if finished.error is not None or finished.value is None else self._typed(ref, finished.value)
        error = None if finished.status in ("succeeded", "skipped") else finished.error
        return Outcome(finished.status, value, error, finished.key)

    def ask(self, request: Request) -> None:
        """A request of the body that is running."""
        self._ask(request)

    # ------------------------------------------------------------ timers

    def _set_timer(self, delay_s: float, fire: Callable[[], None]) -> TimerHandle:
        place = current.get()
        if not isinstance(place, Place):
            raise GraphError("a timer outside of a workflow's body")
        task = place.special(TIMER, delay_ns=nanos(delay_s))
        alive = [True]
        self._waiters.setdefault(task, []).append(lambda end: fire() if alive[0] and end.error is None else None)
        return _Timer(self, task, alive)


class _Timer:
    """Handle of a timer that asyncio set in a body."""

    def __init__(self, bodies: LiveBodies, task: TaskId, alive: list[bool]) -> None:
        self._bodies, self._task, self._alive = bodies, task, alive

    def cancel(self) -> None:
        if self._alive[0]:
            self._alive[0] = False
            if self._task not in self._bodies._results:
                self._bodies._ask(CancelTask(self._task))

    def cancelled(self) -> bool:
        return not self._alive[0]


def _outcome(finished: Finished) -> bytes:
    value = NONE_VALUE if finished.value is None else finished.value
    error = None if finished.status in ("succeeded", "skipped") else finished.error
    return _encode(OutcomeRecord(finished.status, msgspec.Raw(value), error, finished.key))


def _note_fragile(group: Several, raises: bool, found: dict[TaskId, bool]) -> None:
    """Note the tasks of a group of Refs, and whether the failure of each is the failure of the whole."""
    raises = raises and group.errors == Errors.RAISE
    for part in group.refs:
        if part._several is not None:
            _note_fragile(part._several, raises, found)
        elif part._task not in found or not found[part._task]:
            found[part._task] = raises and part._mode != Mode.OUTCOME


def _next_number() -> int:
    inside = running_body.get()
    if inside is None:
        return 0
    inside.tasks_made += 1
    return inside.tasks_made


def _note_branch(branch: asyncio.Task[Any]) -> None:
    """An asyncio task of a body is done: if it failed, somebody has to look at it."""
    inside = running_body.get()
    if inside is not None and not branch.cancelled() and branch._exception is not None:
        inside.failed_branches.append(branch)


def _leaves(ref: Ref[Any]) -> list[Ref[Any]]:
    if ref._several is None:
        return [ref]
    return [leaf for part in ref._several.refs for leaf in _leaves(part)]
