"""A plain workflow as YAML: the graph read back into the tasks of a document.

What comes out is loaded again before it is given away: a text whose graph has another digest is never given, and what
YAML cannot say is refused with the task's name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from makespan.authoring.signature import MISSING
from makespan.authoring.task import Task
from makespan.authoring.trace import Template, template_of
from makespan.documents.blocks import Block, Said
from makespan.documents.load import load_text
from makespan.documents.types import yaml_type
from makespan.documents.words import Words
from makespan.documents.write import write
from makespan.errors import EngineError, GraphError
from makespan.graph.digest import digest
from makespan.graph.graph import name_of
from makespan.graph.node import Kind, Source


def export(workflow: Task[..., Any], folder: Path | None = None) -> str:
    """The YAML of a plain workflow; loaded from `folder` (the current one) it is the same graph.

    Raises:
        GraphError: an async workflow, or a task that YAML cannot say; the message names it.
    """
    if not getattr(workflow, "is_traced", False):
        raise GraphError(
            f"{workflow.key} is an async workflow or a task: its graph is what its code does as it runs; "
            f"write a document that calls it: `call: {workflow.target}`"
        )
    where = (folder or Path.cwd()).absolute()
    template = template_of(workflow)
    text = write(document(workflow, template, where))
    _prove(text, template, where / f"{workflow.key}.yaml")
    return text


def _prove(text: str, template: Template, file: Path) -> None:
    """Refuse a text that is not the same graph."""
    try:
        again = template_of(load_text(text, file, shown="the exported text"))
    except EngineError as error:
        raise GraphError(f"this workflow cannot be said in YAML: {error}") from None
    if digest(again.graph) == digest(template.graph):
        return
    known = {node.id for node in again.nodes}
    lost = next((node for node in template.nodes if node.id not in known), template.nodes[-1])
    raise GraphError(
        f"the task {name_of(lost)} cannot be said in YAML as it is: its place is part of its identity, and the graph "
        f"does not show it (it stands in a map over a written-out list, perhaps); export to json or mermaid instead"
    )


def document(workflow: Task[..., Any], template: Template, folder: Path) -> Said:
    """What the document says of a workflow, as plain data."""
    words = Words(template, folder)
    key = workflow.key
    said: Said = {"workflow": key}
    if workflow.__doc__:
        said["description"] = workflow.__doc__.strip()
    if workflow.declaration.options.version:
        said["version"] = workflow.declaration.options.version
    inputs = {each.name: _input(each) for each in workflow.signature.parameters}
    if inputs:
        said["inputs"] = inputs
    root = next(node for node in template.nodes if node.id == template.root)
    is_output = root.declaration.kind == Kind.VALUE and root.key == f"{key}()"
    nodes = [n for n in template.nodes if n.id != words.inputs and not (is_output and n is root)]
    read = [source.task for source in root.sources] if is_output else [root.id]
    block = Block(words, nodes, list(template.scopes), read)
    output = block.data(root, words.holes(root)) if is_output else block.reference(Source(root.id))
    said |= {"tasks": block.tasks(), "output": output}
    try:
        returns = yaml_type(workflow.returns)
    except GraphError:
        returns = "any"
    if returns != "any":
        said["returns"] = returns
    return said


def _input(parameter: Any) -> Any:
    kind = yaml_type(parameter.annotation)
    if parameter.default is MISSING:
        return kind
    return {"type": kind, "default": msgspec.msgpack.decode(parameter.default)}
