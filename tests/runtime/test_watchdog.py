"""The watchdog names the line of user code that blocks the loop, once an episode."""

import asyncio
import os
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from makespan.runtime.watchdog import Blocked, Watchdog

THRESHOLD_S = 0.02


class Pipe:
    """One end blocks until the other is written."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def write(self) -> None:
        os.write(self.writer, b"x")

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


class HeardLoop(asyncio.SelectorEventLoop):
    """A loop that tells when another thread asks it something."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Semaphore(0)

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, **options: Any
    ) -> asyncio.Handle:
        super().call_soon_threadsafe(self.asked.release)
        return super().call_soon_threadsafe(callback, *args, **options)


def watch(
    program: Callable[[HeardLoop], Awaitable[None]],
    release: Callable[[], object],
    threshold_s: float = THRESHOLD_S,
) -> list[Blocked]:
    """Run `program` on a watched loop; each report calls `release`."""
    reports: list[Blocked] = []

    def report(blocked: Blocked) -> None:
        reports.append(blocked)
        release()

    async def main() -> None:
        watchdog = Watchdog(report, lambda: "fetch", threshold_s=threshold_s)
        watchdog.start()
        await program(runner.get_loop())  # type: ignore[arg-type]
        watchdog.stop()

    with asyncio.Runner(loop_factory=HeardLoop) as runner:
        runner.run(main())
    return reports


def test_a_blocking_read_is_reported_with_task_line_and_advice(pipe: Pipe) -> None:
    async def fetch(_: HeardLoop) -> None:
        os.read(pipe.reader, 1)

    (blocked,) = watch(fetch, pipe.write)

    line = fetch.__code__.co_firstlineno + 1
    assert (blocked.file, blocked.line, blocked.function) == (__file__, line, "fetch")
    assert blocked.seconds >= THRESHOLD_S * 0.9
    assert blocked.message == (
        f"task 'fetch' blocks the event loop for {blocked.seconds:.1f} s at test_watchdog.py:{line} "
        'in fetch: use executor="thread", or await'
    )


def test_a_computing_loop_is_reported() -> None:
    released = threading.Event()

    async def compute(_: HeardLoop) -> None:
        while not released.is_set():
            sum(range(1_000))

    (blocked,) = watch(compute, released.set)

    first = compute.__code__.co_firstlineno
    assert blocked.function == "compute"
    assert first < blocked.line <= first + 2


def test_a_call_of_the_standard_library_is_blamed_on_its_caller() -> None:
    waiting: queue.Queue[None] = queue.Queue()

    async def wait(_: HeardLoop) -> None:
        waiting.get()

    (blocked,) = watch(wait, lambda: waiting.put(None))

    assert (blocked.file, blocked.function) == (__file__, "wait")


def test_each_episode_is_reported_once(pipe: Pipe) -> None:
    async def block_twice(loop: HeardLoop) -> None:
        for _ in range(2):
            await loop.asked.acquire()
            os.read(pipe.reader, 1)

    assert len(watch(block_twice, pipe.write)) == 2


def test_a_loop_that_comes_round_is_left_alone_and_the_thread_ends() -> None:
    async def come_round(loop: HeardLoop) -> None:
        for _ in range(3):
            await loop.asked.acquire()

    reports = watch(come_round, lambda: None)

    assert reports == []
    assert not any(thread.name == "makespan-watchdog" for thread in threading.enumerate())
