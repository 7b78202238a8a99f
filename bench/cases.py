"""What is measured: a function per case that gives figures, each run in a fresh process.

Without an engine the floors alone are measured; the modules that need it are imported by the case.
"""

import importlib.util
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench import floors, measure, plans, scheduling, sqlite_floor
from bench.graphs import SHAPES, Shape, chain, fan, layered, skewed
from bench.measure import Figures, Program, Samples

MICRO = 1e6
LIVE_LIMIT = 20_000


def has_engine() -> bool:
    """Whether makespan is installed, with an engine in it."""
    return importlib.util.find_spec("makespan") is not None and importlib.util.find_spec("makespan.app") is not None


def memory(shape: Shape, repetitions: int) -> Figures:
    """CPU time of a no-op task, in memory."""
    programs: dict[str, Program] = {
        "floor": partial(floors.counter, shape),
        "taskgroup": partial(floors.taskgroup, shape),
    }
    if has_engine():
        from bench import ours

        programs["ours"] = partial(ours.memory_case, shape)
    samples = measure.interleave(programs, repetitions)
    figures = {f"{name}_cpu_us": MICRO * measure.median_cpu_s(runs) / shape.size for name, runs in samples.items()}
    if "ours" in samples:
        figures["ratio"] = measure.cpu_ratio(samples["ours"], samples["floor"])
        figures["peak_bytes"] = measure.peak_bytes()
    return figures


def build(size: int, repetitions: int) -> Figures:
    """CPU time of making a graph."""
    if not has_engine():
        return {}
    from bench import ours

    samples = measure.interleave({"ours": partial(ours.build_case, size)}, repetitions)
    return {"ours_cpu_s": measure.median_cpu_s(samples["ours"])}


def uneven(repetitions: int) -> Figures:
    """Makespan over critical path with log-normal task times."""
    shape = skewed()
    with fresh_paths() as paths:
        programs: dict[str, Program] = {"floor": partial(floors.counter, shape)}
        if has_engine():
            from bench import ours

            programs["memory"] = partial(ours.memory_case, shape)
            programs["durable"] = lambda: ours.durable_case(shape, next(paths), "normal")
        samples = measure.interleave(programs, repetitions)
    return {name: measure.median_wall_s(runs) / shape.critical_s for name, runs in samples.items()}


def durable_chain(repetitions: int) -> Figures:
    """Durable tasks per second, one after the other; survives kill -9."""
    shape = SHAPES["durable"]()
    with fresh_paths() as paths:
        programs: dict[str, Program] = {
            "floor": lambda: sqlite_floor.chain(shape, next(paths), "normal"),
            "floor_fsync": lambda: sqlite_floor.chain(shape, next(paths), "full"),
        }
        if has_engine():
            from bench import ours

            programs["ours"] = lambda: ours.durable_case(shape, next(paths), "normal")
        return rates(measure.interleave(programs, repetitions), shape)


def durable_dag(repetitions: int) -> Figures:
    """Durable tasks per second in a wide graph, with fsync and group commit."""
    shape = SHAPES["durdag"]()
    with fresh_paths() as paths:
        programs: dict[str, Program] = {"floor": lambda: sqlite_floor.dag(shape, next(paths), "full")}
        if has_engine():
            from bench import ours

            programs["ours"] = lambda: ours.durable_case(shape, next(paths), "full")
        return rates(measure.interleave(programs, repetitions), shape)


def rates(samples: Samples, shape: Shape) -> Figures:
    """Tasks per second of each program, and ours as a part of the floor's."""
    figures = {f"{name}_per_s": shape.size / measure.median_wall_s(runs) for name, runs in samples.items()}
    if "ours" in samples:
        figures["ratio"] = 1 / measure.wall_ratio(samples["ours"], samples["floor"])
    return figures


def store_size(size: int) -> Figures:
    """Bytes on disk per task after the store is closed, and the largest write-ahead log on the way."""
    if not has_engine():
        return {}
    from bench import ours

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        sample = ours.durable_case(layered(size, 50), Path(folder) / "runs.db", "normal")
        stored = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return {"bytes": stored / size, "wal_bytes": sample.wal_bytes}


def killed(kills: int) -> Figures:
    """Work done twice after kill -9."""
    if not has_engine():
        return {}
    from bench import crash

    return crash.crash(kills)


