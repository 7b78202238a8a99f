"""Async workflows that grow their graph call by call, beside the plain workflow that knows it in advance."""

import asyncio
from collections.abc import AsyncIterator

import makespan as ms
from bench.measure import Sample, checked, clock
from bench.ours import step, total
from makespan.planners.live import LivePlan


@ms.task
async def leaf(number: int) -> int:
    """A no-op that differs from its siblings only by its argument."""
    return number


@ms.workflow
async def gathered(size: int) -> int:
    """Calls `size` tasks one by one, then waits for them all."""
    refs = [leaf(number) for number in range(size)]
    return sum(await ms.gather(*refs))


@ms.workflow
async def awaited(size: int) -> int:
    """Awaits each of `size` tasks before it calls the next."""
    depth = 0
    for _ in range(size):
        depth = await step([depth])
    return depth


def plain_call(size: int) -> ms.Ref[int]:
    """The same leaves in a traced workflow."""

    @ms.workflow
    def plain() -> int:
        return total([leaf(number) for number in range(size)])

    return plain()


def gathered_case(size: int) -> Sample:
    """Run `gathered` in memory."""
    return run_in_memory(gathered(size), sum(range(size)))


def plain_case(size: int) -> Sample:
    """Run the plain workflow in memory."""
    return run_in_memory(plain_call(size), sum(range(size)))


def awaited_case(size: int) -> Sample:
    """Run `awaited` in memory."""
    return run_in_memory(awaited(size), size)


@ms.task
async def says(size: int) -> AsyncIterator[str]:
    """A planner that writes one step a line, each reading the one before."""
    for number in range(1, size + 1):
        yield f"{number}. after({number}, ${number - 1})\n" if number > 1 else "1. after(1)\n"
        await asyncio.sleep(0)


@ms.task
async def after(number: int, before: int = 0) -> int:
    """A no-op that depends on one step."""
    return number


@ms.workflow
async def planned(size: int) -> int:
    """A plan that grows while its planner writes."""
    plan = LivePlan([after], max_steps=size)
    await plan.ingest(says(size))
    await plan.settled()
    return len(plan.outcomes())


def planned_case(size: int) -> Sample:
    """Run `planned` in memory."""
    return run_in_memory(planned(size), size)


def run_in_memory(call: ms.Ref[int], expected: int) -> Sample:
    """Run one call on an engine of its own."""

    async def output(engine: ms.Engine) -> int:
        result = await engine.start(call)
        return result.output

    async def body() -> Sample:
        engine = ms.Engine(store="memory")
        async with engine:
            return await clock(output(engine))

    return checked(asyncio.run(body()), expected)
