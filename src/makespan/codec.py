"""Typed values to bytes and back: msgpack by the declared type, the only form in which values move and are stored.

A consumer always gets `decode(encode(value))` by its declared type, live and resumed alike. msgspec types are native
(Structs, dataclasses, TypedDicts, dates, UUIDs, Decimals, enums, …); pydantic models, paths and numpy arrays by the
small hooks below; others by `Codecs(...)`. Nothing here pickles.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any, Generic, TypeVar, get_origin

import msgspec

from makespan.errors import ErrorRecord, GraphError, TaskError
from makespan.files import File
from makespan.redaction import KNOWN

T_co = TypeVar("T_co", covariant=True)

EXACT: dict[Any, type] = {
    int: int,
    str: str,
    bool: bool,
    bytes: bytes,
    float: float,
    None: type(None),
    type(None): type(None),
}
"""Annotations whose exact values need no conversion."""

MAX_DEPTH = 200


class NotEncodable(GraphError):
    """A value cannot cross a task border; the message says what is inside and what to declare."""


class Codec:
    """Encoder and decoder of one declared type. Cost: 0.1 µs for scalars, about 1 µs + size for the rest."""

    __slots__ = ("_decoder", "_encoder", "_plain_encoder", "annotation", "exact")

    def __init__(self, annotation: Any, hooks: Hooks) -> None:
        self.annotation = annotation
        self.exact = EXACT.get(annotation) if _is_hashable(annotation) else None
        self._encoder, self._plain_encoder = hooks.encoder, hooks.plain_encoder
        try:
            self._decoder = msgspec.msgpack.Decoder(annotation, dec_hook=hooks.decode)
        except (TypeError, NameError) as error:
            raise GraphError(f"{_name(annotation)} cannot be a task's argument or result: {error}") from None

    def encode(self, value: Any) -> bytes:
        """Canonical bytes of a value, converted to the declared type first (`1` for a float becomes `1.0`).

        Raises:
            NotEncodable: the value does not fit the type, or holds what JSON-like data cannot.
        """
        if type(value) is self.exact:
            return self._encode_any(value)
        if self.annotation is Any:
            check_plain(value)
            return self._encode_any(value)
        if self.exact is float and type(value) is int:
            try:
                return self._encoder.encode(float(value))
            except OverflowError:
                raise NotEncodable("the number is too large for a float") from None
        encoded = self._encode_any(value)
        try:
            return self._encode_any(self._decoder.decode(encoded))
        except NotEncodable:
            raise
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            raise NotEncodable(f"{error} (declared {_name(self.annotation)}, got {_name(type(value))})") from None

    def _encode_any(self, value: Any) -> bytes:
        try:
            encoded = self._encoder.encode(value)
        except NotEncodable:
            raise
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            if "str keys" not in str(error):
                raise NotEncodable(f"{_name(type(value))} cannot be stored: {error}") from None
            encoded = self._plain_encoder.encode(in_order(value, self._plain_encoder))
        if KNOWN.has_any:
            refuse_secrets((encoded,))
        return encoded

    def decode(self, encoded: bytes) -> Any:
        """The value by the declared type. Raises NotEncodable when the bytes hold something else."""
        try:
            return self._decoder.decode(encoded)
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            raise NotEncodable(f"{error} (wanted {_name(self.annotation)})") from None


class Hooks:
    """How types that msgspec does not know are turned into ones it knows."""

    def __init__(self, custom: Mapping[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] | None = None) -> None:
        self._custom = dict(custom or {})
        self._codecs: dict[Any, Codec] = {}
        self.encoder = msgspec.msgpack.Encoder(enc_hook=self.encode, order="deterministic", decimal_format="string")
        self.plain_encoder = msgspec.msgpack.Encoder(enc_hook=self.encode, decimal_format="string")

    def register(self, codecs: Mapping[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]]) -> None:
        """Add types with their (to_plain, from_plain)."""
        self._custom.update(codecs)

    def codec(self, annotation: Any) -> Codec:
        """The codec of a declared type, made once."""
        if not _is_hashable(annotation):
            return Codec(annotation, self)
        found = self._codecs.get(annotation)
        if found is None:
            found = self._codecs[annotation] = Codec(annotation, self)
        return found

    def convert(self, plain: Any, annotation: Any) -> Any:
        """JSON-like data as a value of a type. Raises NotEncodable when it does not fit."""
        kind = type(None) if annotation is None else annotation
        try:
            return msgspec.convert(plain, kind, str_keys=True, dec_hook=self.decode)
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            raise NotEncodable(f"{error} (wanted {_name(kind)})") from None

    def encode(self, value: Any) -> Any:
        """msgspec's enc_hook."""
        if type(value) is File:
            return value.to_plain()
        for kind, (to_plain, _) in self._custom.items():
            if isinstance(value, kind):
                return to_plain(value)
        if hasattr(value, "__to_plain__"):
            return value.__to_plain__()
        if hasattr(value, "model_dump"):
            return value.model_dump(mode="json", by_alias=True, round_trip=True)
        if isinstance(value, PurePath):
            return str(value)
        if type(value).__module__ == "numpy":
            return _numpy_to_plain(value)
        raise NotEncodable(
            f"{_name(type(value))} cannot be stored; return JSON-like data, a dataclass or a msgspec.Struct, "
            f"or register the type: Engine(codecs={{{type(value).__name__}: (to_plain, from_plain)}})"
        )

    def decode(self, kind: Any, plain: Any) -> Any:
        """msgspec's dec_hook."""
        if kind is File:
            return File.from_plain(plain)
        from_plain = getattr(get_origin(kind) or kind, "__from_plain__", None)
        if from_plain is not None:
            return from_plain(kind, plain)
        if kind in self._custom:
            return self._custom[kind][1](plain)
        if hasattr(kind, "model_validate"):
            return kind.model_validate(plain)
        if isinstance(kind, type) and issubclass(kind, PurePath):
            return kind(plain)
        if getattr(kind, "__module__", "") == "numpy":
            return _numpy_from_plain(kind, plain)
        raise TypeError(f"{_name(kind)} cannot be read back; register it with Engine(codecs=...)")


