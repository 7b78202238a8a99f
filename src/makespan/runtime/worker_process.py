"""One worker process as the engine sees it: a call at a time, and its end noticed whatever the reason.

    pidfd readable or end of file -> kill the rest of its process group -> reap -> `ended` holds why

The process leads its own session and group, so its whole tree is one group; the number of a group cannot be
reused before its leader is reaped, so the group is killed first.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from makespan.runtime.frames import FrameBuffer, FromWorker, Hello, Pieces, Reply, pack
from makespan.runtime.process_identity import group_runs

COMMAND = ("-P", "-m", "makespan.runtime.worker")
"""-P: a `random.py` in the current folder must not break the worker; `Hello` brings the engine's own path."""
SOURCE_ROOT = str(Path(__file__).parents[2])
LOOK_S = 0.02
"""Between two looks whether a group is gone, after its leader has ended; Linux reports no such event."""

Emit = Callable[[str, bytes], None]
_decode = msgspec.msgpack.Decoder(FromWorker).decode


class WorkerProcess(asyncio.Protocol):
    """A running worker. `ended` is set to the reason when it has ended and been reaped."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._buffer = FrameBuffer()
        self._answer: asyncio.Future[Reply] | None = None
        self._emit: Emit | None = None
        self._calls: asyncio.WriteTransport | None = None
        self._answers: asyncio.BaseTransport | None = None
        self._pidfd = -1
        self._is_ending = self._is_stopping = False
        self.ended: asyncio.Future[str] = self._loop.create_future()

    @property
    def pid(self) -> int:
        """Number of the process and of its group."""
        return self._process.pid

    @classmethod
    async def start(cls, max_frame_bytes: int) -> WorkerProcess:
        """Start a process; it takes a call at once. Cost: about 1 ms here, 45 ms of Python's start there."""
        process = subprocess.Popen(  # noqa: ASYNC220 - vfork: 1 ms, and without a watcher thread
            [sys.executable, *COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            env=_environment(),
        )
        worker = cls(process)
        await worker._connect()
        worker._write(pack(Hello(tuple(sys.path), max_frame_bytes), max_frame_bytes, what="hello"))
        return worker

    async def _connect(self) -> None:
        self._answers, _ = await self._loop.connect_read_pipe(lambda: self, self._process.stdout)
        self._calls, _ = await self._loop.connect_write_pipe(asyncio.BaseProtocol, self._process.stdin)
        if hasattr(os, "pidfd_open"):
            self._pidfd = os.pidfd_open(self.pid)
            self._loop.add_reader(self._pidfd, self._exited)

    # ------------------------------------------------------------ calls

    async def call(self, frame: bytes, emit: Emit | None = None) -> Reply | str:
        """The answer to a packed call, or why there will be none. One call at a time; `emit` gets its pieces."""
        assert self._answer is None, "a worker runs one call at a time"
        if self._is_ending:
            return await asyncio.shield(self.ended)
        self._answer, self._emit = self._loop.create_future(), emit
        self._write(frame)
        try:
            await asyncio.wait((self._answer, self.ended), return_when=asyncio.FIRST_COMPLETED)
            return self._answer.result() if self._answer.done() else self.ended.result()
        finally:
            self._answer = self._emit = None

    def _write(self, frame: bytes) -> None:
        assert self._calls is not None
        self._calls.write(frame)

    def data_received(self, data: bytes) -> None:
        for body in self._buffer.feed(data):
            if self._answer is None or self._answer.done():
                continue
            frame = _decode(body)
            if not isinstance(frame, Pieces):
                self._answer.set_result(frame)
            elif self._emit is not None:
                for kind, value in frame.pieces:
                    self._emit(kind, value)

    # ------------------------------------------------------------ the end

    @property
    def is_usable(self) -> bool:
        """Whether it can take a call."""
        return not self._is_ending

    def connection_lost(self, exc: Exception | None) -> None:
        """End of file: the process ended, or closed what it does not own. Either way it is of no use now."""
        self._is_ending = True
        if self._process.returncode is not None:
            self._reaped()
            return
        self._kill_unless_stopping()
        if self._pidfd < 0:
            waiting = self._loop.run_in_executor(None, self._process.wait)
            waiting.add_done_callback(lambda _: self._reaped())

    def _exited(self) -> None:
        """The pidfd is readable: the process is a zombie until `poll` reaps it."""
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._kill_unless_stopping()
        self._process.poll()
        if self._is_ending:
            self._reaped()
        else:  # end of file follows, after the last answer; unless a stray child holds the pipe
            self._loop.call_later(LOOK_S, self._reaped)

    def _reaped(self) -> None:
        self._is_ending = True
        if not self.ended.done():
            self.ended.set_result(describe_exit(self._process.returncode))
            for transport in (self._calls, self._answers):
                assert transport is not None
                transport.close()

    def _kill_unless_stopping(self) -> None:
        """A dead worker's children go at once; those of a cancelled one have until the end of its grace."""
        if not self._is_stopping:
            self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
            os.killpg(self.pid, number)

    async def stop(self, grace_s: float) -> None:
        """End the whole process group: SIGTERM, SIGKILL after `grace_s`. Returns when all of it is gone."""
        if self.ended.done():
            return
        self._is_ending = self._is_stopping = True
        self._signal_group(signal.SIGTERM)
        deadline_s = self._loop.time() + grace_s
        await asyncio.wait((self.ended,), timeout=grace_s)
        while group_runs(self.pid):
            if self._loop.time() >= deadline_s:
                self._signal_group(signal.SIGKILL)
                break
            await asyncio.sleep(LOOK_S)
        await asyncio.shield(self.ended)

    async def finish(self, grace_s: float) -> None:
        """Let an idle worker end by itself, as a program does; stop it after `grace_s`."""
        assert self._calls is not None
        self._is_ending = True
        self._calls.close()
        await asyncio.wait((self.ended,), timeout=grace_s)
        await self.stop(grace_s)


def describe_exit(status: int | None) -> str:
    """A return code of `subprocess` in words."""
    if status is None or status >= 0:
        return f"exited with status {status}"
    hint = " (out of memory?)" if status == -signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-status).name}{hint}"


def _environment() -> dict[str, str]:
    """Ours; with our source folder on PYTHONPATH where makespan is not installed."""
    path = os.environ.get("PYTHONPATH", "")
    if SOURCE_ROOT.endswith(("site-packages", "dist-packages")) or SOURCE_ROOT in path.split(os.pathsep):
        return dict(os.environ)
    return {**os.environ, "PYTHONPATH": f"{SOURCE_ROOT}{os.pathsep}{path}" if path else SOURCE_ROOT}
