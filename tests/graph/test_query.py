import pytest

from makespan.errors import GraphError
from makespan.graph.graph import Graph
from makespan.graph.query import (
    ancestors,
    critical_path,
    depth,
    descendants,
    levels,
    roots,
    sinks,
    topological_order,
    width,
)
from tests.graph.samples import diamond, graph, map_node, node, on_item, task, template


def test_the_shape_of_a_diamond() -> None:
    shape = diamond()

    assert [set(level) for level in levels(shape)] == [{task("a")}, {task("b"), task("c")}, {task("d")}]
    assert (depth(shape), width(shape)) == (3, 2)
    assert roots(shape) == [task("a")]
    assert sinks(shape) == [task("d")]
    assert ancestors(shape, task("d")) == {task("a"), task("b"), task("c")}
    assert descendants(shape, task("b")) == {task("d")}


def test_an_empty_graph_has_no_shape() -> None:
    assert (depth(Graph()), width(Graph()), topological_order(Graph())) == (0, 0, [])
    assert critical_path(Graph(), {}).length == 0


def test_order_does_not_depend_on_insertion() -> None:
    nodes = list(graph(a="", b="a", c="a", d="b c", e="", f="e a"))

    assert topological_order(Graph.of(nodes)) == topological_order(Graph.of(reversed(nodes)))


def test_the_critical_path_is_the_longest_chain() -> None:
    cost = {task("a"): 1.0, task("b"): 5.0, task("c"): 2.0, task("d"): 1.0}

    path = critical_path(diamond(), cost)

    assert path.tasks == (task("a"), task("b"), task("d"))
    assert path.length == 7.0


def test_the_critical_path_needs_every_cost() -> None:
    with pytest.raises(GraphError, match=r"d .* has none"):
        critical_path(diamond(), {task(name): 1.0 for name in "abc"})


def test_a_cycle_has_no_order_and_is_shown() -> None:
    knot = Graph.of([node("a", "b"), node("b", "a"), node("c")])

    with pytest.raises(GraphError, match="need each other"):
        topological_order(knot)


def test_unknown_tasks_have_no_ancestors_or_descendants() -> None:
    for question in (ancestors, descendants):
        with pytest.raises(GraphError, match="no task"):
            question(diamond(), task("x"))


def test_a_map_needs_what_its_template_names() -> None:
    over = template(on_item("i"), node("j", "i", "style"), output="j")
    mapped = graph(docs="", style="").add(map_node("m", over))

    assert ancestors(mapped, task("m")) == {task("docs"), task("style")}
