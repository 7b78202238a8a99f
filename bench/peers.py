"""LangGraph, pydantic-graph and DBOS on the same shapes, where they are installed.

Their pins clash, so each may have its own environment: FOLDER/langgraph, FOLDER/pydantic_graph, FOLDER/dbos.
Each case gets a fresh process, in which the asyncio floor runs too. A program returns the sum of all values.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from bench import floors, measure, peer_crash
from bench.floors import step
from bench.graphs import SHAPES, Shape

Values = dict[int, int]
Work = Callable[[], Awaitable[int]]


def merged(left: Values, right: Values) -> Values:
    """LangGraph's reducer: what two nodes of a step wrote."""
    return {**left, **right} if right else left


class State(TypedDict):
    """LangGraph's state: the value of each task that ran."""

    values: Annotated[Values, merged]


def langgraph_app(shape: Shape) -> Any:
    """A StateGraph with one node per task."""
    from langgraph.graph import END, START, StateGraph

    builder = StateGraph(State)
    for task, needs in enumerate(shape.needs):
        builder.add_node(f"n{task}", langgraph_node(shape, task))
        sources = [f"n{needed}" for needed in needs]
        builder.add_edge(START if not needs else sources[0] if len(needs) == 1 else sources, f"n{task}")
    for sink in shape.sinks:
        builder.add_edge(f"n{sink}", END)
    return builder.compile()


def langgraph_node(shape: Shape, task: int) -> Callable[[State], Awaitable[State]]:
    """The node of one task."""

    async def node(state: State) -> State:
        values = state["values"]
        value = await step([values[needed] for needed in shape.needs[task]], shape.sleep_s[task])
        return {"values": {task: value}}

    return node


def langgraph_memory(shape: Shape) -> Work:
    """No checkpoints."""
    app = langgraph_app(shape)

    async def work() -> int:
        end = await app.ainvoke({"values": {}}, {"recursion_limit": len(shape.levels) + 10})
        return sum(end["values"].values())

    return work


def langgraph_durable(shape: Shape) -> Work:
    """A checkpoint on disk before the next step starts."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    threads = iter(range(1_000))
    app = langgraph_app(shape)  # built outside the clock, as our workflow is traced outside of it

    async def work() -> int:
        async with AsyncSqliteSaver.from_conn_string("langgraph.db") as saver:
            app.checkpointer = saver
            thread = {"thread_id": str(next(threads))}
            config = {"configurable": thread, "recursion_limit": len(shape.levels) + 10}
            end = await app.ainvoke({"values": {}}, config, durability="sync")
            return sum(end["values"].values())

    return work


@dataclass
class LevelState:
    """pydantic-graph's state: the level that is next, and the value of each task that ran."""

    level: int = 0
    values: Values = field(default_factory=dict)


def pydantic_graph_memory(shape: Shape) -> Work:
    """Level by level: a join there waits for a fork, so a general graph is a loop over levels."""
    from pydantic_graph import GraphBuilder, StepContext, TypeExpression, reduce_list_append

    builder: Any = GraphBuilder(state_type=LevelState, output_type=int)

    @builder.step
    async def level(ctx: StepContext[LevelState, None, object]) -> list[int]:
        ctx.state.level += 1
        return list(shape.levels[ctx.state.level - 1])

    @builder.step
    async def work(ctx: StepContext[LevelState, None, int]) -> int:
        task, values = ctx.inputs, ctx.state.values
        values[task] = await step([values[needed] for needed in shape.needs[task]], shape.sleep_s[task])
        return task

    @builder.step
    async def after(ctx: StepContext[LevelState, None, list[int]]) -> Literal["more", "end"]:
        return "more" if ctx.state.level < len(shape.levels) else "end"

    @builder.step
    async def total(ctx: StepContext[LevelState, None, object]) -> int:
        return sum(ctx.state.values.values())

    joined = builder.join(reduce_list_append, initial_factory=list[int])
    builder.add(
        builder.edge_from(builder.start_node).to(level),
        builder.edge_from(level).map().to(work),
        builder.edge_from(work).to(joined),
        builder.edge_from(joined).to(after),
        builder.edge_from(after).to(
            builder.decision()
            .branch(builder.match(TypeExpression[Literal["more"]]).to(level))
            .branch(builder.match(TypeExpression[Literal["end"]]).to(total))
        ),
        builder.edge_from(total).to(builder.end_node),
    )
    graph = builder.build()

    async def run() -> int:
        return int(await graph.run(state=LevelState()))

    return run


