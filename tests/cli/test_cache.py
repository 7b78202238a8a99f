"""`makespan cache`: what `cache_s=` keeps, listed and cleared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.calling import makespan

FLOWS = """
import makespan as ms


@ms.task(cache_s=3600)
def square(n: int) -> int:
    return n * n


@ms.task(cache_s=3600)
def size(raw: ms.File) -> int:
    return raw.size_bytes


@ms.workflow
def squared(n: int) -> int:
    return square(n)


@ms.workflow
def measured(raw: ms.File) -> int:
    return size(raw)


@ms.workflow
def same(raw: ms.File) -> ms.File:
    return raw
"""


@pytest.fixture(autouse=True)
def flows(folder: Path) -> None:
    (folder / "cached.py").write_text(FLOWS)


def test_entries_are_listed_by_task_and_cleared() -> None:
    for number in (2, 3):
        makespan("run", "cached.py:squared", "-i", f"n={number}", "-q")

    listed = makespan("cache", "ls", "--json").json["cache"]
    young = makespan("cache", "clear", "--older-than", "1d").out
    text = makespan("cache", "ls").out
    all_of_it = makespan("cache", "clear", "--task", "square").out

    assert [(entry["task"], entry["entries"]) for entry in listed] == [("square", 2)]
    assert text.splitlines()[1].split()[:2] == ["square", "2"]
    assert (young, all_of_it) == ("0 entries forgotten\n", "2 entries forgotten\n")
    assert makespan("cache", "ls").err == "nothing is cached\n"


def test_a_run_says_what_was_cached() -> None:
    for _ in range(2):
        makespan("run", "cached.py:squared", "-i", "n=2", "--id", "again" if _ else "first", "-q")

    shown, logged = makespan("show", "again").out, makespan("logs", "again").out

    assert "1 cached" in shown
    assert "square cached: an earlier result stands in" in logged


def test_a_task_that_is_not_cached_is_named_with_a_suggestion() -> None:
    makespan("run", "cached.py:squared", "-i", "n=2", "-q")

    result = makespan("cache", "clear", "--task", "sqare")

    assert result.code == 2
    assert "did you mean 'square'" in result.err


def test_a_file_is_given_by_its_path_and_shown_by_digest_and_name(folder: Path) -> None:
    (folder / "raw.csv").write_text("12345")

    assert makespan("run", "cached.py:measured", "-i", "raw=raw.csv", "-q").out == "5\n"
    shown = makespan("run", "cached.py:same", "-i", "raw=raw.csv", "-q", "--json").json["output"]
    assert (shown["name"], shown["size_bytes"], len(shown["digest"])) == ("raw.csv", 5, 64)
    missing = makespan("run", "cached.py:measured", "-i", "raw=no.csv", "-q")
    assert missing.code == 2
    assert "no.csv" in missing.err
