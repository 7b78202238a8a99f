"""Where the microseconds of a task go, stage by stage: `python -m bench.stages`. Kept in `docs/costs.md`.

CPU time per task on the 10,000-task layered DAG (3 sources a task), best of several; each stage is measured alone, on
what the stage before it gave. A change that adds more than 2 µs a task says why.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import makespan as ms
from bench import ours
from bench.graphs import layered
from makespan.authoring.trace import collector_resting, trace
from makespan.graph.digest import Identity
from makespan.graph.types import assignable
from makespan.journal.sqlite import SqliteJournal
from makespan.machine.facts import Fact, GraphBody, Limits, RunStarted, TaskSucceeded, encode_facts, encode_graph
from makespan.machine.machine import Machine, Turn
from makespan.machine.observations import AttemptSucceeded, StartAttempt
from makespan.machine.opening import graph_facts
from makespan.machine.state import State
from makespan.ports import Owner
from makespan.store_port import TurnRecord

T = TypeVar("T")
TASKS = 10_000
REPETITIONS = 5


def best(work: Callable[[], T], count: int = TASKS) -> tuple[T, float]:
    """The last result, and the least CPU time per task in microseconds."""
    results: list[T] = []
    least = float("inf")
    for _ in range(REPETITIONS):
        results.clear()
        with collector_resting():
            start = time.process_time()
            results.append(work())
            least = min(least, time.process_time() - start)
    return results[0], least * 1e6 / count


def machine_turns(template: Any) -> list[Turn]:
    """The whole run on the pure machine: every attempt succeeds at once."""
    machine = Machine(State(dict(template.opening.blobs).__getitem__))
    header = RunStarted("bench", "wf", template.root, b"\x80", 0, 0, Limits())
    turns = [machine.begin([header, *template.opening.facts], template.opening.graph)]
    while starts := [c for c in turns[-1].commands if isinstance(c, StartAttempt)]:
        turns.append(machine.turn([AttemptSucceeded(1, c.task, c.attempt, b"\x01") for c in starts]))
    return turns


def commits(folder: Path) -> float:
    """Microseconds of one commit (without sync) of one small turn."""
    journal = SqliteJournal(folder / "bench.db")
    lease = journal.create("bench", "wf", "", Owner("boot", 1, 1), 0, 10**18)
    assert lease is not None
    record = (TurnRecord(lease, b"x" * 60),)

    def commit_many() -> None:
        for _ in range(1000):
            journal.append(record)

    _, cost = best(commit_many, 1000)
    journal.close()
    return cost


async def run_cost(shape: Any, call: Any) -> float:
    """Microseconds of a task of the whole run in memory, the graph already traced."""
    least = float("inf")
    for _ in range(REPETITIONS):
        async with ms.Engine(store="memory") as engine:
            start = time.process_time()
            await engine.start(call)
            least = min(least, time.process_time() - start)
    return least * 1e6 / TASKS


def stages() -> dict[str, float]:
    """Microseconds a task, by stage."""
    shape = layered(TASKS)
    call = ours.call_of(shape)
    identity, args = Identity(bytes(16), b"key"), b"x" * 60
    _, ids = best(lambda: [identity.of(args) for _ in range(TASKS)])
    _, types = best(lambda: [assignable(int, float) for _ in range(TASKS)])
    traced, tracing = best(lambda: trace(ours.call_of(shape)._unbound))  # type: ignore[arg-type]
    template = traced.template
    facts, to_facts = best(lambda: graph_facts(template.nodes, template.scopes))
    _, encoded = best(lambda: encode_graph(GraphBody(facts)))
    turns, machine = best(lambda: machine_turns(template))
    ends: list[list[Fact]] = [[f for f in turn.facts if isinstance(f, TaskSucceeded)] for turn in turns]
    _, journaled = best(lambda: [encode_facts(turn) for turn in ends])
    ms.plan(call)
    whole = asyncio.run(run_cost(shape, call))
    with TemporaryDirectory() as folder:
        commit = commits(Path(folder) / "store")
    return {
        "identity (one hash)": ids,
        "types (one edge checked, known pair)": types,
        "trace (call, bind, encode, check, identity, node; 3 edges)": tracing,
        "graph to facts": to_facts,
        "encode the graph": encoded,
        "machine (add, ready, start, succeed, notify)": machine,
        "encode a result's fact": journaled,
        "commit of one turn, SQLite without sync": commit,
        "dispatch (decode, asyncio task, call, encode): whole run − machine": whole - machine,
        "whole run in memory, graph traced before": whole,
    }


def main() -> None:
    """Print the table."""
    print("| stage | CPU µs a task |\n| --- | --- |")
    for name, cost in stages().items():
        print(f"| {name} | {cost:.2f} |")


if __name__ == "__main__":
    main()
