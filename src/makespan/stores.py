"""Stores by name: `memory`, a folder, a file, or `sqlite:///path`."""

from __future__ import annotations

from pathlib import Path

from makespan.files import Room
from makespan.journal.memory import MemoryJournal
from makespan.journal.sqlite import SqliteJournal
from makespan.store_port import Journal

DEFAULT_STORE = ".makespan"
STORE_FILE = "makespan.db"


def open_journal(store: str, *, readonly: bool = False) -> Journal:
    """The journal behind a store's name."""
    if store == "memory":
        return MemoryJournal()
    path = store_path(store)
    if not readonly:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return SqliteJournal(path, readonly=readonly)


def room_of(store: str, journal: Journal, *, is_given: bool = False) -> Room:
    """Where the files of a store are; those of a journal in memory go with it.

    Args:
        is_given: whether the journal was made elsewhere: then `store` says where its files are only if it is not the
            default.
    """
    room: Room | None = getattr(journal, "room", None)  # also of a journal in memory that stands behind another object
    if room is not None:
        return room
    if is_given and store == DEFAULT_STORE:
        return Room.temporary()
    return Room((store_path(store).parent / "files").absolute())


def store_path(store: str) -> Path:
    """The database file of a store: `sqlite:///path`, a `.db` file, or a folder."""
    path = Path(store.removeprefix("sqlite:///"))
    return path if path.suffix in (".db", ".sqlite") else path / STORE_FILE
