"""`why` and `import` of logs, as people use them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.cli.calling import makespan
from tests.traces.importers.logs import ATIF, OPENINFERENCE

FLOW = """
import os

import makespan as ms


@ms.task(effect="pure")
def guess(n: int) -> int:
    print("guessing")
    return n * 2 if os.path.exists("right.txt") else n * 200


@ms.task(effect="pure")
def small(n: int) -> int:
    if n > 100:
        raise ValueError(f"{n} is not small")
    return n


@ms.workflow
def flow(n: int) -> int:
    return small(guess(n))
"""


MAPS = """

@ms.task(effect="pure")
def numbers(n: int) -> list[int]:
    return [n, n] if os.path.exists("right.txt") else [n, n, 200]


@ms.task(effect="pure")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@ms.workflow
def mapped(n: int) -> int:
    return small(total(ms.map(guess, numbers(n))))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAKESPAN_STORE", "sqlite:///s.db")
    (tmp_path / "flow.py").write_text(FLOW)
    return tmp_path


def test_why_names_where_it_began_and_the_command_it_says_mends_the_run(folder: Path) -> None:
    makespan("run", "flow.py:flow", "-i", "n=3", "--id", "r", "-q")
    (folder / "right.txt").touch()

    said = makespan("why", "r")
    found = json.loads(makespan("why", "r", "--json").out)
    mended = makespan(*found["fix_command"].split()[1:], "-q")

    assert said.code == 1
    assert "went wrong in guess" in said.out
    assert "gives 600; done again with the same arguments it gives 6" in said.out
    assert "failed: ValueError: 600 is not small" in said.out
    assert "guessing" not in said.out
    assert (mended.code, mended.out.strip()) == (0, "6")


def test_where_a_map_made_its_items_from_what_is_wrong_the_command_starts_it_anew(folder: Path) -> None:
    (folder / "flow.py").write_text(FLOW.replace("* 200", "* 2") + MAPS)
    makespan("run", "flow.py:mapped", "-i", "n=3", "--id", "r", "-q")
    (folder / "right.txt").touch()

    found = json.loads(makespan("why", "r", "--json").out)
    mended = makespan(*shlex.split(found["fix_command"])[1:], "-q")

    assert found["onset"]["name"] == "numbers"
    assert found["fix_command"].startswith("makespan run ")
    assert found["fix_says"].startswith("does all of it anew: map guess has made its items")
    assert (mended.code, mended.out.strip()) == (0, "12")


def test_of_a_task_that_fails_by_itself_why_names_the_arguments_that_can_be_set(folder: Path) -> None:
    makespan("run", "flow.py:flow", "-i", "n=3", "--id", "r", "-q")

    found = json.loads(makespan("why", "r", "--no-run", "--json").out)
    mended = makespan(*shlex.split(found["fix_command"])[1:], "--set", "n=5", "-q")

    assert found["fix_says"] == "does it again: correct its code first, or give it other arguments with --set n=…"
    assert (mended.code, mended.out.strip()) == (0, "5")


def test_why_without_doing_anything_again_goes_by_the_journal(folder: Path) -> None:
    makespan("run", "flow.py:flow", "-i", "n=3", "--id", "r", "-q")

    found = json.loads(makespan("why", "r", "--no-run", "--json").out)

    assert (found["onset"]["name"], found["onset"]["kind"], found["checked"]) == ("small", "error", 0)


def test_of_a_run_in_which_nothing_is_wrong_why_says_so(folder: Path) -> None:
    (folder / "right.txt").touch()
    makespan("run", "flow.py:flow", "-i", "n=3", "--id", "r", "-q")

    said = makespan("why", "r")

    assert (said.code, said.out) == (0, "r (succeeded): nothing wrong found; 2 tasks checked, 0 not, 0 flaky\n")


def test_a_log_of_another_tool_becomes_a_run_to_look_at_and_none_to_go_on_with(folder: Path) -> None:
    (folder / "atif.json").write_text(json.dumps(ATIF))
    (folder / "spans.json").write_text(json.dumps(OPENINFERENCE))

    first = makespan("import", "atif.json", "--id", "a")
    again = makespan("import", "atif.json", "--id", "a")
    spans = makespan("import", "spans.json", "--id", "b")

    assert first.out == "imported a from atif: 4 of 4 steps, as 7 tasks (2 message, 2 model, 2 tool, 1 other)\n"
    assert again.out == "a is there already\n"
    assert "5 of 5 steps" in spans.out
    assert "reserve_item" in makespan("why", "b").out
    assert "turn" in makespan("trace", "a", "--tree").out
    refused = makespan("fork", "b", "--at", "reserve_item")
    assert (refused.code, "another tool did this run" in refused.err) == (2, True)


def test_what_cannot_be_imported_says_why(folder: Path) -> None:
    (folder / "x.json").write_text('{"a": 1}')
    (folder / "x.txt").write_text("hello")

    assert "neither an ATIF trajectory" in makespan("import", "x.json").err
    assert "no bundle" in makespan("import", "x.txt").err
    assert "resourceSpans" in makespan("import", "x.json", "--format", "otlp").err
