"""One commit at a time: turns go to the store in order, those that wait for a sync go together.

A commit that need not survive a power cut takes microseconds and is made in the loop. One that must (fsync) goes to a
thread when other work could use the loop meanwhile; turns that arrive during it are grouped into the next transaction.
"""

from __future__ import annotations

from collections.abc import Callable

from makespan.ports import World
from makespan.store_port import Journal, TurnRecord

Done = Callable[[BaseException | None], None]


class Committer:
    """Serialises the turns of all runs of one engine into its store."""

    def __init__(self, journal: Journal, world: World) -> None:
        self._journal = journal
        self._world = world
        self._waiting: list[tuple[TurnRecord, Done]] = []
        self._in_flight = False

    @property
    def is_busy(self) -> bool:
        return self._in_flight

    def commit_now(self, record: TurnRecord) -> BaseException | None:
        """Commit a turn in the loop, without waiting for other processes; the committer must not be busy.

        Returns what went wrong; StoreBusy asks for `commit`.
        """
        try:
            self._journal.append((record,), may_wait=False)
        except Exception as error:  # noqa: BLE001 - told to the runs it concerns
            return error
        return None

    def commit(self, record: TurnRecord, done: Done) -> None:
        """Commit a turn off the loop and call `done` later; queued behind the commit in flight."""
        if self._in_flight:
            self._waiting.append((record, done))
        else:
            self._start([(record, done)])

    def _start(self, group: list[tuple[TurnRecord, Done]]) -> None:
        self._in_flight = True
        records = [record for record, _ in group]

        def finished(_: object, error: BaseException | None) -> None:
            self._in_flight = False
            self._ended(group, error)
            if self._waiting and not self._in_flight:
                waiting, self._waiting = self._waiting, []
                self._start(waiting)

        self._world.commit_in_thread(lambda: self._journal.append(records), finished)

    def _ended(self, group: list[tuple[TurnRecord, Done]], error: BaseException | None) -> None:
        """Tell everyone; when a group failed, each turn is tried alone so that one bad run does not fail the others."""
        if error is None or len(group) == 1:
            for _, done in group:
                done(error)
            return
        for record, done in group:
            try:
                self._journal.append((record,))
            except Exception as problem:  # noqa: BLE001 - told to the runs it concerns
                done(problem)
            else:
                done(None)
