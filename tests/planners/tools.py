"""Tools and helpers of the tests of live plans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import makespan as ms
from makespan.app import Engine
from makespan.journal.memory import MemoryJournal
from makespan.machine.facts import decode_facts
from makespan.planners.steps import Reference, Step
from makespan.testing.world import SimulatedWorld

CALLED: list[str] = []
"""What the tools of this test were called with, repeated attempts too."""


@ms.task
async def search(query: str, limit: int = 3) -> str:
    """Search the web."""
    CALLED.append(f"search {query}")
    await asyncio.sleep(2)
    return f"<{query}>"


@ms.task
async def slow(query: str) -> str:
    CALLED.append(f"slow {query}")
    await asyncio.sleep(20)
    return f"({query})"


@ms.task
async def height(name: str) -> float:
    CALLED.append(f"height {name}")
    await asyncio.sleep(1)
    return float(len(name))


@ms.task
async def add(a: float, b: float = 0.0) -> float:
    CALLED.append(f"add {a:g} {b:g}")
    await asyncio.sleep(1)
    return a + b


@ms.task
async def glue(parts: list[str], end: str | None = None) -> str:
    CALLED.append(f"glue {parts}")
    return "".join(parts) + (end or "")


@ms.task(retries=0)
async def broken(query: str = "") -> str:
    CALLED.append(f"broken {query}")
    await asyncio.sleep(1)
    raise ValueError(f"no {query}")


TOOLS = [search, slow, height, add, glue, broken]


@ms.task
async def says(text: str, seconds: float = 0.5) -> AsyncIterator[str]:
    """A planner that says this text, a line every so often."""
    for line in text.splitlines(keepends=True):
        await asyncio.sleep(seconds)
        yield line


def step(name: str, tool: str, *args: Any, after: Sequence[str] = (), **kwargs: Any) -> Step:
    """A step; `$2` is a reference."""
    return Step(name, tool, tuple(map(_said, args)), {key: _said(value) for key, value in kwargs.items()}, tuple(after))


def _said(value: Any) -> Any:
    if isinstance(value, list):
        return [_said(each) for each in value]
    return Reference(value[1:]) if isinstance(value, str) and value.startswith("$") else value


def journaled(call: Any, **options: Any) -> tuple[Any, list[Any]]:
    """A run on virtual time: its result and all its facts."""
    journal = MemoryJournal()
    with SimulatedWorld(0) as world:

        async def live() -> Any:
            async with Engine(world=world, journal=journal, **options) as engine:
                return await engine.start(call, id="r").wait()

        result = world.run_until(live())
    return result, [fact for turn in journal.read("r") for fact in decode_facts(turn)]
