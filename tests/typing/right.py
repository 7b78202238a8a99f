"""What both type checkers must accept, with the types they must see. Never run."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import assert_type

import makespan as ms
from makespan.evals import Case, Report


@dataclass(frozen=True)
class Paid:
    usd: float


@dataclass(frozen=True)
class Cancel:
    why: str


@dataclass(frozen=True)
class Chat:
    messages: list[ms.Message] = field(default_factory=list)


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


@ms.task
async def unbook(ref: str) -> None: ...


@ms.task(effect="irreversible", undo=unbook, approve=True, raises=(ValueError,))
async def book(kind: str) -> str:
    return kind


@ms.task(effect="pure", cache_s=3600)
def clean(raw: ms.File) -> ms.File:
    return ms.File(ms.context().workdir / raw.name)


@ms.prompt(models=["main"], tools=[search, book], max_turns=4, stream=True, budget_usd=0.2)
def agent(history: list[ms.Message], ticket: str) -> Paid:
    return ms.chat(history, ms.Message.user(ticket), system="Be kind.")


@ms.task
async def rows(path: str) -> AsyncIterator[Paid]:
    yield Paid(1.0)


@ms.task(retries=2)
async def words() -> AsyncIterator[str]:
    yield "a"


@ms.prompt(models=["main"])
def poem(about: str) -> AsyncIterator[str]:
    return ms.chat(about)


@ms.workflow
async def reads() -> int:
    assert_type(await rows("a.csv"), list[Paid])
    assert_type(await words(), list[str])
    assert_type(await poem("rain"), list[str])
    async for row in rows("a.csv"):
        assert_type(row, Paid)
    async for line in poem("rain"):
        assert_type(line, str)
    assert_type([word async for word in words()], list[str])
    return length(poem("rain"))


@ms.task(effect="idempotent")
async def alert(ended: ms.Result[object]) -> None: ...


@ms.workflow(schedule=ms.Cron("30 2 * * *", tz="Europe/Berlin", missed="once"), on_end=alert)
async def nightly() -> int:
    assert_type(ms.context().scheduled_at, datetime)
    return 1


@ms.workflow
async def waits() -> str:
    assert_type(await ms.receive("paid", Paid), Paid)
    assert_type(await ms.ask("Refund?"), bool)
    assert_type(await ms.ask("How many?", int, deadline_s=3600, default=1), int)
    assert_type(await ms.sleep(until=datetime(2027, 1, 1, tzinfo=UTC)), None)
    got = await ms.first(ms.receive("paid", Paid), ms.receive("cancel", Cancel), ms.sleep(60))
    assert_type(got, Paid | Cancel | None)
    match got:
        case Paid(usd=usd):
            assert_type(usd, float)
        case Cancel(why=why):
            assert_type(why, str)
        case None:
            pass
    memory = ms.state("chat", Chat)
    chat = await memory
    assert_type(chat, Chat)
    await memory.set(Chat([*chat.messages, ms.Message.assistant("yes")]))
    async with ms.scope("booking", undo=True):
        assert_type(await ms.gather(book("flight"), book("hotel")), tuple[str, str])
    assert_type(await clean(ms.File("raw.csv")), ms.File)
    assert_type(await clean(clean(ms.File("raw.csv"))), ms.File)
    assert_type(await agent(chat.messages, "broken"), Paid)
    assert_type(await ms.map(search, ["a"], errors="keep"), list[ms.Outcome[list[str]]])
    assert_type(await ms.first(search("a"), search("b"), n=2), list[list[str]])
    assert_type(await ms.when(ms.outcome(length(["a"])).value, lambda: length(["b"])), int | None)
    suite = ms.evals.suite(search, [Case("q", "a")], [lambda said, case: 1.0], grid={"priority": [1, 2]}, repeats=3)
    assert_type(await suite, Report)
    return "text"


assert_type(ms.testing.run(waits(), inbox={"paid": Paid(3)}, crash_at="each").output, str)
assert_type(ms.run(waits(), session="s", busy="queue").output, str)
assert_type(ms.run(body("q"), budget_usd=0.1, deadline_s=60).output, int)
