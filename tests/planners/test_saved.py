"""Plans that are kept as JSON come back as they were; plans on paper are checked without a run."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import makespan as ms
from makespan.errors import UsageError
from makespan.planners.formats.marks import joined
from makespan.planners.paper import Checked, PaperPlan
from makespan.planners.saved import SavedReader, read_saved, saved_steps, shown
from makespan.planners.steps import Argument, Problem, Reference, Step
from makespan.planners.tools import Tools


@ms.task(effect="pure")
def tool(x: Any = None, y: Any = None) -> str:
    return ""


TOOLS = Tools("these tests", [tool])
PIECES = st.text("$\\{}12ab.[]\"' ,\n", max_size=6)
REFERENCES = st.builds(
    Reference, st.sampled_from(["1", "2"]), st.sampled_from([(), ("a",), (0,), (-1,), ("a b",), ("a", 1, "b")])
)
TEXTS = st.lists(PIECES | REFERENCES, min_size=1, max_size=5).map(joined)
LEAVES = st.none() | st.booleans() | st.integers(-99, 99) | st.floats(-9, 9) | PIECES | REFERENCES | TEXTS
ARGUMENTS: st.SearchStrategy[Argument] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab ", max_size=3), inner, max_size=3)
)


def read(text: str) -> list[Step]:
    reader = SavedReader()
    found = [*reader.feed(text), *reader.close()]
    assert not [each for each in found if isinstance(each, Problem)], found
    return [each for each in found if isinstance(each, Step)]


@given(ARGUMENTS, ARGUMENTS)
def test_every_argument_comes_back_as_it_was_kept(x: Argument, y: Argument) -> None:
    steps = [Step("1", "tool"), Step("2", "tool", after=("1",), why="it says so"), Step("3", "tool", (x,), {"y": y})]

    kept = msgspec.json.encode(saved_steps(steps, TOOLS)).decode()

    _, second, third = read(kept)
    assert third.kwargs == {"x": x, "y": y}
    assert (second.after, second.why) == (("1",), "it says so")


def test_a_step_is_shown_as_a_call() -> None:
    step = Step("3", "add", (Reference("1", ("people",)), 2.5), {"to": "a", "all": [Reference("2"), None]})

    assert shown(step) == 'add($1.people, 2.5, to="a", all=[$2, null])'


def test_what_is_no_plan_is_refused_with_its_place() -> None:
    for text in ("", "[1]", '{"goal": "x"}', '{"steps": 3}'):
        with pytest.raises(UsageError, match=r"plan\.json is no plan"):
            read_saved(text, "plan.json")


def test_a_plan_on_paper_says_of_each_step_its_level_or_what_is_wrong() -> None:
    paper = PaperPlan(TOOLS)

    first = paper.take('1. tool("a")\n2. tool($1)\n3. tol')
    rest = [*paper.take("o($2)\n4. tool($9)\n5. tool($1, $2, $3)\n"), *paper.done()]

    assert [(each.step.name, each.level) for each in first if isinstance(each, Checked)] == [("1", 1), ("2", 2)]
    messages = [each.message for each in rest if isinstance(each, Problem)]
    assert "did you mean 'tool'" in messages[0]
    assert any("step 9" in message for message in messages)
    assert any("takes 2 arguments" in message or "step 3" in message for message in messages)
    assert paper.widths == [1, 1]


def test_steps_may_be_kept_in_any_order_and_rings_are_told() -> None:
    paper = PaperPlan(TOOLS, format=SavedReader())
    paper.take(
        '[{"name": "b", "tool": "tool", "args": {"x": "${a}"}}, {"name": "a", "tool": "tool", "args": {}},'
        ' {"name": "c", "tool": "tool", "depends_on": ["d"]}, {"name": "d", "tool": "tool", "depends_on": ["c"]}]'
    )
    paper.done()

    assert list(paper.steps) == ["a", "b"]
    assert all("which need each other" in problem.message for problem in paper.faults)
    assert len(paper.faults) == 2
