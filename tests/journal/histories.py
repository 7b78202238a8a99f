"""Random lives of a journal on a simulated disk, and what a crash may leave of them.

A history remembers every body handed to `append`, how many of them were acknowledged, and how many of those
by a synced commit. After a crash the readable turns must be a prefix that ends between two appends.
"""

import random
from hashlib import sha256

from makespan.errors import JournalError, UsageError
from makespan.journal.sqlite import SqliteJournal
from makespan.store_port import Lease, TurnRecord
from makespan.testing.disk import SimulatedDisk
from tests.journal.stores import LEASE_NS, ME, PATH, bodies, take_over

APPENDS_A_LIFE = 12


class History:
    """One run of one store, through several lives."""

    def __init__(self, disk: SimulatedDisk, rng: random.Random) -> None:
        self.disk, self.rng = disk, rng
        self.written: list[bytes] = []
        self.boundaries = {0}
        self.acknowledged = self.synced = 0
        self.has_synced_run = False
        self.dead: list[SqliteJournal] = []

    def live(self) -> None:
        """Open, append and look after the store until it fails or the life is over; leaves it open."""
        journal: SqliteJournal | None = None
        try:
            journal = SqliteJournal(PATH, vfs=self.disk.vfs)
            lease = self._own(journal)
            for _ in range(APPENDS_A_LIFE):
                self._append(journal, lease)
                if self.rng.random() < 0.15:
                    journal.checkpoint()
                    self.synced = self.acknowledged
        except JournalError:
            pass
        if journal is not None:
            self.dead.append(journal)

    def survivors(self) -> list[bytes]:
        """What the next life reads, checked to be a prefix that ends where an append ended."""
        journal = SqliteJournal(PATH, vfs=self.disk.vfs)
        try:
            found = bodies(journal)
        except UsageError:
            found = []
        finally:
            journal.close()
        assert found == self.written[: len(found)]
        assert len(found) in self.boundaries
        return found

    def go_on_after(self, found: list[bytes]) -> None:
        """The next life starts from what was found."""
        self.written = list(found)
        self.boundaries = {boundary for boundary in self.boundaries if boundary <= len(found)}
        self.acknowledged = len(found)
        self.synced = min(self.synced, len(found))

    def bury(self) -> None:
        """Close the connections of all lives; they must not touch the disk of the living."""
        for journal in self.dead:
            journal.close()

    def _own(self, journal: SqliteJournal) -> Lease:
        lease = journal.create("r", "w", "", ME, 0, LEASE_NS)
        return take_over(journal) if lease is None else lease

    def _append(self, journal: SqliteJournal, lease: Lease) -> None:
        turns = [self._turn(lease) for _ in range(self.rng.choice((1, 1, 1, 2, 5)))]
        self.written += [turn.body for turn in turns]
        self.boundaries.add(len(self.written))
        journal.append(turns)
        self.acknowledged = len(self.written)
        if any(turn.sync for turn in turns):
            self.synced = self.acknowledged

    def _turn(self, lease: Lease) -> TurnRecord:
        body = self.rng.randbytes(self.rng.choice((10, 60, 600, 6000)))
        blobs = [(sha256(body).digest(), body)] if self.rng.random() < 0.2 else []
        return TurnRecord(lease, body, blobs=blobs, sync=self.rng.random() < 0.25)
