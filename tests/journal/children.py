"""Real processes that append, spoken to through pipes; run as a script, this is the child."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from makespan import errors
from makespan.journal.sqlite import SqliteJournal
from makespan.ports import Owner
from makespan.store_port import Lease, TurnRecord

TIMEOUT_S = 60
LEASE_NS = 10**10
FOREVER = 10**9


class Appender:
    """A child that waits for `go`, owns a run, appends 1, 2, 3, ... and prints each once it is committed."""

    def __init__(self, path: Path, run_id: str, count: int = FOREVER) -> None:
        source = Path(errors.__file__).parents[1]
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(path), run_id, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(source)},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        assert self._stdout.readline() == "ready\n"

    def go(self) -> None:
        self._stdin.write("go\n")
        self._stdin.flush()

    def finish(self) -> list[str]:
        """All lines the child printed; it must end well."""
        output = self._stdout.read()
        self._close()
        assert self._process.returncode == 0
        return output.split()

    def kill_after(self, lines: int) -> int:
        """SIGKILL after so many acknowledgements; the last number acknowledged, read after the kill."""
        self.go()
        printed = "".join(self._stdout.readline() for _ in range(lines))
        self._process.send_signal(signal.SIGKILL)
        printed += self._stdout.read()
        self._close()
        complete = printed[: printed.rfind("\n") + 1]
        return int(complete.split()[-1])

    def _close(self) -> None:
        self._stdin.close()
        self._stdout.close()
        self._process.wait(TIMEOUT_S)


def append_numbers(path: str, run_id: str, count: int) -> None:
    """The child: go on after the last number of the run, or say that another process created it."""
    print("ready", flush=True)
    sys.stdin.readline()
    journal = SqliteJournal(path)
    lease, last = own(journal, run_id)
    for number in range(last + 1, last + 1 + count):
        journal.append([TurnRecord(lease, b"%d" % number, sync=number % 50 == 0)])
        if number % 200 == 0:
            journal.checkpoint()
        print(number, flush=True)
    journal.close()


def own(journal: SqliteJournal, run_id: str) -> tuple[Lease, int]:
    me = Owner("boot", os.getpid(), 1)
    lease = journal.create(run_id, "w", "", me, 0, LEASE_NS)
    if lease is not None:
        return lease, 0
    lease = journal.acquire(run_id, me, 0, LEASE_NS, may_replace=lambda _row: True)
    return lease, sum(1 for _ in journal.read(run_id))


if __name__ == "__main__":
    append_numbers(sys.argv[1], sys.argv[2], int(sys.argv[3]))
