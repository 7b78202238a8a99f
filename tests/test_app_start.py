"""Starting a run under an id that the store knows already."""

import asyncio

import makespan as ms


@ms.task
def double(number: int) -> int:
    return 2 * number


@ms.workflow
async def twice(number: int) -> int:
    return await double(await double(number))


def test_a_run_killed_before_its_first_commit_is_begun_by_the_same_start() -> None:
    async def main() -> int:
        async with ms.Engine("memory") as engine:
            lease = engine.journal.create("cut", "twice", "", engine.world.owner(), 0, 10**9)
            assert lease is not None
            engine.journal.release(lease)
            return (await engine.start(twice(3), id="cut")).output

    assert asyncio.run(main()) == 12
