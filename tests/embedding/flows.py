"""Workflows that other programs run."""

from __future__ import annotations

import makespan as ms


@ms.task
def hello(name: str) -> str:
    return f"hello {name}"


@ms.workflow
async def greet(name: str) -> str:
    return await hello(name)


@ms.workflow
def steps(name: str) -> str:
    return hello(hello(name))


@ms.workflow
async def twice(name: str) -> str:
    first = await hello(name)
    await ms.receive("go")
    return await hello(first)


@ms.task
def counting(name: str) -> str:
    for done in range(3):
        ms.emit(done=done, total=3)
    return name


@ms.workflow
async def slowly(name: str) -> str:
    return await counting(name)
