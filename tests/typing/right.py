"""What both type checkers must accept, with the types they must see. Never run."""

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import makespan as ms


@ms.task
async def search(query: str, limit: int = 5) -> list[str]:
    return [query] * limit


@ms.task
def length(texts: list[str]) -> int:
    return len(texts)


class Pool:
    async def fetch(self, query: str) -> list[str]:
        return [query]


@ms.provide
async def pool(dsn: str = ms.use(ms.secret("env:DSN"))) -> AsyncIterator[Pool]:
    yield Pool()


@ms.provide(scope="attempt")
def folder() -> Iterator[str]:
    yield "folder"


@ms.provide(scope="run")
async def number(inside: Pool = ms.use(pool)) -> int:
    return 3


@ms.provide
def plainly() -> Pool:
    return Pool()


@ms.task
async def injected(
    query: str, pool: Pool = ms.use(pool), *, path: str = ms.use(folder), n: int = ms.use(number)
) -> list[str]:
    return await pool.fetch(query)


assert_type(ms.use(plainly), Pool)
assert_type(ms.use(ms.secret("file:/key")), str)


@ms.workflow
def plain(query: str) -> int:
    return length(search(query))


@ms.workflow
async def body(query: str) -> int:
    found = await search(query)
    assert_type(found, list[str])
    assert_type(await length(search(query)), int)
    assert_type(await plain(query), int)
    assert_type(await ms.gather(search("a"), length(["b"])), tuple[list[str], int])
    assert_type(await ms.first(search("a"), length(["b"])), list[str] | int)
    outcome = await ms.outcome(search("a"))
    assert_type(outcome.value, list[str])
    assert_type(await ms.map(lambda q: search(q), ["a", "b"]), list[list[str]])
    assert_type(await ms.sleep(1), None)
    assert_type(await injected(query), list[str])
    async with ms.scope("part", budget_usd=0.5):
        assert_type(await search.options(priority=3)(query), list[str])
    return len(found)


assert_type(ms.run(body("q"), budget_usd=0.1, deadline_s=60).output, int)
