"""`ms.scope`: a named part of a run with its own limits, and with compensation if it wants it."""

from __future__ import annotations

import asyncio
import re
from types import TracebackType

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.context import running_body
from makespan.authoring.failures import raisable
from makespan.authoring.place import Place, current, here
from makespan.authoring.trace import tracing
from makespan.errors import ErrorRecord, GraphError
from makespan.graph.node import Scope
from makespan.values import Nanos, NanoUsd, nano_usd, nanos


class scope:  # noqa: N801 - reads as a statement: `async with ms.scope("booking"):`
    """A named part of a run with its own limits: `async with` (or `with` in plain workflows).

    Leaving it by an exception cancels what still runs in it; leaving it otherwise waits for its tasks. Its budget or
    deadline cancels its tasks and raises LimitError at the `async with`.

    Args:
        name: 1 to 100 characters; how its tasks are known after a restart.
        budget_usd: most that its tasks may cost together, US dollars.
        deadline_s: after it was entered, seconds.
        undo: whether results are undone (by the `undo=` of their tasks, the last result first, one after the other)
            when it is left by an error, meets a limit or is cancelled. The exception goes on when all is undone. Then
            neither a cancellation nor a limit cuts tasks that have an `undo` and have started: they go on to their end.
    """

    def __init__(
        self, name: str, *, budget_usd: float | None = None, deadline_s: float | None = None, undo: bool = False
    ) -> None:
        if not re.fullmatch(r"\S.{0,99}", name):
            raise GraphError("a scope's name has 1 to 100 characters: it is how its tasks are known after a restart")
        if not isinstance(undo, bool):
            raise GraphError(
                f"ms.scope({name!r}, undo={undo!r}): it is True or False; the task that undoes is an "
                f"option of the task that does: @ms.task(undo=...)"
            )
        self._name = name
        self._budget = None if budget_usd is None else NanoUsd(nano_usd(budget_usd))
        self._deadline = None if deadline_s is None else Nanos(nanos(deadline_s))
        self._undo = undo
        self._error: ErrorRecord | None = None
        self._ended: asyncio.Future[None] | None = None

    def _enter(self) -> Place:
        outer = here("ms.scope")
        self._outer = outer
        self._id = outer.scope_id(self._name)
        opened = Scope(self._id, outer.real, self._name, self._budget, self._deadline, undo=self._undo)
        outer.builder.open_scope(opened)
        self._token = current.set(Place(outer.builder, self._id, self._id, outer.guards, outer.depth))
        return outer

    def __enter__(self) -> scope:
        if self._undo and not tracing.get() and isinstance(here("ms.scope").builder, LiveBodies):
            raise GraphError(f"write `async with ms.scope({self._name!r}, undo=True)`: in an async workflow it waits")
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        current.reset(self._token)
        if isinstance(self._outer.builder, LiveBodies):
            self._outer.builder.close_scope(self._id, error is not None)

    async def __aenter__(self) -> scope:
        bodies = here("async with ms.scope").builder
        if not isinstance(bodies, LiveBodies):
            raise GraphError("async with ms.scope works in async workflows only")
        self._enter()
        self._task = asyncio.current_task()
        bodies.on_scope_end(self._id, self._on_end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is GeneratorExit:
            return  # the body is dropped, from outside of its context: nobody will hear of anything
        current.reset(self._token)
        if self._error is None or self._undo:
            await self._until_ended(error is not None or self._error is not None)
        if self._error is not None and (kind is None or issubclass(kind, (asyncio.CancelledError, Exception))):
            if kind is not None and issubclass(kind, asyncio.CancelledError) and self._task is not None:
                self._task.uncancel()
            raise raisable(f"scope {self._name}", self._error, (), ()) from None

    async def _until_ended(self, failed: bool) -> None:
        """Leave the scope and wait for its end. Nothing cancels the wait while results are being undone."""
        bodies = self._outer.builder
        assert isinstance(bodies, LiveBodies)
        bodies.close_scope(self._id, failed)
        cancelled: asyncio.CancelledError | None = None
        while True:
            self._ended = bodies.loop.create_future()
            try:
                await self._ended
                break
            except asyncio.CancelledError as error:
                inside = running_body.get()
                if not self._undo or inside is None or inside.is_over:
                    raise
                cancelled = error
                if not failed:
                    failed = True
                    bodies.close_scope(self._id, failed)
        if cancelled is not None:
            raise cancelled

    def _on_end(self, error: ErrorRecord | None) -> None:
        if error is not None and self._error is None:
            self._error = error
            if self._ended is None and self._task is not None:
                self._task.cancel()
        is_over = error is None or not self._undo
        if is_over and self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
