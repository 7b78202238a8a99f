"""`async for item in ref` in a live body: what a task that yields has said so far, then the rest of its result."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec

from makespan.authoring.place import here
from makespan.authoring.task import HOOKS
from makespan.authoring.yielding import Yielded, mailbox_of, receiving
from makespan.graph.node import Mode
from makespan.machine.observations import CancelTask

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


async def said(bodies: LiveBodies, ref: Ref[Any]) -> AsyncIterator[Yielded]:
    """What a task that yields says until it ends, every beginning of it; all of it is in its result."""
    place, mailbox = here("async for"), mailbox_of(ref._task)
    declaration = receiving(mailbox)
    bodies.registry.awaited[declaration] = Yielded
    while True:
        signal = place.special(declaration)
        await bodies.until_any(signal, ref._task)
        got = bodies.finished(signal)
        if got is None or got.value is None:
            bodies.ask(CancelTask(signal))
            return
        yield _yielded.decode(got.value)
