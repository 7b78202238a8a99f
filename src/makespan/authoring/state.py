"""`state`: one named, versioned value that the runs of a session hand on to each other.

memory = ms.state("chat", Chat)
chat = await memory                                     the newest value, or `Chat()` while there is none
await memory.set(Chat([*chat.messages, message]))       replaces the version that was read

Reading and setting are tasks of the run, so a resumed body sees what it saw, and a set that was done is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import NoneType, UnionType
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, overload

import msgspec

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.place import here
from makespan.authoring.signature import MISSING, Signature
from makespan.authoring.task import HOOKS, Task
from makespan.codec import NotEncodable
from makespan.errors import EngineBug, GraphError
from makespan.graph.node import Options
from makespan.ports import AttemptInfo, Produced, SlotStore
from makespan.values import NONE_VALUE

T = TypeVar("T")
D = TypeVar("D")

MAX_NAME_CHARS = 100
STORE_RETRIES = 3
"""Times that reading or setting is tried again while the store cannot be written."""

_OPTIONS = Options(retries=STORE_RETRIES, retry_on=("makespan.errors.JournalError",))
_encode = msgspec.msgpack.encode


class Seen(msgspec.Struct, frozen=True):
    """What reading a slot gave."""

    version: int = 0
    """0 while it was never set."""
    value: msgspec.Raw = msgspec.Raw(NONE_VALUE)
    written_by: str = ""
    session: str = ""


class _Setting(msgspec.Struct, frozen=True):
    value: msgspec.Raw
    version: int | None = None


class Slot(Generic[T]):
    """A slot of the session, or of the run alone where it has no session. Made by `ms.state`; await it to read it."""

    def __init__(self, name: str, type: Any, default: Any) -> None:
        self.name, self._type = name, type
        self._codec = HOOKS.codec(type)
        self._default = _encoded_default(name, type, default)
        self._get: Task[[], Seen] = _SlotTask(f"state get {name}", _get, Signature(_get, name, HOOKS), name)
        self._set: Task[..., int] = _SlotTask(f"state set {name}", _set, _set_signature(name, type), name)
        self._version: int | None = None

    @property
    def version(self) -> int:
        """The version this slot object read or set last; 0 while the slot was never set.

        Raises:
            GraphError: it was neither read nor set yet.
        """
        if self._version is None:
            raise GraphError(f"the version of slot {self.name!r} is not known yet: `await` the slot first")
        return self._version

    def __await__(self) -> Generator[Any, None, T]:
        seen: Seen = yield from self._get().__await__()
        self._version = seen.version
        try:
            if seen.version == 0:
                return self._first()
            value: T = self._codec.decode(bytes(seen.value))
        except NotEncodable as error:
            where = f"session {seen.session!r}" if seen.session else "this run"
            raise GraphError(
                f"slot {self.name!r} of {where} holds a value (version {seen.version}, set by run {seen.written_by}) "
                f"that does not fit the type of this code: {error}. Give new fields defaults, or set the slot without "
                f"reading it to replace the value"
            ) from None
        return value

    def _first(self) -> T:
        # Decoded anew each time: a default that a body changes is not the next one's.
        first: T = None if self._default is None else self._codec.decode(self._default)  # type: ignore[assignment]
        return first

    async def set(self, value: T) -> None:
        """Replace the version that was read (any version, if none was read) and wait until it is durable.

        It stays set whatever becomes of the run. Done once, however often the run is resumed.

        Raises:
            GraphError: the value does not fit the type.
            TaskError: of type SlotConflict: the slot was set since it was read here; read it again.
        """
        self._version = await self._set(value, self._version)

    def __repr__(self) -> str:
        return f"<state {self.name}>"


@overload
def state(name: str, type: type[T], /) -> Slot[T]: ...
@overload
def state(name: str, type: type[T], /, *, default: D) -> Slot[T | D]: ...
@overload
def state(name: str, type: Any = ..., /, *, default: Any = ...) -> Slot[Any]: ...
def state(name: str, type: Any = Any, /, *, default: Any = MISSING) -> Slot[Any]:
    """A named value that later runs of the same `session=` find again; without a session it is the run's own.

    Args:
        name: 1 to 100 characters; one slot of a session by that name.
        type: how the value is stored and given back.
        default: what reading gives while nothing was set; without it `type()`, or None where the type allows it.
    Raises:
        GraphError: outside of an async workflow, or the type needs arguments and there is no default.
    Cost: a task each time it is read or set; the store keeps the last 20 versions with the runs that set them.
    """
    if not isinstance(here("ms.state").builder, LiveBodies):
        raise GraphError(
            f"ms.state({name!r}) in a plain workflow: what it holds is only known while the workflow runs; "
            "make the workflow `async def`"
        )
    if not name or len(name) > MAX_NAME_CHARS:
        raise GraphError(f"ms.state({name!r}): its name is a text of 1 to {MAX_NAME_CHARS} characters")
    return Slot(name, type, default)


def _encoded_default(name: str, type: Any, default: Any) -> bytes | None:
    """None stands for None, which a default may be also where the type does not say so."""
    try:
        made = _made(type) if default is MISSING else default
        return None if made is None else HOOKS.codec(type).encode(made)
    except (TypeError, NotEncodable) as error:
        raise GraphError(
            f"ms.state({name!r}, {getattr(type, '__name__', type)}) has no first value ({error}): give default=..."
        ) from None


def _made(type: Any) -> Any:
    """The type's own default."""
    if type is Any or type is None or (get_origin(type) in (Union, UnionType) and NoneType in get_args(type)):
        return None
    return type()


# ---------------------------------------------------------------- the tasks behind it


def _get() -> Seen:
    raise EngineBug("reading a slot has code of its own")


def _set(value: Any, version: Any = None) -> int:
    raise EngineBug("setting a slot has code of its own")


def _set_signature(name: str, type: Any) -> Signature:
    """Of `_set`, with the value's own type."""

    def setting(value: Any, version: Any = None) -> Any: ...

    setting.__annotations__ = {"value": type, "version": int | None, "return": int}
    return Signature(setting, f"state set {name}", HOOKS)


class _SlotTask(Task[..., Any]):
    """Reading or setting one slot."""

    def __init__(self, key: str, fn: Callable[..., Any], signature: Signature, slot: str) -> None:
        super().__init__(fn, {"key": key}, defaults=_OPTIONS)
        self._signature, self._slot = signature, slot

    @property
    def code(self) -> SlotCode:
        return SlotCode(self.key, self._slot, is_read=self.fn is _get)


class SlotCode:
    """`TaskCode` of a slot. Reads are quick and stay on the loop; a write may have to wait for other processes."""

    target = ""

    def __init__(self, key: str, slot: str, *, is_read: bool) -> None:
        self.key, self._slot, self._is_read = key, slot, is_read
        self.executor: Literal["inline", "asyncio", "thread", "process"] = "inline" if is_read else "thread"

    def invoke(self, args: bytes, info: AttemptInfo) -> Produced:
        """Read or set the slot."""
        slots: SlotStore = info.services.slots
        if not self._is_read:
            setting = msgspec.msgpack.decode(args, type=_Setting)
            return Produced(_encode(slots.write(info, self._slot, bytes(setting.value), setting.version)))
        found = slots.read(info, self._slot)
        if found is None:
            return Produced(_encode(Seen(session=info.session)))
        return Produced(_encode(Seen(found.version, msgspec.Raw(found.value), found.written_by, info.session)))

    async def invoke_async(self, args: bytes, info: AttemptInfo) -> Produced:
        raise EngineBug(f"{self.key} is not asynchronous")


__all__ = ["Slot", "SlotCode", "state"]
