"""A graph as a Mermaid flowchart, for documents and `export --to mermaid`.

    -->  takes the value      -.->  waits for success      ==>  waits for any end
    [ ] call   [[ ]] workflow   ( ) value   { } first   [/ /] map   (( )) timer   > ] message

A scope and a map's template are boxes. Text from users never reaches Mermaid's syntax: everything but
letters, digits and a few signs is written as a character code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from makespan.graph.graph import Graph
from makespan.graph.node import Kind, Mode, Node, Scope, is_placeholder
from makespan.graph.query import topological_order
from makespan.values import ROOT_SCOPE, ScopeId, TaskId

ARROWS = {Mode.VALUE: "-->", Mode.AFTER: "-.->", Mode.OUTCOME: "==>"}
SHAPES = {
    Kind.CALL: ("[", "]"),
    Kind.WORKFLOW: ("[[", "]]"),
    Kind.VALUE: ("(", ")"),
    Kind.FIRST: ("{", "}"),
    Kind.MAP: ("[/", "/]"),
    Kind.TIMER: ("((", "))"),
    Kind.SIGNAL: (">", "]"),
    Kind.EDIT: ("{{", "}}"),
}
UNSAFE = re.compile(r"[^\w .,:/=!?-]|^-|\.(?= )")
"""Outside words and signs; and what Markdown would take for a list (`- a`, `1. a`)."""
MAX_LABEL = 60


def mermaid(graph: Graph) -> str:
    """The text of a flowchart, top to bottom; equal for equal graphs. Raises GraphError at a cycle."""
    nodes = [graph.nodes[task] for task in topological_order(graph)]
    names = {node.id: f"n{place}" for place, node in enumerate(nodes)}
    scopes = graph.scopes
    content: dict[ScopeId, list[Node | Scope]] = {}
    for node in nodes:
        content.setdefault(node.scope if node.scope in scopes else ROOT_SCOPE, []).append(node)
    for _, scope in sorted(scopes.items()):
        content.setdefault(scope.parent if scope.parent in scopes else ROOT_SCOPE, []).append(scope)
    lines = ["flowchart TD", *box(ROOT_SCOPE, content, names)]
    for node in nodes:
        lines += edges(node, names)
    return "\n".join(lines) + "\n"


def box(scope: ScopeId, content: Mapping[ScopeId, list[Node | Scope]], names: Mapping[TaskId, str]) -> Iterator[str]:
    """What is in a scope: its nodes, and the scopes inside it as boxes."""
    for each in content.get(scope, ()):
        if isinstance(each, Node):
            yield from shape(each, names)
        else:
            yield f"  subgraph s{each.id.hex()} [{quoted(each.name)}]"
            yield from box(each.id, content, names)
            yield "  end"


def shape(node: Node, names: Mapping[TaskId, str]) -> Iterator[str]:
    """A node, and its template as a box beside it."""
    left, right = SHAPES[node.declaration.kind]
    text = quoted(node.label or node.key, f"when {node.when}" if node.when else "")
    yield f"  {names[node.id]}{left}{text}{right}"
    if node.over is not None:
        inner = inner_names(node, names)
        yield f"  subgraph t{names[node.id]} [{quoted('for each item')}]"
        for each in node.over.nodes:
            yield from shape(each, inner)
        for each in node.over.nodes:
            yield from edges(each, inner)
        yield "  end"
        yield f"  {names[node.id]} -.- t{names[node.id]}"


def inner_names(node: Node, names: Mapping[TaskId, str]) -> dict[TaskId, str]:
    """Names of what a template's nodes may refer to."""
    assert node.over is not None
    own = {each.id: f"{names[node.id]}_{place}" for place, each in enumerate(node.over.nodes)}
    return {**names, **own}


def edges(node: Node, names: Mapping[TaskId, str]) -> Iterator[str]:
    """The edges into a node, each once. An item is no node: the box says that it is there."""
    for source in dict.fromkeys(node.sources):
        if not is_placeholder(source.task) and source.task in names:
            path = ".".join(map(str, source.path))
            label = f"|{quoted(path)}|" if path else ""
            yield f"  {names[source.task]} {ARROWS[source.mode]}{label} {names[node.id]}"


def quoted(*lines: str) -> str:
    """Text as a Mermaid label: short, quoted, with everything that could be syntax as a code."""
    return '"' + "<br/>".join(escaped(line) for line in lines if line) + '"'


def escaped(text: str) -> str:
    text = " ".join(text.split())
    short = text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…"
    return UNSAFE.sub(lambda match: f"#{ord(match[0])};", short)
