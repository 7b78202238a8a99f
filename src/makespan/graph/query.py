"""Questions about the shape of a graph: orders, levels, the critical path, what is above and below a task.

All are O(N + E) and deterministic: the answers depend on ids and edges, never on the order of insertion. A
level holds the tasks whose longest chain of needs has the same length.

    level 0   a   b        depth 3, width 2, sinks d e, ancestors(d) = {a, b, c}
    level 1    \\ /
    level 2     c
    level 3    d e
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from makespan.errors import GraphError
from makespan.graph.edges import find_cycle, needs
from makespan.graph.graph import Graph, name_of
from makespan.values import TaskId


class Path(msgspec.Struct, frozen=True):
    """A chain of tasks in run order, and the sum of their costs in the unit these came in."""

    tasks: tuple[TaskId, ...]
    length: float


def levels(graph: Graph) -> list[list[TaskId]]:
    """The tasks by the number of tasks on the longest chain before them, each level sorted by id.

    Raises:
        GraphError: tasks need each other; the message has the cycle.
    Source: Kahn, "Topological sorting of large networks" (1962), one whole generation at a time.
    """
    waiting = {task: len(set(needs(node))) for task, node in graph.nodes.items()}
    level = sorted(task for task, count in waiting.items() if count == 0)
    found: list[list[TaskId]] = []
    while level:
        found.append(level)
        following: list[TaskId] = []
        for task in level:
            for dependent in graph.dependents(task):
                waiting[dependent] -= 1
                if waiting[dependent] == 0:
                    following.append(dependent)
        level = sorted(following)
    if sum(map(len, found)) < len(graph):
        raise GraphError(cycle_message(graph))
    return found


def cycle_message(graph: Graph) -> str:
    """What to say of a graph that has no order: its cycle, or the edge that leads nowhere."""
    cycle = find_cycle(sorted(graph.nodes), lambda task: needs(graph.nodes[task]) if task in graph else [])
    if cycle is None:
        return "a task needs one that is not in the graph; `check` says which"
    names = " -> ".join(name_of(graph.nodes[task]) for task in (*cycle, cycle[0]))
    return f"these tasks need each other: {names}; take one of these edges away"


def topological_order(graph: Graph) -> list[TaskId]:
    """Every task after all it needs: level by level, each by id. Raises GraphError at a cycle."""
    return [task for level in levels(graph) for task in level]


def depth(graph: Graph) -> int:
    """Tasks on the longest chain."""
    return len(levels(graph))


def width(graph: Graph) -> int:
    """Most tasks on one level. The largest set of tasks that could ever run at once may be larger."""
    return max(map(len, levels(graph)), default=0)


def critical_path(graph: Graph, cost: Mapping[TaskId, float]) -> Path:
    """Longest chain of tasks: the least time any schedule can take.

    Args:
        cost: one entry a task, each >= 0, in any unit.
    Returns:
        One of the longest; ties go to the smallest ids.
    Raises:
        GraphError: a task has no entry in `cost`, or tasks need each other.
    Cost: O(N + E) time, O(N) memory.
    Source: Kelley and Walker, "Critical-Path Planning and Scheduling" (1959).
    """
    end: dict[TaskId, float] = {}
    before: dict[TaskId, TaskId | None] = {}
    for task in topological_order(graph):
        node = graph.nodes[task]
        if task not in cost:
            raise GraphError(f"the critical path needs a cost of every task; {name_of(node)} has none")
        latest = max(sorted(needs(node)), key=end.__getitem__, default=None)
        before[task] = latest
        end[task] = cost[task] + (end[latest] if latest is not None else 0)
    last = max(end, key=end.__getitem__, default=None)
    return Path(tuple(chain_to(last, before)), end[last] if last is not None else 0)


def chain_to(last: TaskId | None, before: Mapping[TaskId, TaskId | None]) -> list[TaskId]:
    """The chain that ends in a task, from its start."""
    chain: list[TaskId] = []
    while last is not None:
        chain.append(last)
        last = before[last]
    return chain[::-1]


def ancestors(graph: Graph, task: TaskId) -> set[TaskId]:
    """Everything a task needs, directly or not. Cost: O(what is found)."""
    return reachable(task, lambda each: needs(graph.known(each)))


def descendants(graph: Graph, task: TaskId) -> set[TaskId]:
    """Everything that needs a task, directly or not."""
    graph.known(task)
    return reachable(task, graph.dependents)


def reachable(start: TaskId, following: Callable[[TaskId], Iterable[TaskId]]) -> set[TaskId]:
    """What can be reached from a task, without itself."""
    found: set[TaskId] = set()
    left = [start]
    while left:
        for task in following(left.pop()):
            if task not in found:
                found.add(task)
                left.append(task)
    return found


def roots(graph: Graph) -> list[TaskId]:
    """Tasks that need nothing, by id."""
    return sorted(task for task, node in graph.nodes.items() if not needs(node))


def sinks(graph: Graph) -> list[TaskId]:
    """Tasks that nothing needs, by id."""
    return sorted(task for task in graph.nodes if not graph.dependents(task))
