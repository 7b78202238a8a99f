"""What happens to a memory. Events say what was decided; `fold.py` applies them and decides nothing.

They are msgspec data with a tag each, so a list of them can be stored, sent and folded again into the same memory.
"""

from __future__ import annotations

import msgspec

from makespan.memory.state import Author, Basis


class Opened(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A slot was made, without a value."""

    slot: str
    parent: str = ""


class Moved(msgspec.Struct, frozen=True, tag=True):
    """A slot has another parent."""

    slot: str
    parent: str


class Defined(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A slot is computed by a rule from other slots; without a rule it is plain."""

    slot: str
    rule: str = ""
    needs: dict[str, str] = {}


class Written(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A slot has a new version."""

    slot: str
    text: str
    author: Author = Author()
    basis: Basis = Basis()
    restores: int = 0
    is_undo: bool = False


class Confirmed(msgspec.Struct, frozen=True, tag=True):
    """A slot was computed again and has the same value: its version stands, on another basis."""

    slot: str
    basis: Basis


class Renamed(msgspec.Struct, frozen=True, tag=True):
    """A slot has another name, everywhere."""

    slot: str
    name: str


class Retargeted(msgspec.Struct, frozen=True, tag=True):
    """Whatever was computed from one slot is computed from another one."""

    slot: str
    onto: str


class Removed(msgspec.Struct, frozen=True, tag=True):
    """A slot is gone; its children belong to its parent."""

    slot: str


class Marked(msgspec.Struct, frozen=True, tag=True):
    """This moment has a name."""

    label: str


class Unmarked(msgspec.Struct, frozen=True, tag=True):
    """A mark is gone."""

    label: str


class WentBack(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Every slot is as it was at a mark; those made since are gone."""

    label: str
    author: Author = Author()


class Focused(msgspec.Struct, frozen=True, tag=True):
    """Attention went to a slot."""

    slot: str


MemoryEvent = (
    Opened
    | Moved
    | Defined
    | Written
    | Confirmed
    | Renamed
    | Retargeted
    | Removed
    | Marked
    | Unmarked
    | WentBack
    | Focused
)
Events = tuple[MemoryEvent, ...]
