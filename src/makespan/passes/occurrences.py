"""Where a stretch of text stood before: a suffix automaton over the tokens of texts that come one after the other.

    "K2 is 8,611 m"  ──▶  K2 · is · 8611 · m        any run of these tokens is one walk from the root

Numbers are tokens by their value: `1,234`, `1234` and `1234.0` are the same one. White space is no token. Each state
stands for stretches that end at the same places and knows the holders of those, so every question costs one walk.
Source: Blumer et al., "The smallest automaton recognizing the subwords of a text" (1985), for several texts as in
Mohri et al., "General suffix automaton construction algorithm and space bounds" (2009).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Context, Decimal
from typing import Any

import msgspec

_NUMBER = r"(?:0|[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?"
_END = r"(?!\.\d)(?:(?!\w)|(?=[^\W\d_]+(?!\w)))"
_TOKEN = re.compile(rf"(?P<number>{_NUMBER}{_END})|\w+|\S")
"""A number may have its unit right behind it; digits inside of words, versions and leading zeros are no numbers."""

Path = tuple[str | int, ...]
MOST_WHOLES = 8
"""Whole texts that end in the same place: more are ends of each other, and told by the longer ones."""


class Token(msgspec.Struct, frozen=True, gc=False):
    """One token of a text, and where it stands there (characters, the end not included)."""

    text: str
    start: int
    end: int
    is_number: bool = False


def tokens(text: str) -> list[Token]:
    """The tokens of a text in order. Cost: linear."""
    found = []
    for match in _TOKEN.finditer(text):
        number = match["number"]
        written = match.group() if number is None else canonical(number)
        found.append(Token(written, match.start(), match.end(), number is not None))
    return found


def canonical(number: str) -> str:
    """One form for all ways to write a number, exact however long it is."""
    plain = number.replace(",", "")
    if "e" in plain or "E" in plain:
        plain = format(Decimal(plain).normalize(Context(prec=len(plain) + 1)), "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return plain


def written(value: Any) -> str | None:
    """A leaf as the text that it is or writes; None for truth values, nulls and what is no leaf."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return str(int(value)) if is_whole else repr(value)


class Holder(msgspec.Struct, frozen=True, gc=False):
    """A text that holds a stretch."""

    owner: int
    path: Path
    value: Any
    """The whole of the text, as the leaf it is."""
    is_whole: bool = False
    """Whether the stretch is all of it."""


class Stretch(msgspec.Struct, frozen=True, gc=False):
    """Tokens `start` to `end` of a text that stood somewhere before, with everyone who holds them, by age."""

    start: int
    end: int
    holders: Sequence[Holder]
    """As of now: more may join when the next text is added."""
    is_whole: bool = False
    """Whether `holders` are those whose whole text it is."""


class Occurrences:
    """The texts so far.

    Args:
        vocabulary: the tokens that will ever be asked for; all others only part the texts.
    Cost: `add` is linear in the text but for the marking of holders, O(n sqrt n) at worst; `longest` and `wholes` are
    linear in the text asked for (times the depth of links where stretches overlap); memory O(tokens kept).
    """

    def __init__(self, vocabulary: frozenset[str]) -> None:
        self._vocabulary = vocabulary
        self._next: list[dict[str, int]] = [{}]
        self._length = [0]
        self._link = [-1]
        self._holders: list[list[Holder]] = [[]]
        self._wholes: dict[int, tuple[Holder, ...]] = {}

    def __len__(self) -> int:
        return len(self._next)

    def add(self, owner: int, path: Path, value: Any, text: Sequence[Token]) -> None:
        """One more text. Owners come in order: all texts of one before those of the next."""
        holder, last, unbroken = Holder(owner, path, value), 0, bool(text)
        for token in text:
            if token.text not in self._vocabulary:
                last, unbroken = 0, False
                continue
            last = self._extended(last, token.text)
            self._mark(last, holder)
        if unbroken:
            whole = Holder(owner, path, value, is_whole=True)
            self._wholes[last] = (*self._wholes.get(last, ()), whole)

    def _extended(self, last: int, token: str) -> int:
        """The state of the text so far and one more token."""
        known = self._next[last].get(token)
        if known is not None:
            return known if self._length[known] == self._length[last] + 1 else self._split(last, token, known)
        state = self._new(self._length[last] + 1, {})
        at = last
        while at >= 0 and token not in self._next[at]:
            self._next[at][token] = state
            at = self._link[at]
        if at < 0:
            self._link[state] = 0
            return state
        other = self._next[at][token]
        is_next = self._length[other] == self._length[at] + 1
        self._link[state] = other if is_next else self._split(at, token, other)
        return state

    def _split(self, at: int, token: str, other: int) -> int:
        """A state of its own for the shorter stretches of another, which now end in more places than the longer."""
        state = self._new(self._length[at] + 1, dict(self._next[other]))
        self._link[state], self._holders[state] = self._link[other], self._holders[other].copy()
        self._link[other] = state
        while at >= 0 and self._next[at].get(token) == other:
            self._next[at][token] = state
            at = self._link[at]
        return state

    def _new(self, length: int, following: dict[str, int]) -> int:
        self._next.append(following)
        self._length.append(length)
        self._link.append(0)
        self._holders.append([])
        return len(self._next) - 1

    def _mark(self, state: int, holder: Holder) -> None:
        """Note the holder for the stretch and all its ends, as far as they do not know it."""
        while state > 0:
            held = self._holders[state]
            if held and held[-1].owner == holder.owner:
                return
            held.append(holder)
            state = self._link[state]

    # ------------------------------------------------------------ asking

    def longest(self, text: Sequence[Token]) -> Iterator[Stretch]:
        """The stretches of a text that stand somewhere and cannot be made longer, from left to right."""
        pending: Stretch | None = None
        for end, state, length in self._walk(text):
            found = Stretch(end - length, end, self._holders[state]) if length else None
            if pending is not None and (found is None or found.start != pending.start):
                yield pending
            pending = found
        if pending is not None:
            yield pending

    def wholes(self, text: Sequence[Token]) -> Iterator[Stretch]:
        """The stretches of a text that are the whole of an earlier one; of those that end together the longest few."""
        for end, at, length in self._walk(text):
            state, left = at, MOST_WHOLES
            while state > 0 and left:
                held = self._wholes.get(state)
                if held is not None and self._length[state] <= length:
                    yield Stretch(end - self._length[state], end, held, is_whole=True)
                    left -= 1
                state = self._link[state]

    def holders(self, text: Sequence[Token]) -> Sequence[Holder]:
        """Everyone who holds all of a text in one piece, by age."""
        state = 0
        for token in text:
            found = self._next[state].get(token.text)
            if found is None:
                return ()
            state = found
        return self._holders[state]

    def _walk(self, text: Sequence[Token]) -> Iterator[tuple[int, int, int]]:
        """After each token: where it ends, the state, and the length of the longest stretch that ends there."""
        state = length = 0
        for end, token in enumerate(text, 1):
            while state > 0 and token.text not in self._next[state]:
                state = self._link[state]
                length = self._length[state]
            found = self._next[state].get(token.text)
            state, length = (0, 0) if found is None else (found, length + 1)
            yield end, state, length
