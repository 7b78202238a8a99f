"""Waiting for the world: `receive` a message, `ask` a person, `sleep`. Each is a Ref that survives restarts of weeks.

match await ms.first(ms.receive("paid", Paid), ms.receive("cancel", Cancel), ms.sleep(86_400)): ...
if await ms.ask(f"Refund {usd} USD?", deadline_s=3600, default=False): ...
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar, overload

import msgspec

from makespan.authoring.bodies import TIMER
from makespan.authoring.place import here
from makespan.authoring.ref import Ref
from makespan.authoring.signature import MISSING, Pieces, contains_ref
from makespan.authoring.task import HOOKS
from makespan.errors import GraphError
from makespan.graph.node import Declaration, Kind, Wait
from makespan.values import nanos, untyped

T = TypeVar("T")


@overload
def receive(name: str, /) -> Ref[Any]: ...
@overload
def receive(name: str, type: type[T], /) -> Ref[T]: ...
def receive(name: str, type: Any = Any, /) -> Ref[Any]:
    """The next message with this name (`ms.send`, `makespan send`), decoded to `type`.

    Messages wait, oldest first, until something receives them; each is received once. One that does not fit the type is
    refused and the receiver waits on.

    Raises:
        GraphError: the name is empty, or the type has no JSON form.
    """
    place = here("ms.receive")
    if not name or len(name) > 100:
        raise GraphError("a message's name has 1 to 100 characters")
    declaration = _signal(f"receive {name}", name, type, has_default=False)
    place.builder.registry.awaited[declaration] = type
    return Ref(place.builder, place.special(declaration), type, declaration.key)


@overload
def ask(question: str, /, *, about: Any = ..., deadline_s: float | None = ..., default: bool = ...) -> Ref[bool]: ...
@overload
def ask(
    question: str, type: type[T], /, *, about: Any = ..., deadline_s: float | None = ..., default: T = ...
) -> Ref[T]: ...
def ask(
    question: Any,
    type: Any = bool,
    /,
    *,
    about: Any = None,
    deadline_s: float | None = None,
    default: Any = MISSING,
) -> Ref[Any]:
    """A person's answer (`makespan approve`, `Run.answer`), checked against `type`.

    Args:
        question: what to ask: a text, or a Ref to one.
        about: what the person should see with it; may hold Refs.
        deadline_s: how long to wait; then the answer is `default`, or the task fails (`makespan.NoAnswer`).
    Raises:
        GraphError: a default without a deadline or of another type, or a type without a JSON form.
    """
    place = here("ms.ask")
    if default is not MISSING and deadline_s is None:
        raise GraphError("ms.ask(default=...) is the answer when deadline_s= is over: give that too")
    if deadline_s is not None and deadline_s <= 0:
        raise GraphError(f"ms.ask: deadline_s={deadline_s!r}: it is a number above 0")
    said: dict[str, Any] = {"question": question}
    if about is not None:
        said["about"] = about if contains_ref(about) else msgspec.to_builtins(about, enc_hook=HOOKS.encode)
    if default is not MISSING:
        said["default"] = untyped(HOOKS.codec(type).encode(default))
    declaration = _signal("ask", "", type, has_default=default is not MISSING)
    place.builder.registry.awaited[declaration] = type
    holder = Pieces()
    holder.put(said, Any, "a question", HOOKS)
    delay_ns = 0 if deadline_s is None else nanos(deadline_s)
    task = place.special(declaration, holder.done(), tuple(holder.sources), delay_ns=delay_ns)
    return Ref(place.builder, task, type, "ask")


@lru_cache(maxsize=1024)
def _signal(key: str, name: str, kind: Any, *, has_default: bool) -> Declaration:
    """What all waits of one name and type share."""
    try:
        schema = msgspec.json.encode(msgspec.json.schema(kind, schema_hook=_any_schema)) if kind is not Any else b"{}"
    except TypeError as error:
        raise GraphError(f"{key}: {error}") from None
    HOOKS.codec(kind)
    returns = getattr(kind, "__name__", None) or str(kind)
    return Declaration(key, Kind.SIGNAL, returns=returns, wait=Wait(name, schema, has_default))


def _any_schema(kind: type) -> dict[str, Any]:
    """Types that only their codec knows: pydantic models say their schema, others are anything."""
    schema: dict[str, Any] = kind.model_json_schema() if hasattr(kind, "model_json_schema") else {}
    return schema


@overload
def sleep(seconds: float, /) -> Ref[None]: ...
@overload
def sleep(*, until: datetime) -> Ref[None]: ...
def sleep(seconds: Any = None, /, *, until: Any = None) -> Ref[None]:
    """A durable timer: ends that many seconds after it becomes ready, or at a moment, restarts included.

    Args:
        seconds: a number, or a Ref to one.
        until: a datetime with a time zone, or a Ref to one; ends at once when that is past.
    """
    place = here("ms.sleep")
    if (seconds is None) == (until is None):
        raise GraphError("ms.sleep takes seconds, or until=")
    if isinstance(until, datetime) and until.tzinfo is None:
        raise GraphError(f"ms.sleep(until={until!r}) has no time zone: which moment is that?")
    if seconds is not None and not isinstance(seconds, Ref):
        return Ref(place.builder, place.special(TIMER, delay_ns=nanos(max(seconds, 0.0))), type(None), "sleep")
    said, kind = ({"until": until}, datetime) if seconds is None else ({"seconds": seconds}, float)
    holder = Pieces()
    holder.put(said, dict[str, kind], "ms.sleep", HOOKS)  # type: ignore[valid-type]
    return Ref(place.builder, place.special(TIMER, holder.done(), tuple(holder.sources)), type(None), "sleep")
