"""Holds: tasks that have not started step back out of every line while their body thinks, and nothing else stops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import makespan as ms
from makespan.authoring.bodies import LiveBodies
from makespan.authoring.context import running_body
from makespan.authoring.place import Place, current, here
from makespan.graph.node import Scope
from makespan.machine.broker import Broker
from makespan.machine.facts import AttemptStarted
from makespan.machine.observations import Answered, Choice, HoldTasks, LetGo, PlanView
from makespan.machine.records import Status
from makespan.testing import run as run_simulated
from tests.machine.driver import SECOND, Act, Life, by_key, keys


def bodies() -> LiveBodies:
    builder = here("holding").builder
    assert isinstance(builder, LiveBodies)
    return builder


def hold(*refs: Any) -> None:
    inside = running_body.get()
    assert inside is not None
    bodies().ask(HoldTasks(tuple(ref._task for ref in refs), inside.task_id))


def let_go(*refs: Any) -> None:
    bodies().ask(LetGo(tuple(ref._task for ref in refs)))


@ms.task
def think(n: int) -> int:
    return n


@ms.task
def work(n: int) -> int:
    return n


@ms.task
def other(n: int) -> int:
    return n


def starts(life: Life) -> list[tuple[str, float]]:
    """Which attempts started, and when, in seconds."""
    found = life.of(AttemptStarted)
    calls = [(key, fact.at / SECOND) for key, fact in zip(keys(found, life), found, strict=True)]
    return [(key, at) for key, at in calls if key in ("think", "work", "other", "pay", "train", "second")]


@ms.workflow
async def thinks() -> int:
    held, free = work(1), other(1)
    hold(held)
    await think(1)
    let_go(held)
    return await held + await free


def test_a_held_task_starts_when_it_is_let_go_and_others_are_not_kept() -> None:
    life = Life(thinks()).run()

    assert starts(life) == [("other", 0), ("think", 0), ("work", 1)]
    assert life.output == 2


@ms.workflow
async def holds_a_reader() -> int:
    first = other(1)
    held = work(first)
    hold(held)
    await think(1)
    await think(2)
    let_go(held)
    return await held


def test_a_task_whose_inputs_come_while_it_is_held_waits_all_the_same() -> None:
    assert starts(Life(holds_a_reader()).run())[-1] == ("work", 2)


@ms.workflow
async def holds_late() -> int:
    running = work(1)
    await think(1)
    hold(running)
    return await running


def test_what_has_started_goes_on() -> None:
    life = Life(holds_late(), by_key(work=Act(3 * SECOND))).run()

    assert life.status == "succeeded"
    assert life.task("work").ended_at == 3 * SECOND


# ---------------------------------------------------------------- out of every line


@ms.workflow
async def crowd() -> int:
    place = here("a scope")
    narrow = place.scope_id("narrow")
    place.builder.open_scope(Scope(narrow, place.real, "narrow", limit=1))
    inside = current.set(Place(place.builder, narrow))
    refs = [work(n) for n in range(3)]
    current.reset(inside)
    await think(1)
    hold(refs[1])
    await refs[2]
    let_go(refs[1])
    return await refs[1]


def test_a_task_in_line_for_a_narrow_scope_lets_the_next_one_pass() -> None:
    life = Life(crowd(), by_key(think=Act(SECOND), work=Act(2 * SECOND)))
    life.run()

    order = [command.args for command in life.starts if command.declaration.key.endswith("work")]
    assert [args[-1] for args in order] == [0, 2, 1]
    assert life.status == "succeeded"


@ms.task(needs={"gpu": 1})
def train(n: int) -> int:
    return n


@ms.workflow
async def in_line() -> int:
    refs = [train(n) for n in range(3)]
    await think(1)
    hold(refs[1])
    await refs[2]
    let_go(refs[1])
    return await refs[1]


@pytest.mark.parametrize("thought_ns", [SECOND, 2 * SECOND])
def test_a_task_in_line_for_a_pool_leaves_it_and_its_unit_to_the_next(thought_ns: int) -> None:
    """At two seconds its turn has just come when it is held: what it was given goes back."""
    broker = Broker({"gpu": 1})
    life = Life(in_line(), by_key(train=Act(2 * SECOND), think=Act(thought_ns)), broker=broker).run()

    order = [command.args[-1] for command in life.starts if command.declaration.key.endswith("train")]
    assert sorted(order) == [0, 1, 2]
    assert order[0] == 0
    if thought_ns == SECOND:
        assert order == [0, 2, 1]
    assert life.status == "succeeded"
    assert not broker.held()


@ms.task(budget_usd=0.6)
def second(n: int) -> int:
    return n


@ms.workflow
async def starved() -> int:
    first, held = second(1), second(2)
    await think(1)
    hold(held)
    await first
    await think(2)
    let_go(held)
    return await held


def test_a_task_that_waits_for_money_does_not_take_it_while_it_is_held() -> None:
    life = Life(starved(), by_key(second=Act(2 * SECOND)), budget_usd=1.0).run()

    assert starts(life) == [("second", 0), ("think", 0), ("think", 2), ("second", 3)]
    assert life.status == "succeeded"


class Chooser:
    """A planner that notes what it is asked about."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def wants(self, declaration: Any) -> bool:
        return declaration.key.endswith("work")

    def choose(self, view: PlanView) -> list[Choice]:
        ready = [task for task in view.tasks if task.is_asked]
        self.asked.append([task.key for task in ready])
        return [Choice(task.number, "", 1) for task in ready]


