"""What earlier runs say about the next one: medians, or nothing where there is no earlier run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import msgspec

from makespan.graph.graph import Graph
from makespan.graph.node import Kind
from makespan.graph.query import critical_path
from makespan.machine.records import Status
from makespan.machine.state import State
from makespan.traces.summary import Summary, duration_ns


class Typical(msgspec.Struct, frozen=True):
    """Medians of the tasks of one key."""

    duration_s: float
    cost_usd: float
    seen: int


class Estimate(msgspec.Struct, frozen=True):
    """Medians of earlier runs; None is unknown."""

    runs: int = 0
    makespan_s: float | None = None
    cost_usd: float | None = None
    basis: str = "no earlier run of this workflow succeeded"


def from_totals(totals: Sequence[Summary]) -> Estimate:
    """From the totals of earlier runs that succeeded."""
    if not totals:
        return Estimate()
    times = median(total.makespan_s for total in totals)
    costs = median(total.cost_usd for total in totals)
    return Estimate(len(totals), times, costs, f"median of {_count(len(totals))}")


def typical_tasks(states: Iterable[State]) -> dict[str, Typical]:
    """Medians by task key over earlier runs. Cost: O(tasks)."""
    durations: dict[str, list[int]] = {}
    costs: dict[str, list[int]] = {}
    for state in states:
        for task in state.tasks:
            if task.kind == Kind.CALL and task.status == Status.SUCCEEDED:
                durations.setdefault(task.declaration.key, []).append(duration_ns(task))
                costs.setdefault(task.declaration.key, []).append(task.cost)
    return {key: Typical(median(seen) / 1e9, median(costs[key]) / 1e9, len(seen)) for key, seen in durations.items()}


def for_graph(graph: Graph, typical: Mapping[str, Typical], totals: Estimate) -> Estimate:
    """For a graph known in full: its critical path over the tasks' medians; else the totals' medians."""
    calls = [node for node in graph if node.declaration.kind == Kind.CALL]
    is_open = any(node.declaration.kind in (Kind.WORKFLOW, Kind.MAP) or node.when for node in graph)
    if is_open or not calls or any(node.key not in typical for node in calls):
        return totals
    cost = {node.id: 0.0 for node in graph}
    cost |= {node.id: typical[node.key].duration_s for node in calls}
    cost |= {node.id: node.delay_ns / 1e9 for node in graph if node.delay_ns}
    length = critical_path(graph, cost).length
    money = sum(typical[node.key].cost_usd for node in calls)
    return Estimate(totals.runs, length, money, f"critical path over task medians of {_count(totals.runs)}")


def _count(runs: int) -> str:
    return f"{runs} earlier run{'s' if runs != 1 else ''}"
