"""`makespan logs --follow`: another process follows a run, over its owner's death too."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.calling import Process, makespan

STORY = '''
import asyncio
import pathlib

import msgspec

import makespan as ms
from makespan.authoring.place import current


async def gate(name: str) -> None:
    while not pathlib.Path(name).exists():
        await asyncio.sleep(0.01)


@ms.task
async def write(n: int) -> str:
    """Says its text in pieces as a prompt does, and waits for `go.txt` before the last one."""
    attempt = ms.context().attempt
    ms.emit(done=attempt, total=2)
    for word in ("once ", "upon ", "a "):
        current.get().info.emit("chunk", msgspec.msgpack.encode(f"{word}"))
        await asyncio.sleep(0.03)
    await gate("go.txt")
    current.get().info.emit("chunk", msgspec.msgpack.encode("time"))
    await gate("end.txt")
    return f"once upon a time, said attempt {attempt}"


@ms.workflow
async def story(n: int) -> str:
    return await write(n)
'''


@pytest.fixture
def told(folder: Path) -> Path:
    (folder / "tale.py").write_text(STORY)
    return folder


def updates_of(process: Process) -> Iterator[dict[str, Any]]:
    """What a follower prints, as it comes."""
    assert process.child.stdout is not None
    for line in process.child.stdout:
        yield json.loads(line)


def read_until(updates: Iterator[dict[str, Any]], *, kind: str, text: str = "") -> list[dict[str, Any]]:
    """Updates up to one of a kind; of chunks up to where they make up a text."""
    seen: list[dict[str, Any]] = []
    for update in updates:
        seen.append(update)
        if update["kind"] == kind and text in "".join(u["value"] for u in seen if u["kind"] == "chunk"):
            return seen
    raise AssertionError(f"no {kind} {text!r} came: {seen}")


def begun(folder: Path) -> Process:
    owner = Process("run", "tale.py:story", "-i", "n=1", "--id", "s", folder=folder)
    owner.until("write started")
    return owner


@pytest.mark.slow
def test_a_follower_sees_the_pieces_then_that_they_are_void_then_those_of_the_next_owner(told: Path) -> None:
    owner = begun(told)
    follower = Process("logs", "s", "--follow", "--json", folder=told)
    updates = updates_of(follower)
    first = read_until(updates, kind="chunk", text="once upon a ")
    owner.send(signal.SIGKILL)
    owner.end()
    follower.until("no process drives this run now; go on with: .*resume s")

    heir = Process("resume", "s", folder=told)
    second = read_until(updates, kind="chunk", text="once upon a ")
    (told / "go.txt").touch()
    third = read_until(updates, kind="chunk", text="time")
    (told / "end.txt").touch()
    heir.end()
    rest = list(updates)

    assert [u["value"] for u in first if u["kind"] == "progress"] == [{"done": 1, "total": 2}]
    kinds = [(u["kind"], u.get("attempt")) for u in second if u.get("key") == "write"]
    assert kinds[:3] == [("interrupted", 1), ("discard", 1), ("started", 2)]
    assert {attempt for _, attempt in kinds[3:]} == {2}
    assert "".join(u["value"] for u in [*second, *third] if u["kind"] == "chunk") == "once upon a time"
    assert rest[0]["value"] == "once upon a time, said attempt 2"
    assert (rest[-1]["kind"], rest[-1]["status"]) == ("run", "succeeded")
    assert follower.end().code == 0


@pytest.mark.slow
def test_a_follower_that_comes_late_gets_the_text_so_far_once(told: Path) -> None:
    owner = begun(told)
    early = updates_of(Process("logs", "s", "-f", "--json", folder=told))
    seen = read_until(early, kind="chunk", text="once upon a ")

    late = updates_of(Process("logs", "s", "-f", "--json", "--after", seen[-1]["cursor"], folder=told))
    again = read_until(late, kind="chunk", text="once upon a ")
    (told / "go.txt").touch()
    more = read_until(late, kind="chunk", text="time")
    (told / "end.txt").touch()
    owner.end()

    assert again[0]["kind"] == "discard"
    assert "".join(u["value"] for u in [*again, *more] if u["kind"] == "chunk") == "once upon a time"
    assert next(late)["kind"] == "finished"


@pytest.mark.slow
def test_ctrl_c_leaves_and_the_run_goes_on(told: Path) -> None:
    owner = begun(told)
    follower = Process("logs", "s", "--follow", "--json", folder=told)
    read_until(updates_of(follower), kind="progress")

    follower.send(signal.SIGINT)
    left = follower.end()
    (told / "go.txt").touch()
    (told / "end.txt").touch()

    assert left.code == 130
    assert left.err == "no longer following; the run itself goes on\n"
    assert owner.end().code == 0


@pytest.mark.slow
def test_nothing_of_a_text_is_left_in_the_store_when_it_is_told(told: Path) -> None:
    (told / "go.txt").touch()
    (told / "end.txt").touch()
    assert makespan("run", "tale.py:story", "-i", "n=1", "--id", "s", "-q").code == 0

    followed = makespan("logs", "s", "--follow", "--json", "--only", "chunk")

    assert (followed.code, followed.out) == (0, "")


def test_following_a_run_that_is_over_prints_what_happened(folder: Path) -> None:
    assert makespan("run", "flows.py:chain", "-q").code == 0

    said = makespan("logs", "--follow")

    lines = [line.split(" s  ")[1] for line in said.out.splitlines()]
    assert said.code == 0
    assert lines[0].startswith('run started {"run_id":')
    assert lines[1:-1] == ["started double", "finished double 8", "started double", "finished double 16"]
    assert lines[-1] == "run succeeded 16"


def test_a_cursor_of_a_json_line_goes_on_after_it(folder: Path) -> None:
    makespan("run", "flows.py:chain", "-q")
    lines = makespan("logs", "-f", "--json").out.splitlines()

    cursor = json.loads(lines[2])["cursor"]

    assert makespan("logs", "-f", "--json", "--after", cursor).out.splitlines() == lines[3:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--follow", "--after", "nine"], "'nine' is no cursor"),
        (["--follow", "--after", "99.0"], "has not come so far"),
        (["--follow", "--only", "chunks"], "did you mean 'chunk'"),
        (["--after", "1.2"], "belong to --follow"),
    ],
)
def test_wrong_words_are_refused(folder: Path, arguments: list[str], message: str) -> None:
    makespan("run", "flows.py:chain", "-q")

    said = makespan("logs", "last", *arguments)

    assert said.code == 2
    assert message in said.err
