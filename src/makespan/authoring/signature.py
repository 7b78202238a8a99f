"""A task's parameters: binds a call, converts each argument to its declared type and encodes it, Refs as holes.

    grade(q, answer)    args = [b"\\x82\\xa1q…\\xa6answer", 0]      sources = [Source(answer)]

Written by hand instead of `inspect.Signature.bind`, which alone costs 2.4 µs a call.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

import msgspec

from makespan.authoring.provide import check_needs, check_order, injections, not_an_argument
from makespan.authoring.ref import Ref
from makespan.authoring.yielding import item_type
from makespan.codec import MAX_DEPTH, Codec, Hooks, NotEncodable, check_plain, refuse_secrets
from makespan.errors import GraphError, suggestion
from makespan.files import File
from makespan.graph.node import Errors, Source
from makespan.graph.types import assignable, explain
from makespan.redaction import KNOWN

MISSING: Any = object()
_encode = msgspec.msgpack.encode

Args = tuple[bytes | int, ...]


class HasRef(Exception):
    """A Ref was met inside a value that was about to be encoded."""


class AuthoringHooks(Hooks):
    """Hooks that notice Refs."""

    def encode(self, value: Any) -> Any:
        if isinstance(value, Ref):
            raise HasRef
        return super().encode(value)


class Parameter:
    """One declared parameter."""

    __slots__ = ("annotation", "codec", "default", "exact", "head", "item", "kind", "name", "where")

    def __init__(self, name: str, annotation: Any, codec: Codec, default: Any, kind: Any, key: str) -> None:
        self.name, self.annotation, self.codec, self.kind = name, annotation, codec, kind
        self.where = f"argument {name!r} of {key}"
        self.item = MISSING if typing.get_origin(annotation) is tuple else (item_types(annotation, 1) or [MISSING])[0]
        """What each item of a list given for it must be; MISSING where that depends, or no list fits."""
        self.exact = codec.exact if codec.exact in (int, str, bool, bytes) else None
        self.head = _encode(name)
        if isinstance(default, File):
            raise GraphError(
                f"the default of {name!r} is a File, whose content would be taken nobody knows when; "
                "make it `File | None = None`, or give the file at the call"
            )
        self.default = MISSING if default is MISSING else codec.encode(default)


class Signature:
    """Parameters and result of a function, with their codecs."""

    def __init__(self, fn: Callable[..., Any], key: str, hooks: Hooks, *, result: Any = MISSING) -> None:
        self.fn, self.key = fn, key
        self.injected = injections(fn, key)
        """What the engine fills in, by parameter: no arguments of the task."""
        if self.injected:
            check_order(fn, key)
            check_needs(self.injected, key)
        hints = _hints(fn, self.injected)
        declared = inspect.signature(fn).parameters.values()
        self.parameters = [self._parameter(p, hints, hooks) for p in declared if p.name not in self.injected]
        self.names = {p.name: i for i, p in enumerate(self.parameters)}
        self.positional = sum(p.kind is not inspect.Parameter.KEYWORD_ONLY for p in self.parameters)
        self.returns = hints.get("return", Any) if result is MISSING else result
        self.item = item_type(self.returns)
        """Type of what the function yields; None where it gives its result at once."""
        if self.item is not None:
            self.returns = list[self.item]  # type: ignore[name-defined]  # made at run time
        self.result = hooks.codec(type(None) if self.returns is None else self.returns)
        self._hooks = hooks
        fields = {p.name: p.annotation for p in self.parameters}
        # A TypedDict decodes straight into keyword arguments; what was left out stays out, so the default applies.
        self._decoder: msgspec.msgpack.Decoder[dict[str, Any]] = msgspec.msgpack.Decoder(
            TypedDict("Arguments", fields, total=False),  # type: ignore[operator]  # made at run time
            dec_hook=hooks.decode,
        )

    def _parameter(self, p: inspect.Parameter, hints: dict[str, Any], hooks: Hooks) -> Parameter:
        if p.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise GraphError(f"{self.key}: *{p.name} is not possible; declare one parameter that is a list or dict")
        annotation = hints.get(p.name, Any)
        default = MISSING if p.default is inspect.Parameter.empty else p.default
        try:
            return Parameter(p.name, annotation, hooks.codec(annotation), default, p.kind, self.key)
        except GraphError as error:
            raise GraphError(f"parameter {p.name!r} of {self.key}: {error}") from None

    # ------------------------------------------------------------ a call

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Args, list[Source]]:
        """Byte pieces with holes, and the holes' sources. Raises GraphError naming the argument that does not fit."""
        parameters = self.parameters
        in_full = len(args) == self.positional == len(parameters) and not kwargs
        values = args if in_full else self._bind(args, kwargs)
        pieces = Pieces()
        parts = pieces.pending
        parts.append(b"")  # the header, once it is known how many arguments differ from their defaults
        count = 0
        for parameter, value in zip(parameters, values, strict=True):
            kind = type(value)
            if kind is parameter.exact:
                try:
                    encoded = _encode(value)
                except (OverflowError, UnicodeEncodeError) as error:
                    raise GraphError(f"{parameter.where}: {kind.__name__} cannot be stored: {error}") from None
            elif kind is Ref:
                count += 1
                parts.append(parameter.head)
                pieces.put_ref(value, parameter.annotation, parameter.where, self._hooks)
                continue
            elif value is MISSING:
                continue
            elif kind is list and value and type(value[0]) is Ref and parameter.item is not MISSING:
                count += 1
                parts.append(parameter.head)
                pieces.put_list(value, parameter.item, parameter.where, self._hooks)
                continue
            else:
                maybe = self._encoded(parameter, value)
                if maybe is None:
                    count += 1
                    parts.append(parameter.head)
                    pieces.put(value, parameter.annotation, parameter.where, self._hooks)
                    continue
                encoded = maybe
            if encoded != parameter.default:
                parts.append(parameter.head)
                parts.append(encoded)
                count += 1
        done = pieces.done(_map_header(count))
        if KNOWN.has_any:
            self._refuse_secrets(done)
        return done, pieces.sources

    def _refuse_secrets(self, encoded: Args) -> None:
        try:
            refuse_secrets(encoded)
        except NotEncodable as error:
            raise GraphError(f"an argument of {self.key}: {error}") from None

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        if len(args) > self.positional:
            injected = f" ({', '.join(self.injected)}: injected)" if self.injected else ""
            raise GraphError(
                f"{self.key} takes {self.positional} positional arguments, {len(args)} were given{injected}"
            )
        values: list[Any] = [*args, *([MISSING] * (len(self.parameters) - len(args)))]
        for name, value in kwargs.items():
            place = self.names.get(name)
            if place is None and name in self.injected:
                raise not_an_argument(name, self.injected[name], self.key)
            if place is None:
                raise GraphError(f"{self.key} has no parameter {name!r}{suggestion(name, self.names)}")
            if values[place] is not MISSING:
                raise GraphError(f"argument {name!r} of {self.key} is given twice")
            values[place] = value
        for parameter, value in zip(self.parameters, values, strict=True):
            if value is MISSING and parameter.default is MISSING:
                raise GraphError(f"{self.key} misses its argument {parameter.name!r}")
        return values

    def _encoded(self, parameter: Parameter, value: Any) -> bytes | None:
        """The encoded argument, or None when there is a Ref inside it."""
        try:
            return parameter.codec.encode(value)
        except HasRef:
            return None
        except NotEncodable as error:
            if contains_ref(value):
                return None
            raise GraphError(f"{parameter.where}: {error}") from None

    # ------------------------------------------------------------ an attempt

    def decode(self, args: bytes) -> dict[str, Any]:
        """Keyword arguments for the function. Raises NotEncodable when a value does not fit its parameter."""
        try:
            return self._decoder.decode(args)
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            raise NotEncodable(f"an argument of {self.key} does not fit: {error}") from None


