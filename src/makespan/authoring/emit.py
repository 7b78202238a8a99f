"""`emit`: what a running task says before it has its result; `Run.updates` and `makespan logs --follow` show it.

ms.emit(done=3, total=10)
ms.emit({"rows": rows[:3]})
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import msgspec

from makespan.authoring.place import InsideTask, Place, current
from makespan.authoring.task import HOOKS
from makespan.codec import NotEncodable
from makespan.errors import GraphError
from makespan.logs import logger
from makespan.ports import AttemptInfo

MAX_EMIT_BYTES = 64 * 1024
"""Largest encoded value of one `emit`; a larger one is dropped, with a warning, and readers hear that it was lost."""

PROGRESS, LOST = "progress", "lost"
_NOTHING: Any = object()
_ONE = msgspec.msgpack.encode(1)


def emit(value: Any = _NOTHING, /, *, done: float | None = None, total: float | None = None) -> None:
    """Show a partial value or progress of the running task to whoever follows the run. Never waits, never journaled.

    It may be lost: of many in a short time only the newest are shown, and what a failed attempt emitted is discarded.
    Also works on threads that carry the task's context (`asyncio.to_thread`) and in worker processes.

    Args:
        value: anything a task may return; alone, it is what readers see.
        done, total: how much of how much, in any unit. Readers see `{"done": …, "total": …, "value": …}`.
    Raises:
        GraphError: outside a running task, without anything to show, or with a value that cannot be encoded.
    Cost: 2 µs, whether anybody listens or not.
    """
    info = _running()
    if done is not None or total is not None:
        value = _progress(value, done, total)
    elif value is _NOTHING:
        raise GraphError("ms.emit() has nothing to show: give it a value, or done= and total=")
    if info.emit is None:
        return
    try:
        body = HOOKS.plain_encoder.encode(value)
    except NotEncodable as error:
        raise NotEncodable(f"ms.emit in {info.key}: {error}") from None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotEncodable(f"ms.emit in {info.key}: {error}; give it what a task may return") from None
    if len(body) > MAX_EMIT_BYTES:
        logger(f"makespan.task.{info.key}").warning(
            "ms.emit: a value of %d bytes is not shown; the most is %d", len(body), MAX_EMIT_BYTES
        )
        info.emit(LOST, _ONE)
    else:
        info.emit(PROGRESS, body)


def _running() -> AttemptInfo:
    """The attempt whose code runs. Raises GraphError elsewhere, saying what to do."""
    inside = current.get()
    if isinstance(inside, InsideTask):
        if inside.info is not None:
            return inside.info
        raise GraphError(f"ms.emit in the body of the prompt {inside.key!r}: it only says what to ask")
    if isinstance(inside, Place):
        raise GraphError(
            "ms.emit in a workflow: its code runs again on every resume; emit in a task (`Run.updates` shows by itself "
            "what starts and ends)"
        )
    raise GraphError(
        "ms.emit works while a task runs; on a thread of your own run the code in the task's context: "
        "`asyncio.to_thread`, or `contextvars.copy_context().run`"
    )


def _progress(value: Any, done: float | None, total: float | None) -> dict[str, Any]:
    """What readers see of `done=`, `total=` and a value with them."""
    shown: dict[str, Any] = {}
    for name, amount in (("done", done), ("total", total)):
        if amount is None:
            continue
        if type(amount) not in (int, float) or not isfinite(amount) or amount < 0:
            raise GraphError(f"ms.emit: {name}={amount!r}: it is a number, at least 0")
        shown[name] = amount
    if done is None:
        raise GraphError("ms.emit: total= says of how much; give done= too")
    if value is not _NOTHING:
        shown["value"] = value
    return shown
