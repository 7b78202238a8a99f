"""`makespan plan TARGET --schedule`, and the run that follows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.calling import makespan

FLOW = """
import makespan as ms


@ms.task
def fetch(n: int) -> int:
    return n


@ms.task(needs={"gpu": 1})
def train(n: int, read: int) -> int:
    return n


@ms.workflow
def flow() -> list[int]:
    return ms.gather(*[train(n, fetch(n)) for n in range(4)])


@ms.workflow
async def live() -> int:
    return await fetch(1)
"""


@pytest.fixture(autouse=True)
def files(folder: Path) -> None:
    (folder / "flows.py").write_text(FLOW)
    (folder / "makespan.toml").write_text("[pools]\ngpu = 2\n")
    (folder / "times.toml").write_text("[fetch]\np50_s = 2\n[train]\np50_s = 5\n")


def test_the_schedule_is_shown_kept_and_followed(folder: Path) -> None:
    done = makespan("plan", "flows.py:flow", "--schedule", "--profile", "times.toml", "-o", "plan.json")
    assert done.code == 0, done.err
    assert done.out.startswith("flow: 12.0 s (nothing is shorter); profile times.toml")
    assert "--policy planned:plan.json" in done.err
    assert len(json.loads((folder / "plan.json").read_text())) == 8

    ran = makespan("run", "flows.py:flow", "--policy", "planned:plan.json", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["output"] == [0, 1, 2, 3]


def test_the_schedule_is_drawn_and_said_in_json(folder: Path) -> None:
    done = makespan("plan", "flows.py:flow", "--solve", "5s", "--profile", "times.toml", "--json", "-o", "plan.svg")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert (said["how"], said["makespan_ns"], said["gap"]) == ("proved", 12_000_000_000, 0.0)
    assert "<svg" in (folder / "plan.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", "flows.py:live", "--schedule"), "async workflow"),
        (("plan", "flows.py:flow", "--schedule", "-o", "plan.txt"), "FILE.json"),
        (("run", "flows.py:flow", "--policy", "planned:none.json"), "none.json cannot be read"),
        (("run", "flows.py:flow", "--policy", "planned:times.toml"), "is no plan"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], said: str) -> None:
    done = makespan(*arguments)
    assert done.code == 2
    assert said in done.err


def test_uneven_durations_are_proved_too_and_only_the_plan_is_drawn(folder: Path) -> None:
    (folder / "odd.toml").write_text("[fetch]\np50_s = 2.000000003\np95_s = 6\n[train]\np50_s = 3.100000007\n")

    done = makespan("plan", "flows.py:flow", "--running", "3", "--solve", "60s", "--profile", "odd.toml")

    assert "(nothing is shorter)" in done.out
    assert "╌ planned" in done.out
    assert "late" not in done.out


@pytest.mark.parametrize(("path", "message"), [("x.pdf", "write FILE.json"), ("none/x.json", "'none' does not exist")])
def test_a_plan_that_cannot_be_written_is_refused_before_the_work(path: str, message: str) -> None:
    done = makespan("plan", "flows.py:flow", "-o", path)

    assert (done.code, done.out) == (2, "")
    assert message in done.err
