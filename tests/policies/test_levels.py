"""Levels kept up while a graph grows are those of the obvious definition, at a bounded cost."""

from __future__ import annotations

import random
from functools import cache

import pytest

from makespan.graph.node import Declaration, Kind, Mode
from makespan.machine.facts import (
    AttemptStarted,
    DeclarationAdded,
    EditApplied,
    Fact,
    Limits,
    MapExpanded,
    ScopeAdded,
    TaskAdded,
    TaskCancelled,
    TaskRemoved,
    TaskReopened,
    TaskRewired,
    TaskSucceeded,
)
from makespan.machine.records import TaskState
from makespan.machine.state import State
from makespan.policies.levels import SAVED, STEPS, Levels
from makespan.sim.simulation import header
from makespan.values import TaskId
from tests.prove import prove_count

KINDS = (Kind.CALL, Kind.WORKFLOW, Kind.MAP)


def id_of(number: int) -> TaskId:
    return TaskId(number.to_bytes(16, "big"))


def weight_of(task: TaskState) -> int:
    """Durations by number, from 0 to 9."""
    return (task.number * 7919 + 13) % 10


class Growing:
    """A run's state that grows by facts."""

    def __init__(self) -> None:
        self.state = State()
        self.apply(
            header(id_of(0), limits=Limits()), *(DeclarationAdded(Declaration(kind.name, kind)) for kind in KINDS)
        )

    def apply(self, *facts: Fact) -> None:
        for fact in facts:
            self.state.apply(fact)

    def add(self, *needs: int, kind: Kind = Kind.CALL, scope: int = 0) -> int:
        """One more task; its number."""
        number = len(self.state.tasks)
        edges = tuple((needed, (), Mode.AFTER) for needed in needs)
        self.apply(TaskAdded(KINDS.index(kind), scope, id_of(number + 1), (b"\xc0",), edges))
        return number

    def open_inside(self, owner: int) -> int:
        """The scope of a workflow or map task that has begun."""
        task = self.state.tasks[owner]
        self.apply(AttemptStarted(owner, 0), ScopeAdded(task.spec.id, task.spec.scope, "", 0, owner=owner))
        return len(self.state.scopes) - 1

    def open_numbers(self) -> list[int]:
        return [task.number for task in self.state.tasks if not task.is_final]

    def done(self, number: int) -> None:
        self.apply(TaskSucceeded(number, 1, b"\xc0"))


def from_scratch(state: State, base: int = 0) -> dict[int, int]:
    """Level of each open task, by the definition: itself, and the longest way behind it or behind what it is in."""

    @cache
    def tail(number: int) -> int:
        task = state.tasks[number]
        owner = state.scopes[state.scopes[task.spec.scope].home].owner
        tails = [base] if owner < 0 else [base, tail(owner)]
        for other in state.tasks:
            reads = any(source == number for source, _, _ in other.spec.sources)
            gathers = other.number in state.maps and any(number == n for n, _ in state.maps[other.number].outputs)
            if (reads or gathers) and not other.is_final:
                weight = 0 if other.number in state.maps else weight_of(other)
                tails.append(weight + tail(other.number))
        return max(tails)

    return {
        task.number: tail(task.number) + (0 if task.number in state.maps else weight_of(task))
        for task in state.tasks
        if not task.is_final
    }


def levels_of(levels: Levels, state: State) -> dict[int, int]:
    levels.sync()
    return {task.number: levels.level(task.number) for task in state.tasks if not task.is_final}


def checked_weight(state: State) -> Levels:
    return Levels(state, lambda task: 0 if task.number in state.maps else weight_of(task))


def grow(run: Growing, chance: random.Random) -> None:
    """One random event in the order of a run: tasks end after what they wait for."""
    state, there = run.state, run.open_numbers()
    event = chance.random()
    if event < 0.6 or not there:
        kind = chance.choice((Kind.CALL, Kind.CALL, Kind.CALL, Kind.WORKFLOW, Kind.MAP))
        bodies = [s for s in state.scopes if not s.number or state.tasks[s.owner].kind == Kind.WORKFLOW]
        scope = chance.choice([s for s in bodies if not s.number or not state.tasks[s.owner].is_final])
        nearby = [n for n in scope.tasks[-12:] if n not in state.maps] + list(scope.tasks[:2])
        needs = sorted(set(chance.sample(nearby, min(len(nearby), chance.choice([0, 1, 2, 3])))))
        run.add(*needs, kind=kind, scope=scope.number)
        return
    ready = [n for n in there if not state.tasks[n].unmet]
    if not ready:
        return
    number = chance.choice(ready)
    task = state.tasks[number]
    inside = state.scope_index.get(task.spec.id)
    if task.kind == Kind.WORKFLOW and inside is None:
        run.open_inside(number)
    elif task.kind == Kind.MAP and number not in state.maps:
        scope = run.open_inside(number)
        items = [run.add(kind=chance.choice((Kind.CALL, Kind.MAP)), scope=scope) for _ in range(chance.randrange(4))]
        second = [run.add(item, scope=scope) for item in items]
        run.apply(MapExpanded(number, 1, tuple((item, ()) for item in second)))
    elif inside is None or not any(state.tasks[n].spec.scope == inside for n in there):
        run.done(number)


