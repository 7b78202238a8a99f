"""The cache of a store in memory: the rules of the durable one, for one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from makespan.journal.cache import CACHE_BYTES, CACHE_ENTRIES
from makespan.ports import Owner
from makespan.store_port import CacheChange, CacheEntry, CacheTotals, Flight, Lease, RunRow
from makespan.values import Blob, Value


class MemoryCache:
    """`ports.Cache` in dicts, least recently used first.

    Args:
        row_of: the run with a number, for who owns it under which epoch.
    """

    def __init__(
        self,
        row_of: Callable[[int], RunRow],
        *,
        most_entries: int = CACHE_ENTRIES,
        most_bytes: int = CACHE_BYTES,
    ) -> None:
        self._row_of, self._most_entries, self._most_bytes = row_of, most_entries, most_bytes
        self._entries: dict[bytes, tuple[str, CacheEntry]] = {}
        self._size_bytes = 0
        self._flights: dict[bytes, tuple[int, int, int]] = {}
        """Key → run, epoch, task."""

    def find(self, key: bytes, made_after_ns: int) -> CacheEntry | None:
        """The result under a key, unless it was made before."""
        found = self._entries.get(key)
        return None if found is None or found[1].made_ns < made_after_ns else found[1]

    def flight(self, key: bytes) -> Flight | None:
        """Who computes it now."""
        found = self._flights.get(key)
        if found is None:
            return None
        run, epoch, task = found
        row = self._row_of(run)
        if row.owner is None or row.epoch != epoch:
            return None
        return Flight(row.run_id, task, row.owner, row.lease_until_ns)

    def take_off(self, key: bytes, lease: Lease, task: int, wall_ns: int, is_dead: Callable[[Owner], bool]) -> bool:
        """Begin to compute it, unless somebody does whose lease is good and who is not known to be dead."""
        flight = self.flight(key)
        if (
            flight is not None
            and (flight.run_id, flight.task) != (lease.run_id, task)
            and flight.lease_until_ns > wall_ns
            and not is_dead(flight.owner)
        ):
            return False
        self._flights[key] = (lease.number, lease.epoch, task)
        return True

    def totals(self, task: str | None = None) -> list[CacheTotals]:
        """What is there, by task; of one task if given."""
        by_task: dict[str, list[CacheEntry]] = {}
        for name, entry in self._entries.values():
            if task in (None, name):
                by_task.setdefault(name, []).append(entry)
        return [
            CacheTotals(
                name,
                len(entries),
                sum(_size(entry.value) for entry in entries),
                min(entry.made_ns for entry in entries),
                max(entry.made_ns for entry in entries),
            )
            for name, entries in sorted(by_task.items())
        ]

    def clear(self, task: str | None, made_before_ns: int) -> int:
        """Forget entries (of one task, if given) made before; returns how many."""
        gone = [
            key
            for key, (name, entry) in self._entries.items()
            if task in (None, name) and entry.made_ns < made_before_ns
        ]
        for key in gone:
            self._drop(key)
        return len(gone)

    def write(self, changes: Sequence[CacheChange], run: int) -> None:
        """Do what a turn of a run does to the cache."""
        for change in changes:
            if change.kind == "used":
                self._use(change)
                continue
            if self._flights.get(change.key, (0,))[0] == run:
                del self._flights[change.key]
            if change.kind == "put":
                self._drop(change.key)
                self._entries[change.key] = (change.task, CacheEntry(change.value, change.at_ns, change.at_ns))
                self._size_bytes += _size(change.value)
        while len(self._entries) > self._most_entries or self._size_bytes > self._most_bytes:
            self._drop(next(iter(self._entries)))

    def land_all(self, run: int) -> None:
        """The run is given back: it computes nothing any more."""
        self._flights = {key: flight for key, flight in self._flights.items() if flight[0] != run}

    def _use(self, change: CacheChange) -> None:
        found = self._entries.pop(change.key, None)
        if found is not None:
            self._entries[change.key] = (found[0], msgspec.structs.replace(found[1], used_ns=change.at_ns))

    def _drop(self, key: bytes) -> None:
        found = self._entries.pop(key, None)
        if found is not None:
            self._size_bytes -= _size(found[1].value)


def _size(value: Value) -> int:
    return value.size_bytes if isinstance(value, Blob) else len(value)
