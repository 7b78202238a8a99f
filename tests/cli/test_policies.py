"""Policies, modes and expected durations from the command line and the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from makespan.config import engine_from, load_config
from makespan.errors import UsageError
from makespan.profiles.distributions import Constant
from makespan.profiles.profile import ModeProfile, Profile, written
from tests.cli.calling import makespan

FLOWS = """
import makespan as ms


@ms.task
async def quick(n: int) -> int:
    with open("order.txt", "a") as file:
        file.write("quick ")
    return n


@ms.task
async def slow(n: int) -> int:
    with open("order.txt", "a") as file:
        file.write("slow ")
    return n


@ms.workflow
def both() -> list[int]:
    return ms.gather(*[quick(n) for n in range(3)], slow(3))


@ms.prompt(models=["small", "large"])
def say(text: str) -> str:
    ms.chat(text)


@ms.workflow
def talk() -> str:
    return say("hello")
"""
KNOWN = Profile({"slow": {"": ModeProfile(Constant(60))}, "quick": {"": ModeProfile(Constant(1))}})


@pytest.fixture(autouse=True)
def flows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAKESPAN_POLICY", "MAKESPAN_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    (folder / "ranked.py").write_text(FLOWS)
    (folder / "known.json").write_bytes(written(KNOWN))
    (folder / "makespan.toml").write_text("[limits]\nrunning = 1\n\n[models]\nsmall = 'scripted'\nlarge = 'scripted'\n")


def order(folder: Path) -> list[str]:
    return (folder / "order.txt").read_text().split()


def test_run_takes_a_policy_and_a_profile(folder: Path) -> None:
    done = makespan("run", "ranked.py:both", "--policy", "critical-path", "--profile", "known.json")

    assert done.code == 0, done.err
    assert order(folder) == ["slow", "quick", "quick", "quick"]
    run_id = json.loads(makespan("ps", "--json").out)["runs"][0]["run_id"]
    assert "policy critical-path" in makespan("logs", run_id).out, "the journal tells which it was"


def test_a_policy_and_a_profile_may_stand_in_the_file_or_the_environment(folder: Path) -> None:
    (folder / "makespan.toml").write_text('policy = "shortest"\nprofile = "known.json"\n')

    options = engine_from(load_config(environ={}))
    assert (options["policy"], options["profile"]) == ("shortest", str(folder / "known.json"))

    changed = load_config(environ={"MAKESPAN_POLICY": "fair", "MAKESPAN_PROFILE": "other.json"})
    assert (changed.policy, changed.profile) == ("fair", "other.json")
    assert changed.origins["policy"] == "MAKESPAN_POLICY"


def test_config_show_tells_where_the_policy_comes_from(folder: Path) -> None:
    (folder / "makespan.toml").write_text('policy = "shortest"\n')

    shown = json.loads(makespan("config", "show", "--json").out)

    (policy,) = (each for each in shown["values"] if each["name"] == "policy")
    assert policy["value"] == "shortest"
    assert policy["origin"].endswith("makespan.toml:1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--policy", "critical-pth"), "did you mean 'critical-path'"),
        (("--profile", "none.json"), "the profile none.json cannot be read"),
        (("--mode", "quick"), "--mode quick: write TASK=MODE"),
        (("--policy", "critical-path+portfolio"), "give it as --planner portfolio"),
        (("--mode", "quik=small"), "no task 'quik'; did you mean 'quick'?"),
    ],
)
def test_what_means_nothing_is_one_clear_error(arguments: tuple[str, ...], message: str) -> None:
    done = makespan("run", "ranked.py:both", *arguments)

    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_misspelt_policy_in_the_file_is_named_with_its_line(folder: Path) -> None:
    (folder / "makespan.toml").write_text('store = "x"\npolicy = "shortst"\n')

    with pytest.raises(UsageError, match=r"makespan\.toml:2: no policy is called 'shortst'"):
        engine_from(load_config(environ={}))


def test_a_mode_is_one_of_the_tasks_models(folder: Path) -> None:
    refused = makespan("run", "ranked.py:talk", "--mode", "say=lerge")
    assert refused.code == 2
    assert "did you mean 'large'?" in refused.err
