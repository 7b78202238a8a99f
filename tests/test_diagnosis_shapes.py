"""Where a run of maps, sub-workflows and live bodies first went wrong, and that the command which mends it does."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

import makespan as ms
from makespan.diagnosis import diagnose
from makespan.graph.node import Kind
from makespan.ports import Produced
from makespan.runtime.attempts import Call
from tests.prove import prove_count


@ms.task(effect="pure", executor="inline")
def add(a: int, b: int) -> int:
    return (a * 31 + b * 7 + 3) % 100_003


@ms.task(effect="pure")
async def double(n: int) -> int:
    return n * 2 % 100_003


@ms.task(effect="idempotent", executor="inline")
def series(n: int) -> list[int]:
    return [n % 17, n % 23, n % 29]


@ms.task(effect="pure", executor="inline")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@ms.workflow
def inside(a: int, b: int) -> int:
    return add(double(a), add(b, 1))


@ms.workflow
def mapped(n: int) -> int:
    return total(ms.map(double, series(n)))


@ms.workflow
async def live(n: int) -> int:
    found = await double(n)
    for number in range(2):
        found = await add(found, number)
    return await total(list(await asyncio.gather(*(double(found + number) for number in range(3)))))


@ms.workflow
def mixed(n: int) -> int:
    return add(add(inside(n, 2), mapped(live(n))), mapped(n))


@ms.workflow
async def live_and_mixed(n: int) -> int:
    first = await mapped(await inside(n, 2))
    left, right = await asyncio.gather(live(first), inside(first, n))
    return await add(left, right)


async def one_case(workflow: Any, seed: int) -> tuple[bool, str, bool]:
    """(whether the planted task was named, what mends it, whether that gave the right output)."""
    chance, target, more = random.Random(seed), b"", 0

    async def plant(call: Call, rest: Callable[[Call], Awaitable[Produced]]) -> Produced:
        produced = await rest(call)
        if call.info.task_id != target:
            return produced
        value = msgspec.msgpack.decode(produced.value)
        wrong = value + more if isinstance(value, int) else [value[0] + more, *value[1:]]
        return Produced(msgspec.msgpack.encode(wrong))

    n = chance.randrange(1000)
    async with ms.Engine(store="memory", interceptors=[plant]) as engine:
        clean = await engine.start(workflow(n), id="clean")
        planted = chance.choice([t for t in engine.stored.folded("clean")[1].tasks if t.kind == Kind.CALL])
        target, more = planted.spec.id, chance.choice([1, 5, 100])
        await engine.start(workflow(n), id="bad")
        found = await asyncio.to_thread(diagnose, lambda: engine.stored.folded("bad")[1], workflow)
        target = b""
        is_fork = found.fix_command.startswith("makespan fork bad --at ")
        if is_fork:
            mended = await engine.fork("bad", at=found.fix_command.split()[-1], workflow=workflow)
        else:
            assert found.fix_command.startswith("makespan run "), found.fix_command
            mended = await engine.start(workflow(n), id="anew")
        is_named = found.onset is not None and found.onset.task == planted.spec.id.hex()
        return is_named, "a fork" if is_fork else "a new run", bool(mended) and mended.output == clean.output


@pytest.mark.prove
def test_in_every_shape_the_planted_task_is_named_and_what_is_said_to_mend_the_run_does() -> None:
    count, shapes = prove_count(40), (inside_of_two, mapped, live, mixed, live_and_mixed)
    for workflow in shapes:
        named, mended, ways = 0, 0, Counter[str]()
        for seed in range(count):
            is_named, way, is_right = asyncio.run(one_case(workflow, seed))
            named, mended, ways = named + is_named, mended + is_right, ways + Counter([way])
        print(f"{workflow.key:16} {named:3} of {count} named, {mended:3} mended: {dict(ways)}")

        assert named == mended == count


@ms.workflow
def inside_of_two(n: int) -> int:
    return total([inside(n, 1), inside(n, 2)])