class Pieces:
    """Collects byte pieces and holes; neighbouring bytes are joined."""

    __slots__ = ("parts", "pending", "sources")

    def __init__(self) -> None:
        self.parts: list[bytes | int] = []
        self.pending: list[bytes] = []
        """Bytes since the last hole."""
        self.sources: list[Source] = []

    def hole(self, source: Source) -> None:
        if self.pending:
            self.parts.append(b"".join(self.pending))
            self.pending.clear()
        self.parts.append(len(self.sources))
        self.sources.append(source)

    def done(self, header: bytes = b"") -> Args:
        if self.pending:
            self.parts.append(b"".join(self.pending))
            self.pending.clear()
        if header:
            self.parts[0] = header + self.parts[0]  # type: ignore[operator]  # the first piece is bytes
        return tuple(self.parts)

    def put(self, value: Any, annotation: Any, where: str, hooks: Hooks) -> None:
        """Encode a value that may hold Refs at any depth of lists, tuples and dicts."""
        if isinstance(value, Ref):
            self.put_ref(value, annotation, where, hooks)
        elif not contains_ref(value):
            try:
                self.pending.append(hooks.codec(annotation).encode(value))
            except NotEncodable as error:
                raise GraphError(f"{where}: {error}") from None
        elif isinstance(value, (list, tuple)):
            self.put_items(value, annotation, where, hooks)
        elif isinstance(value, dict):
            self.pending.append(_map_header(len(value)))
            for name, item in sorted(value.items(), key=lambda entry: _encode(entry[0])):
                check_plain(name)
                self.pending.append(_encode(name))
                self.put(item, value_type(annotation), where, hooks)
        else:
            raise GraphError(
                f"{where}: a Ref inside a {type(value).__name__}; pass the Ref itself, or build it in a task"
            )

    def put_items(self, values: Any, annotation: Any, where: str, hooks: Hooks) -> None:
        """A list or tuple of Refs and values, each of the type declared for its place."""
        kinds = item_types(annotation, len(values))
        if kinds is None:
            raise GraphError(f"{where} gets {len(values)} values, but {annotation} is declared; pass one value")
        self.pending.append(_list_header(len(values)))
        for item, kind in zip(values, kinds, strict=True):
            self.put(item, kind, where, hooks)

    def put_list(self, values: Any, annotation: Any, where: str, hooks: Hooks) -> None:
        """A list of Refs and values, each of the item type given."""
        self.pending.append(_list_header(len(values)))
        for item in values:
            if type(item) is Ref:
                self.put_ref(item, annotation, where, hooks)
            else:
                self.put(item, annotation, where, hooks)

    def put_ref(self, ref: Ref[Any], annotation: Any, where: str, hooks: Hooks) -> None:
        """A hole, after the check that what fills it fits."""
        if ref._special is not None and not self._is_hole(ref, annotation, where, hooks):
            return
        if ref._type is not annotation and ref._mode == 0 and not assignable(ref._type, annotation):
            raise GraphError(f"{where} gets the result of {ref!r}: {explain(ref._type, annotation)}")
        if self.pending:
            self.parts.append(b"".join(self.pending))
            self.pending.clear()
        sources = self.sources
        self.parts.append(len(sources))
        sources.append(Source(ref._task, ref._path, ref._mode))

    def _is_hole(self, ref: Ref[Any], annotation: Any, where: str, hooks: Hooks) -> bool:
        if ref._unbound is not None:
            self.put_ref(bind_here(ref), annotation, where, hooks)
            return False
        group = ref._several
        if group is None:
            return True
        if group.errors == Errors.DROP:
            raise GraphError(f'{where}: the length of a map with errors="drop" is not known yet; await it first')
        if item_types(annotation, len(group.refs)) is None:
            raise GraphError(f"{where} gets {ref!r}: {explain(ref._type, annotation)}")
        self.put_items(group.refs, annotation, where, hooks)
        return False


