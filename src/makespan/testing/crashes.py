"""Crashes at commits: a journal that kills its process before or after a commit of your choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from makespan.store_port import Journal, TurnRecord
from makespan.testing.world import SimulatedWorld


class CrashPoint(msgspec.Struct, frozen=True):
    """The n-th commit of a run (from 1), before it is durable or right after."""

    commit: int
    is_before: bool

    def __str__(self) -> str:
        return f"{'before' if self.is_before else 'after'} commit {self.commit}"

    @staticmethod
    def all_of(commits: int) -> Iterator[CrashPoint]:
        """Before and after each of so many commits."""
        for commit in range(1, commits + 1):
            yield CrashPoint(commit, is_before=True)
            yield CrashPoint(commit, is_before=False)


class CrashingJournal:
    """A journal that counts commits, and kills the machine's process once, at one of them."""

    def __init__(self, journal: Journal, world: SimulatedWorld, point: CrashPoint | None) -> None:
        self._journal, self._world, self._point = journal, world, point
        self.commits = 0

    def append(self, turns: Sequence[TurnRecord], *, may_wait: bool = True) -> None:
        """As the journal underneath, but for the crash."""
        self.commits += 1
        point = self._point if self._point is not None and self._point.commit == self.commits else None
        if point is not None and point.is_before:
            self._world.crash()
        self._journal.append(turns, may_wait=may_wait)
        if point is not None:
            self._world.crash()

    def close(self) -> None:
        """Kept open over all lives: whoever made the journal closes it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)
