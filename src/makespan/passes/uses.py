"""What a serial trace is made of, and what is found in it: calls, where each value came from, and what is in doubt."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from makespan.passes.occurrences import Path

Effect = Literal["pure", "idempotent", "irreversible", ""]
"""What repeating a call does to the world; empty where nobody said."""
Orders = Literal["none", "writes", "all"]
"""Which calls keep their order although no value passes between them: none, those that may write (irreversible, or of
an effect that nobody declared) among each other, or also what is idempotent before and behind each of these."""


class Known(msgspec.Struct, frozen=True):
    """A dependency that needs no search: the call was made with the result itself."""

    producer: str
    at: Path = ()
    """Where in the arguments the result stands; empty for one that is only waited for."""
    path: Path = ()
    """Which part of the result it is."""


class Call(msgspec.Struct, frozen=True):
    """One finished call of a tool. Values are JSON-like."""

    name: str
    tool: str
    arguments: dict[str, Any] = {}
    result: Any = None
    """What it gave; of a failed call, the message."""
    ok: bool = True
    effect: Effect = ""
    known: tuple[Known, ...] = ()
    took_ns: int = 0
    asked: int | None = None
    """How many calls had ended when it was asked for: the first so many by `ended`. None: all before it in the list."""
    ended: int | None = None
    """Its place among the ends, from 0. None: its place in the list."""


class Taken(msgspec.Struct, frozen=True):
    """In an argument: the result of another call, or a part of it."""

    producer: str
    path: Path = ()


class Joined(msgspec.Struct, frozen=True):
    """In an argument: a text with results in it."""

    parts: tuple[str | Taken, ...]


class Use(msgspec.Struct, frozen=True):
    """One call's use of another's result, with the evidence.

    Kinds: `value` the argument, or a part of it, is the result or a part of it; `text` the same inside a text; `quote`
    it stands inside a text of the result; `rounded` a number of the result, rounded; `known` from the start; `order`
    no value, but their order is kept.
    """

    call: str
    producer: str
    kind: Literal["value", "text", "quote", "rounded", "known", "order"]
    at: Path = ()
    """Where in the arguments: the parameter, then keys and indexes."""
    span: tuple[int, int] | None = None
    """Characters of the text there; None for the whole value."""
    path: Path = ()
    """Where in the result."""
    text: str = ""
    """What was found, shortened."""
    replaced: bool = False
    """Whether the result stands in the plan instead of the value; otherwise the call only waits for it."""
    exact: bool = True
    """Whether the plan's argument is the trace's to the letter; false where a number was written in another way."""
    sure: bool = True
    """Whether nothing else could have been the source; otherwise there is a doubt of the same place."""


REASONS = {
    "several": "several results have it",
    "common": "a value as common as this may be chance",
    "own": "the caller had used it before any result had it",
    "given": "the run's input has it too",
    "echo": "only results of calls that were given it have it",
    "failed": "only a failed call said it",
    "words": "words of an earlier result, which prove nothing",
    "inexact": "the plan cannot compute it: it is kept as it was",
    "effect": "it may see what an earlier call wrote",
}


class Doubt(msgspec.Struct, frozen=True):
    """Something that could have been otherwise."""

    call: str
    at: Path
    text: str
    kind: str
    """One of `REASONS`."""
    chosen: str = ""
    """The call that is taken for the source; empty where the value is a constant of the plan."""
    candidates: tuple[str, ...] = ()
    """Calls that may be the source instead, or as well."""

    def __str__(self) -> str:
        place = f"{self.call}.{'.'.join(map(str, self.at))}" if self.at else self.call
        what = f"from {self.chosen}" if self.chosen else "a constant"
        others = f"; or from {', '.join(self.candidates)}" if self.candidates else ""
        value = f" {self.text!r}" if self.text else ""
        if self.kind == "effect":
            return f"{place}: {REASONS[self.kind]}: {', '.join(self.candidates)}"
        return f"{place}:{value} is {what}{others}: {REASONS[self.kind]}"


TEXT_CHARACTERS = 60
"""Of a value that evidence or a doubt shows."""


def shortened(text: str) -> str:
    """A value for people."""
    return text if len(text) <= TEXT_CHARACTERS else text[: TEXT_CHARACTERS - 1] + "…"
