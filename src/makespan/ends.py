"""`on_end=`: the task of a workflow that is told of each end and each pause of its runs, exactly once a store.

    start ──promise (a store entry)──▶ run … end ──▶ run `<run id>.on_end`: the task with the Result ──▶ promise kept

The call is a run of its own, so it is as durable as any other, it can fail without touching what it reports, and its id
keeps it from happening twice. The promise stands before the run does: whoever next starts, resumes or serves that
workflow on this store keeps those that a killed process left open.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from makespan.authoring.ref import unbound
from makespan.authoring.task import Task
from makespan.authoring.trace import Traced, trace_call
from makespan.errors import EngineError, LeaseLost, UsageError
from makespan.logs import logger
from makespan.machine.state import State
from makespan.result import Result
from makespan.store_port import FINAL, Entry, Journal, RunRow

KIND = "on_end"
SUFFIX, PAUSE_SUFFIX = ".on_end", ".on_pause-"
END_CALL_WAIT_S = 10.0
"""How long an engine that is being closed waits for the calls it has begun; then they are interrupted."""
STALE_NS = 60_000_000_000
"""A promise whose run has not appeared after this long was made by a process that died at once."""


class Promise(msgspec.Struct, frozen=True):
    """An entry's body: the workflow's key, and the wall clock when it was made."""

    workflow: str
    at_ns: int


def on_end_of(task: Any) -> Task[..., Any] | None:
    """The task that is to be told of the ends of a workflow's runs."""
    found: Task[..., Any] | None = getattr(task, "on_end", None)
    return found


def end_id(state: State) -> str | None:
    """Id of the run that tells of this end or pause; None while it is neither. Interrupted is neither."""
    if state.status in FINAL:
        return state.run_id + SUFFIX
    if state.status == "paused":
        return f"{state.run_id}{PAUSE_SUFFIX}{state.at // 1_000_000}"
    return None


class EndCalls:
    """The promised calls of one engine."""

    def __init__(
        self,
        journal: Journal,
        store: str,
        now: Callable[[], int],
        *,
        start: Callable[[Traced, Any], Any],
        resume: Callable[[str, Task[..., Any]], Any],
        fold: Callable[[str], tuple[RunRow, State]],
        is_free: Callable[[RunRow], bool],
    ) -> None:
        self._journal, self._store, self._now = journal, store, now
        self._start, self._resume, self._fold, self._is_free = start, resume, fold, is_free
        self._swept: set[str] = set()

    def is_call(self, run_id: str) -> bool:
        """Whether a run is one of these calls."""
        return run_id.endswith(SUFFIX) or PAUSE_SUFFIX in run_id

    async def finish(self, runs: Mapping[str, asyncio.Future[None]]) -> None:
        """Give the calls among them a moment to end by themselves."""
        calls = [done for run_id, done in runs.items() if self.is_call(run_id)]
        if calls:
            await asyncio.wait(calls, timeout=END_CALL_WAIT_S)

    def promise(self, run_id: str, task: Any) -> None:
        """A run of this workflow is about to begin or to go on. Keeps first what others left open."""
        if on_end_of(task) is None:
            return
        if task.key not in self._swept:
            self._swept.add(task.key)
            self.sweep(task)
        row = self._journal.run(run_id)
        if row is None or row.status not in FINAL:
            promise = Promise(task.key, self._now())
            self._journal.write_entry(KIND, run_id, msgspec.json.encode(promise), 0)

    def ended(self, task: Any, state: State) -> None:
        """A run of this process is over, for now or for good. Never raises: its own result stands."""
        try:
            if on_end_of(task) is not None:
                self._tell(task, state)
            elif state.run_id.endswith(SUFFIX) and state.status in FINAL:
                self._keep(self._journal.entry(KIND, state.run_id.removesuffix(SUFFIX)))
        except EngineError as error:
            logger("makespan").warning(
                "on_end of run %s could not be started: %s; it is tried again when %s is next started, resumed or "
                "served on this store",
                state.run_id,
                error,
                getattr(task, "key", "its workflow"),
            )

    def sweep(self, task: Task[..., Any]) -> None:
        """Make the calls for runs of this workflow that ended without anybody there to make them."""
        for entry in self._journal.entries(KIND):
            promise = msgspec.json.decode(entry.body, type=Promise)
            if promise.workflow == task.key:
                self._look_after(task, entry, promise)

    def _look_after(self, task: Task[..., Any], entry: Entry, promise: Promise) -> None:
        row = self._journal.run(entry.key)
        if row is None:
            if self._now() - promise.at_ns > STALE_NS:
                self._keep(entry)
        elif row.status in FINAL:
            call = self._journal.run(entry.key + SUFFIX)
            if call is not None and call.status in FINAL:
                self._keep(entry)
            elif call is None or call.status != "paused":
                self._tell(task, self._fold(entry.key)[1])
        elif row.status == "paused" and self._is_free(row):
            self._tell(task, self._fold(entry.key)[1])

    def _tell(self, task: Any, state: State) -> None:
        call_id, told = end_id(state), on_end_of(task)
        if call_id is None or told is None:
            return
        with contextlib.suppress(LeaseLost):  # another process makes this very call
            row = self._journal.run(call_id)
            if row is None:
                result: Result[Any] = Result(state, task.returns, self._store)
                call = trace_call(unbound(told, (result,), {}))
                self._start(call, {"id": call_id, "target": told.target})
            elif row.status not in (*FINAL, "paused") and self._is_free(row):
                self._go_on(call_id, told, task, state)

    def _go_on(self, call_id: str, told: Task[..., Any], task: Any, state: State) -> None:
        try:
            self._resume(call_id, told)
        except UsageError:  # it was killed before its first commit
            result: Result[Any] = Result(state, task.returns, self._store)
            self._start(trace_call(unbound(told, (result,), {})), {"id": call_id, "target": told.target})

    def _keep(self, entry: Entry | None) -> None:
        if entry is not None:
            self._journal.write_entry(KIND, entry.key, None, entry.version)
