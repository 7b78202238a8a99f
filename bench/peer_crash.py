"""A durable chain of 200 steps, killed after 100 and started again: which steps ran twice, here and in the peers.

    python -m bench.peer_crash NAME FOLDER       one life of NAME on the stores in FOLDER

Each step notes its start in a file that the engine knows nothing of, then takes 5 ms. The step in flight at the kill
may run again; any other that does was paid twice.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TypedDict

from bench.measure import PROJECT

STEPS, KILL_AFTER, STEP_S, LIFE_LIMIT_S = 200, 100, 0.005, 120
Life = Callable[[Path], Coroutine[object, object, int]]


async def noted(folder: Path, number: int, value: int) -> int:
    """One step: notes that it started."""
    log = os.open(folder / "starts", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{number}\n".encode())
    os.close(log)
    await asyncio.sleep(STEP_S)
    return value + 1


def is_first(folder: Path) -> bool:
    """Whether this is the first life; the next one is not."""
    mark = folder / "begun"
    first = not mark.exists()
    mark.touch()
    return first


async def makespan_life(folder: Path) -> int:
    """The awaited chain of an async workflow."""
    import makespan as ms

    @ms.task
    async def step(number: int, value: int) -> int:
        return await noted(folder, number, value)

    @ms.workflow
    async def chain() -> int:
        value = 0
        for number in range(STEPS):
            value = await step(number, value)
        return value

    async with ms.Engine(folder / "makespan.db") as engine:
        run = engine.start(chain(), id="r") if is_first(folder) else engine.resume("r", chain)
        result = await run
        return int(result.output)


class Chain(TypedDict):
    """LangGraph's state."""

    value: int


async def langgraph_life(folder: Path) -> int:
    """A StateGraph whose checkpoint is on disk before the next step."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import END, START, StateGraph

    builder = StateGraph(Chain)
    for number in range(STEPS):

        async def node(state: Chain, number: int = number) -> Chain:
            return {"value": await noted(folder, number, state["value"])}

        builder.add_node(f"n{number}", node)
        builder.add_edge(f"n{number - 1}" if number else START, f"n{number}")
    builder.add_edge(f"n{STEPS - 1}", END)
    async with AsyncSqliteSaver.from_conn_string(str(folder / "langgraph.db")) as saver:
        app = builder.compile(checkpointer=saver)
        config = {"configurable": {"thread_id": "r"}, "recursion_limit": STEPS + 10}
        begin = {"value": 0} if is_first(folder) else None
        end = await app.ainvoke(begin, config, durability="sync")
        return int(end["value"])


async def dbos_life(folder: Path) -> int:
    """A workflow of steps; launching recovers what was pending."""
    from dbos import DBOS, SetWorkflowID

    url = f"sqlite:///{folder / 'dbos.sqlite'}"
    fixed = {"run_admin_server": False, "log_level": "ERROR", "application_version": "1", "executor_id": "local"}
    DBOS(config={"name": "bench", "system_database_url": url, **fixed})

    @DBOS.step()
    async def step(number: int, value: int) -> int:
        return await noted(folder, number, value)

    @DBOS.workflow()
    async def chain() -> int:
        value = 0
        for number in range(STEPS):
            value = await step(number, value)
        return value

    DBOS.launch()
    if is_first(folder):
        with SetWorkflowID("r"):
            return int(await chain())
    handle = await DBOS.retrieve_workflow_async("r")
    return int(await handle.get_result())


LIVES: Mapping[str, Life] = {"makespan": makespan_life, "langgraph": langgraph_life, "dbos": dbos_life}


def started(folder: Path) -> list[int]:
    """Steps in the order they started, repeats included."""
    log = folder / "starts"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def one_life(name: str, folder: Path, python: str, kill_after: int | None) -> float:
    """Run a life to its end, or kill it after so many starts; returns its seconds."""
    begun = time.monotonic()
    command = [python, "-m", "bench.peer_crash", name, str(folder)]
    environment = {**os.environ, "LANGSMITH_TRACING": "false"}
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as life:
        while life.poll() is None:
            if kill_after is not None and len(started(folder)) >= kill_after:
                life.kill()
                return time.monotonic() - begun
            if time.monotonic() - begun > LIFE_LIMIT_S:
                life.kill()
                raise RuntimeError(f"no end in {LIFE_LIMIT_S} s")
            time.sleep(0.002)
        if life.returncode:
            _, errors = life.communicate()
            raise RuntimeError((errors.strip().splitlines() or ["a life failed without a word"])[-1])
    return time.monotonic() - begun


def line(name: str, python: str) -> str:
    """One row of the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch) / "store"
        folder.mkdir(mode=0o700)
        try:
            one_life(name, folder, python, KILL_AFTER)
            before = started(folder)
            second_s = one_life(name, folder, python, None)
        except RuntimeError as error:
            return f"| {name} | failed: {error} | | |"
        value = int((folder / "value").read_text())
        after = started(folder)[len(before) :]
        in_flight = sum(step == before[-1] for step in after)
        again = sum(step in before[:-1] for step in after)
        answer = "right" if value == STEPS else f"{value} instead of {STEPS}"
        return f"| {name} | {again} | {in_flight} | {second_s:.2f} s, answer {answer} |"


HEADER = (
    "| 200-step chain, killed after 100 | finished steps that ran again | in flight again | second life |\n"
    "| --- | --- | --- | --- |"
)


def main() -> None:
    """Child process: one life; the engine's threads are left behind."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    value = asyncio.run(LIVES[name](folder))
    (folder / "value").write_text(str(value))
    os._exit(0)


if __name__ == "__main__":
    main()
