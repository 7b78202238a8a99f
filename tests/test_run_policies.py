"""The policy and the modes of a run: chosen at its start, recorded, and kept by every life of the run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import makespan as ms
from makespan import testing
from makespan.app import Engine
from makespan.errors import UsageError
from makespan.machine.facts import Limits
from makespan.machine.records import TaskState
from makespan.machine.state import State
from makespan.models.scripted import Scripted
from makespan.policies.named import NAMES
from makespan.profiles.distributions import Constant
from makespan.profiles.profile import ModeProfile, Profile, written

STARTED: list[str] = []
ONE_AT_A_TIME = Limits(running=1)


@ms.task
async def step(name: str, needs: list[str]) -> str:
    STARTED.append(name)
    return name


@ms.task
async def slow(name: str) -> str:
    STARTED.append(name)
    return name


@ms.workflow
def fork() -> list[str]:
    """Two short tasks before a chain of three."""
    first, second = step("short 1", []), step("short 2", [])
    head = step("head", [])
    return ms.gather(first, second, step("end", [step("middle", [head])]))


@ms.workflow
async def live_fork() -> list[str]:
    first, second = step("short 1", []), step("short 2", [])
    head = step("head", [])
    return await ms.gather(first, second, step("end", [step("middle", [head])]))


@ms.workflow
def pair() -> list[str]:
    return ms.gather(step("quick", []), slow("slow"))


@ms.prompt(models=["small", "large"])
def say(what: str) -> str:
    ms.chat(f"Say {what}.")


@ms.workflow
def talk() -> str:
    return say("hello")


@ms.workflow
async def live_talk() -> str:
    return await say("hello")


class Backwards:
    """Newest first; remembers nothing."""

    name, epoch = "backwards", 0

    def rank(self, state: State, task: TaskState) -> int:
        return -task.number


@pytest.fixture(autouse=True)
def nothing_started() -> None:
    STARTED.clear()


LONGEST_FIRST = ["head", "middle", "short 1", "short 2", "end"]
"""The order of the critical path, all tasks taken alike: `end` waits as long as the short ones, which came before."""


@pytest.mark.parametrize("workflow", [fork, live_fork])
def test_plain_and_live_workflows_follow_the_policy(workflow: Any) -> None:
    result = testing.run(workflow(), options={"policy": "critical-path", "limits": ONE_AT_A_TIME})

    assert result.output == ["short 1", "short 2", "end"]
    assert STARTED == LONGEST_FIRST


def test_first_come_first_served_is_the_rule_of_runs_that_name_none() -> None:
    testing.run(fork(), options={"limits": ONE_AT_A_TIME})

    assert STARTED == ["short 1", "short 2", "head", "middle", "end"]


def test_the_engines_policy_holds_for_runs_that_name_none() -> None:
    testing.run(fork(), engine={"policy": "critical-path"}, options={"limits": ONE_AT_A_TIME})

    assert STARTED == LONGEST_FIRST


@pytest.mark.parametrize("cut", range(2, 6))
def test_a_run_that_was_killed_goes_on_with_its_own_policy(cut: int) -> None:
    testing.run(fork(), crash_at=cut, options={"policy": "critical-path", "limits": ONE_AT_A_TIME})

    again = [name for place, name in enumerate(STARTED) if name not in STARTED[:place]]
    assert again == LONGEST_FIRST, "the engine's own policy is first come, first served"


def test_a_custom_policy_is_given_as_an_object_and_found_by_its_name_when_the_run_is_resumed(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"

    async def begin() -> None:
        async with Engine(store) as engine:
            run = engine.start(fork(), id="mine", policy=Backwards(), limits=ONE_AT_A_TIME)
            run.interrupt("enough for today")
            await run.done

    async def go_on(**options: Any) -> list[str]:
        async with Engine(store, **options) as engine:
            result = await engine.resume("mine", fork)
            return list(result.output)

    asyncio.run(begin())

    with pytest.raises(UsageError, match=r"run mine cannot go on: no policy is called 'backwards'.*Engine\(policies="):
        asyncio.run(go_on())
    STARTED.clear()
    assert asyncio.run(go_on(policies={"backwards": Backwards})) == ["short 1", "short 2", "end"]
    assert STARTED[-2:] == ["short 2", "short 1"], "newest first"


def test_a_run_whose_policy_is_not_here_can_still_be_cancelled(tmp_path: Path) -> None:
    async def main() -> str:
        async with Engine(tmp_path / "runs.db") as engine:
            run = engine.start(fork(), id="mine", policy=Backwards(), limits=ONE_AT_A_TIME)
            run.interrupt("enough for today")
            await run.done
        async with Engine(tmp_path / "runs.db") as engine:
            return (await engine.resume("mine", fork, cancel=True).wait()).status

    assert asyncio.run(main()) == "cancelled"


@pytest.mark.parametrize("given", ["object", "file"])
def test_a_profile_says_how_long_tasks_are_expected_to_take(given: str, tmp_path: Path) -> None:
    known = Profile({"slow": {"": ModeProfile(Constant(60))}, "step": {"": ModeProfile(Constant(1))}})
    (tmp_path / "profile.json").write_bytes(written(known))
    profile = known if given == "object" else tmp_path / "profile.json"

    testing.run(pair(), engine={"profile": profile, "policy": "critical-path"}, options={"limits": ONE_AT_A_TIME})

    assert STARTED == ["slow", "quick"]


def test_the_header_records_policy_and_modes() -> None:
    async def main() -> Any:
        models: Any = {"small": Scripted(["s"]), "large": Scripted(["l"])}
        async with Engine("memory", models=models, allow_unknown_prices=True) as engine:
            run = engine.start(talk(), policy="noisy:shortest:0.3", modes={"say": "large"})
            assert (await run).output == "l"
            return run.state.started

    header = asyncio.run(main())
    assert header.policy == "noisy:shortest:0.3"
    assert header.modes == (("say", "large"),)


def refused(call: Any, **options: Any) -> str:
    async def main() -> None:
        async with Engine("memory") as engine:
            engine.start(call, **options)

    with pytest.raises(UsageError) as caught:
        asyncio.run(main())
    return str(caught.value)


def test_modes_that_the_workflow_does_not_have_are_refused() -> None:
    assert "say has no mode 'lerge'; it has small, large; did you mean 'large'?" in refused(
        talk(), modes={"say": "lerge"}
    )
    assert "no task 'sai'; did you mean 'say'?" in refused(talk(), modes={"sai": "large"})
    assert "it has none: give the task `models=`" in refused(fork(), modes={"step": "large"})


def test_a_live_body_may_call_what_nobody_has_seen_yet() -> None:
    result = testing.run(live_talk(), models=Scripted(["hi"]), options={"modes": {"say": "large"}})

    assert result.output == "hi"


def test_policies_that_are_none_are_refused() -> None:
    taken = Backwards()
    taken.name = "fifo"  # type: ignore[misc]

    assert "did you mean 'shortest'" in refused(fork(), policy="shortst")
    assert "give a name (fifo, critical-path" in refused(fork(), policy=3)
    assert "give the object another `name`" in refused(fork(), policy=taken)
    with pytest.raises(UsageError, match="'fifo' is built in; give yours another name"):
        Engine("memory", policies={"fifo": Backwards()})


class Broken(Backwards):
    name = "broken"

    def rank(self, state: State, task: TaskState) -> int:
        return 1 // (task.number - 1)


class Vague(Backwards):
    name = "vague"

    def rank(self, state: State, task: TaskState) -> int:
        return "soon"  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Broken(), "policy 'broken' raised ZeroDivisionError for task step: .*; correct it and resume the run"),
        (Vague(), "policy 'vague' gave 'soon' for task step: a rank is an int"),
    ],
)
def test_what_goes_wrong_in_a_policy_of_ones_own_is_told_as_its_fault(given: Any, message: str) -> None:
    async def main() -> None:
        async with Engine("memory") as engine:
            await engine.start(fork(), policy=given)

    with pytest.raises(UsageError, match=message):
        asyncio.run(main())


@pytest.mark.parametrize("rule", [*(name for name in NAMES if name != "noisy"), "noisy:critical-path"])
def test_runs_end_alike_wherever_they_are_killed_under_every_policy(rule: str) -> None:
    whole = testing.run(live_fork(), crash_at="each", options={"policy": rule, "limits": ONE_AT_A_TIME})

    assert whole.output == ["short 1", "short 2", "end"]


def test_a_profile_that_is_none_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"tasks": 3}')

    with pytest.raises(UsageError, match=r"p\.json: this is no profile"):
        Engine("memory", profile=tmp_path / "p.json")
    with pytest.raises(UsageError, match=r"none\.json cannot be read: No such file"):
        Engine("memory", profile=tmp_path / "none.json")
