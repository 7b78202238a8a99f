"""Small graphs to test with: names become ids, edges are lists of names."""

from hashlib import blake2b
from typing import Any

import msgspec

from makespan.graph.graph import Graph
from makespan.graph.node import ITEM, Declaration, Kind, MapOver, Mode, Node, Options, Source
from makespan.values import ROOT_SCOPE, ScopeId, TaskId


def task(name: str) -> TaskId:
    """The id of a task in these tests."""
    return TaskId(blake2b(name.encode(), digest_size=16).digest())


def scope_id(name: str) -> ScopeId:
    """The id of a scope in these tests."""
    return ScopeId(blake2b(b"scope " + name.encode(), digest_size=16).digest())


def node(name: str, *needs: str, **changes: Any) -> Node:
    """A task that takes the values of others."""
    fields: dict[str, Any] = {
        "id": task(name),
        "declaration": Declaration(name),
        "scope": ROOT_SCOPE,
        "args": tuple(range(len(needs))) or (msgspec.msgpack.encode({"x": 1}),),
        "sources": tuple(Source(task(needed)) for needed in needs),
    }
    return Node(**{**fields, **changes})


def graph(**needs: str) -> Graph:
    """A graph: `graph(a="", b="a", c="a b")`."""
    return Graph.of(node(name, *text.split()) for name, text in needs.items())


def diamond() -> Graph:
    """a before b and c, both before d."""
    return graph(a="", b="a", c="a", d="b c")


def map_node(name: str, over: MapOver, listed: str = "docs") -> Node:
    """A map over the result of one task."""
    return node(name, listed, args=(), declaration=Declaration(name, Kind.MAP), over=over)


def template(*nodes: Node, output: str) -> MapOver:
    """A template whose result is that of one of its nodes."""
    return MapOver(nodes, Source(task(output)))


def on_item(name: str, *path: str | int, item: TaskId = ITEM, **changes: Any) -> Node:
    """A task of a template that takes the item, or something in it."""
    return node(name, args=(b"\x81\xa1x", 0), sources=(Source(item, path),), **changes)


def waits_for(name: str, *needs: str) -> Node:
    """A task that only waits."""
    return node(name, sources=tuple(Source(task(needed), mode=Mode.AFTER) for needed in needs))


PURE_GPU = Declaration("train", options=Options(needs=(("gpu", 1),), version="2"), returns="Model", code="c0de")
