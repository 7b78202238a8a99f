import pytest

from makespan.errors import GraphError
from makespan.graph.graph import EditRefused, Graph, Refusal
from makespan.graph.node import Scope
from makespan.values import ROOT_SCOPE
from tests.graph.samples import diamond, graph, node, scope_id, task


def test_an_older_version_stays_as_it_was() -> None:
    versions = [Graph()]
    for number in range(200):
        versions.append(versions[-1].add(node(str(number))))
    shrunk = versions[-1].remove(task("7")).replace(node("8", label="changed"))

    assert [len(version) for version in versions] == list(range(201))
    assert all(task(str(number)) in versions[number + 1] for number in range(200))
    assert task("7") in versions[-1]
    assert task("7") not in shrunk
    assert shrunk.get(task("8")) != versions[-1].get(task("8"))


def test_nodes_come_in_the_order_they_were_added() -> None:
    names = [str(number) for number in range(100)]
    grown = Graph()
    for name in names:
        grown = grown.add(node(name))

    assert [each.key for each in grown] == names


def test_equality_ignores_order_and_history() -> None:
    nodes = [node("a"), node("b", "a"), node("c")]

    assert Graph.of(nodes) == Graph.of(reversed(nodes))
    assert Graph.of(nodes).remove(task("c")) == Graph.of(nodes[:2])
    assert Graph.of(nodes) != Graph.of(nodes[:2])


def test_dependents_are_listed_once_each() -> None:
    twice = Graph.of([node("a"), node("b", "a", "a"), node("c", "a")])

    assert twice.dependents(task("a")) == (task("b"), task("c"))
    assert twice.dependents(task("c")) == ()
    assert diamond().dependents(task("b")) == (task("d"),)


def test_an_id_is_taken_once() -> None:
    with pytest.raises(EditRefused) as caught:
        graph(a="").add(node("a", label="other"))

    assert caught.value.reason is Refusal.DUPLICATE
    with pytest.raises(EditRefused):
        Graph.of([node("a"), node("a")])


def test_unknown_tasks_are_refused() -> None:
    with pytest.raises(GraphError, match="there is no task"):
        diamond().remove(task("x"))
    with pytest.raises(GraphError, match="there is no task"):
        diamond().replace(node("x"))


def test_a_scope_may_come_again_in_the_same_words_only() -> None:
    scope = Scope(scope_id("s"), ROOT_SCOPE, "s")
    scoped = Graph.of([], [scope, scope])

    assert scoped.add_all([node("a")], [scope]).scopes == {scope.id: scope}
    with pytest.raises(EditRefused, match="other limits"):
        scoped.add_all([], [Scope(scope.id, ROOT_SCOPE, "s", limit=3)])
