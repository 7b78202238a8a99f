"""`--session`, `--busy`, and what `ps`, `show` and `session` say of a line."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.cli.calling import Process, makespan

CHAT = """
import makespan as ms
from flows import note

@ms.workflow
async def remember(text: str) -> int:
    notes = ms.state("notes", list[str])
    await notes.set([*(await notes), text])
    return notes.version

@ms.workflow
async def slow(n: int) -> int:
    return await note(n)
"""


def chat(folder: Path) -> None:
    (folder / "chat.py").write_text(CHAT)


def test_runs_of_one_session_remember_and_session_lists_the_slots(folder: Path) -> None:
    chat(folder)

    outputs = [makespan("run", "chat.py:remember", "-i", f"text={text}", "--session", "s", "-q").out for text in "ab"]
    said = makespan("session", "s", "--json").json

    assert outputs == ["1\n", "2\n"]
    assert said["line"] == []
    assert [(slot["version"], slot["value"]) for slot in said["slots"]["notes"]] == [(2, ["a", "b"]), (1, ["a"])]
    assert '["a","b"]' in makespan("session", "s").out


def test_a_busy_session_is_shown_refused_and_ended(folder: Path) -> None:
    chat(folder)
    working = Process("run", "chat.py:slow", "-i", "n=3", "--session", "s", "--id", "first", folder=folder)
    working.until("note")

    refused = makespan("run", "chat.py:remember", "-i", "text=a", "--session", "s", "--busy", "reject")
    waiting = Process("run", "chat.py:slow", "-i", "n=4", "--session", "s", "--id", "second", folder=folder)
    while not any(run["run_id"] == "second" for run in makespan("ps", "--json").json["runs"]):
        pass
    listed = {run["run_id"]: (run["status"], run["session"]) for run in makespan("ps", "--json").json["runs"]}
    line = [(run["run_id"], run["status"]) for run in makespan("session", "s", "--json").json["line"]]
    shown = makespan("show", "second")
    ended = makespan("run", "chat.py:remember", "-i", "text=a", "--session", "s", "--busy", "cancel", "-q")

    assert refused.code == 2
    assert "session 's' is busy: run first (slow) is running" in refused.err
    assert listed == {"first": ("running", "s"), "second": ("queued", "s")}
    assert line == [("first", "running"), ("second", "queued")]
    assert "in session s behind 1 of its runs; first: first (running)" in shown.out
    assert "SESSION" in makespan("ps").out
    assert (ended.code, ended.out) == (0, "1\n")
    assert working.end().code == waiting.end().code == 3


def test_an_interrupted_head_is_finished_by_the_next_run_of_its_session(folder: Path) -> None:
    chat(folder)
    working = Process("run", "chat.py:slow", "-i", "n=3", "--session", "s", "--id", "first", folder=folder)
    working.until("note")
    working.send(signal.SIGKILL)
    working.end()
    (folder / "go.txt").touch()

    said = makespan("run", "chat.py:remember", "-i", "text=a", "--session", "s", "-q")

    assert said.code == 0
    assert makespan("show", "first", "--json").json["status"] == "succeeded"


def test_a_queued_run_whose_process_was_killed_is_resumed_in_its_turn(folder: Path) -> None:
    chat(folder)
    working = Process("run", "chat.py:slow", "-i", "n=3", "--session", "s", "--id", "first", folder=folder)
    working.until("note")
    waiting = Process("run", "chat.py:remember", "-i", "text=a", "--session", "s", "--id", "second", folder=folder)
    while not any(run["run_id"] == "second" for run in makespan("ps", "--json").json["runs"]):
        pass
    for process in (waiting, working):
        process.send(signal.SIGKILL)
        process.end()
    (folder / "go.txt").touch()

    said = makespan("resume", "second", "-q")

    assert (said.code, said.out) == (0, "1\n")
    assert makespan("show", "first", "--json").json["status"] == "succeeded"


def test_a_session_that_nobody_started_is_an_error(folder: Path) -> None:
    chat(folder)
    makespan("run", "chat.py:remember", "-i", "text=a", "-q")

    said = makespan("session", "nowhere")

    assert said.code == 2
    assert "no run was started in a session 'nowhere'" in said.err
