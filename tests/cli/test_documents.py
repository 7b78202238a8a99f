"""Workflows in YAML on the command line: run, check, plan, export, resume; wrong files and wrong inputs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from makespan.documents.schema import FILE
from tests.cli.calling import Process, makespan

FLOW = """
workflow: sums
inputs:
  n: int
  who: str = me
tasks:
  doubled: {call: ./flows.py:double, with: {n: "${inputs.n}"}}
  noted: {call: ./flows.py:note, with: {n: "${doubled}"}}
output: {sum: "${noted}", who: "${inputs.who}"}
"""


@pytest.fixture(autouse=True)
def flow(folder: Path) -> Path:
    path = folder / "sums.yaml"
    path.write_text(FLOW)
    return path


def test_run_takes_inputs_behind_the_file_and_by_option() -> None:
    one = makespan("run", "sums.yaml", "n=1", "-q", "--store", "memory")
    other = makespan("run", "sums.yaml", "who=you", "-i", "n=1", "-q", "--store", "memory")

    assert (one.code, one.json) == (0, {"sum": 2, "who": "me"})
    assert (other.code, other.json) == (0, {"sum": 2, "who": "you"})


@pytest.mark.parametrize(
    ("inputs", "fragment"),
    [
        (["n=many"], "parameter 'n' of sums wants int: 'many' does not fit"),
        ([], "sums misses its argument 'n' (int); add -i n="),
        (["n=1", "whom=you"], "sums has no parameter 'whom'; did you mean 'who'?"),
        (["n=1", "n=2"], "is given twice"),
        (["one"], "write name=value"),
    ],
)
def test_wrong_inputs_are_usage_errors(inputs: list[str], fragment: str) -> None:
    said = makespan("run", "sums.yaml", *inputs)

    assert said.code == 2
    assert fragment in said.err


def test_a_broken_file_is_a_usage_error_with_every_place(flow: Path) -> None:
    flow.write_text(FLOW.replace("with: {n", "wiht: {n").replace("who: str", "who: string"))

    said = makespan("run", "sums.yaml", "n=1")

    assert said.code == 2
    assert "sums.yaml:5:8: there is no type 'string'; did you mean 'str'?" in said.err
    assert "sums.yaml:7:38: a task with `call` has no key 'wiht'; did you mean 'with'?" in said.err


def test_check_says_the_same_and_as_json(flow: Path) -> None:
    flow.write_text(FLOW.replace("${doubled}", "${doubld}"))

    said, data = makespan("check", "sums.yaml"), makespan("check", "sums.yaml", "--json")

    expected = "sums.yaml:8:45: there is no task 'doubld'; did you mean 'doubled'?"
    assert (said.code, said.err.splitlines()[-1]) == (2, expected)
    assert (data.code, data.json["ok"], data.json["problems"]) == (2, False, [expected])


def test_check_and_plan_look_at_a_good_file() -> None:
    assert makespan("check", "sums.yaml").code == 0
    assert "2 tasks" in makespan("plan", "sums.yaml").out


def test_check_misses_the_models_of_prompts_in_the_file(flow: Path) -> None:
    flow.write_text("workflow: w\ntasks: {a: {prompt: hi, models: fast}}\noutput: ${a}\n")

    said = makespan("check", "sums.yaml")

    assert said.code == 2
    assert "prompt a: no model is configured under the name 'fast'" in said.err


def test_a_missing_file_is_named_with_the_nearest() -> None:
    said = makespan("run", "sum.yaml", "n=1")

    assert said.code == 2
    assert "there is no file sum.yaml; did you mean 'sums.yaml'?" in said.err


def test_a_name_behind_the_file_is_refused_with_what_to_write() -> None:
    said = makespan("run", "sums.yaml:doubled", "n=1")

    assert said.code == 2
    assert "a document is one workflow; write sums.yaml" in said.err


def test_export_gives_a_document_that_runs_alike(folder: Path) -> None:
    exported = makespan("export", "flows.py:chain", "--format", "yaml")
    (folder / "chain.yaml").write_text(exported.out)

    assert exported.code == 0
    assert makespan("run", "chain.yaml", "-q", "--store", "memory").json == 16
    assert makespan("export", "chain.yaml", "--to", "yaml").out == exported.out


def test_export_of_a_run_gives_the_workflow_it_ran(folder: Path) -> None:
    makespan("run", "flows.py:chain", "-q", "--id", "one")

    said = makespan("export", "one", "--to", "yaml")

    assert said.code == 0
    assert said.out == makespan("export", "flows.py:chain", "--to", "yaml").out


def test_export_of_a_run_whose_workflow_has_changed_is_refused(folder: Path) -> None:
    (folder / "v.yaml").write_text("workflow: v\ntasks: {a: {value: [1]}}\noutput: ${a}\n")
    makespan("run", "v.yaml", "-q", "--id", "one")
    (folder / "v.yaml").write_text("workflow: v\ntasks: {a: {value: [2]}}\noutput: ${a}\n")

    said = makespan("export", "one", "--to", "yaml")

    assert said.code == 2
    assert "has changed since run one" in said.err


def test_export_refuses_an_async_workflow() -> None:
    said = makespan("export", "flows.py:notes", "--to", "yaml")

    assert said.code == 2
    assert "async workflow" in said.err


@pytest.mark.slow
def test_a_killed_run_goes_on_in_another_process(folder: Path) -> None:
    process = Process("run", "sums.yaml", "n=4", "--id", "one", folder=folder)
    while not (folder / "ran.txt").exists():
        assert process.child.poll() is None
    process.child.kill()
    process.end()
    (folder / "go.txt").touch()

    said = makespan("resume", "one", "-q")

    assert (said.code, said.json) == (0, {"sum": 8, "who": "me"})


def test_schema_prints_what_is_shipped() -> None:
    assert makespan("schema").out == FILE.read_text()


def test_help_loads_no_yaml(folder: Path) -> None:
    program = (
        "import sys\nfrom makespan.cli.main import cli\n"
        "try:\n    cli.main(['--help'])\nfinally:\n    print('yaml' in sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, check=False)

    assert done.returncode == 0
    assert done.stderr.strip() == "False"
