"""The least a durable asyncio program can take: each result is a committed row before a dependent starts.

No identities, no types, no resume, no second run in the same file: only the commits.
"""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

import apsw

from bench.floors import step
from bench.graphs import Shape
from bench.measure import Sample, checked, clock

Sync = Literal["normal", "full"]


def chain(shape: Shape, path: Path, sync: Sync) -> Sample:
    """One task after the other, one commit each."""

    async def body() -> Sample:
        with opened(path, sync) as database:
            return await clock(run_chain(shape, database))

    return checked(asyncio.run(body()), shape.checksum)


def dag(shape: Shape, path: Path, sync: Sync) -> Sample:
    """Group commit: the tasks that finish in one turn of the loop share a commit."""

    async def body() -> Sample:
        with opened(path, sync) as database:
            return await clock(run_dag(shape, database))

    return checked(asyncio.run(body()), shape.checksum)


async def run_chain(shape: Shape, database: apsw.Connection) -> int:
    """Sum of the values of all tasks."""
    values: list[int] = []
    for task, needs in enumerate(shape.needs):
        value = await step([values[needed] for needed in needs], 0.0)
        database.execute("insert into results values (?, ?)", (task, value))
        values.append(value)
    return sum(values)


async def run_dag(shape: Shape, database: apsw.Connection) -> int:
    """Sum of the values of all tasks."""
    missing = [len(needs) for needs in shape.needs]
    values = [0] * shape.size
    ready = [task for task, count in enumerate(missing) if not count]
    running: dict[asyncio.Task[int], int] = {}
    while ready or running:
        for task in ready:
            inputs = [values[needed] for needed in shape.needs[task]]
            running[asyncio.create_task(step(inputs, 0.0))] = task
        finished, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        rows = [(running.pop(done), done.result()) for done in finished]
        database.execute("begin")
        database.executemany("insert into results values (?, ?)", rows)
        database.execute("commit")
        ready = []
        for task, value in rows:
            values[task] = value
            for dependent in shape.needed_by[task]:
                missing[dependent] -= 1
                if not missing[dependent]:
                    ready.append(dependent)
    return sum(values)


@contextmanager
def opened(path: Path, sync: Sync) -> Iterator[apsw.Connection]:
    """A fresh database in write-ahead mode."""
    with closing(apsw.Connection(str(path))) as database:
        database.pragma("journal_mode", "wal")
        database.pragma("synchronous", sync)
        database.execute("create table results (task integer primary key, value int)")
        yield database
