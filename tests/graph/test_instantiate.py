from makespan.graph.digest import Identity
from makespan.graph.graph import Graph
from makespan.graph.instantiate import Instance, instantiate
from makespan.graph.node import ITEM, Declaration, Kind, MapOver, Node, Source, item_placeholder
from makespan.values import ScopeId
from tests.graph.samples import node, on_item, scope_id, task, template

MAP_SCOPE = scope_id("map")
PAIR = template(on_item("search", "name"), node("grade", "search", "style"), output="grade")


def item(place: int, *path: str | int) -> Source:
    """Where an item of the list `docs` is."""
    return Source(task("docs"), (place, *path))


def scope_of(value: str, outer: ScopeId = MAP_SCOPE) -> ScopeId:
    """The scope of an item, from what it is."""
    return ScopeId(Identity(outer, b"item").of(value.encode()))


def test_placeholders_become_tasks_of_the_item() -> None:
    made = instantiate(PAIR, item(4), scope_of("x"))

    search, grade = made.nodes
    assert search.sources == (item(4, "name"),)
    assert grade.sources == (Source(search.id), Source(task("style")))
    assert made.output == Source(grade.id)
    assert {each.scope for each in made.nodes} == {scope_of("x")}
    assert not {each.id for each in made.nodes} & {task("search"), task("grade")}


def test_the_place_of_an_item_is_not_in_the_ids() -> None:
    here, there = instantiate(PAIR, item(0), scope_of("x")), instantiate(PAIR, item(9), scope_of("x"))

    assert [each.id for each in here.nodes] == [each.id for each in there.nodes]
    assert [each.sources for each in here.nodes] != [each.sources for each in there.nodes]


def test_equal_calls_in_a_template_get_ids_by_occurrence() -> None:
    twice = template(on_item("a"), on_item("b", declaration=Declaration("a")), output="b")

    made = instantiate(twice, item(0), scope_of("x"))

    assert len({each.id for each in made.nodes}) == 2
    assert made.output.task == made.nodes[1].id


def test_a_template_may_give_the_item_itself_or_something_outside() -> None:
    assert instantiate(MapOver((), Source(ITEM, ("x",))), item(3), scope_of("x")).output == item(3, "x")
    assert instantiate(MapOver((), Source(task("style"))), item(3), scope_of("x")).output == Source(task("style"))


def nested() -> MapOver:
    """For each doc, split it; for each part, compare it with the doc and with its title."""
    compare = node(
        "compare",
        args=(0, 1, 2),
        sources=(Source(item_placeholder(1)), Source(ITEM, ("lang",)), Source(task("title"))),
    )
    parts = node(
        "parts",
        "split",
        args=(),
        declaration=Declaration("parts", Kind.MAP),
        over=template(compare, output="compare"),
    )
    return template(on_item("title", "title"), on_item("split"), parts, output="parts")


def expanded(place: int, doc: str, part: int, text: str) -> tuple[Instance, Instance]:
    """The tasks of one doc, and those of one part of it."""
    outer = instantiate(nested(), item(place), scope_of(doc))
    title, split, parts = outer.nodes
    assert parts.over is not None
    inner = instantiate(parts.over, Source(split.id, (part,)), scope_of(text, scope_of(doc)))
    assert inner.nodes[0].sources == (Source(split.id, (part,)), item(place, "lang"), Source(title.id))
    return outer, inner


def test_a_map_inside_a_map_sees_both_items() -> None:
    outer, inner = expanded(2, "x", 5, "part")

    assert inner.output == Source(inner.nodes[0].id)
    assert Graph.of([*outer.nodes, *inner.nodes])


def test_neither_place_is_in_the_ids_of_a_map_inside_a_map() -> None:
    first, second = expanded(2, "x", 5, "part"), expanded(7, "x", 1, "part")

    for one, other in zip(first, second, strict=True):
        assert [each.id for each in one.nodes] == [each.id for each in other.nodes]


def test_three_maps_deep_every_item_is_found() -> None:
    innermost = node("all", args=(0, 1, 2), sources=tuple(Source(item_placeholder(depth)) for depth in range(3)))

    def over(name: str, listed: Source, inner: MapOver) -> Node:
        return node(name, args=(), sources=(listed,), declaration=Declaration(name, Kind.MAP), over=inner)

    low = over("low", Source(item_placeholder(1)), template(innermost, output="all"))
    middle = over("middle", Source(ITEM), template(low, output="low"))
    places = [Source(task("docs"), tuple(range(depth + 1))) for depth in range(3)]
    outer = instantiate(template(middle, output="middle"), places[0], scope_of("0")).nodes[0]
    assert outer.over is not None
    inner = instantiate(outer.over, places[1], scope_of("1")).nodes[0]
    assert inner.over is not None
    made = instantiate(inner.over, places[2], scope_of("2")).nodes[0]

    assert made.sources == tuple(places)
