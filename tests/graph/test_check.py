import pytest

from makespan.errors import GraphError
from makespan.graph.check import Limits, check, problems
from makespan.graph.node import (
    ITEM,
    Declaration,
    First,
    Kind,
    MapOver,
    Mode,
    Node,
    Scope,
    Source,
    item_placeholder,
)
from makespan.values import ROOT_SCOPE, Nanos
from tests.graph.samples import diamond, map_node, node, on_item, scope_id, task, template

DOCS = node("docs")


def first(name: str, *needs: str, wanted: int = 1, many: bool = False, accept: str = "", gated: bool = False) -> Node:
    """A FIRST node."""
    declaration = Declaration(name, Kind.FIRST)
    return node(name, *needs, args=(), declaration=declaration, first=First(wanted, accept, many, gated=gated))


def test_a_sound_graph_has_no_problems() -> None:
    nodes = [
        *diamond(),
        node("e", "a", when="s0.ok and s0.n > 2"),
        first("f", "b", "c", wanted=2, many=True, accept="value.score > 0.5"),
        node("t", declaration=Declaration("t", Kind.TIMER), delay_ns=Nanos(5)),
        DOCS,
        map_node("m", template(on_item("inner", "x"), node("out", "inner", "a"), output="out")),
    ]

    assert problems(nodes) == []
    assert problems(reversed(nodes)) == []


def test_a_cycle_is_told_as_the_path_it_takes() -> None:
    with pytest.raises(GraphError, match=r"a -> c -> b -> a|b -> a -> c -> b|c -> b -> a -> c"):
        check([node("a", "c"), node("b", "a"), node("c", "b"), node("d", "a")])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (node("x", "nowhere"), "needs .*, which is not in the graph"),
        (node("x", args=(3,)), "hole 3 of task x .* has no source; it has 0"),
        (node("x", "docs", sources=(Source(task("docs"), mode=Mode.AFTER),)), "gives no value"),
        (node("x", "docs", when="s1.ok"), "column 1 .* unknown name 's1' .known: s0"),
        (node("x", "docs", when="s0 ="), "column 4"),
        (on_item("x"), "takes a map's item but is not inside that map"),
        (node("x", id=ITEM), "has the id of a map's item"),
        (node("docs"), "two tasks have the id of docs"),
        (node("x", scope=scope_id("s")), "in a scope that is not in the graph"),
        (first("x", "docs", wanted=2, many=True), "wants 2 of its 1 choices"),
        (first("x", "docs", wanted=0), "wants 0 of its 1 choices"),
        (first("x", "docs", "docs", wanted=2), "gives one; set `many`"),
        (first("x", "docs", gated=True), "needs one gate a choice"),
        (first("x", "docs", accept="s0.ok"), "unknown name 's0'"),
        (node("x", "docs", first=First()), "`first` belongs to the kind FIRST"),
        (node("x", declaration=Declaration("x", Kind.FIRST)), "`first` belongs to the kind FIRST"),
        (node("x", declaration=Declaration("x", Kind.MAP)), "`over` belongs to the kind MAP"),
        (node("x", delay_ns=Nanos(1)), "only the kinds TIMER and SIGNAL"),
        (map_node("m", template(on_item("i", item=item_placeholder(1)), output="i")), "not inside"),
        (map_node("m", template(node("i", "j"), on_item("j"), output="i")), "stands after it"),
        (map_node("m", template(on_item("i"), on_item("i"), output="i")), "is taken in its map's template"),
        (map_node("m", template(on_item("i"), output="nowhere")), "not in the graph"),
        (map_node("m", MapOver((), Source(item_placeholder(1)))), "gives the item of a map"),
        (map_node("m", template(on_item("i", when="s7"), output="i")), "unknown name 's7'"),
    ],
)
def test_each_mistake_is_named_with_its_task(wrong: Node, said: str) -> None:
    with pytest.raises(GraphError, match=said):
        check([DOCS, wrong])


def test_a_map_takes_one_list() -> None:
    over = MapOver((), Source(ITEM))
    two = node("m", "docs", "docs", args=(), declaration=Declaration("m", Kind.MAP), over=over)

    with pytest.raises(GraphError, match="one list, not 2"):
        check([DOCS, two])


def test_a_map_inside_a_map_may_name_both_items() -> None:
    inner = template(node("pair", sources=(Source(ITEM), Source(item_placeholder(1))), args=(0, 1)), output="pair")
    nested = node("n", sources=(Source(ITEM),), args=(), declaration=Declaration("n", Kind.MAP), over=inner)

    assert problems([DOCS, map_node("m", template(nested, output="n"))]) == []


def test_scopes_have_parents_and_are_not_inside_themselves() -> None:
    lost = Scope(scope_id("lost"), scope_id("nowhere"), "lost")
    left = Scope(scope_id("left"), scope_id("right"), "left")
    right = Scope(scope_id("right"), scope_id("left"), "right")
    fine = Scope(scope_id("fine"), ROOT_SCOPE, "fine")

    assert len(problems([], [lost, fine])) == 1
    assert len(problems([], [left, right])) == 2


def test_all_problems_are_listed_at_once() -> None:
    with pytest.raises(GraphError, match="2 things are wrong") as caught:
        check([node("a", "nowhere"), node("b", when="s0")])

    assert str(caught.value).count("\n  - ") == 2


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(tasks=3), "tasks is 4, at most 3"),
        (Limits(depth=2), "depth is 3"),
        (Limits(width=1), "width is 2"),
    ],
)
def test_limits_are_named(limits: Limits, said: str) -> None:
    with pytest.raises(GraphError, match=said):
        check(diamond(), limits=limits)

    check(diamond(), limits=Limits(tasks=4, depth=3, width=2))
