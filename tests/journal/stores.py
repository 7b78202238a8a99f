"""The three stores every journal test runs on, and short ways to say what the tests say often."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from makespan.journal.memory import MemoryJournal
from makespan.journal.sqlite import SqliteJournal
from makespan.ports import Owner
from makespan.store_port import Journal, Lease, LedgerChange, RunRow, TurnRecord
from makespan.testing.disk import SimulatedDisk

ME = Owner("boot", 100, 1)
OTHER = Owner("boot", 200, 2)
LEASE_NS = 10_000_000_000
PATH = "/store.db"


class Store(Protocol):
    """Opens the same store again and again, as several processes would."""

    def __call__(self) -> Journal: ...


def always(_row: RunRow) -> bool:
    return True


def never(_row: RunRow) -> bool:
    return False


def new_run(journal: Journal, run_id: str = "r", *, owner: Owner = ME, wall_ns: int = 0) -> Lease:
    lease = journal.create(run_id, "report", "flow.py:report", owner, wall_ns, LEASE_NS)
    assert lease is not None
    return lease


def take_over(journal: Journal, run_id: str = "r", *, owner: Owner = OTHER, wall_ns: int = 0) -> Lease:
    return journal.acquire(run_id, owner, wall_ns, LEASE_NS, may_replace=always)


def turn(lease: Lease, body: bytes = b"body", *, sync: bool = False) -> TurnRecord:
    return TurnRecord(lease, body, sync=sync)


def bodies(journal: Journal, run_id: str = "r", after: int = 0) -> list[bytes]:
    return list(journal.read(run_id, after))


def slot(units: int, *, run_id: str = "r", task: int = 1, at_ns: int = 5) -> LedgerChange:
    return LedgerChange("gpu", run_id, task, 1, units, 1, at_ns)


@contextmanager
def memory_store(_folder: Path) -> Iterator[Store]:
    journal = MemoryJournal()
    yield lambda: journal


@contextmanager
def file_store(folder: Path) -> Iterator[Store]:
    with _closing(lambda: SqliteJournal(folder / "store.db")) as store:
        yield store


@contextmanager
def simulated_store(_folder: Path) -> Iterator[Store]:
    with SimulatedDisk() as disk, _closing(lambda: SqliteJournal(PATH, vfs=disk.vfs)) as store:
        yield store


@contextmanager
def _closing(opened: Callable[[], SqliteJournal]) -> Iterator[Store]:
    journals: list[SqliteJournal] = []

    def store() -> Journal:
        journals.append(opened())
        return journals[-1]

    try:
        yield store
    finally:
        for journal in journals:
            journal.close()


KINDS = {"memory": memory_store, "file": file_store, "simulated": simulated_store}
