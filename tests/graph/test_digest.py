import pytest

from makespan.graph.digest import Identity, digest, occurrence, task_id
from makespan.graph.graph import Graph
from makespan.graph.node import (
    Declaration,
    Effect,
    First,
    Kind,
    Mode,
    Node,
    Options,
    Scope,
    Source,
    copied,
)
from makespan.values import ROOT_SCOPE, Nanos
from tests.graph.samples import diamond, graph, map_node, node, on_item, scope_id, task, template


def test_a_prehashed_identity_gives_the_same_ids() -> None:
    identity = Identity(b"s" * 16, b"search")

    assert identity.of(b"args") == task_id(b"s" * 16, b"search", b"args")
    assert identity.of(b"args") == identity.of(b"args")
    assert len(identity.of(b"")) == 16


def test_parts_do_not_run_into_each_other() -> None:
    ids = {
        task_id(*parts)
        for parts in [(b"ab", b"c", b"d"), (b"a", b"bc", b"d"), (b"ab", b"", b"cd"), (b"", b"abc", b"d")]
    }

    assert len(ids) == 4


def test_task_ids_never_change() -> None:
    # Journals hold these: a different value here loses every finished task of every store.
    assert task_id(bytes(16), b"search", b"\x81\xa1q\xa3sky").hex() == "45f1294ce588d37463d163dacd69efb5"
    assert occurrence(task_id(bytes(16), b"search", b""), 2).hex() == "5f5d1a02f0472a88b2e353898cd21cbc"


def test_occurrences_are_distinct_and_the_first_is_the_content() -> None:
    content = task_id(b"", b"k", b"")

    assert occurrence(content, 0) == content
    assert len({occurrence(content, n) for n in range(100)}) == 100


def test_the_order_of_insertion_does_not_count() -> None:
    nodes = list(diamond())

    assert digest(Graph.of(nodes)) == digest(Graph.of(reversed(nodes)))


BASE = node("b", "a")
OVER = template(on_item("i"), output="i")


@pytest.mark.parametrize(
    "changed",
    [
        copied(BASE, id=task("other")),
        copied(BASE, declaration=Declaration("other")),
        copied(BASE, declaration=Declaration("b", Kind.WORKFLOW)),
        copied(BASE, declaration=Declaration("b", options=Options(version="2"))),
        copied(BASE, declaration=Declaration("b", options=Options(effect=Effect.PURE))),
        copied(BASE, scope=scope_id("s")),
        copied(BASE, args=(b"\x01", 0)),
        copied(BASE, sources=(Source(task("a"), ("x",)),)),
        copied(BASE, sources=(Source(task("a"), mode=Mode.OUTCOME),)),
        copied(BASE, when="s0"),
        copied(BASE, first=First()),
        copied(BASE, over=OVER),
        copied(BASE, over=template(on_item("i", "x"), output="i")),
        copied(BASE, over=template(on_item("i"), on_item("j"), output="i")),
        copied(BASE, delay_ns=Nanos(1)),
    ],
)
def test_everything_a_graph_does_counts(changed: Node) -> None:
    start = graph(a="")

    assert digest(start.add(changed)) != digest(start.add(BASE))


def test_scopes_count_and_texts_for_people_do_not() -> None:
    start = graph(a="")
    scope = Scope(scope_id("s"), ROOT_SCOPE, "s")

    assert digest(start) != digest(Graph.of(start, [scope]))
    assert digest(start) == digest(start.replace(node("a", label="for people")))
    assert digest(start) == digest(start.replace(node("a", declaration=Declaration("a", code="new", returns="int"))))


def test_two_templates_that_differ_in_order_differ() -> None:
    straight = map_node("m", template(on_item("i"), on_item("j"), output="i"))
    swapped = map_node("m", template(on_item("j"), on_item("i"), output="i"))

    assert digest(graph(docs="").add(straight)) != digest(graph(docs="").add(swapped))
