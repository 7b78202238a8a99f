"""Steps as nodes before anything is asked of the run: which calls are one node, and what a step stands on."""

from __future__ import annotations

from typing import Any

import pytest

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.place import Place, Registry, current
from makespan.graph.node import Mode
from makespan.planners.drafting import Drafting
from makespan.planners.steps import Reference, Step, Text
from makespan.planners.tools import Tools, Unfit, text
from makespan.values import ROOT_SCOPE
from tests.planners.tools import TOOLS, step


@pytest.fixture
def drafting() -> Drafting:
    bodies = LiveBodies(Registry(), "r", 1, 0)
    return Drafting(Tools("the plan", TOOLS), bodies, Place(bodies, ROOT_SCOPE), "plan")


def test_a_step_is_the_node_of_its_call(drafting: Drafting) -> None:
    draft = drafting.draft(step("1", "search", "cats"), {})

    (node,) = draft.uses
    assert node.declaration.key == "search"
    assert (node.id, node.scope, node.sources) == (draft.ref._task, ROOT_SCOPE, ())


def test_the_same_call_twice_is_one_node_whatever_the_steps_are_called(drafting: Drafting) -> None:
    first, second = (drafting.draft(Step(name, "search", ("cats",), why=name), {}) for name in ("1", "2"))

    assert first.ref._task == second.ref._task
    assert drafting.draft(step("3", "search", "dogs"), {}).ref._task != first.ref._task


def test_a_call_that_failed_is_another_one_when_it_is_asked_for_again(drafting: Drafting) -> None:
    same = step("1", "broken", "x")
    tries = [drafting.draft(same, {}).ref]
    for _ in range(2):
        drafting.failed(tries[-1])
        tries.append(drafting.draft(same, {}).ref)
        assert drafting.draft(same, {}).ref._task == tries[-1]._task

    assert len({ref._task for ref in tries}) == 3


def test_references_are_edges_and_texts_are_tasks_of_their_own(drafting: Drafting) -> None:
    first = drafting.draft(step("1", "height", "K2"), {})
    results: dict[str, Any] = {"1": first.ref}

    plain = drafting.draft(step("2", "add", "$1"), results)
    said = drafting.draft(Step("3", "search", (Text(("height ", Reference("1"))),)), results)

    assert [source.task for source in plain.uses[-1].sources] == [first.ref._task]
    assert [node.declaration.key for node in said.uses] == [text.key, "search"]
    assert [source.task for source in said.uses[0].sources] == [first.ref._task]


def test_texts_that_are_the_same_are_one_node(drafting: Drafting) -> None:
    results: dict[str, Any] = {"1": drafting.draft(step("1", "height", "K2"), {}).ref}
    said = (Text(("height ", Reference("1"))),)

    one, other = (drafting.draft(Step(name, "search", (*said, limit)), results) for name, limit in (("2", 1), ("3", 2)))

    assert one.uses[0].id == other.uses[0].id
    assert one.uses[-1].id != other.uses[-1].id


def test_what_a_step_comes_after_is_an_edge_without_a_value_and_no_part_of_a_tool(drafting: Drafting) -> None:
    first = drafting.draft(step("1", "search", "a"), {})

    later = drafting.draft(step("2", "search", "b", after=["1"]), {"1": first.ref})

    (source,) = later.uses[-1].sources
    assert (source.task, source.mode) == (first.ref._task, Mode.AFTER)


def test_units_of_pools_are_an_option_of_the_call(drafting: Drafting) -> None:
    draft = drafting.draft(Step("1", "search", ("a",), needs={"desk": 2}), {})

    assert draft.uses[-1].declaration.options.needs == (("desk", 2),)


@pytest.mark.parametrize("unfit", [step("1", "find"), step("1", "search", "$9"), step("1", "search", "a", after=["9"])])
def test_a_step_that_is_no_call_leaves_nothing(drafting: Drafting, unfit: Step) -> None:
    with pytest.raises(Unfit):
        drafting.draft(unfit, {})

    assert current.get() is None
    assert drafting.draft(step("1", "search", "a"), {}).uses


def test_nodes_count_as_there_until_they_are_removed(drafting: Drafting) -> None:
    draft = drafting.draft(step("1", "search", "a"), {})
    (node,) = draft.uses
    assert (drafting.is_there(node), drafting.users(node)) == (False, 0)

    drafting.enter(draft.uses)
    drafting.enter(draft.uses)
    drafting.leave(draft.uses)
    assert (drafting.is_there(node), drafting.users(node)) == (True, 1)

    drafting.removed([node.id])
    assert not drafting.is_there(node)
