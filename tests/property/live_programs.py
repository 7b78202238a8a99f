"""Random async workflows: a program is a list of statements as data; a live body interprets it with the real API.

`racing` programs also use what depends on the order in which results arrive: shared lists, `first`, timeouts,
deadlines, `asyncio.wait`, chance and identical calls in branches without scopes. The others must give the same
output and graph whatever the durations are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import makespan as ms

Code = list[Any]

# ---------------------------------------------------------------- tasks


@ms.task
def step(n: int) -> int:
    return (n * 7919 + 13) % 101


@ms.task(budget_usd=0.01)
def paid(n: int) -> int:
    return (n * 104729 + 7) % 97


@ms.task(raises=ValueError)
def boom(n: int) -> int:
    raise ValueError(f"no {n}")


@ms.task
def maybe(n: int) -> int:
    if n % 3 == 0:
        raise ValueError(f"no {n}")
    return n + 1


@ms.task(retries=3)
def flaky(n: int) -> int:
    """`live_world` fails its every other attempt."""
    return n + 2


@ms.task(timeout_s=0.03, retries=1)
def hurried(n: int) -> int:
    return n + 3


@ms.task
def numbers(n: int) -> list[int]:
    return [(n + i) % 6 for i in range(n % 5)]


@ms.task
def judge(how: ms.Outcome[int]) -> int:
    return len(how.status)


@ms.workflow
def plain(n: int) -> int:
    return paid(step(n))


@ms.workflow
async def sub(code: Code, n: int) -> int:
    return await block(code, n % 1000, [])


@ms.workflow
async def program(code: Code) -> int:
    return await block(code, 1, [])


# ---------------------------------------------------------------- the interpreter

Shared = list[int]
Statement = Callable[..., Coroutine[Any, Any, int]]


async def block(code: Code, acc: int, shared: Shared) -> int:
    for name, *arguments in code:
        acc = (await STATEMENTS[name](acc, shared, *arguments)) % 1_000_003
    return acc


async def _call(acc: int, shared: Shared, n: int) -> int:
    return acc * 3 + await step(acc % 7 + n)


async def _paid(acc: int, shared: Shared, n: int) -> int:
    return acc + await paid(n)


async def _flaky(acc: int, shared: Shared, n: int) -> int:
    return acc + await flaky(n)


async def _chain(acc: int, shared: Shared, n: int) -> int:
    return acc + await paid(step(step(n)))


async def _same(acc: int, shared: Shared, n: int, times: int) -> int:
    refs = [step(n) for _ in range(times)]
    return acc + sum([await ref for ref in refs])


async def _gather(acc: int, shared: Shared, ns: list[int]) -> int:
    return acc + sum(await ms.gather(*[step(acc % 3 + n) for n in ns]))


async def _gather_failing(acc: int, shared: Shared, ns: list[int]) -> int:
    try:
        await ms.gather(*[boom(n) for n in ns])
    except ms.TaskError:
        acc += 5
    return acc


async def _branches(acc: int, shared: Shared, how: str, blocks: list[Code], scopes: list[str]) -> int:
    async def branch(number: int, code: Code) -> int:
        if not scopes:
            return await block(code, acc + number, shared)
        async with ms.scope(scopes[number]):
            return await block(code, acc + number, shared)

    work = [branch(number, code) for number, code in enumerate(blocks)]
    if how == "gather":
        return sum(await asyncio.gather(*work))
    if how == "group":
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
        return sum(task.result() for task in tasks)
    tasks = [asyncio.create_task(each) for each in work]
    first = await step(acc % 5)
    return first + sum([await task for task in tasks])


async def _loop(acc: int, shared: Shared, code: Code, scoped: bool) -> int:
    for turn in range(acc % 3 + 1):
        if scoped:
            async with ms.scope(f"round {turn}"):
                acc = await block(code, acc, shared)
        else:
            acc = await block(code, acc, shared)
    return acc


async def _try(acc: int, shared: Shared, n: int) -> int:
    try:
        return await boom(n)
    except ValueError:
        return acc + await step(n)


async def _outcome(acc: int, shared: Shared, n: int) -> int:
    how = await ms.outcome(boom(n))
    return acc + len(how.status) + await judge(ms.outcome(maybe(n)))


async def _late_outcome(acc: int, shared: Shared, n: int) -> int:
    ref = maybe(n)
    acc += await step(n + 1)
    acc += await step(n + 2)
    return acc + await judge(ms.outcome(ref))


async def _map(acc: int, shared: Shared, items: list[int], limit: int | None, errors: str) -> int:
    if errors == "keep":
        return acc + sum(bool(how) for how in await ms.map(maybe, items, errors="keep", limit=limit))
    if errors == "drop":
        return acc + sum(await ms.map(maybe, items, errors="drop", limit=limit))
    return acc + sum(await ms.map(step, items, limit=limit))


async def _map_of_ref(acc: int, shared: Shared, n: int, limit: int | None, errors: str) -> int:
    listed = numbers(n)
    if errors == "drop":
        return acc + sum(await ms.map(maybe, listed, errors="drop", limit=limit))
    return acc + sum(await ms.map(plain, listed, limit=limit))


async def _scope(acc: int, shared: Shared, name: str, code: Code) -> int:
    async with ms.scope(name):
        return await block(code, acc, shared)


async def _left_open(acc: int, shared: Shared, name: str, code: Code) -> int:
    """A scope whose block ends before what it started."""
    async with ms.scope(name):
        task = asyncio.create_task(block(code, acc, shared))
        step(acc % 4)
    return acc + await task


async def _failing_scope(acc: int, shared: Shared, name: str, n: int, later: bool) -> int:
    try:
        async with ms.scope(name):
            for i in range(3):
                step(n + i)
            if later:
                await step(n)
            raise KeyError("out")
    except KeyError:
        return acc + 1


async def _sub(acc: int, shared: Shared, code: Code) -> int:
    return acc + await sub(code, acc % 50)


async def _subs(acc: int, shared: Shared, codes: list[Code]) -> int:
    return acc + sum(await ms.gather(*[sub(code, n) for n, code in enumerate(codes)]))


async def _plain(acc: int, shared: Shared, n: int) -> int:
    return acc + await plain(acc % 5 + n)


async def _sleep(acc: int, shared: Shared, seconds: float) -> int:
    await ms.sleep(seconds)
    return acc + 1


async def _asyncio_sleep(acc: int, shared: Shared, seconds: float) -> int:
    await asyncio.sleep(seconds)
    return acc + 1


async def _cancelled_at_once(acc: int, shared: Shared, n: int) -> int:
    ref = step(n)
    ms.cancel(ref)
    try:
        return acc + await ref
    except ms.TaskError:
        return acc + 2


async def _when(acc: int, shared: Shared, n: int) -> int:
    return acc + await ms.when(step(n), lambda: step(1), lambda: paid(2), test="value > 50")


async def _fallback(acc: int, shared: Shared, n: int) -> int:
    return acc + await ms.fallback(maybe, step)(n)


# ---------------------------------------------------------------- racing statements


async def _note(acc: int, shared: Shared, n: int) -> int:
    got = await step(n)
    shared.append(got)
    return acc + got


async def _peek(acc: int, shared: Shared) -> int:
    return acc + await step(len(shared) * 10 + sum(shared[-2:]))


async def _first(acc: int, shared: Shared, ns: list[int], wanted: int | None, accept: str | None) -> int:
    try:
        if wanted:
            return acc + sum(await ms.first(*[step(n) for n in ns], n=wanted))
        return acc + await ms.first(*[maybe(n) for n in ns], accept=accept)
    except ms.TaskError:
        return acc + 9


async def _timeout(acc: int, shared: Shared, seconds: float, code: Code) -> int:
    try:
        async with asyncio.timeout(seconds):
            return await block(code, acc, shared)
    except TimeoutError:
        return acc + 1


async def _deadline(acc: int, shared: Shared, name: str, seconds: float, code: Code) -> int:
    try:
        async with ms.scope(name, deadline_s=seconds):
            return await block(code, acc, shared)
    except ms.LimitError:
        return acc + 1


async def _budget(acc: int, shared: Shared, name: str, usd: float, code: Code) -> int:
    try:
        async with ms.scope(name, budget_usd=usd):
            acc += sum(await asyncio.gather(paid(acc % 5), paid(1), flaky(1)))
            return await block(code, acc, shared)
    except ms.LimitError:
        return acc + 1


async def _hurried(acc: int, shared: Shared, n: int) -> int:
    try:
        return acc + await hurried(n)
    except ms.TaskError:
        return acc + 4


async def _cancelled_later(acc: int, shared: Shared, n: int) -> int:
    ref = step(n)
    acc += await step(n + 1)
    ms.cancel(ref)
    try:
        return acc + await ref
    except ms.TaskError:
        return acc + 2


async def _wait(acc: int, shared: Shared, blocks: list[Code], drop: bool) -> int:
    """FIRST_COMPLETED, then the others in the order of the set that asyncio gave."""
    tasks = [asyncio.create_task(_noting(code, acc + n, shared)) for n, code in enumerate(blocks)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    acc = acc * 10 + tasks.index(next(iter(done)))
    for task in pending:
        if drop:
            task.cancel()
    for task in pending:
        try:
            acc = acc * 3 + await task
        except asyncio.CancelledError:
            acc += tasks.index(task)
    return acc


async def _noting(code: Code, acc: int, shared: Shared) -> int:
    """A branch that still asks for a task when it is cancelled."""
    try:
        return await block(code, acc, shared)
    except asyncio.CancelledError:
        shared.append(acc)
        step(len(shared) + 500)
        raise


async def _as_completed(acc: int, shared: Shared, ns: list[int]) -> int:
    for done in asyncio.as_completed([asyncio.ensure_future(step(n)) for n in ns]):
        acc = acc * 3 + await done
    return acc


async def _iterate(acc: int, shared: Shared, ns: list[int]) -> int:
    async for value in ms.map(step, ns):
        acc = acc * 3 + value
    return acc


async def _chance(acc: int, shared: Shared) -> int:
    inside = ms.context()
    return acc + inside.random.randrange(5) + inside.uuid().int % 3


async def _now(acc: int, shared: Shared) -> int:
    return acc + round(ms.context().now().timestamp() * 1000) % 7


CALM: dict[str, Statement] = {
    "call": _call,
    "paid": _paid,
    "chain": _chain,
    "flaky": _flaky,
    "same": _same,
    "gather": _gather,
    "gather_failing": _gather_failing,
    "branches": _branches,
    "loop": _loop,
    "try": _try,
    "outcome": _outcome,
    "late_outcome": _late_outcome,
    "map": _map,
    "map_of_ref": _map_of_ref,
    "scope": _scope,
    "left_open": _left_open,
    "failing_scope": _failing_scope,
    "sub": _sub,
    "subs": _subs,
    "plain": _plain,
    "sleep": _sleep,
    "asyncio_sleep": _asyncio_sleep,
    "cancelled_at_once": _cancelled_at_once,
    "when": _when,
    "fallback": _fallback,
}
RACING: dict[str, Statement] = {
    "note": _note,
    "peek": _peek,
    "first": _first,
    "timeout": _timeout,
    "deadline": _deadline,
    "budget": _budget,
    "hurried": _hurried,
    "cancelled_later": _cancelled_later,
    "wait": _wait,
    "as_completed": _as_completed,
    "iterate": _iterate,
    "now": _now,
    "chance": _chance,
}
STATEMENTS = CALM | RACING
