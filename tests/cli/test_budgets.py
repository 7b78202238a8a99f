"""Budgets on the command line: given in makespan.toml, counted over runs, shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.calling import makespan

FLOW = """
import makespan as ms


@ms.task(needs={"credits": 2})
def look_up(n: int) -> int:
    return n


@ms.workflow
def three() -> list[int]:
    return ms.gather(*[look_up(n) for n in range(3)])
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "makespan.toml").write_text("[budgets]\ncredits = 6\n[budgets.team]\ncredits = 100\nper = 'day'\n")
    return tmp_path


def used() -> dict[str, float]:
    listed = json.loads(makespan("budgets", "--json").out)["budgets"]
    return {budget["account"]: budget["used"] for budget in listed}


def test_runs_count_against_their_account_and_pause_when_it_is_used_up(folder: Path) -> None:
    assert makespan("run", "flow.py:three").code == 0
    assert used() == {"team": 0, "default": 6}

    paused = makespan("run", "flow.py:three", "--id", "second")
    assert paused.code == 4
    assert "the budget 'default' is used up: 6 credits of 6 credits used" in paused.err
    assert "--budget" not in paused.err, "that is the run's own"

    assert makespan("run", "flow.py:three", "--account", "team", "--weight", "2").code == 0
    assert used() == {"team": 6, "default": 6}

    (folder / "makespan.toml").write_text("budgets = {credits = 12}\n")
    assert makespan("resume", "second").code == 0
    assert used() == {"default": 12}


def test_the_table_has_a_line_a_budget() -> None:
    lines = makespan("budgets").out.splitlines()

    assert lines[0].split() == ["ACCOUNT", "UNIT", "USED", "RESERVED", "AMOUNT", "PER", "UNTIL"]
    assert [line.split()[:2] for line in lines[1:]] == [["team", "credits"], ["default", "credits"]]


def test_an_account_or_amount_that_means_nothing_is_refused(folder: Path) -> None:
    assert "did you mean 'team'" in makespan("run", "flow.py:three", "--account", "tea").err
    assert "a number above 0" in makespan("run", "flow.py:three", "--weight", "0").err

    (folder / "makespan.toml").write_text("[budgets]\ncredits = 'six'\n")
    assert "makespan.toml:2: budgets.credits = 'six': it is a whole number" in makespan("budgets").err
