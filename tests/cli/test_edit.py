"""`makespan edit`: a run in another process is changed from the command line, with a verdict and on record."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.calling import Process, makespan

FLOW = """
import asyncio
import pathlib
import makespan as ms
from makespan.planners.changes import Add
from makespan.planners.live import LivePlan
from makespan.planners.steps import Reference, Step

@ms.task
async def gate(name: str) -> str:
    with open("ran.txt", "a") as file:
        file.write(name + "\\n")
    while not pathlib.Path("go.txt").exists():
        await asyncio.sleep(0.01)
    return name

@ms.task
def note(text: str) -> str:
    with open("ran.txt", "a") as file:
        file.write(text + "\\n")
    return text

@ms.task
def mirror(text: str) -> str:
    return "mirror of " + text

@ms.task
def count(text: str) -> int:
    return len(text)

@ms.workflow
def chain(name: str) -> str:
    return note(gate(name))

@ms.workflow
async def planned() -> dict[str, str]:
    plan = LivePlan([gate, note])
    steps = [
        Step("1", "gate", (), {"name": "one"}),
        Step("2", "note", (), {"text": Reference("1")}),
        Step("3", "note", (), {"text": "never"}, after=("2",)),
    ]
    await plan.edit([Add(step) for step in steps], author="planner")
    await plan.settled()
    return {name: outcome.value for name, outcome in plan.outcomes().items()}
"""

PATCH = """
why: three is not wanted   # and a new one is
edits:
  - drop: 3
  - replace: 2
    with: {tool: note, args: {text: "changed ${1}"}}
  - add: {name: more, tool: note, args: ["more ${2}"], after: [1]}
