"""Mistakes that both type checkers must refuse, each on a line marked `# wrong`. Never run."""

# ruff: noqa: F841

from collections.abc import AsyncIterator
from dataclasses import dataclass

import makespan as ms


@dataclass(frozen=True)
class Paid:
    usd: float


@dataclass(frozen=True)
class Cancel:
    why: str


@ms.task
async def search(query: str, limit: int = 5) -> list[str]:
    return [query] * limit


@ms.task(retires=2)  # wrong
async def misspelt() -> None: ...


@ms.task(effect="harmless")  # wrong
async def unknown_effect() -> None: ...


@ms.prompt(models=["fast"])
def summarise(text: str) -> str:
    return ms.chat(text)


@ms.provide
def port() -> int:
    return 1


@ms.provide(scope="process")  # wrong
def unknown_scope() -> int:
    return 1


@ms.task
def takes_the_wrong_type(host: str = ms.use(port)) -> str:  # wrong
    return host


@ms.task
def takes_no_marker(key: str = ms.secret("env:KEY")) -> str:  # wrong
    return key


@ms.task
async def rows() -> AsyncIterator[int]:
    yield 1


@ms.workflow
async def reads() -> None:
    async for row in rows():
        text: str = row  # wrong
    first: int = await rows()  # wrong


@ms.task
async def unbook(ref: str) -> None: ...


@ms.task(undo="unbook")  # wrong
async def book(kind: str) -> str:
    return kind


@ms.task(undo=unbook, approve="yes")  # wrong
async def pay(usd: float) -> str:
    return "paid"


@ms.task(effect="pure", cache_s="1h")  # wrong
def cached() -> str:
    return "once"


@ms.task(effect="pure", cache_s=3600)
def clean(raw: ms.File) -> ms.File:
    return raw


@ms.prompt(models=["fast"], tools=[unbook], max_turn=3)  # wrong
def misspelt_agent(text: str) -> str:
    return ms.chat(text)


@ms.prompt(models=["fast"], tools=["search"])  # wrong
def tools_are_tasks(text: str) -> str:
    return ms.chat(text)


@ms.workflow(schedule="30 2 * * *")  # wrong
async def nightly() -> None: ...


@ms.workflow(schedule=ms.Cron("30 2 * * *", missed="twice"))  # wrong
async def missed() -> None: ...


@ms.task
async def alert(ended: ms.Result[int]) -> None: ...


@ms.workflow(on_end=alert, on_ends=alert)  # wrong
async def told() -> None: ...


@ms.task(schedule=ms.Cron("30 2 * * *"))  # wrong
async def tasks_have_no_schedule() -> None: ...


@ms.workflow
async def waits() -> str:
    paid: str = await ms.receive("paid", Paid)  # wrong
    ms.receive(Paid)  # wrong
    answer: str = await ms.ask("Refund?")  # wrong
    count: str = await ms.ask("How many?", int)  # wrong
    ms.ask("How many?", int, deadline_s="1h", default=3)  # wrong
    await ms.sleep("1h")  # wrong
    await ms.sleep(60, until=None)  # wrong
    got = await ms.first(ms.receive("paid", Paid), ms.receive("cancel", Cancel), ms.sleep(60))
    why: str = got.why  # wrong
    clean("raw.csv")  # wrong
    memory = ms.state("chat", Paid)
    usd: float = await memory  # wrong
    await memory.set("much")  # wrong
    async with ms.scope("booking", undo="yes"):  # wrong
        pass
    digest: int = (await clean(ms.File("raw.csv"))).digest  # wrong
    outcomes = await ms.map(search, ["a", "b"], errors="keep")
    found: list[str] = outcomes[0]  # wrong
    two = await ms.first(search("a"), search("b"), n=2)
    one: list[str] = two  # wrong
    ms.map(search, [1, 2])  # wrong
    ms.map(search, ["a"], errors="ignore")  # wrong
    return "text"


@ms.workflow
async def body() -> int:
    search(1)  # wrong
    search("q", limits=2)  # wrong
    search.options(priorty=1)("q")  # wrong
    number: int = await search("q")  # wrong
    pair = await ms.gather(search("a"), search("b"))
    numbers: tuple[int, int] = pair  # wrong
    summarise(7)  # wrong
    either = await ms.first(search("a"), search("b"))
    found: int = either  # wrong
    return "text"  # wrong


@ms.prompt(models=["fast"])
def not_a_text(number: int) -> str:
    return ms.chat(number)  # wrong


ms.run(body(), budget=1)  # wrong
ms.run(body(), budget_usd="1")  # wrong
result: str = ms.run(body()).output  # wrong
ms.run(body(), session=7)  # wrong
ms.run(body(), session="s", busy="wait")  # wrong
ms.run(body(), scheduled_at="2026-01-01")  # wrong
ms.testing.run(body(), crash_at="every")  # wrong
text: str = ms.testing.run(body()).output  # wrong
ms.evals.suite(search, ["a case"], [])  # wrong
