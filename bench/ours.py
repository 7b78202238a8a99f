"""The shapes as makespan workflows, through the public API alone.

This module, `live.py` and `crash.py` need the engine; the rest of `bench` imports them when it measures.
"""

import asyncio
import time
from pathlib import Path

import makespan as ms
from bench.graphs import Shape, deeper, layered
from bench.measure import Sample, checked, clock
from bench.sqlite_floor import Sync


@ms.task
async def step(depths: list[int]) -> int:
    """The no-op."""
    return deeper(depths)


@ms.task
async def nap(depths: list[int], sleep_s: float) -> int:
    """The no-op that takes a while."""
    await asyncio.sleep(sleep_s)
    return deeper(depths)


@ms.task
async def total(depths: list[int]) -> int:
    """Proves that data flowed through the whole graph; the one task a shape has here and not on the floor."""
    return sum(depths)


def call_of(shape: Shape) -> ms.Ref[int]:
    """A call of the shape as a traced workflow; nothing is traced or run yet."""

    @ms.workflow
    def wf() -> int:
        refs: list[ms.Ref[int]] = []
        for needs, sleep_s in zip(shape.needs, shape.sleep_s, strict=True):
            if sleep_s:
                refs.append(nap([refs[needed] for needed in needs], sleep_s))
            else:
                refs.append(step([refs[needed] for needed in needs]))
        return total([refs[sink] for sink in shape.sinks])

    return wf()


def memory_case(shape: Shape) -> Sample:
    """Trace, start and run the shape in memory. The engine is opened outside the clock."""
    return run_on(ms.Engine(store="memory"), call_of(shape), shape, "normal")


def durable_case(shape: Shape, path: Path, sync: Sync) -> Sample:
    """Start and run the shape on a fresh SQLite store.

    The engine is opened and the workflow traced outside the clock, as the floor has its graph: building is a row of
    its own, and a service traces a plain workflow once for all its runs.
    """
    call = call_of(shape)
    ms.plan(call)
    return run_on(ms.Engine(store=f"sqlite:///{path}"), call, shape, sync, path)


def build_case(size: int) -> Sample:
    """Trace and check a graph of `size` tasks without running it."""
    shape = layered(size)
    call = call_of(shape)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    graph = ms.plan(call)
    sample = Sample(time.process_time() - cpu_s, time.perf_counter() - wall_s, size)
    if graph is None:
        raise ValueError("ms.plan gave no graph")
    return sample


def run_on(engine: ms.Engine, call: ms.Ref[int], shape: Shape, sync: Sync, path: Path | None = None) -> Sample:
    """Run the shape on this engine and check its value."""

    async def output() -> int:
        result = await engine.start(call, sync=sync)
        return result.output

    async def body() -> Sample:
        async with engine:
            sample = await clock(output())
            return with_wal(sample, path) if path else sample

    return checked(asyncio.run(body()), shape.sink_checksum)


def with_wal(sample: Sample, path: Path) -> Sample:
    """The sample with the size of the write-ahead log as it is now."""
    wal = path.with_name(path.name + "-wal")
    return Sample(sample.cpu_s, sample.wall_s, sample.value, wal.stat().st_size if wal.exists() else 0)
