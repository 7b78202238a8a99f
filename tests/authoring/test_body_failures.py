"""Failures and scopes in live bodies, one trap a test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

import makespan as ms
from makespan import testing
from makespan.authoring.loop import BodyLoop
from makespan.errors import GraphError
from makespan.machine.facts import TaskCancelled
from tests.authoring.bodies import SEEN, again_after_every_turn, draw, echo, fails, statuses, whole, word
from tests.property.live_world import Life


@pytest.fixture(autouse=True)
def _nothing_seen() -> Iterator[None]:
    SEEN.clear()
    yield
    SEEN.clear()


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


def test_a_body_that_never_waits_is_an_error_and_not_a_hang() -> None:
    async def spinning() -> None:
        while True:  # noqa: ASYNC110 - what must not hang
            await asyncio.sleep(0)

    def no_timer(delay_s: float, fire: object) -> Any:
        raise AssertionError("nothing here sets a timer")

    loop = BodyLoop(no_timer, lambda branch: None, iter(range(9)).__next__, most_steps=1_000)
    body = loop.create_task(spinning())

    with pytest.raises(GraphError, match="it spins"):
        loop.drain()

    body.cancel()
    loop.drain()
    assert body.cancelled()


def test_a_limit_that_a_body_catches_says_which_and_how_much() -> None:
    caught: list[ms.LimitError] = []

    @ms.task
    def slow(x: int) -> int:
        return x

    async def too_slow(x: int) -> int:
        await asyncio.sleep(9)
        return x

    @ms.workflow
    async def limited(x: int) -> str:
        try:
            async with ms.scope("search", deadline_s=2):
                await slow(x)
        except ms.LimitError as error:
            caught.append(error)
        return "late"

    result = testing.run(limited(1), fakes={slow: too_slow})

    assert result.output == "late"
    (error,) = caught
    assert (error.limit, error.allowed, error.used, error.unit) == ("deadline_s", 2.0, 2.0, "s")
    assert str(error) == "deadline_s of scope 'search' reached: 2 of 2 s"
