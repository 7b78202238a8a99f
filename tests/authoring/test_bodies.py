"""Live bodies, one trap a test: what racing, resuming, failing and cancelling must not do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

import makespan as ms
from makespan.machine.facts import TaskCancelled, TaskSucceeded
from makespan.machine.records import Status, TaskState
from makespan.machine.state import fold
from tests.property.live_world import Life

SEEN: list[Any] = []
"""What the code of this test's workflows noted."""


@pytest.fixture(autouse=True)
def _nothing_seen() -> Iterator[None]:
    SEEN.clear()
    yield
    SEEN.clear()


@ms.task
def draw(n: int) -> int:
    """Another answer at every attempt."""
    SEEN.append("drawn")
    return len(SEEN)


@ms.task
def echo(n: int) -> int:
    return n


@ms.task
def total(ns: list[int]) -> int:
    return sum(ns)


@ms.task(raises=(ValueError, KeyError))
def fails(n: int) -> int:
    SEEN.append("failed")
    raise ValueError(f"no {n}") if n else KeyError("nothing")


@ms.task
def word(how: ms.Outcome[int]) -> str:
    return how.status


def whole(call: Any, seed: int = 1) -> Life:
    return Life.first(call, seed).run()


def again_after_every_turn(call: Any, workflow: Any, seed: int = 1) -> Iterator[tuple[Life, Life]]:
    """The whole run, and its next life after a cut at every turn."""
    run = whole(call, seed)
    for cut in range(1, len(run.turns)):
        yield run, Life.resumed(run.turns[:cut], workflow, seed + 100 + cut).run()


def statuses(life: Life, key: str) -> list[str]:
    return [task.status.name.lower() for task in life.state.tasks if task.declaration.key == key]


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


# ---------------------------------------------------------------- failures


@ms.workflow
async def catches() -> int:
    try:
        return await fails(1)
    except ValueError:
        return await echo(4) + await echo(1)


def test_a_failed_task_that_the_body_caught_does_not_run_again() -> None:
    for run, resumed in again_after_every_turn(catches(), catches):
        assert resumed.output == run.output == 5

    before = SEEN.count("failed")
    run = whole(catches())
    Life.resumed(run.turns[:2], catches, 9).run()
    assert SEEN.count("failed") == before + 1


@ms.workflow
async def catches_key_error() -> str:
    try:
        await fails(0)
    except KeyError as error:
        return str(error)
    return "not caught"


def test_declared_exceptions_are_caught_by_their_class_and_say_what_happened() -> None:
    assert whole(catches_key_error()).output.startswith("task fails failed: KeyError")


@ms.workflow
async def leaves_a_failure() -> int:
    fails(1)
    return await echo(7)


def test_a_failure_that_nobody_awaits_fails_the_run() -> None:
    life = whole(leaves_a_failure())

    assert life.output == ("failed", "no 1")


@ms.workflow
async def leaves_a_failing_branch() -> int:
    async def branch() -> None:
        await echo(3)
        raise RuntimeError("lost")

    SEEN.append(asyncio.create_task(branch()))
    return await echo(7)


def test_an_exception_in_a_branch_that_nobody_awaits_fails_the_run() -> None:
    life = whole(leaves_a_failing_branch())

    assert life.output == ("failed", "lost")


@ms.workflow
async def siblings() -> list[int]:
    others = [echo(n) for n in range(3)]
    with contextlib.suppress(ms.TaskError):
        await fails(1)
    return [await other for other in others]


def test_a_failure_cancels_no_sibling() -> None:
    life = whole(siblings())

    assert life.output == [0, 1, 2]
    assert statuses(life, "echo") == ["succeeded"] * 3


@ms.workflow
async def gathers_two_failures() -> str:
    try:
        await ms.gather(fails(1), fails(2), echo(3))
    except ms.TaskError:
        return "caught"
    return "not caught"


