"""What a call outside of a workflow stands for, for tests of authoring."""

from __future__ import annotations

from typing import Any

from makespan.authoring.trace import Traced, trace
from makespan.graph.node import Kind, Node
from makespan.values import TaskId


def traced(call: Any) -> Traced:
    """The traced graph of a call."""
    return trace(call._unbound)


def nodes_of(call: Any) -> list[Node]:
    """All nodes of a call's graph, in the order of the calls."""
    return list(traced(call).template.nodes)


def calls_of(call: Any) -> list[Node]:
    """The nodes that run a task's code."""
    return [node for node in nodes_of(call) if node.declaration.kind == Kind.CALL]


def ids_of(call: Any) -> list[TaskId]:
    """Ids of the nodes that run a task's code, in the order of the calls."""
    return [node.id for node in calls_of(call)]


def id_of(call: Any) -> TaskId:
    """Id of the only task."""
    (found,) = ids_of(call)
    return found
