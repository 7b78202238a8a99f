"""`async for item in ref` in a live body: what a task that yields has said so far, then the rest of its result."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec

from makespan.authoring.place import here
from makespan.authoring.task import HOOKS
from makespan.authoring.yielding import Yielded, receiving
from makespan.graph.node import Mode
from makespan.machine.items import mailbox_of
from makespan.machine.observations import CancelTask
from makespan.values import TaskId

if TYPE_CHECKING:
    from makespan.authoring.bodies import LiveBodies
    from makespan.authoring.ref import Ref

_yielded = msgspec.msgpack.Decoder(Yielded)


async def items_of(bodies: LiveBodies, ref: Ref[Any]) -> AsyncIterator[Any]:
    """The items of a list, each once. Of an attempt that is repeated those behind what was given already."""
    given, item = 0, item_type(bodies, ref)
    if item is not None:
        decode = HOOKS.codec(item).decode
        async for one in said(bodies, ref):
            if one.index == given:
                given += 1
                yield decode(one.body)
    for value in (await ref)[given:]:
        yield value


def item_type(bodies: LiveBodies, ref: Ref[Any]) -> Any:
    """The type of what the task of a Ref yields; None where it yields nothing, or the Ref is a part of its result."""
    task = bodies.registry.get(ref._name)
    return None if task is None or ref._path or ref._mode != Mode.VALUE else task.signature.item


class Hearing:
    """What the bodies of one run have heard of one task so far; all its readers wait for the same next message."""

    def __init__(self) -> None:
        self.heard: list[Yielded] = []
        self.next: TaskId | None = None
        """The SIGNAL that gets the next item, where somebody waits for it."""
        self.waiting = 0


async def said(bodies: LiveBodies, ref: Ref[Any]) -> AsyncIterator[Yielded]:
    """What a task that yields says until it ends, every beginning of it; all that counts is in its result.

    Of attempts that run beside each other only the one that began last is heard.
    """
    hearing, place = bodies.hearings.setdefault(ref._task, Hearing()), 0
    while True:
        while place < len(hearing.heard):
            place += 1
            yield hearing.heard[place - 1]
        if bodies.finished(ref._task) is not None or not await _heard_more(bodies, ref, hearing, place):
            return


async def _heard_more(bodies: LiveBodies, ref: Ref[Any], hearing: Hearing, place: int) -> bool:
    """Wait for more than `place` items; False where the task has ended first."""
    if hearing.next is None:
        declaration = receiving(mailbox_of(ref._task))
        bodies.registry.awaited[declaration] = Yielded
        hearing.next = here("async for").special(declaration)
    signal, hearing.waiting = hearing.next, hearing.waiting + 1
    try:
        await bodies.until_any(signal, ref._task)
    finally:
        hearing.waiting -= 1
        if hearing.next == signal and (bodies.finished(signal) is not None or not hearing.waiting):
            _take(bodies, hearing, signal)
    return len(hearing.heard) > place or bodies.finished(ref._task) is None


def _take(bodies: LiveBodies, hearing: Hearing, signal: TaskId) -> None:
    """The message, if it came. A wait that nobody needs any more is given up: it would keep the run going."""
    hearing.next, got = None, bodies.finished(signal)
    if got is None:
        bodies.ask(CancelTask(signal))
    elif got.value is not None:
        one = _yielded.decode(got.value)
        if not hearing.heard or one.start >= hearing.heard[-1].start:
            hearing.heard.append(one)