def test_awaiting_a_gather_receives_every_failure_in_it() -> None:
    for seed in range(6):
        assert whole(gathers_two_failures(), seed).output == "caught"


@ms.workflow
async def gathers_what_has_failed() -> str:
    bad, slow = fails(1), ms.sleep(1000)
    await ms.outcome(bad)
    try:
        await ms.gather(slow, bad)
    except ms.TaskError:
        ms.cancel(slow)
        return "at once"
    return "late"


def test_a_gather_of_what_has_failed_already_raises_at_once() -> None:
    life = whole(gathers_what_has_failed())

    assert life.output == "at once"
    assert life.state.at < 1e9


@ms.workflow
async def tolerates() -> list[Any]:
    kept, one = await ms.gather(ms.map(fails, [1, 2], errors="drop"), echo(4))
    return [kept, one]


def test_a_gather_does_not_fail_for_what_a_map_in_it_drops() -> None:
    assert whole(tolerates()).output == [[], 4]


@ms.workflow
async def judges_late() -> str:
    bad = fails(1)
    await ms.sleep(60)
    return await word(ms.outcome(bad))


def test_an_outcome_taken_after_the_failure_has_received_it() -> None:
    assert whole(judges_late()).output == "failed"


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


def folded(run: Life, turns: int) -> list[TaskState]:
    return fold(run.turns[:turns]).tasks


# ---------------------------------------------------------------- scopes


@ms.workflow
async def leaves_by_an_error() -> str:
    try:
        async with ms.scope("risky"):
            ms.sleep(1000)
            await echo(1)
            raise RuntimeError("out")
    except RuntimeError as error:
        return str(error)


def test_leaving_a_scope_by_an_error_cancels_what_runs_in_it() -> None:
    life = whole(leaves_by_an_error())

    assert life.output == "out"
    assert statuses(life, "sleep") == ["cancelled"]


@ms.workflow
async def meets_a_limit() -> list[str]:
    where = []
    try:
        async with ms.scope("short", deadline_s=0.5):
            where.append("inside")
            await ms.sleep(1000)
            where.append("never")
    except ms.LimitError as error:
        where.append(str(error))
    return where


def test_the_limit_of_a_scope_is_raised_where_it_was_opened() -> None:
    for run, resumed in again_after_every_turn(meets_a_limit(), meets_a_limit):
        assert resumed.output == run.output
        assert run.output[0] == "inside"
        assert "deadline_s of scope 'short'" in run.output[1]


@ms.workflow
async def asks_in_a_dead_scope() -> list[str]:
    left = asyncio.Event()

    async def late() -> str:
        await left.wait()
        return (await ms.outcome(draw(1))).status

    branch: asyncio.Task[str] | None = None
    try:
        async with ms.scope("gone"):
            branch = asyncio.create_task(late())
            raise RuntimeError("out")
    except RuntimeError:
        left.set()
    assert branch is not None
    return [await branch, await late()]


def test_what_is_asked_for_in_a_scope_that_was_cancelled_is_cancelled_at_once() -> None:
    life = whole(asks_in_a_dead_scope())

    assert life.output == ["cancelled", "succeeded"]
    why = [fact.why for turn in life.turns for fact in turn if isinstance(fact, TaskCancelled)]
    assert why == ["asked for in a scope that was cancelled"]


@ms.workflow
async def cancels_before_the_limit() -> list[str]:
    kinds = []
    try:
        async with ms.scope("limited", deadline_s=5):
            ref = ms.sleep(1000)
            ms.cancel(ref)
            try:
                await ref
            except ms.TaskError as error:
                kinds.append(error.type)
            await ms.sleep(100)
    except ms.LimitError:
        kinds.append("limit")
    return kinds


def test_a_task_cancelled_before_its_scope_met_a_limit_says_so_on_every_life() -> None:
    for run, resumed in again_after_every_turn(cancels_before_the_limit(), cancels_before_the_limit):
        assert run.output == ["makespan.Cancelled", "limit"]
        assert resumed.output == run.output


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
