"""Daemon threads fed by a queue: a pool whose stuck thread never keeps the interpreter from ending.

`concurrent.futures.ThreadPoolExecutor` joins its threads at exit, so one task that hangs would hang the
program.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable


class DaemonThreads:
    """At most `size` threads `name-0`, `name-1`, … started on demand. Jobs start in the order of `submit`.

    One thread submits and closes; jobs must not raise.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name, self._size = name, size
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)

    def submit(self, job: Callable[[], None]) -> None:
        """Run `job` on the next free thread."""
        self._jobs.put(job)
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._size:
            name = f"{self._name}-{len(self._threads)}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self, wait_s: float, *, drop_waiting: bool) -> bool:
        """Let threads end; False when one was still at work after `wait_s` seconds and is left behind."""
        if drop_waiting:
            self._drop_waiting()
        for _ in self._threads:
            self._jobs.put(None)
        deadline_s = time.monotonic() + wait_s
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _drop_waiting(self) -> None:
        try:
            while True:
                self._jobs.get_nowait()
        except queue.Empty:
            pass

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # an idle thread must not keep the last result alive
            self._idle.release()
