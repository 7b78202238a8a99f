"""A task's parameters: binds a call, converts each argument to its declared type and encodes it, Refs as holes.

    grade(q, answer)    args = [b"\\x82\\xa1q…\\xa6answer", 0]      sources = [Source(answer)]

Written by hand instead of `inspect.Signature.bind`, which alone costs 2.4 µs a call.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from makespan.authoring.ref import Ref, source_of
from makespan.codec import Codec, Hooks, NotEncodable, check_plain
from makespan.errors import GraphError, suggestion
from makespan.graph.node import Errors, Mode, Source
from makespan.graph.types import assignable, explain

MISSING: Any = object()
_encode = msgspec.msgpack.encode

Args = tuple[bytes | int, ...]


class HasRef(Exception):  # noqa: N818 - a signal, not an error
    """A Ref was met inside a value that was about to be encoded."""


class AuthoringHooks(Hooks):
    """Hooks that notice Refs."""

    def encode(self, value: Any) -> Any:
        if isinstance(value, Ref):
            raise HasRef
        return super().encode(value)


class Parameter:
    """One declared parameter."""

    __slots__ = ("annotation", "codec", "default", "exact", "head", "kind", "name")

    def __init__(self, name: str, annotation: Any, codec: Codec, default: Any, kind: Any) -> None:
        self.name, self.annotation, self.codec, self.kind = name, annotation, codec, kind
        self.exact = codec.exact if codec.exact in (int, str, bool, bytes) else None
        self.head = _encode(name)
        self.default = MISSING if default is MISSING else codec.encode(default)


class Signature:
    """Parameters and result of a function, with their codecs."""

    def __init__(self, fn: Callable[..., Any], key: str, hooks: Hooks, *, result: Any = MISSING) -> None:
        self.fn, self.key = fn, key
        hints = _hints(fn)
        self.parameters = [self._parameter(p, hints, hooks) for p in inspect.signature(fn).parameters.values()]
        self.names = {p.name: i for i, p in enumerate(self.parameters)}
        self.positional = sum(p.kind is not inspect.Parameter.KEYWORD_ONLY for p in self.parameters)
        self.returns = hints.get("return", Any) if result is MISSING else result
        self.result = hooks.codec(type(None) if self.returns is None else self.returns)
        self._hooks = hooks
        self._fields = msgspec.defstruct(
            "Arguments",
            [(f"p{i}", p.annotation | msgspec.UnsetType if _can_unite(p.annotation) else Any, msgspec.UNSET) for i, p in enumerate(self.parameters)],
            rename={f"p{i}": p.name for i, p in enumerate(self.parameters)},
            gc=False,
        )
        self._decoder = msgspec.msgpack.Decoder(self._fields, dec_hook=hooks.decode)
        self._slots = [f"p{i}" for i in range(len(self.parameters))]

    def _parameter(self, p: inspect.Parameter, hints: dict[str, Any], hooks: Hooks) -> Parameter:
        if p.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise GraphError(f"{self.key}: *{p.name} is not possible; declare one parameter that is a list or dict")
        annotation = hints.get(p.name, Any)
        default = MISSING if p.default is inspect.Parameter.empty else p.default
        try:
            return Parameter(p.name, annotation, hooks.codec(annotation), default, p.kind)
        except GraphError as error:
            raise GraphError(f"parameter {p.name!r} of {self.key}: {error}") from None

    # ------------------------------------------------------------ a call

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Args, list[Source]]:
        """Byte pieces with holes, and the holes' sources. Raises GraphError naming the argument that does not fit."""
        parameters = self.parameters
        values = args if len(args) == len(parameters) and not kwargs else self._bind(args, kwargs)
        parts: list[bytes] = []
        count = 0
        for parameter, value in zip(parameters, values, strict=True):
            if type(value) is parameter.exact:
                encoded = _encode(value)
            elif value is MISSING:
                continue
            elif type(value) is Ref:
                return self._encode_with_holes(values)
            else:
                try:
                    encoded = parameter.codec.encode(value)
                except HasRef:
                    return self._encode_with_holes(values)
                except NotEncodable as error:
                    if _contains_ref(value):
                        return self._encode_with_holes(values)
                    raise GraphError(f"argument {parameter.name!r} of {self.key}: {error}") from None
            if encoded != parameter.default:
                parts.append(parameter.head)
                parts.append(encoded)
                count += 1
        return (_map_header(count) + b"".join(parts),), []

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        if len(args) > self.positional:
            raise GraphError(f"{self.key} takes {self.positional} positional arguments, {len(args)} were given")
        values: list[Any] = [*args, *([MISSING] * (len(self.parameters) - len(args)))]
        for name, value in kwargs.items():
            place = self.names.get(name)
            if place is None:
                raise GraphError(f"{self.key} has no parameter {name!r}{suggestion(name, self.names)}")
            if values[place] is not MISSING:
                raise GraphError(f"argument {name!r} of {self.key} is given twice")
            values[place] = value
        for parameter, value in zip(self.parameters, values, strict=True):
            if value is MISSING and parameter.default is MISSING:
                raise GraphError(f"{self.key} misses its argument {parameter.name!r}")
        return values

    def _encode_with_holes(self, values: Any) -> tuple[Args, list[Source]]:
        pieces = Pieces()
        given = [(p, v) for p, v in zip(self.parameters, values, strict=True) if v is not MISSING]
        ready: list[tuple[Parameter, Any, bytes | None]] = []
        for parameter, value in given:
            encoded = None if _contains_ref(value) else self._encoded(parameter, value)
            if encoded is None or encoded != parameter.default:
                ready.append((parameter, value, encoded))
        pieces.add(_map_header(len(ready)))
        for parameter, value, encoded in ready:
            pieces.add(parameter.head)
            if encoded is not None:
                pieces.add(encoded)
            else:
                pieces.put(value, parameter.annotation, f"argument {parameter.name!r} of {self.key}", self._hooks)
        return pieces.done(), pieces.sources

    def _encoded(self, parameter: Parameter, value: Any) -> bytes:
        try:
            return parameter.codec.encode(value)
        except NotEncodable as error:
            raise GraphError(f"argument {parameter.name!r} of {self.key}: {error}") from None

    # ------------------------------------------------------------ an attempt

    def decode(self, args: bytes) -> dict[str, Any]:
        """Keyword arguments for the function. Raises NotEncodable when a value does not fit its parameter."""
        try:
            decoded = self._decoder.decode(args)
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            raise NotEncodable(f"an argument of {self.key} does not fit: {error}") from None
        values = {}
        for parameter, slot in zip(self.parameters, self._slots, strict=True):
            value = getattr(decoded, slot)
            if value is not msgspec.UNSET:
                values[parameter.name] = value
        return values


