import json

import msgspec
import pytest

from makespan.errors import GraphError
from makespan.graph.codec import (
    DeclarationRow,
    FirstRow,
    MapRow,
    NodeRow,
    ScopeRow,
    SourceRow,
    from_json,
    to_json,
)
from makespan.graph.digest import digest
from makespan.graph.graph import Graph
from makespan.graph.node import Declaration, Errors, First, Kind, MapOver, Mode, Node, Options, Scope, Source
from makespan.values import ROOT_SCOPE, Nanos, NanoUsd
from tests.graph.samples import PURE_GPU, graph, map_node, node, on_item, scope_id, task


def rich() -> Graph:
    """One of everything."""
    over = MapOver((on_item("i", "x", 0),), Source(task("i")), Errors.KEEP, 5, (Source(task("a"), (2,)),))
    nodes = [
        node("a"),
        node("docs", declaration=PURE_GPU, label="Documents"),
        node("b", "a", args=(b"\x81\xa1x", 0), when="s0.ok"),
        node("c", sources=(Source(task("a"), ("x", 3), Mode.OUTCOME),)),
        node(
            "f",
            "a",
            "b",
            args=(),
            declaration=Declaration("f", Kind.FIRST),
            first=First(2, "value", True, True, True),
        ),
        node("t", declaration=Declaration("t", Kind.TIMER), delay_ns=Nanos(7), scope=scope_id("s")),
        map_node("m", over),
    ]
    return Graph.of(nodes, [Scope(scope_id("s"), ROOT_SCOPE, "s", NanoUsd(3), Nanos(4), 5)])


def test_decoding_gives_back_the_graph() -> None:
    back = from_json(to_json(rich()))

    assert back == rich()
    assert digest(back) == digest(rich())


def test_equal_graphs_have_equal_text() -> None:
    nodes = list(rich())

    assert to_json(Graph.of(reversed(nodes), rich().scopes.values())) == to_json(rich())


def test_the_format_has_a_place_for_every_field() -> None:
    rows = {NodeRow: Node, SourceRow: Source, FirstRow: First, MapRow: MapOver, ScopeRow: Scope}
    for row, struct in {**rows, DeclarationRow: Declaration}.items():
        assert set(struct.__struct_fields__) <= set(row.__struct_fields__)


def test_equal_options_give_equal_text_and_digest_however_they_were_made() -> None:
    computed = Options(executor="AUTO".lower(), version="2".strip("2"))
    plain, other = (
        graph(a="").replace(node("a", declaration=Declaration("a", options=options)))
        for options in (Options(), computed)
    )

    assert digest(plain) == digest(other)
    assert to_json(plain) == to_json(other)


@pytest.mark.parametrize(
    "args",
    [
        (),
        (b"",),
        (msgspec.msgpack.encode({"x": [1, 1.0, -0.0, None, "é"]}),),
        (msgspec.msgpack.encode({"x": b"raw"}),),
        (msgspec.msgpack.encode({1: 2}),),
        (msgspec.msgpack.encode(float("nan")),),
        (msgspec.msgpack.encode(2**64 - 1),),
        (msgspec.msgpack.encode(None),),
        (b"\xcd\x00\x01",),  # 1, but not in its shortest form
        (b"\xff\xff",),
        (b"\x01", b"\x02"),
    ],
)
def test_arguments_come_back_byte_for_byte(args: tuple[bytes, ...]) -> None:
    start = Graph.of([node("a", args=args)])

    assert from_json(to_json(start)) == start


def test_whole_arguments_are_readable_and_declarations_stand_once() -> None:
    document = json.loads(to_json(graph(a="").add(node("b", declaration=Declaration("a")))))

    assert [each["args"] for each in document["nodes"]] == [{"x": 1}, {"x": 1}]
    assert document["declarations"] == [{"key": "a"}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not a graph"),
        (b"[]", "not a graph"),
        (b'{"makespan_graph": 99, "new": true}', "format 99, this makespan reads up to 1; upgrade"),
        (b'{"makespan_graph": 1, "declarations": [], "scopes": []}', "missing required field `nodes`"),
        (to_json(graph(a="")).replace(b'"declaration":0', b'"declaration":7'), "not a graph"),
        (to_json(graph(a="")).replace(b'"declaration":0', b'"declaration":-1'), "not a graph"),
        (to_json(graph(a="")).replace(b'"scope":"00', b'"scope":"zz'), "not a graph"),
        (to_json(graph(a="", b="a")).replace(b'"sources":[{', b'"sources":[{"mode":"odd",'), "not a graph"),
        (to_json(graph(a="")).replace(b'"args":', b'"arg":'), "unknown field"),
    ],
)
def test_what_is_not_a_graph_is_refused_clearly(text: bytes, said: str) -> None:
    with pytest.raises(GraphError, match=said):
        from_json(text)
