"""How programs are timed: interleaved in one process, CPU beside wall time, medians, ratios of neighbours.

Machines are shared and noisy. CPU time, and the ratio of two programs that ran in turn, hold still when wall
time does not. Standard library only.
"""

import asyncio
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
MARK = "@@"
CHILD_LIMIT_S = 600


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run took, and the value it gave."""

    cpu_s: float
    wall_s: float
    value: int
    wal_bytes: int = 0
    """Size of the write-ahead log before the store was closed; it does not shrink while open."""


Program = Callable[[], Sample]
Samples = Mapping[str, Sequence[Sample]]
Figures = dict[str, float]


async def clock(work: Awaitable[int]) -> Sample:
    """Await the work and time it; garbage of earlier runs is collected first."""
    gc.collect()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    value = await work
    return Sample(time.process_time() - cpu_s, time.perf_counter() - wall_s, value)


def timed(work: Callable[[], Awaitable[int]], expected: int) -> Sample:
    """Run the work on a fresh event loop, timed inside it; a wrong value is an error."""

    async def body() -> Sample:
        return await clock(work())

    return checked(asyncio.run(body()), expected)


def checked(sample: Sample, expected: int) -> Sample:
    """The sample, if its value is right."""
    if sample.value != expected:
        raise ValueError(f"the program gave {sample.value}, not {expected}: it lost data on the way")
    return sample


def interleave(programs: Mapping[str, Program], repetitions: int) -> Samples:
    """Run the programs in turn; the first round warms up and is dropped."""
    samples: dict[str, list[Sample]] = {name: [] for name in programs}
    for _ in range(repetitions + 1):
        for name, program in programs.items():
            samples[name].append(program())
    return {name: runs[1:] for name, runs in samples.items()}


def median_cpu_s(runs: Sequence[Sample]) -> float:
    """The middle CPU time."""
    return statistics.median(run.cpu_s for run in runs)


def median_wall_s(runs: Sequence[Sample]) -> float:
    """The middle wall time."""
    return statistics.median(run.wall_s for run in runs)


def cpu_ratio(over: Sequence[Sample], under: Sequence[Sample]) -> float:
    """The middle ratio of CPU times of neighbours."""
    return statistics.median(a.cpu_s / b.cpu_s for a, b in zip(over, under, strict=True))


def wall_ratio(over: Sequence[Sample], under: Sequence[Sample]) -> float:
    """The middle ratio of wall times of neighbours."""
    return statistics.median(a.wall_s / b.wall_s for a, b in zip(over, under, strict=True))


def peak_bytes() -> int:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def in_fresh_process(
    module: str, arguments: Sequence[str], python: str = sys.executable, limit_s: float = CHILD_LIMIT_S
) -> Figures:
    """Run `python -m module arguments` and read what it reports; RuntimeError with the reason if nothing."""
    try:
        child = subprocess.run(
            [python, "-m", module, *arguments],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"no result after {limit_s:g} s") from None
    reported = [line for line in child.stdout.splitlines() if line.startswith(MARK)]
    if child.returncode or not reported:
        last_line = (child.stderr.strip().splitlines() or ["no output"])[-1]
        raise RuntimeError(last_line)
    figures: Figures = json.loads(reported[-1].removeprefix(MARK))
    return figures


def report(figures: Figures) -> None:
    """Hand figures to the process that started this one."""
    print(MARK + json.dumps(figures), flush=True)
