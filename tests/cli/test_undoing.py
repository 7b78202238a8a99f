"""Sagas on the command line: a killed run is cancelled with its undoing, and people say what happened."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cli.calling import Process, makespan
from tests.cli.test_processes import wait_for

pytestmark = pytest.mark.slow

SAGA = """
import asyncio
import pathlib

import makespan as ms


def write(name: str, line: str) -> None:
    with open(name, "a") as file:
        file.write(f"{line}\\n")


@ms.task
async def unbook(ref: str) -> None:
    if pathlib.Path("closed.txt").exists():
        raise RuntimeError("the desk is closed")
    write("unbooked.txt", ref)


@ms.task(effect="irreversible", undo=unbook)
async def book(kind: str) -> str:
    write("booked.txt", kind)
    while kind == "hotel" and not pathlib.Path("go.txt").exists():
        await asyncio.sleep(0.01)
    return f"{kind}!"


@ms.workflow
async def travel() -> list[str]:
    async with ms.scope("booking", undo=True):
        return [await book("flight"), await book("hotel")]
"""


@pytest.fixture
def killed(folder: Path) -> Path:
    """A run killed when its flight was booked and its hotel was being booked."""
    (folder / "saga.py").write_text(SAGA)
    process = Process("run", "saga.py:travel", "--id", "trip", folder=folder)
    process.until("book started")
    process.until("book started")
    wait_for(folder / "booked.txt", lines=2)
    process.send(signal.SIGKILL)
    process.end()
    return folder


def test_a_killed_saga_is_cancelled_by_a_command_that_has_its_code(killed: Path) -> None:
    refused = makespan("cancel", "trip")
    asked = makespan("resume", "trip", "--cancel", "-q", "--json")
    cancelled = makespan("resume", "trip", "--happened", 'book="H-7"', "-q", "--json")

    assert refused.code == 2
    assert "do that with: makespan resume trip --cancel" in refused.err
    assert (asked.code, asked.json["reason"]) == (4, "decision")
    assert f"--happened {asked.json['undecided'][0]}=JSON" in asked.err
    assert (cancelled.code, cancelled.json["status"]) == (3, "cancelled")
    assert (killed / "unbooked.txt").read_text() == "H-7\nflight!\n"
    assert "book: undone" in cancelled.json["gaps"]
    assert "undone" in makespan("show", "trip").out


def test_what_has_not_happened_is_not_undone(killed: Path) -> None:
    ended = makespan("resume", "trip", "--skip", "book", "-q", "--json")

    assert (ended.code, ended.json["status"]) == (1, "failed")
    assert (killed / "unbooked.txt").read_text() == "flight!\n"


def test_a_value_that_is_not_what_the_task_returns_is_refused(killed: Path) -> None:
    number = makespan("resume", "trip", "--happened", "book=7")
    broken = makespan("resume", "trip", "--happened", "book={")

    assert (number.code, broken.code) == (2, 2)
    assert "that book has happened needs the value it returned" in number.err
    assert "comes what it returned as JSON" in broken.err
    assert makespan("ps", "--json").json["runs"][0]["status"] in ("interrupted", "paused")


def test_an_undo_that_failed_is_asked_about_and_tried_again(killed: Path) -> None:
    (killed / "closed.txt").touch()
    asked = makespan("resume", "trip", "--skip", "book", "-q", "--json")
    (killed / "closed.txt").unlink()
    done = makespan("resume", "trip", "--retry", "unbook", "-q", "--json")

    assert (asked.code, asked.json["reason"]) == (4, "decision")
    assert "which undoes book: the desk is closed" in asked.err
    assert (done.code, done.json["status"]) == (1, "failed")
    assert (killed / "unbooked.txt").read_text() == "flight!\n"


def test_logs_tell_the_story(killed: Path) -> None:
    makespan("resume", "trip", "--skip", "book", "-q")

    logs = makespan("logs", "trip")

    assert logs.code == 0
    assert "scope booking closed (an error left it)" in logs.out
    assert logs.out.index("unbook succeeded") < logs.out.index("scope booking ended")
