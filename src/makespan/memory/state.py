"""A task memory: named, versioned values in a tree, with where each came from and what is computed from what.

    trip ── people = 3            plain
         ├─ price = 120           plain, two versions
         └─ total = 360           computed: multiply(a=people, b=price), from people at 2 and price at 5

A `Memory` is a frozen value, made by folding events (`fold.py`) that `revising.py` decides; `staleness.py` says what no
longer stands, `asking.py` answers from it, `view.py` shows a part of it under a cap.

Invariants: dependencies and parents are acyclic; a version is never altered, and its number (the memory's revision at
which it was written) is never used again, whatever was removed or taken back since.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Literal

import msgspec

from makespan.codec import NotEncodable, check_plain
from makespan.errors import UsageError

UNSET = ""
"""The text of a version without a value: no JSON is empty."""

Reason = Literal[
    "unknown",
    "exists",
    "cycle",
    "needed",
    "computed",
    "no version",
    "no mark",
    "name",
    "value",
    "limit",
    "fit",
]
"""Why a revision is refused: no such slot, there is one already, it would depend on itself, others need it, it is
computed, no such version, no such mark, a name or a value that cannot be one, a limit was met, the
rule does not fit what it is computed from."""


class RevisionRefused(UsageError):
    """A change of a memory that cannot be made; the memory is as it was.

    Args:
        reason: for programs; the message is for people, and for models.
        slot: which slot, or mark, it was about.
    """

    def __init__(self, message: str, *, reason: Reason, slot: str = "") -> None:
        super().__init__(message)
        self.reason, self.slot = reason, slot


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one memory may hold. Give others to `Memory(limits=...)`."""

    slots: int = 500
    versions: int = 20
    """Kept of each slot, besides those that marks hold; the oldest go first."""
    marks: int = 20
    needs: int = 32
    """Slots that one slot is computed from."""
    depth: int = 32
    """Of the tree, a slot without a parent being 1."""
    name_chars: int = 100
    """Of the name of a slot or a mark."""
    value_bytes: int = 64 * 1024
    """Of one value as JSON."""
    total_bytes: int = 8 * 1024 * 1024
    """Of all values of all versions, those that marks hold counted again."""


class Author(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who changes a memory, and in which turn of the work."""

    who: str = ""
    """A person, a model, a task."""
    turn: str = ""
    """The id of a run, for one."""


class Source(msgspec.Struct, frozen=True):
    """What one parameter of a rule was when a value was computed."""

    slot: str
    """Its name at that time."""
    slot_number: int
    version: int
    digest: str


class Basis(msgspec.Struct, frozen=True, omit_defaults=True):
    """By which rule a value was computed, and from which version of which slot for each parameter; empty: written."""

    rule: str = ""
    sources: dict[str, Source] = {}

    @property
    def contents(self) -> tuple[str, dict[str, str]]:
        """The rule, and the content of each parameter: equal for computations that must give the same."""
        return self.rule, {parameter: source.digest for parameter, source in self.sources.items()}


class Version(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value of a slot, with its provenance."""

    number: int
    text: str
    """Canonical JSON; `UNSET` for no value."""
    digest: str
    author: Author = Author()
    basis: Basis = Basis()
    restores: int = 0
    """The version that it brought back."""
    is_undo: bool = False
    """It took the version before it back, and does not count as a step to take back itself."""

    @property
    def value(self) -> Any:
        """A copy of the value. Call it only where there is one."""
        return msgspec.json.decode(self.text)


class Slot(msgspec.Struct, frozen=True, omit_defaults=True):
    """A named place for a value. `number`, the revision at which it was made, stays when it is renamed."""

    name: str
    number: int
    parent: str = ""
    rule: str = ""
    """What computes it; empty for a plain slot."""
    needs: dict[str, str] = {}
    """Parameter of the rule → slot."""
    versions: tuple[Version, ...] = ()
    """Oldest first; the last is the one that counts."""

    @property
    def is_computed(self) -> bool:
        return bool(self.rule)

    @property
    def current(self) -> Version | None:
        """The version that counts; None while there is no value."""
        last = self.versions[-1] if self.versions else None
        return None if last is None or last.text == UNSET else last


class Mark(msgspec.Struct, frozen=True):
    """The memory as it was when somebody gave that moment a name."""

    label: str
    revision: int
    slots: dict[str, Slot]
    """Each with its last version only."""
    active: str = ""


class Memory(msgspec.Struct, frozen=True, omit_defaults=True):
    """All slots of one task, at one revision. Changed only by folding events, which gives another Memory."""

    revision: int = 0
    slots: dict[str, Slot] = {}
    active: str = ""
    """The slot that was touched last: where the work is."""
    marks: dict[str, Mark] = {}
    gone: dict[str, str] = {}
    """Names that slots had, and what took their place, if anything; the latest `limits.slots` of them."""
    limits: Limits = Limits()


def to_text(value: Any) -> str:
    """A JSON-like value as canonical JSON: keys in order, `1` and `1.0` told apart.

    Raises:
        RevisionRefused: the value is no JSON (tuples, sets, bytes, NaN, keys that are no text).
    """
    try:
        check_plain(value)
        text = _encoder.encode(value).decode()
    except (NotEncodable, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise RevisionRefused(f"the value is not JSON: {error}", reason="value") from None
    if msgspec.json.decode(text) != value:  # bytes would come back as text
        raise RevisionRefused("the value is not JSON: it holds bytes; decode them to text first", reason="value")
    return text


def digest_of(text: str) -> str:
    """32 hex digits that stand for a text."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def total_bytes(memory: Memory) -> int:
    """What `limits.total_bytes` counts. Cost: O(versions)."""
    held = [memory.slots, *(mark.slots for mark in memory.marks.values())]
    return sum(len(version.text) for slots in held for slot in slots.values() for version in slot.versions)


_encoder = msgspec.json.Encoder(order="deterministic")
