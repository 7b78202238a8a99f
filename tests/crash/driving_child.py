"""A process whose robots are shared with others: a file stands for each robot that is at work.

python driving_child.py STORE RUN FOLDER
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import makespan as ms

STORE, RUN, FOLDER = sys.argv[1:4]
TRUCKS = ["truck_1", "truck_2"]


@ms.task(key="drive")
async def drive(way: int) -> int:
    marks = [Path(FOLDER) / name for name in ms.context().units["truck"]]
    for mark in marks:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))  # raises when the truck is at work elsewhere
    for _ in range(20):
        await asyncio.sleep(0)
    for mark in marks:
        mark.unlink()
    return way


@ms.workflow(key="ways")
def ways() -> list[int]:
    needs = [{"truck": 1}, {"truck": ["truck_1"]}, {"truck": 2}, {"truck": ["truck_2"]}]
    return ms.gather(*[drive.options(needs=needs[way % 4])(way) for way in range(40)])


async def main() -> None:
    # The other process lists the same trucks the other way round: a name is the same truck in both.
    trucks = TRUCKS if RUN == "a" else TRUCKS[::-1]
    async with ms.Engine(STORE, pools={"truck": trucks}) as engine:
        print(sum((await engine.start(ways(), id=RUN)).output))


asyncio.run(main())
