"""`run`, `start`, `resume` and `plan`: using the engine without opening one yourself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar, Unpack

from makespan.app import Engine, ResumeOptions, RunOptions
from makespan.authoring.ref import Ref
from makespan.authoring.trace import trace_call
from makespan.errors import UsageError
from makespan.graph.graph import Graph
from makespan.handle import Run
from makespan.result import Result, resume_command
from makespan.stores import DEFAULT_STORE

T = TypeVar("T")


def run(call: Ref[T], /, *, store: str = DEFAULT_STORE, **options: Unpack[RunOptions]) -> Result[T]:
    """Run a workflow to its end (or pause), outside of any event loop.

    Raises:
        UsageError: inside a running event loop; the message says what to write there.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_run(call, store, options))
    raise UsageError("ms.run inside a running event loop would block it: write `result = await ms.start(...)`")


async def _run(call: Ref[T], store: str, options: RunOptions) -> Result[T]:
    async with Engine(store) as engine:
        handle = engine.start(call, **options)
        try:
            return await handle
        except asyncio.CancelledError:
            handle.interrupt("interrupted by the keyboard")
            await asyncio.wait([handle.done])
            if store != "memory":
                logging.getLogger("makespan").warning("interrupted; go on with: %s", resume_command(handle.id, store))
            raise


def start(call: Ref[T], /, *, store: str = DEFAULT_STORE, **options: Unpack[RunOptions]) -> Run[T]:
    """Start a run on the running event loop; await the handle for its Result."""
    return _own(store, lambda engine: engine.start(call, **options))


def resume(run_id: str, /, *, store: str = DEFAULT_STORE, **options: Unpack[ResumeOptions]) -> Run[Any]:
    """Go on with a run on the running event loop; await the handle for its Result."""
    return _own(store, lambda engine: engine.resume(run_id, **options))


def _own(store: str, begin: Callable[[Engine], Run[T]]) -> Run[T]:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError("ms.start and ms.resume need a running event loop; outside of one write ms.run(...)") from None
    engine = Engine(store)
    engine.open()
    handle = begin(engine)
    handle.on_done = engine.close
    return handle


def plan(call: Ref[Any], /) -> Graph:
    """The graph a call stands for, checked; nothing runs."""
    return trace_call(call).template.graph
