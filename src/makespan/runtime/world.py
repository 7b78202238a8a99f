"""The real world: the clock, chance, threads and processes of this machine, on a running asyncio loop.

The runtime reaches them through `ports.World` and in no other way; `makespan.testing.world` is the other one.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

from makespan.ports import Owner, Timer
from makespan.runtime.process_identity import is_alive, this_process
from makespan.runtime.threads import DaemonThreads

TASK_THREADS = 32
"""Tasks with `executor="thread"` that run at once, by default."""
CLOSE_WAIT_S = 1.0
_TIMER_MARGIN_NS = 1_000
"""asyncio may fire a timer some nanoseconds early; ours never do."""

Done = Callable[[Any, BaseException | None], None]


class RealWorld:
    """`ports.World` on an asyncio loop, the running one by default. Call `close` at the end.

    Args:
        task_threads: how many threads `in_thread` may use; user code that hangs there keeps its thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, *, task_threads: int = TASK_THREADS) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._owner = this_process()
        self._task_threads = DaemonThreads("makespan-task", task_threads)
        self._commit_thread = DaemonThreads("makespan-commit", 1)

    # ------------------------------------------------------------ time, chance, identity

    def wall_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def owner(self) -> Owner:
        return self._owner

    def is_alive(self, owner: Owner) -> bool | None:
        return is_alive(owner)

    # ------------------------------------------------------------ the loop

    def call_at(self, monotonic_ns: int, callback: Callable[[], None]) -> Timer:
        """Call at that time or right after it, never before."""
        delay_ns = max(0, monotonic_ns - time.monotonic_ns()) + _TIMER_MARGIN_NS
        return self._loop.call_later(delay_ns / 1_000_000_000, callback)

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._loop.call_soon(callback)

    def call_from_thread(self, callback: Callable[[], None]) -> None:
        """Call soon, from any thread; what comes after the loop was closed is dropped."""
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start `work`. The caller keeps the task until it is done, and `work` reports its own failures."""
        return asyncio.Task(work, loop=self._loop, name=name)

    # ------------------------------------------------------------ threads

    def in_thread(self, work: Callable[[], Any], done: Done) -> None:
        """Run task code on one of `task_threads` threads. Cost: 70 µs alone, 7 to 10 in a burst."""
        self._submit(self._task_threads, work, done)

    def commit_in_thread(self, work: Callable[[], Any], done: Done) -> None:
        """Run a commit on the thread that only commits use, in order."""
        self._submit(self._commit_thread, work, done)

    def _submit(self, threads: DaemonThreads, work: Callable[[], Any], done: Done) -> None:
        context = contextvars.copy_context()
        threads.submit(functools.partial(_run_and_report, self._loop, context, work, done))

    def close(self, wait_s: float = CLOSE_WAIT_S) -> None:
        """Finish the commits already given, drop tasks that wait for a thread, and leave what hangs behind.

        Blocks for at most 2 × `wait_s` seconds; a thread left behind does not keep the interpreter alive.
        """
        self._commit_thread.close(wait_s, drop_waiting=False)
        self._task_threads.close(wait_s, drop_waiting=True)


def _run_and_report(
    loop: asyncio.AbstractEventLoop, context: contextvars.Context, work: Callable[[], Any], done: Done
) -> None:
    """The job of a thread: it ends in exactly one `done` on the loop, or in none when the loop is closed."""
    result: Any = None
    error: BaseException | None = None
    try:
        result = context.run(work)
    except BaseException as raised:  # noqa: BLE001 - handed to `done`, SystemExit of user code too
        error = raised
    try:
        loop.call_soon_threadsafe(done, result, error, context=context)
    except RuntimeError:
        if not loop.is_closed():
            raise
