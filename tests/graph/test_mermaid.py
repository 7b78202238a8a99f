import re

from makespan.graph.graph import Graph
from makespan.graph.mermaid import mermaid
from makespan.graph.node import Mode, Scope, Source
from makespan.values import ROOT_SCOPE
from tests.graph.samples import diamond, graph, map_node, node, on_item, scope_id, task, template

HOSTILE = '"]; click x "javascript:alert(1)" <b>`a`</b> [x](y) {z} #quot; %% end\n--> n1'


def test_a_diamond_is_drawn_with_its_edges() -> None:
    lines = mermaid(diamond()).splitlines()

    assert lines[0] == "flowchart TD"
    assert sum(" --> " in line for line in lines) == 4
    assert any('["a"]' in line for line in lines)


def test_the_mode_of_an_edge_shows_in_its_line() -> None:
    sources = (Source(task("a")), Source(task("b"), mode=Mode.AFTER), Source(task("c"), ("x",), Mode.OUTCOME))
    text = mermaid(graph(a="", b="", c="").add(node("d", sources=sources, when="s0.n > 2")))

    assert " --> " in text
    assert " -.-> " in text
    assert ' ==>|"x"| ' in text
    assert "when s0.n #62; 2" in text


def test_text_of_users_cannot_become_syntax() -> None:
    scope = Scope(scope_id("s"), ROOT_SCOPE, HOSTILE)
    text = mermaid(Graph.of([node("a", label=HOSTILE, when='\'`"<\' == "]"', scope=scope.id)], [scope]))

    labels = re.findall(r'"([^"]*)"', text)
    assert len(labels) == 2
    for label in labels:
        assert not set(label.replace("<br/>", "")) & set('"`<>[]{}()|')
    assert len(text.splitlines()) == 4


def test_scopes_and_templates_are_boxes() -> None:
    scopes = [Scope(scope_id("s"), ROOT_SCOPE, "outer"), Scope(scope_id("t"), scope_id("s"), "inner")]
    over = template(on_item("i"), node("j", "i", "docs"), output="j")
    text = mermaid(Graph.of([node("docs", scope=scope_id("t")), map_node("m", over)], scopes))

    assert text.count("subgraph") == text.count("  end") == 3
    assert "outer" in text
    assert "inner" in text
    assert "for each item" in text
