"""The planner that writes at a steady pace."""

import asyncio

from bench.plans.streaming import lines


def test_lines_come_after_the_first_token_and_then_at_a_steady_pace() -> None:
    now_s = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    async def written() -> list[tuple[float, str]]:
        return [(now_s, line) async for line in lines("a\nb\nc", 0.5, 0.25, sleep)]

    assert asyncio.run(written()) == [(0.75, "a\n"), (1.0, "b\n"), (1.25, "c\n")]
