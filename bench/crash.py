"""Kill -9 in a wide durable graph, again and again: does work whose result was committed run twice?

Each task notes its start in a file that the engine knows nothing of. A task is known to be committed once one
that needs it has started, so the count misses only results that nobody had used yet.
"""

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import makespan as ms
from bench.graphs import deeper, layered
from bench.measure import PROJECT, Figures

SHAPE = layered(400, 40, name="wide", seed=3)
RUN_ID = "crash"
LOG_VARIABLE = "BENCH_CRASH_LOG"
LONGEST_LIFE = 120
"""A life ends after at most this many starts of tasks."""
LIFE_LIMIT_S = 60


@ms.task
async def noted(task: int, depths: list[int]) -> int:
    """Notes that it started, and takes a moment."""
    log = os.open(os.environ[LOG_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{task}\n".encode())
    os.close(log)
    await asyncio.sleep(0.002)
    return deeper(depths)


@ms.task
async def total(depths: list[int]) -> int:
    """The value of the run."""
    return sum(depths)


@ms.workflow
def wide() -> int:
    """The graph that is killed."""
    refs: list[ms.Ref[int]] = []
    for task, needs in enumerate(SHAPE.needs):
        refs.append(noted(task, [refs[needed] for needed in needs]))
    return total([refs[sink] for sink in SHAPE.sinks])


async def live_once(folder: Path) -> None:
    """One life: start the run, or resume it where an earlier life began it; write its value at the end."""
    store = f"sqlite:///{folder / 'runs.db'}"
    if (folder / "started").exists():
        run: ms.Run[int] = ms.resume(RUN_ID, store=store)
    else:
        run = ms.start(wide(), id=RUN_ID, store=store)
        (folder / "started").touch()
    result = await run
    (folder / "value").write_text(str(result.output))


def crash(kills: int) -> Figures:
    """Kill that many lives, run after run, and count the work that was done twice."""
    rng = random.Random(1)
    figures: Figures = {"kills": 0, "runs": 0, "committed_again": 0, "in_flight_again": 0}
    while figures["kills"] < kills:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            killed_run(Path(folder), rng, kills, figures)
    return figures


def killed_run(folder: Path, rng: random.Random, kills: int, figures: Figures) -> None:
    """One run from its start to its end, through as many lives as it takes; adds to the figures."""
    figures["runs"] += 1
    while not (folder / "value").exists():
        before = starts(folder)
        kill_after = len(before) + rng.randint(1, LONGEST_LIFE) if figures["kills"] < kills else None
        figures["kills"] += one_life(folder, kill_after)
        committed = {needed for task in before for needed in SHAPE.needs[task]}
        for task in starts(folder)[len(before) :]:
            figures["committed_again"] += task in committed
            figures["in_flight_again"] += task in before and task not in committed
    value = int((folder / "value").read_text())
    if value != SHAPE.sink_checksum:
        raise ValueError(f"the run that was killed gave {value}, not {SHAPE.sink_checksum}")


def one_life(folder: Path, kill_after: int | None) -> bool:
    """Start a process and kill it after so many starts of tasks in all; whether it was killed."""
    command = [sys.executable, "-m", "bench", "--life", str(folder)]
    environment = {**os.environ, LOG_VARIABLE: str(folder / "starts")}
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stderr=subprocess.PIPE, text=True) as life:
        deadline_s = time.monotonic() + LIFE_LIMIT_S
        while life.poll() is None:
            if kill_after is not None and len(starts(folder)) >= kill_after:
                life.kill()
                return life.wait() != 0
            if time.monotonic() > deadline_s:
                life.kill()
                raise RuntimeError(f"a life made no progress in {LIFE_LIMIT_S} s")
            time.sleep(0.001)
        _, errors = life.communicate()
        if life.returncode:
            raise RuntimeError((errors.strip().splitlines() or ["a life failed without a word"])[-1])
    return False


def starts(folder: Path) -> list[int]:
    """The tasks that have started so far, in order, repeats included."""
    log = folder / "starts"
    return [int(line) for line in log.read_text().split()] if log.exists() else []