def assert_grows_right(seed: int) -> None:
    chance, run = random.Random(seed), Growing()
    levels = checked_weight(run.state)
    for event in range(60):
        grow(run, chance)
        if chance.random() < 0.7:
            assert levels_of(levels, run.state) == from_scratch(run.state), f"seed {seed}, event {event}"


def test_levels_of_growing_graphs_are_those_from_scratch_after_every_event() -> None:
    for seed in range(10):
        assert_grows_right(seed)


@pytest.mark.prove
def test_levels_of_1000_growing_graphs_are_those_from_scratch_after_every_event() -> None:
    for seed in range(prove_count(1000)):
        assert_grows_right(seed)


def test_edits_and_tasks_done_again_lead_to_levels_from_scratch() -> None:
    for seed in range(40):
        chance, run = random.Random(seed), Growing()
        for _ in range(12):
            run.add(*chance.sample(range(len(run.state.tasks)), min(len(run.state.tasks), 2)))
        levels = checked_weight(run.state)
        levels.sync()

        for event in range(12):
            waiting = [n for n in run.open_numbers() if run.state.tasks[n].unmet]
            done = [task.number for task in run.state.tasks if task.is_final and task.status != 11]
            which = chance.choice(("done", "rewire", "remove", "reopen"))
            if which == "rewire" and waiting:
                number = chance.choice(waiting)
                needs = tuple((n, (), Mode.AFTER) for n in chance.sample(range(number), min(number, 2)))
                needs = tuple(edge for edge in needs if run.state.tasks[edge[0]].status != 11)
                run.apply(EditApplied(1, "ann", "Rewire"), TaskRewired(number, (b"\xc0",), needs))
            elif which == "remove":
                sinks = [n for n in run.open_numbers() if not run.state.tasks[n].dependents]
                if sinks:
                    run.apply(EditApplied(1, "ann", "RemoveTask"), TaskRemoved(sinks[-1], 1))
            elif which == "reopen" and done:
                again = chance.choice(done)
                run.apply(TaskReopened(again, run.state.tasks[again].generation + 1, 1))
            elif ready := [n for n in run.open_numbers() if not run.state.tasks[n].unmet]:
                which = "done"
                run.done(chance.choice(ready))

            kept, right = levels_of(levels, run.state), from_scratch(run.state)
            if which == "done":  # possibly before a source that was reopened
                assert all(kept[number] >= right[number] for number in right), f"seed {seed}, event {event}"
                levels.rebuild()
            assert levels_of(levels, run.state) == right, f"seed {seed}, event {event}: {which}"


def test_a_rewired_task_may_wait_for_a_later_one() -> None:
    run = Growing()
    early, late = run.add(), run.add()
    last = run.add(early)
    levels = checked_weight(run.state)
    levels.sync()

    run.apply(EditApplied(1, "ann", "Rewire"), TaskRewired(early, (b"\xc0",), ((late, (), Mode.AFTER),)))

    assert levels_of(levels, run.state)[late] == sum(weight_of(run.state.tasks[n]) for n in (early, late, last))


def test_levels_are_never_too_low_when_tasks_end_before_their_sources() -> None:
    for seed in range(10):
        chance, run = random.Random(seed), Growing()
        levels = checked_weight(run.state)
        for _ in range(40):
            grow(run, chance)
            if chance.random() < 0.2 and run.open_numbers():
                run.apply(TaskCancelled(chance.choice(run.open_numbers()), 1, "it lost"))
            kept, right = levels_of(levels, run.state), from_scratch(run.state)
            assert all(kept[number] >= right[number] for number in right), f"seed {seed}"

        levels.rebuild()

        assert levels_of(levels, run.state) == from_scratch(run.state)


def test_a_base_below_nothing_counts_back_from_due_dates() -> None:
    run = Growing()
    first = run.add()
    second = run.add(first)
    levels = Levels(run.state, weight_of, lambda task: -100)

    levels.sync()

    assert -levels.level(second) == 100 - weight_of(run.state.tasks[second]), "the latest start"
    assert -levels.tail(first) == 100 - weight_of(run.state.tasks[second]), "the latest finish"


def test_a_graph_that_comes_at_once_costs_one_look_at_each_edge() -> None:
    run, edges = Growing(), 0
    for number in range(2_000):
        needs = {max(number - back, 0) for back in (1, 7, 50)} - {number}
        edges += len(needs)
        run.add(*sorted(needs))
    levels = checked_weight(run.state)

    levels.sync()

    assert levels.steps == edges


def test_a_chain_that_grows_at_its_end_one_task_a_question_does_not_become_quadratic() -> None:
    run, count = Growing(), 3_000
    levels = checked_weight(run.state)
    for number in range(count):
        run.add(*([number - 1] if number else []))
        levels.sync()

    most = STEPS * (count * 2) + SAVED + count
    assert levels.steps <= most, "each of 3,000 tasks looking at all before it would be 4,500,000 steps"
    for _ in range(count):
        levels.sync()
    assert not levels.is_behind
    assert levels.level(0) == sum(weight_of(task) for task in run.state.tasks)


def test_growth_is_not_passed_on_through_a_task_that_has_ended() -> None:
    run = Growing()
    first = run.add()
    lost = run.add(first)
    run.apply(TaskCancelled(lost, 1, "it lost"))
    levels = checked_weight(run.state)
    levels.sync()
    before = levels.level(first)

    run.add(run.add(lost))
    levels.sync()

    assert levels.level(first) == before
