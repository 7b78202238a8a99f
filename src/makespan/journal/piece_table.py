"""Pieces of running attempts, lent to readers in other processes: beside the journal, never in its chain.

One invariant: a process writes pieces only of runs it owns, so the rows of a run are all of one life.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from makespan.journal.failures import lease_lost
from makespan.journal.statements import (
    DELETE_ATTEMPT,
    DELETE_OLDEST,
    DELETE_PROGRESS,
    EPOCH,
    INSERT_PIECE,
)
from makespan.journal.store_file import transaction
from makespan.journal.write_connection import WriteConnection
from makespan.ports import Piece
from makespan.store_port import Lease


class PieceTable:
    """The table `pieces`."""

    def __init__(self, writer: WriteConnection) -> None:
        self._writer = writer

    def keep(self, lease: Lease, pieces: Sequence[Piece], ended: Sequence[tuple[int, int]], forget: int) -> None:
        """See `Journal.keep_pieces`."""
        with self._writer.lock:
            try:
                self._writer.set_wait(False)
                self._writer.set_sync(False)
                with transaction(self._writer.db):
                    if self._writer.execute(EPOCH, (lease.number,)).get != lease.epoch:
                        raise lease_lost(lease)
                    self._change(lease, pieces, ended, forget)
            except apsw.Error as error:
                raise self._writer.failed(error) from error

    def _change(self, lease: Lease, pieces: Sequence[Piece], ended: Sequence[tuple[int, int]], forget: int) -> None:
        run, execute = lease.number, self._writer.execute
        for task, attempt in ended:
            execute(DELETE_ATTEMPT, (run, task, attempt))
        if forget:
            execute(DELETE_OLDEST, (run, lease.epoch, forget))
        for piece in pieces:
            if piece.kind == "progress":
                execute(DELETE_PROGRESS, (run, piece.task, piece.attempt))
            row = (run, lease.epoch, piece.number, piece.task, piece.attempt, piece.kind, piece.body)
            execute(INSERT_PIECE, row)