def refuse_secrets(encoded: Iterable[bytes | int]) -> None:
    """Raise NotEncodable when encoded data holds a secret this process knows: what is encoded here is stored."""
    reference = KNOWN.found(encoded)
    if reference is not None:
        raise NotEncodable(
            f"it holds the secret {reference}, which must not be stored; "
            f"let the task that needs it take it by `= ms.use(ms.secret({reference!r}))`"
        )


def check_plain(value: Any, depth: int = 0) -> None:
    """Refuse what a parameter or result without annotation (Any) may not hold: only JSON-like values can."""
    kind = type(value)
    if kind in (str, int, bool, type(None), bytes):
        return
    if kind is float:
        if not math.isfinite(value):
            raise NotEncodable(f"{value} is not JSON; declare the type as float to allow it")
        return
    if depth > MAX_DEPTH:
        raise NotEncodable(f"the value nests deeper than {MAX_DEPTH}")
    if kind is list:
        for item in value:
            check_plain(item, depth + 1)
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise NotEncodable(f"a dict key is {_name(type(key))}; without a declared type keys must be str")
            check_plain(item, depth + 1)
    else:
        raise NotEncodable(
            f"{_name(kind)} needs a declared type: without annotation (Any) only JSON values pass; "
            f"annotate it, e.g. `x: {kind.__name__}`"
        )


def in_order(value: Any, encoder: msgspec.msgpack.Encoder) -> Any:
    """A value whose dicts and sets stand in the order of their encoded keys, for what the deterministic encoder does
    not take: dicts whose keys are no text."""
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: encoder.encode(item[0]))
        return {key: in_order(item, encoder) for key, item in items}
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=encoder.encode)
    if type(value) in (list, tuple):
        return [in_order(item, encoder) for item in value]
    return value


def _numpy_to_plain(value: Any) -> Any:
    numpy: Any = sys.modules["numpy"]
    if not isinstance(value, numpy.ndarray):
        return value.item()
    if value.dtype.kind in "OV":
        raise NotEncodable(f"an array of dtype {value.dtype} cannot be stored; only numbers, text and dates can")
    return {"dtype": value.dtype.str, "shape": list(value.shape), "data": value.tobytes()}


def _numpy_from_plain(kind: Any, plain: Any) -> Any:
    numpy: Any = sys.modules["numpy"]  # an optional dependency: an annotation of its types shows it is there
    if not isinstance(plain, dict):
        return kind(plain)
    return numpy.frombuffer(plain["data"], dtype=plain["dtype"]).reshape(plain["shape"]).copy()


def _is_hashable(annotation: Any) -> bool:
    try:
        hash(annotation)
    except TypeError:
        return False
    return True


def _name(annotation: Any) -> str:
    name: str = getattr(annotation, "__name__", None) or str(annotation)
    return name


class Outcome(msgspec.Struct, Generic[T_co], frozen=True):
    """How a task ended, as data. Truthy when it succeeded."""

    status: str
    """succeeded, failed, skipped or cancelled."""
    result: T_co | None = msgspec.field(name="value", default=None)
    failure: ErrorRecord | None = msgspec.field(name="error", default=None)
    task: str = ""

    @property
    def value(self) -> T_co:
        """The task's value. Raises its TaskError when there is none."""
        if self.status != "succeeded":
            raise self.error or TaskError(self.task, ErrorRecord("makespan.Skipped", f"the task was {self.status}"))
        return self.result  # type: ignore[return-value]  # None is a value where T allows it

    @property
    def error(self) -> TaskError | None:
        """Why it failed, None for anything but a failure or a cancellation."""
        return None if self.failure is None else TaskError(self.task, self.failure)

    def __bool__(self) -> bool:
        return self.status == "succeeded"