class Pieces:
    """Collects byte pieces and holes; neighbouring bytes are joined."""

    def __init__(self) -> None:
        self.parts: list[bytes | int] = []
        self.sources: list[Source] = []

    def add(self, piece: bytes) -> None:
        if self.parts and isinstance(self.parts[-1], bytes):
            self.parts[-1] += piece
        else:
            self.parts.append(piece)

    def hole(self, source: Source) -> None:
        self.parts.append(len(self.sources))
        self.sources.append(source)

    def done(self) -> Args:
        return tuple(self.parts)

    def put(self, value: Any, annotation: Any, where: str, hooks: Hooks) -> None:
        """Encode a value that may hold Refs at any depth of lists, tuples and dicts."""
        if isinstance(value, Ref):
            self._put_ref(value, annotation, where, hooks)
        elif not _contains_ref(value):
            try:
                self.add(hooks.codec(annotation).encode(value))
            except NotEncodable as error:
                raise GraphError(f"{where}: {error}") from None
        elif isinstance(value, (list, tuple)):
            self.add(_list_header(len(value)))
            for item in value:
                self.put(item, _item_type(annotation, 0), where, hooks)
        elif isinstance(value, dict):
            self.add(_map_header(len(value)))
            for name, item in value.items():
                check_plain(name)
                self.add(_encode(name))
                self.put(item, _item_type(annotation, 1), where, hooks)
        else:
            raise GraphError(f"{where}: a Ref inside a {type(value).__name__}; pass the Ref itself, or build it in a task")

    def _put_ref(self, ref: Ref[Any], annotation: Any, where: str, hooks: Hooks) -> None:
        if ref._unbound is not None:
            ref = bind_here(ref)
        group = ref._several
        if group is not None:
            if group.errors == Errors.DROP:
                raise GraphError(f'{where}: the length of a map with errors="drop" is not known yet; await it first')
            self.add(_list_header(len(group.refs)))
            for part in group.refs:
                self.put(part, _item_type(annotation, 0), where, hooks)
            return
        if ref._mode == Mode.VALUE and not assignable(ref._type, annotation):
            raise GraphError(f"{where} gets the result of {ref!r}: {explain(ref._type, annotation)}")
        self.hole(source_of(ref))


def bind_here(ref: Ref[Any]) -> Ref[Any]:
    """A call made outside, asked for again where it is used."""
    call = ref._unbound
    assert call is not None
    bound: Ref[Any] = call.task(*call.args, **call.kwargs)
    if bound._unbound is not None:
        raise GraphError(f"{ref!r} was made outside of a workflow: make the call inside")
    return bound


def _contains_ref(value: Any) -> bool:
    kind = type(value)
    if kind is Ref:
        return True
    if kind is list or kind is tuple:
        return any(_contains_ref(item) for item in value)
    if kind is dict:
        return any(_contains_ref(item) for item in value.values())
    fields = getattr(kind, "__struct_fields__", None) or getattr(kind, "__dataclass_fields__", None)
    return fields is not None and any(type(getattr(value, name, None)) is Ref for name in fields)


def _item_type(annotation: Any, place: int) -> Any:
    """Element type of a list, tuple or Sequence (place 0) or value type of a mapping (place 1); Any when unknown."""
    arguments = [a for a in typing.get_args(annotation) if a is not Ellipsis]
    if typing.get_origin(annotation) in (typing.Union,) or not arguments:
        return Any
    return arguments[place] if place < len(arguments) else arguments[-1] if place == 0 else Any


def _can_unite(annotation: Any) -> bool:
    return annotation is not Any


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(fn, include_extras=True)
    except NameError as error:
        raise GraphError(f"{fn.__qualname__}: the annotation {error.name!r} is not defined at module level") from None


def _map_header(count: int) -> bytes:
    if count < 16:
        return _SMALL_MAPS[count]
    return b"\xde" + count.to_bytes(2, "big")


def _list_header(count: int) -> bytes:
    if count < 16:
        return bytes([0x90 | count])
    return b"\xdc" + count.to_bytes(2, "big") if count < 65536 else b"\xdd" + count.to_bytes(4, "big")


_SMALL_MAPS = [bytes([0x80 | count]) for count in range(16)]
