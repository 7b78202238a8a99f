"""The verbs that only look: ps, show, logs, trace, plan, export, check."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from makespan.graph.codec import from_json
from tests.cli.calling import makespan


def test_a_folder_without_runs_lists_none(folder: Path) -> None:
    assert makespan("ps", "--json").json == {"runs": []}
    assert makespan("ps").err == "no runs yet\n"
    assert not (folder / ".makespan").exists()


def test_runs_are_listed_newest_first() -> None:
    makespan("run", "flows.py:twice", "-i", "n=1", "--id", "old", "-q")
    makespan("run", "flows.py:failing", "-i", "n=1", "--id", "new", "-q")

    runs = makespan("ps", "--json").json["runs"]

    assert [(run["run_id"], run["workflow"], run["status"]) for run in runs] == [
        ("new", "failing", "failed"),
        ("old", "twice", "succeeded"),
    ]
    assert all(run["started_at"] for run in runs)


def test_show_has_totals_tasks_errors_and_gaps() -> None:
    makespan("run", "flows.py:failing", "-i", "n=1", "--id", "one", "-q")

    text, data = makespan("show", "one").out, makespan("show", "one", "--json").json

    assert "✗ fails" in text
    assert "\x1b" not in text
    assert (data["status"], data["attempts"]) == ("failed", 1)
    assert [task["status"] for task in data["task_list"] if task["kind"] == "call"] == ["failed", "skipped"]
    assert len(data["gaps"]) >= 1


def test_show_folds_wide_groups() -> None:
    makespan("run", "flows.py:many", "-i", "n=300", "-q")

    text = makespan("show").out

    assert "double × 300" in text
    assert len(text.splitlines()) < 15


def test_the_beginning_of_an_id_names_a_run() -> None:
    makespan("run", "flows.py:twice", "-i", "n=1", "--id", "monday-1", "-q")
    makespan("run", "flows.py:twice", "-i", "n=1", "--id", "monday-2", "-q")

    assert makespan("show", "monday-1").code == 0
    assert makespan("show", "last").out.startswith("monday-2")
    assert "2 runs begin with 'mon'" in makespan("show", "mon").err


def test_logs_are_one_json_object_a_line_in_order() -> None:
    makespan("run", "flows.py:chain", "-q")

    lines = [json.loads(line) for line in makespan("logs", "--json").out.splitlines()]

    assert lines[0]["fact"] == "RunStarted"
    assert lines[-1]["fact"] == "RunEnded"
    assert [line["at_s"] for line in lines] == sorted(line["at_s"] for line in lines)


def test_trace_marks_the_critical_path() -> None:
    makespan("run", "flows.py:chain", "-q")

    spans = makespan("trace", "--json").json["spans"]

    assert [(span["key"], span["critical"], span["status"]) for span in spans] == [("double", True, "succeeded")] * 2
    assert spans[0]["end_s"] <= spans[1]["start_s"]
    assert makespan("trace").out.count("*") == 3
    assert makespan("trace", "--tree").out.count("double") == 2


def test_plan_shows_the_graph_and_knows_nothing_before_the_first_run(folder: Path) -> None:
    plan = makespan("plan", "flows.py:chain", "--json").json

    assert (plan["tasks"], plan["edges"], plan["depth"], plan["width"]) == (2, 2, 2, 1)
    assert plan["estimate"]["makespan_s"] is None
    assert "time unknown, cost unknown" in makespan("plan", "flows.py:chain").out
    assert not (folder / ".makespan").exists()


def test_plan_estimates_from_earlier_runs() -> None:
    makespan("run", "flows.py:chain", "-q")

    plan = makespan("plan", "flows.py:chain", "--json").json

    assert plan["estimate"]["makespan_s"] > 0
    assert plan["estimate"]["runs"] == 1


def test_plan_needs_no_inputs_and_refuses_wrong_ones() -> None:
    assert makespan("plan", "flows.py:twice").code == 0
    assert makespan("plan", "flows.py:twice", "-i", "n=x").code == 2


def test_plan_says_that_an_async_workflow_grows() -> None:
    assert "its graph grows as it goes" in makespan("plan", "flows.py:notes").out


def test_export_writes_a_template_and_a_realised_graph() -> None:
    makespan("run", "flows.py:notes", "-i", "n=3", "-q")

    template = from_json(makespan("export", "flows.py:chain", "--to", "json").out)
    realised = from_json(makespan("export", "last", "--to", "json").out)

    assert [node.key for node in template].count("double") == 2
    assert [node.key for node in realised].count("note") == 3
    assert makespan("export", "last").out.startswith("flowchart TD\n")


@pytest.mark.parametrize(
    ("workflow", "code", "problem"),
    [
        ("twice", 0, ""),
        ("talk", 2, "no model is configured under the name 'fast'"),
        ("no_key", 5, "OPENAI_API_KEY is not set"),
        ("ring", 2, "these workflows call each other: ring -> ring"),
        ("pool", 2, "no pool or rate is called 'gpu'"),
    ],
)
def test_check_lists_problems_without_running_anything(folder: Path, workflow: str, code: int, problem: str) -> None:
    with (folder / "flows.py").open("a") as file:
        file.write(
            "\n@ms.prompt(models=['openai:gpt-4o'])\ndef far(q: str) -> str: ms.chat(q)\n"
            "\n@ms.workflow\nasync def no_key(q: str) -> str: return await far(q)\n"
            "\n@ms.workflow\ndef ring(q: str) -> str: return ring(q)\n"
            "\n@ms.task(needs={'gpu': 1})\ndef heavy(n: int) -> int: return n\n"
            "\n@ms.workflow\ndef pool(n: int) -> int: return heavy(n)\n"
        )

    said = makespan("check", f"flows.py:{workflow}", "--json")

    assert said.code == code
    assert said.json["ok"] == (code == 0)
    assert problem in msgspec.json.encode(said.json["problems"]).decode()
    assert not (folder / ".makespan").exists()


def test_version_is_printed() -> None:
    assert makespan("--version").out.startswith("makespan ")


def test_trace_shows_another_run_as_the_plan() -> None:
    makespan("run", "flows.py:chain", "--id", "one", "-q")
    makespan("run", "flows.py:chain", "--id", "two", "-q")
    Path("plan.json").write_text(makespan("trace", "one", "--json").out)

    by_run, by_file = makespan("trace", "two", "--plan", "one"), makespan("trace", "two", "--plan", "plan.json")

    assert by_run.out == by_file.out
    assert [line.split()[0][0] for line in by_run.out.splitlines()] == ["d", "╌", "d", "╌", "*"]


def test_trace_reads_planned_times_and_refuses_what_is_no_plan() -> None:
    makespan("run", "flows.py:chain", "-q")
    (first, _) = makespan("trace", "--json").json["spans"]
    Path("plan.json").write_text(json.dumps({first["task"]: [0, 5_000_000_000]}))
    Path("backwards.json").write_text('{"a": [2, 1]}')
    Path("other.json").write_text('{"a": [1, 2]}')
    Path("wrong.json").write_text('{"a": 3}')

    assert "5.000 s" in makespan("trace", "--plan", "plan.json").out
    assert "'a' ends before it starts" in makespan("trace", "--plan", "backwards.json").err
    assert "none of them in this run" in makespan("trace", "--plan", "other.json").err
    assert "is no plan" in makespan("trace", "--plan", "wrong.json").err
    assert "cannot read the plan 'none.json'" in makespan("trace", "--plan", "none.json").err
    assert "no run has the id 'none'" in makespan("trace", "--plan", "none").err


def test_trace_burn_shows_the_money_of_a_run_over_its_time() -> None:
    makespan("run", "flows.py:twice", "-i", "n=1", "--budget", "2", "-q")

    burn = makespan("trace", "--burn", "--json").json

    assert burn["scope"] == ""
    assert burn["burn"][-1]["budget_usd"] == 2
    assert "spent $0.00 (0.0 % of $2.00)" in makespan("trace", "--burn").out
    assert "no scope 'x'; no scope of it has a budget" in makespan("trace", "--burn", "--scope", "x").err


def test_trace_writes_its_charts_to_files() -> None:
    makespan("run", "flows.py:chain", "-q")

    assert makespan("trace", "--plan", "last", "-o", "gantt.svg").out == "wrote gantt.svg\n"
    assert makespan("trace", "--burn", "-o", "burn.png").out == "wrote burn.png\n"
    assert "attempts-critical" in Path("gantt.svg").read_text()
    assert Path("burn.png").read_bytes().startswith(b"\x89PNG")
    assert makespan("trace", "-o", "gantt.pdf").code == 2


def test_trace_refuses_options_that_do_not_go_together() -> None:
    for options in (
        ["--plan", "last", "--burn"],
        ["--scope", "x"],
        ["--tree", "-o", "a.svg"],
        ["--json", "-o", "a.svg"],
    ):
        assert makespan("trace", *options).code == 2
