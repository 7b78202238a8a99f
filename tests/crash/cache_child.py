"""A process that runs one cached task on a shared store: says when its code runs, and finishes when it is told to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import makespan as ms


@ms.task(cache_s=3600)
def compute(number: int) -> int:
    with open(os.environ["COUNT"], "a") as count:
        count.write(f"{os.getpid()}\n")
    with open(os.environ["STARTED"], "w") as started:
        started.write(f"{os.getpid()}\n")
    with open(os.environ["GATE"]) as gate:
        gate.read()
    return number * 2


if __name__ == "__main__":
    print(ms.run(compute(21), store=str(Path(sys.argv[1]))).output, flush=True)
