"""What both type checkers must accept, with the types they must see. Never run."""

from typing import assert_type

import makespan as ms


@ms.task
async def search(query: str, limit: int = 5) -> list[str]:
    return [query] * limit


@ms.task
def length(texts: list[str]) -> int:
    return len(texts)


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
    async with ms.scope("part", budget_usd=0.5):
        assert_type(await search.options(priority=3)(query), list[str])
    return len(found)


assert_type(ms.run(body("q"), budget_usd=0.1, deadline_s=60).output, int)
