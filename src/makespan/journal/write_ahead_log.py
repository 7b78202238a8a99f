"""Moving the write-ahead log of a store into its database, through a connection of its own.

One invariant: it never holds up a commit for longer than `BUSY_MS`, and what it leaves, the next call moves.
"""

from __future__ import annotations

import threading

import apsw

from makespan.journal.store_file import open_checkpointer

RESTART_ABOVE_BYTES = 16 << 20
"""A log still larger after a move is made to start anew, which waits for readers and holds writers up."""
BUSY_MS = 200
HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24


class WriteAheadLog:
    """How long the log is, and `move` to shorten it. Safe from any thread; two moves never overlap."""

    def __init__(self, path: str, vfs: str | None, page_bytes: int) -> None:
        self._path, self._vfs = path, vfs
        self._frame_bytes = page_bytes + FRAME_HEADER_BYTES
        self._frames = 0
        self._connection: apsw.Connection | None = None
        self._lock = threading.Lock()

    def note_frames(self, _connection: apsw.Connection, _schema: str, frames: int) -> int:
        """The hook SQLite calls after each commit."""
        self._frames = frames
        return apsw.SQLITE_OK

    def size_bytes(self) -> int:
        """Length of the log after the last commit seen here; 0 when all of it was moved since."""
        return HEADER_BYTES + self._frames * self._frame_bytes if self._frames else 0

    def move(self) -> None:
        """Move what no reader stands in the way of. Raises apsw.Error when the disk does not work."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._move()
        except apsw.BusyError:
            return
        finally:
            self._lock.release()

    def _move(self) -> None:
        if self._connection is None:
            self._connection = open_checkpointer(self._path, self._vfs, BUSY_MS)
        frames, moved = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        if moved < frames and frames * self._frame_bytes > RESTART_ABOVE_BYTES:
            frames, moved = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        if moved == frames:
            self._frames = 0

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
