"""A task for a worker process that does not hear SIGTERM."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import makespan as ms


@ms.task(executor="process")
def stubborn(pid_file: str) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(pid_file).write_text(str(os.getpid()))
    time.sleep(60)
    return 1
