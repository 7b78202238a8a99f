"""Tasks that yield: an async generator function is a task whose result is the list of what it yielded, and a prompt
that returns `AsyncIterator[str]` yields its answer line by line.

    @ms.task                                              async for line in read(path):    as they come, live
    async def read(path: str) -> AsyncIterator[str]: …    lines = await read(path)         all of them

What was yielded reaches the body as messages of the run, so a body that is resumed sees the same again. An attempt that
is repeated yields from the start: `Yielded.start` says which beginning an item belongs to.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing
from functools import lru_cache
from typing import Any, cast, get_args, get_origin

import msgspec

from makespan.errors import GraphError
from makespan.graph.node import Declaration, Kind, Wait
from makespan.machine.items import mailbox_of
from makespan.ports import AttemptInfo

_STREAMS = (AsyncIterator, AsyncIterable, AsyncGenerator)
_encode = msgspec.msgpack.encode


class Yielded(msgspec.Struct, frozen=True):
    """One item of a task that yields."""

    start: tuple[int, int, int]
    """Which beginning it belongs to, later ones being greater: generation, attempt, and within that the answers that
    were given up before."""
    index: int
    body: bytes
    """Encoded by the item's type."""


def item_type(annotation: Any) -> Any:
    """The type of what a function with this return annotation yields; None where it yields nothing."""
    if get_origin(annotation) not in _STREAMS:
        return None
    return get_args(annotation)[0]


def check_yields(task: Any, item: Any) -> None:
    """Refuse a function whose code and annotation do not agree on whether it yields, or that cannot yield here.

    Raises:
        GraphError: with what to write instead.
    """
    where, is_generator = task.key, inspect.isasyncgenfunction(task.fn)
    if inspect.isgeneratorfunction(task.fn):
        raise GraphError(f"{where} is a generator: write `async def` and `-> AsyncIterator[...]`, or return a list")
    if item is None and is_generator:
        raise GraphError(f"{where} yields: annotate what, `-> AsyncIterator[str]`")
    if item is None:
        return
    if task.kind != Kind.CALL:
        raise GraphError(f"{where} gives one value at its end: tasks and prompts without tools yield, it cannot")
    if task.takes_models and item is not str:
        raise GraphError(f"{where}: a prompt yields the lines of its answer: annotate `-> AsyncIterator[str]`")
    if not is_generator and not task.takes_models:
        raise GraphError(
            f"{where} is annotated to yield but has no `yield` in an `async def`: write that, or `-> list`"
        )
    if task.declaration.options.hedge is not None:
        raise GraphError(f"{where} yields: what an attempt has said cannot be taken back, so leave hedge= out")


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
        item = Yielded((info.generation, info.attempt, self._starts), self._count, body)
        start = f"{info.generation}.{info.attempt}.{self._starts}"
        info.tell(self._mailbox, _encode(item), f"{info.task_id.hex()}/{start}/{self._count}")
        self._count += 1


async def collected(items: AsyncIterator[Any], encode: Callable[[Any], bytes], info: AttemptInfo) -> list[Any]:
    """Everything a generator yields, told as it comes."""
    telling, found = Telling(info), []
    async with aclosing(cast("AsyncGenerator[Any, None]", items)):  # its `finally` runs here, whatever happens
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
