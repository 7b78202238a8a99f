"""Tasks that the documents of these tests call."""

from __future__ import annotations

from dataclasses import dataclass

import makespan as ms


@dataclass(frozen=True)
class Doc:
    """A typed value."""

    id: str
    text: str = ""


class Declined(Exception):
    """Raised by `shaky` tasks."""


@ms.task
def double(x: int) -> int:
    return 2 * x


@ms.task
def add(a: int, b: int | None = 1) -> int:
    return a + (b or 0)


@ms.task
def spread(n: int) -> list[int]:
    return list(range(n))


@ms.task
def total(values: list[int]) -> int:
    return sum(values)


@ms.task
def broken(a: int) -> int:
    raise ValueError(f"broken at {a}")


@ms.task(effect="pure", retries=1)
def name_of(doc: Doc) -> str:
    return doc.id


@ms.task
def find(q: str) -> Doc:
    return Doc(q, q.upper())


@ms.task
def is_large(value: int) -> bool:
    return value > 3


@ms.task
def fate(outcome: ms.Outcome[int]) -> str:
    return outcome.status


@ms.task
def successes(values: list[ms.Outcome[int]]) -> int:
    return sum(value.status == "succeeded" for value in values)


@ms.task(effect="irreversible")
def book(kind: str) -> str:
    return kind


@ms.workflow
def twice(x: int) -> int:
    return double(double(x))


@ms.workflow
async def live(x: int) -> int:
    return await double(x) + 1


def plain(a: int, b: int = 2) -> int:
    return a * b


NUMBER = 3
