"""What people see of a run with a live plan: its tasks, not the waits and edits that the engine needs for it."""

from __future__ import annotations

from typing import Any

import pytest

from makespan.graph.node import Kind
from makespan.machine.state import State
from makespan.profiles.fitting import fitted
from makespan.rehearsal import rehearse
from makespan.sim.realised import realised_graph
from makespan.traces.lines import lines_of
from makespan.traces.outline import outline
from makespan.traces.spans import spans_of
from makespan.traces.summary import critical_path, critical_path_ns, makespan_ns, summarise
from makespan.traces.updates import updates_of
from tests.planners.test_live import planned
from tests.planners.tools import journaled
from tests.sim.test_realised import again

TOOL_NAMES = "search, slow, height, add, glue, broken"
TEXT = "1. search('a')\n2. slow('b')\n3. find('x')\n4. glue([$1, $2])\n5. join()\n"
"""A line every half second; the slow step starts after a second and takes 20."""


@pytest.fixture(scope="module")
def facts() -> list[Any]:
    return journaled(planned(TEXT))[1]


@pytest.fixture(scope="module")
def state(facts: list[Any]) -> State:
    return folded(facts)


def folded(facts: list[Any]) -> State:
    state = State()
    for fact in facts:
        state.apply(fact)
    return state


def test_only_tasks_are_counted_and_listed(state: State) -> None:
    names = {entry.name for entry in outline(state)}

    assert summarise(state).tasks.succeeded == len(["planned", "says", "search", "slow", "glue"])
    assert summarise(state).attempts == 4
    assert names == {"planned", "says", "search", "slow", "glue"}


def test_spans_are_of_tasks_alone(facts: list[Any]) -> None:
    assert sorted(span.name for span in spans_of(facts, State())) == ["glue", "planned", "says", "search", "slow"]


def test_the_log_tells_edits_with_author_and_no_items(facts: list[Any]) -> None:
    told, state = [], State()
    for fact in facts:
        state.apply(fact)
        told += [line.text for line in lines_of(fact, state)]

    assert [line for line in told if "edit" in line] == [
        "edit applied: AddTasks by planner, 1 new task",
        "edit applied: AddTasks by planner, 1 new task",
        f"edit refused: Batch by planner: unfit step 3: there is no tool 'find'; the tools are {TOOL_NAMES}",
        "edit applied: AddTasks by planner, 1 new task",
    ]
    assert not [line for line in told if "items:" in line or "EditVerdict" in line or line.startswith("edit ")][4:]


def test_updates_tell_edits_with_what_changed_and_no_items(facts: list[Any]) -> None:
    told, state = [], State()
    for fact in facts:
        state.apply(fact)
        told += updates_of(fact, state)
    by_id = {task.spec.id.hex(): task.declaration.key for task in state.tasks}

    edits = [update for update in told if update.kind == "edit"]
    assert [[by_id[task] for task in update.value.get("added", [])] for update in edits] == [
        ["search"],
        ["slow"],
        [],
        ["glue"],
    ]
    assert [update.value["author"] for update in edits] == ["planner"] * 4
    assert [update.value.get("reason", "") for update in edits] == ["", "", "unfit", ""]
    assert not [update for update in told if update.kind == "message" or "items:" in update.key]
    assert {update.key for update in told if update.kind == "finished"} == {"planned", "says", "search", "slow", "glue"}


def test_the_critical_path_leads_through_the_planner_up_to_the_line_that_counted(state: State) -> None:
    path = [task.declaration.key for task in critical_path(state)]
    (slow,) = (task for task in state.tasks if task.declaration.key == "slow")

    assert path == ["says", "slow", "planned"]
    assert critical_path_ns(state) == pytest.approx(21 * 10**9, rel=0.01)
    assert critical_path_ns(state) <= makespan_ns(state)
    assert slow.started_at == pytest.approx(10**9, rel=0.01)


def test_profiles_know_nothing_of_items_and_edits(facts: list[Any]) -> None:
    profile = fitted([(facts, _no_blob)])

    assert set(profile.tasks) == {"says", "search", "slow", "glue"}


def _no_blob(digest: bytes) -> bytes:
    raise KeyError(digest)


def test_a_run_with_a_live_plan_can_be_simulated_again(facts: list[Any], state: State) -> None:
    nodes, _ = realised_graph(state)
    kinds = {node.declaration.kind for node in nodes}

    assert Kind.EDIT not in kinds
    assert Kind.SIGNAL not in kinds
    waits = [node.delay_ns for node in nodes if node.declaration.key == "next item"]
    assert max(waits) == pytest.approx(5 * 10**8, rel=0.01)


def test_a_rehearsal_of_the_same_code_finds_nothing_new(facts: list[Any]) -> None:
    said = rehearse(folded(facts), planned)

    assert said.is_clean, said


def test_simulated_with_its_own_durations_the_run_takes_as_long_as_it_did(state: State) -> None:
    outcome = again(state, {"says": 2, "search": 2, "slow": 20})

    assert outcome.status == "succeeded"
    assert outcome.makespan_ns == pytest.approx(21 * 10**9, rel=0.01)
