"""Notices when the event loop stops coming round, and names the task and the line that block it.

    watchdog thread   mark? ........ tick ........ tick: no answer -> look at the loop's stack, report once
    event loop        ..answers..|== blocked ==============================|..answers..

The thread wakes every half threshold and asks the loop for a mark; the loop does no work of its own. A C call
that keeps the interpreter lock (`sum(range(10**10))`) stops the watchdog too: no thread can see it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import msgspec

from makespan.errors import distance_from_user_code
from makespan.logs import logger

THRESHOLD_S = 1.0
TICKS = 2
"""Unanswered looks a threshold. Looks, not seconds: a laptop's sleep or a debugger's stop is one look."""


class Blocked(msgspec.Struct, frozen=True):
    """One episode in which the loop did not come round for `seconds` (a lower bound) or longer."""

    task_label: str
    file: str
    line: int
    function: str
    seconds: float

    @property
    def message(self) -> str:
        """What to print."""
        name = self.file.replace("\\", "/").rpartition("/")[2]
        return (
            f"task {self.task_label!r} blocks the event loop for {self.seconds:.1f} s at {name}:{self.line} "
            f'in {self.function}: use executor="thread", or await'
        )


class Watchdog:
    """Watches the running loop from a daemon thread between `start` (on the loop's thread) and `stop`.

    Args:
        report: called once per blocking episode, on the watchdog's thread; must not raise.
        task_label: names the task that runs now; called on the watchdog's thread.
    Cost: two short wake-ups per threshold: 0.06 % of a core at 1 s.
    """

    def __init__(
        self,
        report: Callable[[Blocked], None],
        task_label: Callable[[], str],
        *,
        threshold_s: float = THRESHOLD_S,
    ) -> None:
        self._report, self._task_label = report, task_label
        self._tick_s = threshold_s / TICKS
        self._stopping = threading.Event()
        self._marked = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin. Raises RuntimeError outside a running loop."""
        assert self._thread is None, "a watchdog starts once"
        loop, ident = asyncio.get_running_loop(), threading.get_ident()
        self._thread = threading.Thread(target=self._watch, args=(loop, ident), name="makespan-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; returns when it has ended, at once unless `report` hangs (then after 1 s)."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1.0)

    def _watch(self, loop: asyncio.AbstractEventLoop, thread_ident: int) -> None:
        unanswered, asked_s = 0, self._ask(loop)
        while not self._stopping.wait(self._tick_s):
            if self._marked.is_set():
                unanswered, asked_s = 0, self._ask(loop)
                continue
            unanswered += 1
            if unanswered == TICKS:
                self._look(thread_ident, time.monotonic() - asked_s)

    def _ask(self, loop: asyncio.AbstractEventLoop) -> float:
        self._marked.clear()
        try:
            loop.call_soon_threadsafe(self._marked.set)
        except RuntimeError:  # the loop is closed: nothing is left to watch
            self._stopping.set()
        return time.monotonic()

    def _look(self, thread_ident: int, seconds: float) -> None:
        frame = sys._current_frames().get(thread_ident)
        if frame is None or self._marked.is_set():
            return
        file, line, function = blocking_line(frame)
        self._report(Blocked(self._task_label(), file, line, function, seconds))


def blocking_line(frame: FrameType) -> tuple[str, int, str]:
    """File, line and function of the innermost frame of user code; without one, of an installed package."""
    best, nearest = frame, distance_from_user_code(frame.f_code.co_filename)
    outer = frame.f_back
    while outer is not None and nearest > 0:
        distance = distance_from_user_code(outer.f_code.co_filename)
        if distance < nearest:
            best, nearest = outer, distance
        outer = outer.f_back
    return best.f_code.co_filename, best.f_lineno, best.f_code.co_name


def report_blocked(blocked: Blocked) -> None:
    """Say which task keeps everything else from running."""
    logger("makespan").warning(blocked.message)
