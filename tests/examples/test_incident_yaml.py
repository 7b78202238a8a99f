"""The incident example as a document: the verdict of the workflow in Python, from the same telemetry."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

import makespan as ms
from examples.incident.__main__ import copy_spans
from examples.incident.plain import collect
from examples.incident.score import is_right
from examples.incident.telemetry import generate
from examples.incident.verdict import NO_INCIDENT, judge
from examples.incident.workflow import Report
from makespan.cli.main import cli
from makespan.errors import ProviderError
from makespan.models.scripted import Scripted
from makespan.ports import Model, ModelRequest

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "examples" / "incident" / "incident.yaml"


def investigate(database: Path, model: Model) -> ms.Result[Report]:
    async def run() -> ms.Result[Report]:
        async with ms.Engine("memory", models={"embedded": model}) as engine:
            call = ms.load(DOCUMENT)(database=str(database), report=str(database.with_suffix(".md")))
            return await engine.start(call)

    return asyncio.run(run())


def fail(_: ModelRequest) -> str:
    raise ProviderError("out of service", kind="unavailable", retryable=False)


@pytest.mark.slow
def test_the_document_reaches_the_verdict_of_plain_calls_and_words_it_with_the_model(tmp_path: Path) -> None:
    database = tmp_path / "telemetry.db"
    truth = generate(database, seed=1, scale="small")

    report = investigate(database, Scripted(copy_spans)).output

    plain = judge(collect(database))
    worded = [line for line in report.verdict.evidence if line.startswith("log line")]
    bare = tuple(line for line in report.verdict.evidence if line not in worded)
    assert isinstance(report, Report)
    assert is_right(report.verdict, truth)
    assert worded
    assert msgspec.structs.replace(report.verdict, evidence=bare) == plain
    assert truth.change in database.with_suffix(".md").read_text()


@pytest.mark.slow
def test_a_model_that_fails_changes_nothing_about_the_verdict(tmp_path: Path) -> None:
    database = tmp_path / "telemetry.db"
    generate(database, seed=2, scale="small")

    assert investigate(database, Scripted(fail)).output.verdict == judge(collect(database))


@pytest.mark.slow
def test_without_an_incident_the_other_branch_is_taken_and_no_model_is_asked(tmp_path: Path) -> None:
    database = tmp_path / "telemetry.db"
    truth = generate(database, seed=3, scale="small")
    with sqlite3.connect(database) as db:
        for table in ("requests", "pools", "logs"):
            db.execute(f"DELETE FROM {table} WHERE at_s >= ?", (truth.change_at_s,))
    db.close()

    result = investigate(database, Scripted(fail))

    assert result.output.verdict == NO_INCIDENT
    assert result.gaps == []


@pytest.mark.slow
def test_the_command_line_runs_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "telemetry.db"
    truth = generate(database, seed=4, scale="small")
    (tmp_path / "makespan.toml").write_text('[models.embedded]\nmodel = "scripted"\n')
    monkeypatch.chdir(tmp_path)

    arguments = ["run", str(DOCUMENT), f"database={database}", "--store", "memory", "-q"]
    said = CliRunner().invoke(cli, arguments, prog_name="makespan")

    assert said.exit_code == 0, said.stderr
    assert json.loads(said.stdout)["verdict"]["service"] == truth.service
    assert (tmp_path / "report.md").exists()