def test_a_planner_is_not_asked_about_what_is_held() -> None:
    planner = Chooser()
    life = Life(thinks(), planner=planner).run()

    assert planner.asked == [["work"]]
    assert starts(life)[-1] == ("work", 1)


@ms.task(cache_s=60)
def cached(n: int) -> int:
    return n


@ms.workflow
async def shares_a_result() -> int:
    first, same = cached(1), cached(1)
    hold(same)
    await first
    let_go(same)
    return await same


def test_a_task_that_waits_for_the_result_of_another_may_be_held() -> None:
    assert run_simulated(shares_a_result(), crash_at="each").output == 1


@ms.task(approve=True)
def pay(n: int) -> int:
    return n


@ms.workflow
async def asks() -> int:
    held = pay(1)
    await think(1)
    hold(held)
    await think(2)
    await think(3)
    let_go(held)
    return await held


def test_a_task_that_is_approved_while_it_is_held_waits_to_be_let_go() -> None:
    life = Life(asks()).run(until=SECOND)
    life.observe(Answered(life.now, life.task("pay").spec.id, b"\xc3", "yes", "ann"))

    assert starts(life.run())[-1] == ("pay", 3)
    assert life.status == "succeeded"


# ---------------------------------------------------------------- ends


@ms.workflow
async def forgets() -> int:
    hold(work(1))
    return await think(1)


def test_what_a_body_holds_may_start_when_it_is_over() -> None:
    life = Life(forgets()).run()

    assert starts(life) == [("think", 0), ("work", 1)]
    assert life.status == "succeeded"


@ms.workflow
async def waits_for_what_it_holds() -> int:
    held = work(1)
    hold(held)
    return await held


@ms.workflow
async def inner_waits() -> int:
    return await waits_for_what_it_holds()


@pytest.mark.parametrize("workflow", [waits_for_what_it_holds, inner_waits])
def test_a_body_that_waits_for_what_it_holds_back_fails_with_a_clear_error(workflow: Any) -> None:
    life = Life(workflow()).run()

    assert life.status == "failed"
    assert life.state.error is not None
    assert "held back by it (work)" in life.state.error.message
    assert life.status_of("work") in ("cancelled", "skipped")


@ms.workflow
async def left() -> str:
    async def branch() -> int:
        async with ms.scope("in", deadline_s=2):
            held = work(1)
            hold(held)
            return await held

    free = other(1)
    try:
        await branch()
    except ms.LimitError:
        await free
        return "over"
    return "done"


def test_a_held_task_is_cancelled_like_any_other() -> None:
    life = Life(left(), by_key(other=Act(3 * SECOND))).run()

    assert life.output == "over"
    assert life.status_of("work") == "cancelled"


@ms.workflow
async def cancelled_inside() -> str:
    ref = waits_and_thinks()
    await think(1)
    ms.cancel(ref)
    how = await ms.outcome(ref)
    return how.status


@ms.workflow
async def waits_and_thinks() -> int:
    held = work(1)
    hold(held)
    await other(1)
    let_go(held)
    return await held


def test_a_workflow_that_is_cancelled_takes_what_it_holds_with_it() -> None:
    life = Life(cancelled_inside(), by_key(other=Act(9 * SECOND))).run()

    assert life.output == "cancelled"
    assert life.status_of("work") == "cancelled"


# ---------------------------------------------------------------- resumed


@ms.workflow
async def holds_twice() -> int:
    refs = [work(n) for n in range(3)]
    hold(*refs)
    await think(1)
    let_go(refs[0])
    await refs[0]
    await think(2)
    let_go(refs[1])
    hold(refs[1], refs[2])
    await think(3)
    let_go(*refs)
    return sum(await asyncio.gather(*refs))


def test_a_resumed_body_holds_the_same_before_anything_starts() -> None:
    turns = len(Life(holds_twice()).run().journal)
    for cut in range(turns):
        life = Life(holds_twice()).run(turns=cut).crash().resume().run()

        ended = {task.spec.args: task.ended_at for task in life.tasks("think")}
        began = {task.spec.args: task.started_at for task in life.tasks("work")}
        thought, worked = sorted(ended.values()), sorted(began.values())
        assert life.output == 3
        assert worked[0] >= thought[0]
        assert worked[1] >= thought[2]
        assert life.machine.held == {}
        assert all(task.status == Status.SUCCEEDED for task in life.state.tasks)
