"""Types that no built-in codec knows pass with `Engine(codecs=...)`."""

from __future__ import annotations

import asyncio
from typing import Any

import makespan as ms


class Fraction:
    """A class msgspec knows nothing of."""

    def __init__(self, over: int, under: int) -> None:
        self.over, self.under = over, under


@ms.task
async def half(value: Fraction) -> Fraction:
    return Fraction(value.over, value.under * 2)


@ms.workflow
async def quarter(value: Fraction) -> Fraction:
    return await half(half(value))


def test_a_registered_type_crosses_task_borders() -> None:
    async def main() -> Any:
        codecs = {Fraction: (lambda f: [f.over, f.under], lambda plain: Fraction(*plain))}
        async with ms.Engine("memory", codecs=codecs) as engine:
            return (await engine.start(quarter(Fraction(1, 1)))).output

    result = asyncio.run(main())

    assert (result.over, result.under) == (1, 4)
