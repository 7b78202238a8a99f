"""Live bodies, one trap a test: what racing, resuming, cancelling and getting stuck must not do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import makespan as ms
from makespan.machine.facts import TaskSucceeded
from makespan.machine.records import Status
from tests.authoring.bodies import SEEN, again_after_every_turn, draw, echo, folded, statuses, total, whole
from tests.property.live_world import Life


@pytest.fixture(autouse=True)
def _nothing_seen() -> Iterator[None]:
    SEEN.clear()
    yield
    SEEN.clear()


# ---------------------------------------------------------------- order


@ms.workflow
async def twins() -> list[list[int]]:
    order = []

    async def branch(number: int) -> None:
        order.append([number, await draw(1)])

    await asyncio.gather(branch(0), branch(1))
    await echo(0)
    return order


def test_racing_identical_calls_keep_their_answers_after_a_resume() -> None:
    run = whole(twins(), 5)
    done = next(n for n in range(len(run.turns)) if ends_after(run, n, "draw") == ["succeeded"] * 2)

    resumed = Life.resumed(run.turns[: done + 1], twins, 99).run()

    assert resumed.output == run.output


def ends_after(run: Life, cut: int, key: str) -> list[str]:
    """How the tasks of a key stood after a turn."""
    return [t.status.name.lower() for t in folded(run, cut + 1) if t.declaration.key == key]


@ms.workflow
async def races() -> int:
    tasks = [asyncio.create_task(wrapped(n)) for n in range(8)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    first = tasks.index(next(iter(done)))
    for task in pending:
        task.cancel()
    late = [tasks.index(task) for task in pending]
    return await total([first * 100, *late]) + sum(n * place for n, place in enumerate(late))


async def wrapped(n: int) -> int:
    return await echo(n)


def test_first_completed_and_the_order_of_its_sets_are_the_same_on_every_life() -> None:
    run = whole(races(), 3)
    decided = next(n for n, turn in enumerate(run.turns) if any(isinstance(fact, TaskSucceeded) for fact in turn))

    for cut in range(decided + 1, len(run.turns)):
        assert Life.resumed(run.turns[:cut], races, cut).run().output == run.output


@ms.workflow
async def scopes_and_values() -> list[str]:
    order: list[str] = []

    async def scoped() -> None:
        async with ms.scope("inside"):
            ref = echo(1)
        order.append("scope left")
        await ref

    async def valued() -> None:
        await ms.when(echo(1), lambda: echo(2), lambda: echo(3), test="value == 1")
        order.append("value")

    await asyncio.gather(scoped(), valued(), valued())
    await echo(len(order[0]))
    return order


def test_the_end_of_a_scope_comes_at_the_same_place_among_the_ends_of_tasks() -> None:
    for seed in range(8):
        run = whole(scopes_and_values(), seed)
        resumed = Life.resumed(run.turns[:-1], scopes_and_values, seed + 50).run()

        assert resumed.output == run.output


# ---------------------------------------------------------------- arguments, awaiters, cancelling


@ms.workflow
async def changes_its_argument() -> int:
    ns = [1, 2]
    ref = total(ns)
    ns.append(100)
    return await ref


def test_an_argument_that_changes_after_the_call_is_not_seen() -> None:
    assert whole(changes_its_argument()).output == 3


@ms.workflow
async def drops_one_awaiter() -> list[int]:
    ref = echo(5)

    async def wait() -> int:
        return await ref

    first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
    await asyncio.sleep(0)
    first.cancel()
    return [await second, await ref]


def test_cancelling_one_awaiter_cancels_neither_the_others_nor_the_task() -> None:
    assert whole(drops_one_awaiter()).output == [5, 5]


@ms.workflow
async def child(n: int) -> int:
    try:
        SEEN.append("child")
        return await echo(n) + await echo(n + 1)
    except asyncio.CancelledError:
        draw(n)
        async with ms.scope("cleaning up"):
            await echo(99)
        raise


@ms.workflow
async def cancels_a_child() -> int:
    ref = child(1)
    await echo(50)
    ms.cancel(ref)
    return await echo(51)


def test_what_a_cancelled_workflow_still_asks_for_is_not_heard() -> None:
    for seed in range(5):
        life = whole(cancels_a_child(), seed)

        assert life.output == 51
        assert statuses(life, "draw") == []


@ms.workflow
async def parent() -> int:
    return await child(1) + await child(5)


def test_a_resumed_body_starts_once() -> None:
    run = whole(parent())
    for cut in range(2, len(run.turns)):
        running = sum(t.status == Status.RUNNING for t in folded(run, cut) if t.declaration.key == "child")
        SEEN.clear()
        Life.resumed(run.turns[:cut], parent, 3)
        assert SEEN.count("child") == running


# ---------------------------------------------------------------- time, chance, the outside


@ms.workflow
async def tells_time_and_chance() -> list[str]:
    inside = ms.context()
    told = [str(inside.now()), str(inside.random.random()), str(inside.uuid())]
    async with ms.scope("a"):
        echo(1)
    told += [str(inside.now()), str(inside.uuid()), str(asyncio.get_running_loop().time())]
    await child(1)
    await asyncio.sleep(0.5)
    told += [str(inside.now()), str(inside.random.random())]
    await echo(len(told))
    return told


def test_time_and_chance_of_a_body_are_the_same_on_both_lives() -> None:
    run = whole(tells_time_and_chance())

    resumed = Life.resumed(run.turns[:-1], tells_time_and_chance, 77).run()

    assert resumed.output == run.output
    assert len(set(run.output)) == len(run.output)


@ms.workflow
async def goes_outside(how: str) -> str:
    match how:
        case "thread":
            await asyncio.to_thread(print)
        case "executor":
            await asyncio.get_running_loop().run_in_executor(None, print)
        case "socket":
            await asyncio.open_connection("127.0.0.1", 9)
        case _:
            await asyncio.create_subprocess_exec("true")
    return "went outside"


@pytest.mark.parametrize("how", ["thread", "executor", "socket", "process"])
def test_io_in_a_body_is_refused_with_what_to_do_instead(how: str) -> None:
    status, message = whole(goes_outside(how)).output

    assert status == "failed"
    assert "in a task" in message


# ---------------------------------------------------------------- stuck


@ms.workflow
async def waits_for_ever() -> int:
    await echo(1)
    await asyncio.get_running_loop().create_future()
    return 1


@ms.workflow
async def waits_from_the_start() -> int:
    await asyncio.Event().wait()
    return 1


@ms.workflow
async def survives_a_stuck_child() -> str:
    try:
        await waits_from_the_start()
    except ms.TaskError as error:
        return error.message
    return "no"


@pytest.mark.parametrize("workflow", [waits_for_ever, waits_from_the_start])
def test_a_body_that_waits_for_no_task_fails_and_is_named(workflow: Any) -> None:
    status, message = whole(workflow()).output

    assert status == "failed"
    assert f"the body of {workflow.key!r} waits for something that is no task" in message


def test_a_stuck_sub_workflow_fails_alone() -> None:
    assert "waits_from_the_start" in whole(survives_a_stuck_child()).output


STUCK = False


@ms.workflow
async def gets_stuck_later() -> int:
    if STUCK:
        await asyncio.Event().wait()
    return await echo(1)


def test_a_changed_body_that_gets_stuck_fails_although_old_tasks_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Life.first(gets_stuck_later(), 1)
    monkeypatch.setitem(globals(), "STUCK", True)

    second = Life.resumed(first.turns, gets_stuck_later, 2).run()

    assert second.state.status == "failed"
    assert statuses(second, "echo") == ["cancelled"]
    assert second.started == []


# ---------------------------------------------------------------- what goes on after the body has returned


@ms.workflow
async def returns_early() -> int:
    async def background() -> None:
        for n in range(3):
            await echo(n + 10)
        SEEN.append("background done")

    SEEN.append(asyncio.create_task(background()))
    return await echo(1)


def test_a_branch_goes_on_after_the_body_returned_and_is_not_lost_by_a_resume() -> None:
    for run, resumed in again_after_every_turn(returns_early(), returns_early):
        assert statuses(resumed, "echo") == statuses(run, "echo") == ["succeeded"] * 4


@ms.workflow
async def awaits_on_its_way_out() -> int:
    try:
        return await echo(1)
    finally:
        await echo(2)


def test_a_body_that_is_dropped_in_the_middle_makes_no_noise() -> None:
    life = Life.first(awaits_on_its_way_out(), 1)

    life.bodies.close()

    assert len(life.state.tasks) == 2
