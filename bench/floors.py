"""The least an asyncio program can take for a graph: what every engine is measured against.

Standard library only: peers measure themselves against it in environments of their own.
"""

import asyncio

from bench.graphs import Shape, deeper
from bench.measure import Sample, timed


async def step(depths: list[int], sleep_s: float) -> int:
    """The task itself."""
    if sleep_s:
        await asyncio.sleep(sleep_s)
    return deeper(depths)


def taskgroup(shape: Shape) -> Sample:
    """The plainest program: one asyncio task per task, each awaiting the tasks it needs."""
    return timed(lambda: run_taskgroup(shape), shape.checksum)


def counter(shape: Shape) -> Sample:
    """In-degree counters and one asyncio task per ready task: what any scheduler does at the least."""
    return timed(lambda: CounterRun(shape).run(), shape.checksum)


async def run_taskgroup(shape: Shape) -> int:
    """Sum of the values of all tasks."""
    tasks: list[asyncio.Task[int]] = []

    async def node(task: int) -> int:
        return await step([await tasks[needed] for needed in shape.needs[task]], shape.sleep_s[task])

    async with asyncio.TaskGroup() as group:
        for task in range(shape.size):
            tasks.append(group.create_task(node(task)))  # noqa: PERF401 - a node reads the list while it grows
    return sum(task.result() for task in tasks)


class CounterRun:
    """One run of `counter`."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.missing = [len(needs) for needs in shape.needs]
        self.values = [0] * shape.size
        self.unfinished = shape.size
        self.running: set[asyncio.Task[None]] = set()
        self.loop = asyncio.get_running_loop()
        self.all_done: asyncio.Future[None] = self.loop.create_future()

    async def run(self) -> int:
        """Sum of the values of all tasks."""
        for task, needs in enumerate(self.shape.needs):
            if not needs:
                self.start(task)
        await self.all_done
        return sum(self.values)

    def start(self, task: int) -> None:
        running = self.loop.create_task(self.node(task))
        self.running.add(running)
        running.add_done_callback(self.running.discard)

    async def node(self, task: int) -> None:
        shape, values = self.shape, self.values
        values[task] = await step([values[needed] for needed in shape.needs[task]], shape.sleep_s[task])
        for dependent in shape.needed_by[task]:
            self.missing[dependent] -= 1
            if not self.missing[dependent]:
                self.start(dependent)
        self.unfinished -= 1
        if not self.unfinished:
            self.all_done.set_result(None)
