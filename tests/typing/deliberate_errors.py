"""Mistakes that both type checkers must refuse, each on a line marked `# wrong`. Never run."""

# ruff: noqa: F841

import makespan as ms


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