def dbos_durable(shape: Shape) -> Work:
    """Always durable; level by level, since steps must start in the same order on recovery."""
    from dbos import DBOS

    DBOS(
        config={
            "name": "bench",
            "system_database_url": "sqlite:///dbos.sqlite",
            "run_admin_server": False,
            "log_level": "ERROR",
            "application_version": "1",
            "executor_id": "local",
        }
    )

    @DBOS.step()
    async def node(task: int, depths: list[int]) -> int:
        return await step(depths, shape.sleep_s[task])

    @DBOS.workflow()
    async def workflow() -> int:
        values: Values = {}
        for level in shape.levels:
            calls = [node(task, [values[needed] for needed in shape.needs[task]]) for task in level]
            values.update(zip(level, await asyncio.gather(*calls), strict=True))
        return sum(values.values())

    DBOS.launch()
    return workflow


@dataclass(frozen=True, slots=True)
class Peer:
    """One engine: how to import it, and the program it runs for each shape."""

    module: str
    programs: Mapping[str, Callable[[Shape], Work]]


IN_MEMORY = ("chain", "fan", "dag", "sleep", "skew")
PEERS: Mapping[str, Peer] = {
    "langgraph": Peer(
        "langgraph.graph",
        dict.fromkeys(IN_MEMORY, langgraph_memory) | {"durable": langgraph_durable, "durdag": langgraph_durable},
    ),
    "pydantic_graph": Peer("pydantic_graph", dict.fromkeys(IN_MEMORY, pydantic_graph_memory)),
    "dbos": Peer("dbos", dict.fromkeys(("skew", "durable", "durdag"), dbos_durable)),
}
QUICK = ("fan", "skew", "durable", "durdag")


def table(folder: str, quick: bool) -> str:
    """Run every peer that is installed and give a Markdown table."""
    lines = [
        "| peer | graph | CPU a task | wall a task | wall ÷ asyncio | makespan ÷ critical path |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, peer in PEERS.items():
        python = python_of(name, folder)
        if not is_installed(peer.module, python):
            lines.append(f"| {name} | not installed | | | | |")
            continue
        for case in peer.programs:
            if not quick or case in QUICK:
                print(f"measuring {name} {case}", file=sys.stderr)
                lines.append(peer_line(name, case, python, "2" if quick else "5"))
    return "\n".join([*lines, "", *crash_lines(folder)])


def crash_lines(folder: str) -> list[str]:
    """The chain that is killed, here and in the peers that keep one."""
    lines = [peer_crash.HEADER, peer_crash.line("makespan", sys.executable)]
    for name in peer_crash.LIVES:
        if name in PEERS and is_installed(PEERS[name].module, python_of(name, folder)):
            print(f"measuring {name} crash", file=sys.stderr)
            lines.append(peer_crash.line(name, python_of(name, folder)))
    return lines


def peer_line(name: str, case: str, python: str, repetitions: str) -> str:
    """One row of the table."""
    try:
        figures = measure.in_fresh_process("bench.peers", [name, case, repetitions], python)
    except RuntimeError as error:
        return f"| {name} | {case} | failed: {error} | | | |"
    over = f"{figures['over_critical']:.2f}" if "over_critical" in figures else ""
    cpu, wall = f"{figures['cpu_us']:,.0f} µs", f"{figures['wall_us']:,.0f} µs"
    return f"| {name} | {case} | {cpu} | {wall} | {figures['ratio']:,.1f} × | {over} |"


def python_of(name: str, folder: str) -> str:
    """The peer's own interpreter where FOLDER has one, else this one."""
    own = Path(folder).resolve() / name / "bin" / "python"
    return str(own) if folder and own.exists() else sys.executable


def is_installed(module: str, python: str) -> bool:
    """Whether that interpreter can import the peer."""
    probe = subprocess.run([python, "-c", f"import {module}"], check=False, capture_output=True)
    return probe.returncode == 0


def measure_peer(name: str, case: str, repetitions: int) -> measure.Figures:
    """One peer on one shape beside the asyncio floor."""
    shape = SHAPES[case]()
    work = PEERS[name].programs[case](shape)
    with asyncio.Runner() as runner:

        def peer() -> measure.Sample:
            return measure.checked(runner.run(measure.clock(work())), shape.checksum)

        programs: dict[str, measure.Program] = {"floor": partial(floors.taskgroup, shape), "peer": peer}
        samples = measure.interleave(programs, repetitions)
    figures = {
        "cpu_us": 1e6 * measure.median_cpu_s(samples["peer"]) / shape.size,
        "wall_us": 1e6 * measure.median_wall_s(samples["peer"]) / shape.size,
        "ratio": measure.wall_ratio(samples["peer"], samples["floor"]),
    }
    if shape.critical_s:
        figures["over_critical"] = measure.median_wall_s(samples["peer"]) / shape.critical_s
    return figures


def main() -> None:
    """Child process: measure in a scratch folder, report, and leave the peer's threads behind."""
    name, case, repetitions = sys.argv[1:]
    os.environ["LANGSMITH_TRACING"] = "false"
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        os.chdir(scratch)
        measure.report(measure_peer(name, case, int(repetitions)))
    os._exit(0)


if __name__ == "__main__":
    main()