def bind_here(ref: Ref[Any]) -> Ref[Any]:
    """A call made outside, asked for again where it is used."""
    call = ref._unbound
    assert call is not None
    bound: Ref[Any] = call.task(*call.args, **call.kwargs)
    if bound._unbound is not None:
        raise GraphError(f"{ref!r} was made outside of a workflow: make the call inside")
    return bound


def contains_ref(value: Any, depth: int = 0) -> bool:
    """Whether there is a Ref in a value; what nests too deep to be stored has none."""
    kind = type(value)
    if kind is Ref:
        return True
    if depth > MAX_DEPTH:
        return False
    if kind is list or kind is tuple:
        return any(contains_ref(item, depth + 1) for item in value)
    if kind is dict:
        return any(contains_ref(item, depth + 1) for item in value.values())
    fields = getattr(kind, "__struct_fields__", None) or getattr(kind, "__dataclass_fields__", None)
    return fields is not None and any(type(getattr(value, name, None)) is Ref for name in fields)


def item_types(annotation: Any, count: int) -> list[Any] | None:
    """What each of `count` items of a list must be, by the type declared for the list; None where no list fits."""
    origin, arguments = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        fitting = [found for each in arguments if (found := item_types(each, count)) is not None]
        return fitting[0] if len(fitting) == 1 else [Any] * count if fitting else None
    if origin is typing.Annotated:
        return item_types(arguments[0], count)
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return list(arguments) if len(arguments) == count else None
    if origin in (Any, object) or isinstance(origin, typing.TypeVar):
        return [Any] * count
    is_list = (
        isinstance(origin, type) and issubclass(origin, Iterable) and not issubclass(origin, (str, bytes, Mapping))
    )
    return [arguments[0] if arguments else Any] * count if is_list else None


def value_type(annotation: Any) -> Any:
    """What the values of a mapping must be, by its declared type; Any when unknown."""
    arguments = typing.get_args(annotation)
    is_mapping = isinstance(typing.get_origin(annotation), type) and len(arguments) == 2
    return arguments[1] if is_mapping else Any


def _hints(fn: Callable[..., Any], injected: Mapping[str, Any]) -> dict[str, Any]:
    """Declared types; those of injected parameters may stand under TYPE_CHECKING, nothing is encoded by them."""
    try:
        if not injected:
            return typing.get_type_hints(fn, include_extras=True)
        declared = getattr(fn, "__annotations__", {})
        shown = types.SimpleNamespace(__annotations__={n: kind for n, kind in declared.items() if n not in injected})
        return typing.get_type_hints(shown, getattr(inspect.unwrap(fn), "__globals__", {}), include_extras=True)
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
