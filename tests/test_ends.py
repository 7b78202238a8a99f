"""`on_end`: told of each end and each pause exactly once a store, whatever dies in between."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import makespan as ms
from makespan.ends import END_CALL_WAIT_S, KIND
from makespan.journal.memory import MemoryJournal
from makespan.testing.lives import SimulatedCrash
from makespan.testing.world import SimulatedProcess, SimulatedWorld
from tests.prove import prove_count

HEARD: list[tuple[str, str]] = []


@dataclass(frozen=True)
class Answer:
    text: str


@pytest.fixture(autouse=True)
def nothing_heard() -> None:
    HEARD.clear()


@ms.task
async def hear(r: ms.Result[Answer]) -> str:
    HEARD.append((r.run_id, r.status))
    return f"{r.status} {r.output.text if r else r.error} {r.resume_command} {len(r.gaps)} {r.summary.tasks.succeeded}"


@ms.task
async def say(text: str) -> Answer:
    if text == "fail":
        raise ValueError("nothing to say")
    return Answer(text)


@ms.task(effect="irreversible", timeout_s=1)
async def pay() -> None:
    await asyncio.sleep(100)


@ms.workflow(on_end=hear)
async def told(text: str = "hi") -> Answer:
    if text == "pay":
        await pay()
    return await say(text)


@ms.workflow(on_end=hear)
def traced(text: str) -> Answer:
    return say(text)


def lived(*calls: tuple[str, ms.Ref[Any]]) -> MemoryJournal:
    """The journal after these runs, on virtual time."""
    journal = MemoryJournal()

    async def main(world: SimulatedProcess) -> None:
        async with ms.Engine("memory", world=world, journal=journal) as engine:
            for run_id, call in calls:
                await engine.start(call, id=run_id)

    with SimulatedWorld(1) as world:
        world.run_until(main(world))
    return journal


def output(journal: MemoryJournal, run_id: str) -> Any:
    async def main(world: SimulatedProcess) -> Any:
        async with ms.Engine("memory", world=world, journal=journal) as engine:
            return engine.get(run_id)

    with SimulatedWorld(1) as world:
        run = world.run_until(main(world))
        return asyncio.run(_result(run)).output


async def _result(run: Any) -> Any:
    return ms.Result(run.state, str, "memory")


@pytest.mark.parametrize("workflow", [told, traced], ids=lambda task: task.key)
def test_the_result_of_a_success_is_what_the_starter_got(workflow: Any) -> None:
    journal = lived(("a", workflow("hello")))

    assert HEARD == [("a", "succeeded")]
    assert output(journal, "a.on_end").startswith("succeeded hello ")
    assert journal.entries(KIND) == []


def test_a_failure_comes_with_its_error_its_gaps_and_how_to_go_on() -> None:
    journal = lived(("a", told("fail")))

    heard = output(journal, "a.on_end")
    assert heard.startswith("failed ")
    assert "ValueError: nothing to say" in heard
    assert "resume a" in heard
    assert heard.endswith(" 2 0")


def test_a_pause_is_told_of_and_so_is_the_end_that_follows() -> None:
    journal = lived(("a", told("pay")))
    (pause,) = [row.run_id for row in journal.runs() if ".on_pause-" in row.run_id]

    async def main(world: SimulatedProcess) -> None:
        async with ms.Engine("memory", world=world, journal=journal) as engine:
            (asked,) = [task.spec.id for task in engine.get("a").state.tasks if task.declaration.key == "pay"]
            await engine.resume("a", told, decisions={asked: "skip"})

    with SimulatedWorld(2) as world:
        world.run_until(main(world))

    assert [status for _, status in HEARD] == ["paused", "failed"]
    assert "Say what happened" in output(journal, pause)
    assert {row.status for row in journal.runs() if row.run_id != "a"} == {"succeeded"}


def test_cancelling_is_an_end_and_interrupting_is_not() -> None:
    journal = MemoryJournal()

    async def main(world: SimulatedProcess) -> None:
        async with ms.Engine("memory", world=world, journal=journal) as engine:
            engine.start(told("pay"), id="stopped")
            run = engine.start(told("pay"), id="cancelled")
            await asyncio.sleep(0.1)
            run.cancel()
            await run

    with SimulatedWorld(1) as world:
        world.run_until(main(world))

    assert HEARD == [("cancelled", "cancelled")]


def test_what_on_end_does_wrong_is_a_failed_run_of_its_own() -> None:
    @ms.task
    async def clumsy(r: ms.Result[Any]) -> None:
        raise RuntimeError(r.status)

    @ms.workflow(on_end=clumsy)
    async def fine() -> int:
        return 1

    journal = lived(("a", fine()))

    assert {row.run_id: row.status for row in journal.runs()} == {"a": "succeeded", "a.on_end": "failed"}
    assert journal.entries(KIND) == []


def test_runs_that_ended_before_there_was_an_on_end_are_let_be() -> None:
    @ms.workflow(key="told")
    async def untold() -> Answer:
        return await say("long ago")

    journal = lived(("old", untold()), ("new", told("now")))

    assert HEARD == [("new", "succeeded")]
    assert journal.run("old.on_end") is None


def test_starting_a_run_again_under_its_id_tells_nothing_twice() -> None:
    lived(("a", told("x")), ("a", told("x")), ("a", told("x")))

    assert HEARD == [("a", "succeeded")]


def one_life_after_another(seed: int, crash_at: int) -> list[str]:
    """Crash between two callbacks, then start something else of that workflow; gives the ids of all runs."""
    journal = MemoryJournal()

    async def first(world: SimulatedProcess) -> None:
        async with ms.Engine("memory", world=world, journal=journal) as engine:
            await engine.start(told("a"), id="a")

    async def second(world: SimulatedProcess) -> None:
        async with ms.Engine("memory", world=world, journal=journal) as engine:
            if journal.run("a") is not None and journal.run("a").status == "running":  # type: ignore[union-attr]
                await engine.resume("a", told) if list(journal.read("a")) else await engine.start(told("a"), id="a")
            await engine.start(told("b"), id="b")

    with SimulatedWorld(seed) as world:
        world.crash_after(crash_at)
        try:
            world.run_until(first(world))
        except SimulatedCrash:
            world.run_until(second(world))
        else:
            return []
    assert journal.entries(KIND) == []
    return [row.run_id for row in journal.runs() if row.status == "succeeded"]


@pytest.mark.slow
def test_a_process_killed_between_the_end_and_the_call_leaves_the_call_to_the_next() -> None:
    crashes = 0
    for seed in range(prove_count(3)):
        for crash_at in range(200):
            HEARD.clear()
            ran = one_life_after_another(seed, crash_at)
            if not ran:
                break
            crashes += 1
            assert "a.on_end" in ran or "a" not in ran
            assert {run_id for run_id, _ in HEARD} <= {"a", "b"}
    assert crashes > 30


def test_run_waits_for_the_call_it_has_begun(tmp_path: Path) -> None:
    @ms.task
    async def slow(r: ms.Result[Any]) -> None:
        await asyncio.sleep(0.02)
        (tmp_path / "told").write_text(r.status)

    @ms.workflow(on_end=slow)
    async def quick() -> int:
        return 1

    assert ms.run(quick(), store="memory").output == 1
    assert (tmp_path / "told").read_text() == "succeeded"
    assert END_CALL_WAIT_S > 1


def test_a_call_that_takes_too_long_is_interrupted_with_the_engine_and_gone_on_with_by_the_next() -> None:
    journal = MemoryJournal()

    @ms.task(key="patient")
    async def patient(r: ms.Result[Any]) -> None:
        await asyncio.sleep(0 if HEARD else 10 * END_CALL_WAIT_S)
        HEARD.append((r.run_id, r.status))

    @ms.workflow(key="quick", on_end=patient)
    async def quick() -> int:
        return 1

    async def life(world: SimulatedProcess, run_id: str) -> str:
        async with ms.Engine("memory", world=world, journal=journal) as engine:
            await engine.start(quick(), id=run_id)
        row = journal.run("a.on_end")
        assert row is not None
        return row.status

    with SimulatedWorld(1) as world:
        assert world.run_until(life(world, "a")) == "interrupted"
        HEARD.append(("", ""))
        assert world.run_until(life(world, "b")) == "succeeded"

    assert sorted(HEARD[1:]) == [("a", "succeeded"), ("b", "succeeded")]


async def nothing() -> None: ...


@pytest.mark.parametrize("wrong", [say.fn, hear.fn, "hear", told])
def test_on_end_is_a_task_of_one_argument(wrong: Any) -> None:
    with pytest.raises(ms.GraphError, match="on_end="):
        ms.workflow(on_end=wrong)(nothing)


def test_a_task_of_two_arguments_is_refused() -> None:
    @ms.task
    async def two(r: ms.Result[Any], more: int) -> None: ...

    with pytest.raises(ms.GraphError, match="takes r, more; it is called with one argument"):
        ms.workflow(on_end=two)(nothing)


def test_a_result_is_only_what_a_run_gave() -> None:
    with pytest.raises(ms.GraphError, match="argument 'r' of hear"):
        hear.signature.encode(({"status": "succeeded"},), {})