def import_time(repetitions: int) -> Figures:
    """CPU time of `import makespan` in a fresh interpreter, over that of what it cannot do without."""
    statements = {"floor": "import asyncio, msgspec"}
    if has_engine():
        statements["ours"] = "import makespan"
    taken: dict[str, list[float]] = {name: [] for name in statements}
    for _ in range(repetitions + 1):
        for name, statement in statements.items():
            taken[name].append(import_s(statement))
    figures = {f"{name}_ms": 1e3 * statistics.median(seconds[1:]) for name, seconds in taken.items()}
    if "ours" in taken:
        pairs = list(zip(taken["ours"], taken["floor"], strict=True))[1:]
        figures["ratio"] = statistics.median(ours / floor for ours, floor in pairs)
    return figures


def import_s(statement: str) -> float:
    """CPU time of a statement, without the interpreter's own start."""
    program = f"import time; start = time.process_time(); {statement}; print(time.process_time() - start)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout)


def live(size: int, repetitions: int) -> Figures:
    """CPU time of a task that an async workflow adds, over that of the plain workflow."""
    if not has_engine():
        return {}
    from bench import live

    programs = {"plain": partial(live.plain_case, size), "live": partial(live.gathered_case, size)}
    samples = measure.interleave(programs, repetitions)
    figures = {f"{name}_cpu_us": MICRO * measure.median_cpu_s(runs) / size for name, runs in samples.items()}
    return figures | {"ratio": measure.cpu_ratio(samples["live"], samples["plain"])}


def live_memory(size: int) -> Figures:
    """The most memory a process holds that runs the growing workflow once."""
    if not has_engine():
        return {}
    from bench import live

    before = measure.peak_bytes()
    live.gathered_case(size)
    return {"peak_bytes": measure.peak_bytes(), "bytes_per_task": (measure.peak_bytes() - before) / size}


def live_chain(size: int, repetitions: int) -> Figures:
    """CPU time of a task that an async workflow awaits before it calls the next."""
    if not has_engine():
        return {}
    from bench import live

    samples = measure.interleave({"live": partial(live.awaited_case, size)}, repetitions)
    return {"cpu_us": MICRO * measure.median_cpu_s(samples["live"]) / size}


def live_plan(size: int, repetitions: int) -> Figures:
    """CPU time of a step of a live plan: the planner's line, the edit, the task."""
    if not has_engine():
        return {}
    from bench import live

    samples = measure.interleave({"plan": partial(live.planned_case, size)}, repetitions)
    return {"cpu_us": MICRO * measure.median_cpu_s(samples["plan"]) / size}


@contextmanager
def fresh_paths() -> Iterator[Iterator[Path]]:
    """Database paths that nobody has used, each in a folder of its own; all removed at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        yield unused_paths(Path(root))


def unused_paths(root: Path) -> Iterator[Path]:
    """One new folder and a path in it each time."""
    number = 0
    while True:
        number += 1
        folder = root / str(number)
        folder.mkdir()
        yield folder / "runs.db"


CASES: Mapping[str, Callable[[bool], Figures]] = {
    "memory-1000": lambda quick: memory(layered(1_000), 3 if quick else 9),
    "memory-10000": lambda quick: memory(layered(10_000), 2 if quick else 5),
    "memory-100000": lambda quick: memory(layered(100_000), 1 if quick else 3),
    "memory-chain": lambda quick: memory(chain(), 3 if quick else 9),
    "memory-fan": lambda quick: memory(fan(), 3 if quick else 9),
    "build": lambda quick: build(10_000, 3 if quick else 7),
    "makespan": lambda quick: uneven(1 if quick else 5),
    "durable-chain": lambda quick: durable_chain(3 if quick else 9),
    "durable-dag": lambda quick: durable_dag(3 if quick else 9),
    "store-1000": lambda quick: store_size(1_000),
    "store-10000": lambda quick: store_size(10_000),
    "crash": lambda quick: killed(10 if quick else 200),
    "import": lambda quick: import_time(3 if quick else 9),
    "live-1000": lambda quick: live(1_000, 3 if quick else 9),
    "live-100000": lambda quick: live(100_000, 1 if quick else 3),
    "live-memory": lambda quick: live_memory(LIVE_LIMIT if quick else 100_000),
    "live-chain": lambda quick: live_chain(1_000, 3 if quick else 9),
    "live-plan-1000": lambda quick: live_plan(1_000, 3 if quick else 9),
    "live-plan-5000": lambda quick: live_plan(5_000, 1 if quick else 3),
    **scheduling.CASES,
    **plans.CASES,
}
