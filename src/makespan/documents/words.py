"""What the tasks of a workflow are called when it is written as a document: names, targets, arguments with holes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from makespan.authoring.task import Task
from makespan.authoring.trace import Template
from makespan.documents.link import PlainTask
from makespan.documents.references import NAME
from makespan.errors import EngineError, GraphError
from makespan.graph.graph import name_of
from makespan.graph.node import Kind, Node
from makespan.runtime.targets import load_target
from makespan.values import TaskId

HOLE = 77
"""Ext code under which a hole of the arguments is decoded."""


class Hole(msgspec.Struct, frozen=True):
    """A place in decoded arguments that a source fills."""

    number: int


class Words:
    """What the tasks of one workflow are called in a document, and the same of their code."""

    def __init__(self, template: Template, folder: Path) -> None:
        self.template, self.folder = template, folder
        self.inputs = next((node.id for node in template.nodes if node.key == "inputs" and not node.sources), None)
        self.names: dict[TaskId, str] = {}
        self.taken = {"inputs"}
        self.hints: dict[TaskId, str] = {}
        """Better names than the key: a `when` is called after what it does."""
        self.firsts = {node.id for node in _all(template.nodes) if node.declaration.kind == Kind.FIRST}

    def name(self, node: Node) -> str:
        """The name of a node in the document."""
        found = self.names.get(node.id)
        if found is None:
            said = node.label or self.hints.get(node.id) or node.key.removeprefix("map ")
            base = re.sub(r"[^A-Za-z0-9_-]+", "_", said).strip("_") or "task"
            base = base if NAME.fullmatch(base) else f"_{base}"
            number, found = 2, base
            while found in self.taken:
                found, number = f"{base}_{number}", number + 1
            self.taken.add(found)
            self.names[node.id] = found
        return found

    def holes(self, node: Node) -> Any:
        """A node's arguments as data with `Hole`s."""
        encoded = b"".join(_hole(piece) if isinstance(piece, int) else piece for piece in node.args)
        try:
            return msgspec.msgpack.decode(encoded, ext_hook=lambda code, data: Hole(int.from_bytes(bytes(data), "big")))
        except msgspec.DecodeError as error:
            raise self.refused(node, f"its arguments are no plain data ({error})") from None

    def refused(self, node: Node, why: str) -> GraphError:
        return GraphError(f"the task {name_of(node)} cannot be said in YAML: {why}")

    def target(self, node: Node, task: Task[..., Any]) -> tuple[str, Task[..., Any]]:
        """How a document calls a task, and the task that it gets then."""
        file = getattr(task, "file", None)
        if file is not None:
            inside = file.is_relative_to(self.folder)
            return (f"./{file.relative_to(self.folder)}" if inside else str(file)), task
        target = Task.target.fget(task) if isinstance(task, PlainTask) else task.target  # type: ignore[attr-defined]
        try:
            found = load_target(target)
        except EngineError as error:
            raise self.refused(node, str(error)) from None
        if not isinstance(found, Task):
            found = PlainTask(found, {}, "", node.key)
        if found.fn is not task.fn:
            raise self.refused(node, f"{target} is something else than the function it calls")
        source, _, name = target.rpartition(":")
        if source.endswith(".py"):
            path = Path(source)
            inside = path.is_relative_to(self.folder)
            source = f"./{path.relative_to(self.folder)}" if inside else source
        return f"{source}:{name}", found


def _all(nodes: Sequence[Node]) -> list[Node]:
    """The nodes, and those of their templates."""
    found = list(nodes)
    for node in nodes:
        if node.over is not None:
            found += _all(node.over.nodes)
    return found


def _hole(number: int) -> bytes:
    return msgspec.msgpack.encode(msgspec.msgpack.Ext(HOLE, number.to_bytes(4, "big")))