"""


@pytest.fixture(autouse=True)
def editing(folder: Path) -> Path:
    (folder / "editing.py").write_text(FLOW)
    (folder / "patch.yaml").write_text(PATCH)
    return folder


def ran(folder: Path) -> list[str]:
    return (folder / "ran.txt").read_text().split("\n")[:-1]


def test_a_live_plan_is_changed_from_another_process_and_says_who_did_it(folder: Path) -> None:
    run = Process("run", "editing.py:planned", folder=folder)
    run.until("gate started")

    said = makespan("edit", "last", "patch.yaml", "--author", "ann")
    refused = makespan("edit", "last", "patch.yaml", "--json")
    (folder / "go.txt").touch()
    ended = run.end()

    assert said.code == 0, said.err
    assert "applied to run" in said.err
    assert "three is not wanted" in said.err
    assert (refused.code, refused.json["state"], refused.json["reason"]) == (2, "refused", "unknown_task")
    assert ended.code == 0
    assert ran(folder) == ["one", "changed one", "more changed one"]
    assert re.search(r"edit applied: Batch by ann, \d new tasks \(three is not wanted\)", makespan("logs", "last").out)
    shown = makespan("show", "last").out
    assert re.search(r"edits: 1 by planner, 1 by ann applied, 1 refused", shown)
    assert "the command line, refused (unknown_task)" in shown
    assert "ann" in makespan("trace", "last").out
    assert [edit["author"] for edit in makespan("show", "last", "--json").json["edits"]] == [
        "planner",
        "ann",
        "the command line",
    ]


def test_a_traced_graph_is_changed_by_the_keys_and_ids_of_its_tasks(folder: Path) -> None:
    run = Process("run", "editing.py:chain", "-i", "name=n", folder=folder)
    run.until("gate started")
    patch = '[{"replace": "note", "with": {"tool": "mirror", "args": ["${gate} twice"]}}]'
    (folder / "p.json").write_text(patch)

    said = makespan("edit", "last", "p.json", "--why", "the source is down", "--json")
    wrong = {
        "started": '[{"drop": "gate"}]',
        "type": '[{"replace": "mirror", "with": {"tool": "count", "args": ["x"]}}]',
    }
    reasons = {}
    for name, text in wrong.items():
        (folder / "p.json").write_text(text)
        reasons[name] = makespan("edit", "last", "p.json", "--json").json["reason"]
    (folder / "go.txt").touch()
    ended = run.end()

    assert (said.code, said.json["state"]) == (0, "applied"), said
    assert said.json["removed"] == ["note"]
    assert said.json["added"][-1] == "mirror"
    assert reasons == {"started": "already_started", "type": "type_mismatch"}
    assert ended.out.strip() == "mirror of n twice"


def test_an_edit_of_a_run_that_nobody_drives_is_judged_before_anything_starts(folder: Path) -> None:
    run = Process("run", "editing.py:planned", folder=folder)
    run.until("gate started")
    run.child.kill()
    run.end()
    (folder / "go.txt").touch()

    said = makespan("edit", "last", "patch.yaml")
    again = makespan("resume", "last")

    assert said.code == 0
    assert "judges it before anything starts" in said.err
    assert again.code == 0, again.err
    assert ran(folder)[-2:] == ["changed one", "more changed one"]
    assert "by the command line" in makespan("logs", "last").out


def test_an_edit_of_a_traced_graph_waits_for_the_next_life_too(folder: Path) -> None:
    run = Process("run", "editing.py:chain", "-i", "name=n", folder=folder)
    run.until("gate started")
    run.child.kill()
    run.end()
    (folder / "go.txt").touch()
    (folder / "p.yaml").write_text(
        'add:\n  - {name: c, tool: count, args: ["${gate}!"]}\nreplace:\n  note: {tool: mirror, args: ["${gate}"]}\n'
    )

    assert makespan("edit", "last", "p.yaml").code == 0
    resumed = makespan("resume", "last")

    assert (resumed.code, resumed.out.strip()) == (0, "mirror of n"), resumed.err
    counted = [task for task in makespan("show", "last", "--json").json["task_list"] if task["key"] == "count"]
    assert [task["status"] for task in counted] == ["succeeded"]
    assert set(ran(folder)) == {"n"}


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ("", "1:1: the patch is empty"),
        ("edits:\n  - frob: 3\n", "2:5: edits[0]: a change says one of add, drop and replace; it has frob"),
        ("edits:\n  - add: {name: x, tool: t, agrs: {}}\n", "did you mean 'args'"),
        ("edits:\n  - replace: 3\n", "needs `with:`"),
        ("edits: 5\n", "a list of changes stands here"),
        ("author: 7\nedits: []\n", "1:9: author: 7 is no value for it"),
        ("edits: []\n", "the patch changes nothing"),
        ("edit:\n  - drop: 1\n", "'edit' is no part of a patch"),
        ("edits: [{drop: 1}\n", "this is not YAML"),
    ],
)
def test_a_patch_that_cannot_be_read_is_refused_where_it_is_wrong(folder: Path, patch: str, said: str) -> None:
    (folder / "wrong.yaml").write_text(patch)

    answer = makespan("edit", "last", "wrong.yaml")

    assert answer.code == 2
    assert "wrong.yaml:" in answer.err
    assert said in answer.err


def test_an_edit_of_a_run_that_is_over_is_refused(folder: Path) -> None:
    (folder / "go.txt").touch()
    makespan("run", "editing.py:chain", "-i", "name=n")

    answer = makespan("edit", "last", "patch.yaml")

    assert answer.code == 2
    assert "has succeeded" in answer.err


def test_the_same_id_is_the_same_edit(folder: Path) -> None:
    run = Process("run", "editing.py:planned", folder=folder)
    run.until("gate started")

    first = makespan("edit", "last", "patch.yaml", "--id", "e1", "--json")
    second = makespan("edit", "last", "patch.yaml", "--id", "e1", "--json")
    (folder / "go.txt").touch()
    run.end()

    assert first.json["state"] == second.json["state"] == "applied"
    assert len([edit for edit in makespan("show", "last", "--json").json["edits"] if edit["request"] == "e1"]) == 1
