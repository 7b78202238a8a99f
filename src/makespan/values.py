"""Units that cannot be mixed up, and the few small values every layer passes around.

Time is integer nanoseconds, money is integer nano-USD (1 USD = 10**9), sizes are bytes. Floats of seconds and dollars
exist only in the public API; `nanos` and `nano_usd` convert once, at the border.
"""

from __future__ import annotations

from typing import Any, NewType

import msgspec

TaskId = NewType("TaskId", bytes)
"""16 bytes, blake2b-128 of where and what a task is. Never depends on the order in which code happened to call it."""
ScopeId = NewType("ScopeId", bytes)
"""16 bytes; the root scope is `ROOT_SCOPE`."""
TaskNumber = NewType("TaskNumber", int)
"""Dense number of a task inside one run, in journal order: what facts and machine use instead of the 16-byte id."""
Nanos = NewType("Nanos", int)
"""Integer nanoseconds; in facts: since the run's start."""
NanoUsd = NewType("NanoUsd", int)
"""Integer nano-USD."""

ROOT_SCOPE = ScopeId(bytes(16))
NANOS_PER_SECOND = 1_000_000_000


class Usage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Tokens one or more model calls used. `cached_tokens` is part of `prompt_tokens`."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
        )


class Blob(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A value too large for a fact: stored beside the facts under its sha256, by which it also counts in ids."""

    sha256: bytes
    size_bytes: int


BLOB_BYTES = 64 * 1024
"""Values above this are stored beside the facts, as blobs."""

Value = bytes | Blob
"""An encoded value: msgpack of the value by its declared type, or the blob that holds those bytes."""

NONE_VALUE = b"\xc0"
"""msgpack of None."""


def nanos(seconds: float) -> Nanos:
    """Seconds to integer nanoseconds."""
    return Nanos(round(seconds * NANOS_PER_SECOND))


def seconds(duration: int) -> float:
    """Integer nanoseconds to seconds."""
    return duration / NANOS_PER_SECOND


def nano_usd(usd: float) -> NanoUsd:
    """Dollars to integer nano-USD."""
    return NanoUsd(round(usd * 1_000_000_000))


def usd(amount: int) -> float:
    """Integer nano-USD to dollars."""
    return amount / 1_000_000_000


def untyped(value: bytes) -> Any:
    """The plain JSON-like value inside encoded bytes, for guards and for showing; never for handing to user code."""
    return msgspec.msgpack.decode(value)
