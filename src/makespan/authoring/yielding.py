"""Tasks that yield: an async generator function is a task whose result is the list of what it yielded, and a prompt
that returns `AsyncIterator[str]` yields its answer line by line.

    @ms.task                                              async for line in read(path):    as they come, live
    async def read(path: str) -> AsyncIterator[str]: …    lines = await read(path)         all of them

What was yielded reaches the body as messages of the run, so a body that is resumed sees the same again. An attempt that
is repeated yields from the start: `Yielded.start` says which beginning an item belongs to.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from functools import lru_cache
from typing import Any, get_args, get_origin

import msgspec

from makespan.graph.node import Declaration, Kind, Wait
from makespan.ports import AttemptInfo

ITEMS = "items:"
"""Begins the names of the mailboxes for what tasks yield."""
_STREAMS = (AsyncIterator, AsyncIterable, AsyncGenerator)
_encode = msgspec.msgpack.encode


class Yielded(msgspec.Struct, frozen=True):
    """One item of a task that yields."""

    start: str
    """Which beginning it belongs to: an attempt, and within it a model or an answer that was given up."""
    index: int
    body: bytes
    """Encoded by the item's type."""


def item_type(annotation: Any) -> Any:
    """The type of what a function with this return annotation yields; None where it yields nothing."""
    if get_origin(annotation) not in _STREAMS:
        return None
    return get_args(annotation)[0]


def mailbox_of(task: bytes) -> str:
    """Where the items of a task arrive."""
    return f"{ITEMS}{task.hex()}"


@lru_cache(maxsize=1024)
def receiving(mailbox: str) -> Declaration:
    """The wait for the next item."""
    return Declaration(f"next {mailbox}", Kind.SIGNAL, returns="Yielded", wait=Wait(mailbox, b"{}"))


class Telling:
    """Says what one attempt yields."""

    def __init__(self, info: AttemptInfo) -> None:
        self._info, self._starts, self._count = info, 0, 0
        self._mailbox = mailbox_of(info.task_id)

    def start_over(self) -> None:
        """What was said so far does not count."""
        if self._count:
            self._starts, self._count = self._starts + 1, 0

    def tell(self, body: bytes) -> None:
        """Pass one encoded item on."""
        info = self._info
        start = f"{info.generation}.{info.attempt}.{self._starts}"
        item = Yielded(start, self._count, body)
        info.tell(self._mailbox, _encode(item), f"{info.task_id.hex()}/{start}/{self._count}")
        self._count += 1


async def collected(items: AsyncIterator[Any], encode: Callable[[Any], bytes], info: AttemptInfo) -> list[Any]:
    """Everything a generator yields, told as it comes."""
    telling, found = Telling(info), []
    async for item in items:
        telling.tell(encode(item))
        found.append(item)
    return found


class Lines:
    """A model's text, told line by line."""

    def __init__(self, telling: Telling) -> None:
        self._telling, self._rest = telling, ""

    def take(self, text: str) -> None:
        """More of the text."""
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            self._telling.tell(_encode(f"{line}\n"))

    def start_over(self) -> None:
        """The text so far belongs to an answer that was given up."""
        self._rest = ""
        self._telling.start_over()


def lines_of(text: str) -> list[str]:
    """A whole text as `Lines` tells it, with what follows its last line break."""
    *whole, rest = text.split("\n")
    return [*(f"{line}\n" for line in whole), *([rest] if rest else [])]
