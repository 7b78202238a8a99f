"""The journal of runs that need not survive their process: the rules of the durable one, in plain lists.

One invariant: whatever a `SqliteJournal` refuses, this refuses too, so a workflow tested here meets no new
rule there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import msgspec

from makespan.errors import JournalError
from makespan.journal.failures import lease_lost, run_is_owned
from makespan.journal.reading import unknown_run
from makespan.ports import Claim, Lease, LedgerChange, Owner, Request, RunRow, TurnRecord

Slot = tuple[str, str, int, int]


class _StoredRun:
    """A run's row, its turns, and the only epoch that may append: 0 while nobody owns it."""

    __slots__ = ("bodies", "row", "writing_epoch")

    def __init__(self, row: RunRow) -> None:
        self.row = row
        self.bodies: list[bytes] = []
        self.writing_epoch = row.epoch


class MemoryJournal:
    """A `Journal` in memory, for one process and one thread. Everything is lost with the object."""

    def __init__(self) -> None:
        self._runs: dict[int, _StoredRun] = {}
        self._numbers: dict[str, int] = {}
        self._blobs: dict[bytes, bytes] = {}
        self._ledger: dict[Slot, LedgerChange] = {}
        self._waiting: dict[int, Request] = {}
        self._request_ids: set[str] = set()
        self._asked = False

    def create(
        self, run_id: str, workflow: str, target: str, owner: Owner, wall_ns: int, lease_ns: int
    ) -> Lease | None:
        """A new run owned by `owner`, or None when the id exists."""
        if run_id in self._numbers:
            return None
        number = self._numbers[run_id] = len(self._runs) + 1
        row = RunRow(run_id, number, workflow, target, "running", wall_ns, wall_ns, 1, owner, wall_ns + lease_ns)
        self._runs[number] = _StoredRun(row)
        return Lease(run_id, number, 1)

    def acquire(
        self,
        run_id: str,
        owner: Owner,
        wall_ns: int,
        lease_ns: int,
        *,
        may_replace: Callable[[RunRow], bool],
    ) -> Lease:
        """Take the run over with a higher epoch. Raises LeaseLost when `may_replace` says no."""
        run = self._run(run_id)
        row = run.row
        if row.owner is not None and row.lease_until_ns > wall_ns and not may_replace(row):
            raise run_is_owned(run_id, row.owner.pid)
        run.writing_epoch = row.epoch + 1
        run.row = msgspec.structs.replace(row, epoch=row.epoch + 1, owner=owner, lease_until_ns=wall_ns + lease_ns)
        return Lease(run_id, row.number, row.epoch + 1)

    def renew(self, leases: Sequence[Lease], wall_ns: int, lease_ns: int) -> list[Lease]:
        """Extend leases; returns those that were lost."""
        lost: list[Lease] = []
        for lease in leases:
            run = self._held(lease)
            if run is None:
                lost.append(lease)
            else:
                run.row = msgspec.structs.replace(run.row, lease_until_ns=wall_ns + lease_ns)
        return lost

    def release(self, lease: Lease) -> None:
        """Give the run back: anyone may acquire it at once. A lease that was lost stays lost."""
        run = self._held(lease)
        if run is not None:
            run.writing_epoch = 0
            run.row = msgspec.structs.replace(run.row, owner=None, lease_until_ns=0)

    def append(self, turns: Sequence[TurnRecord], *, may_wait: bool = True) -> None:
        """Keep the turns, all or none. Raises LeaseLost naming the stale run. Cost: 1 µs a turn."""
        for turn in turns:
            if self._held(turn.lease) is None:
                raise lease_lost(turn.lease)
        for turn in turns:
            run = self._runs[turn.lease.number]
            run.bodies.append(turn.body)
            if turn.blobs or turn.requests_done or turn.ledger:
                self._keep_extras(turn)
            if turn.status is not None or turn.summary is not None:
                run.row = _updated(run.row, turn)

    def read(self, run_id: str, after: int = 0) -> Iterator[bytes]:
        """Bodies of the run's turns in order."""
        return islice(self._run(run_id).bodies, after, None)

    def blob(self, sha256: bytes) -> bytes:
        """The content with this digest. Raises JournalError when it is missing."""
        try:
            return self._blobs[sha256]
        except KeyError:
            raise JournalError(f"blob {sha256.hex()} is missing; it was never appended") from None

    def run(self, run_id: str) -> RunRow | None:
        number = self._numbers.get(run_id)
        return None if number is None else self._runs[number].row

    def runs(self) -> list[RunRow]:
        """Newest first."""
        return [run.row for run in reversed(self._runs.values())]

    def ask(self, run_id: str, kind: str, body: bytes, request_id: str, wall_ns: int) -> bool:
        """Append to the owner's inbox; False when `request_id` was seen before, also long ago."""
        self._run(run_id)
        if request_id in self._request_ids:
            return False
        self._request_ids.add(request_id)
        number = len(self._request_ids)
        self._waiting[number] = Request(number, run_id, kind, body)
        self._asked = True
        return True

    def requests(self, run_ids: Sequence[str]) -> list[Request]:
        """What no appended turn has marked done, oldest first."""
        return [request for request in self._waiting.values() if request.run_id in run_ids]

    def ledger(self) -> list[LedgerChange]:
        """Every held slot of every run."""
        return [self._ledger[slot] for slot in sorted(self._ledger)]

    def claim(self, claims: Sequence[Claim], wall_ns: int) -> bool:
        """Always granted: there is one process, and its broker has counted."""
        return True

    def changed(self) -> bool:
        """Whether something was asked since the last look."""
        asked, self._asked = self._asked, False
        return asked

    def checkpoint(self) -> None:
        """Nothing to move."""

    def close(self) -> None:
        """Nothing to close."""

    def _run(self, run_id: str) -> _StoredRun:
        number = self._numbers.get(run_id)
        if number is None:
            raise unknown_run(run_id)
        return self._runs[number]

    def _held(self, lease: Lease) -> _StoredRun | None:
        """The run while the lease is its current one."""
        run = self._runs.get(lease.number)
        return run if run is not None and run.writing_epoch == lease.epoch else None

    def _keep_extras(self, turn: TurnRecord) -> None:
        self._blobs.update(turn.blobs)
        for number in turn.requests_done:
            self._waiting.pop(number, None)
        for change in turn.ledger:
            slot = (change.resource, change.run_id, change.task, change.attempt)
            if change.units:
                self._ledger[slot] = change
            else:
                self._ledger.pop(slot, None)


def _updated(row: RunRow, turn: TurnRecord) -> RunRow:
    """The row after a turn that carries a status or a summary."""
    return msgspec.structs.replace(
        row,
        status=row.status if turn.status is None else turn.status,
        summary=row.summary if turn.summary is None else turn.summary,
        updated_wall_ns=turn.wall_ns,
    )
