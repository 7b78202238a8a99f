"""The incident example on the engine: the same verdict as plain calls, whatever the model says."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import msgspec
import pytest

import makespan as ms
from examples.incident.__main__ import copy_spans, main
from examples.incident.evidence import LogFact
from examples.incident.naive import first_alert, highest_error_rate, latest_deployment
from examples.incident.plain import collect, survey
from examples.incident.scenario import Truth
from examples.incident.score import is_right
from examples.incident.telemetry import generate
from examples.incident.verdict import NO_INCIDENT, Verdict, judge
from examples.incident.workflow import Report, incident
from makespan.errors import ProviderError
from makespan.models.scripted import Answers, Scripted
from makespan.ports import Model, ModelRequest
from tests.prove import SCALE, prove_count

RULES = (highest_error_rate, latest_deployment, first_alert)
INVENTION = msgspec.json.encode(LogFact("the-moon", "a meteor struck the data centre", "42 km")).decode()


def investigate(database: Path, model: Model | str, store: str = "memory") -> ms.Result[Report]:
    """One run of the workflow; its report lies beside the database."""

    async def run() -> ms.Result[Report]:
        async with ms.Engine(store, models={"embedded": model}) as engine:
            journaled = "" if store == "memory" else store
            return await engine.start(incident(str(database), str(database.with_suffix(".md")), journaled))

    return asyncio.run(run())


def unworded(verdict: Verdict) -> Verdict:
    """The verdict without the sentences that facts of the model add to its evidence."""
    evidence = tuple(line for line in verdict.evidence if not line.startswith("log line"))
    return msgspec.structs.replace(verdict, evidence=evidence)


def fail(_: ModelRequest) -> str:
    raise ProviderError("out of service", kind="unavailable", retryable=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 4])
def test_the_workflow_reaches_the_verdict_of_plain_calls(seed: int, tmp_path: Path) -> None:
    database = tmp_path / "telemetry.db"
    truth = generate(database, seed=seed, scale="small")

    result = investigate(database, Scripted(copy_spans))

    assert is_right(result.output.verdict, truth)
    assert unworded(result.output.verdict) == judge(collect(database))
    assert result.output.verdict != unworded(result.output.verdict)
    assert truth.change in database.with_suffix(".md").read_text()
    assert 45 <= result.summary.tasks.succeeded <= 75


@pytest.mark.slow
@pytest.mark.parametrize("answers", [INVENTION, "I am sorry.", fail], ids=["lies", "chatters", "fails"])
def test_a_useless_model_changes_nothing_about_the_verdict(answers: Answers, tmp_path: Path) -> None:
    database = tmp_path / "telemetry.db"
    generate(database, seed=2, scale="small")

    result = investigate(database, Scripted(answers))

    assert result.output.verdict == judge(collect(database))


@pytest.mark.slow
def test_without_an_incident_only_the_overview_is_asked_and_the_report_says_so(tmp_path: Path) -> None:
    database = tmp_path / "telemetry.db"
    truth = generate(database, seed=3, scale="small")
    with sqlite3.connect(database) as db:
        for table in ("requests", "pools", "logs"):
            db.execute(f"DELETE FROM {table} WHERE at_s >= ?", (truth.change_at_s,))
    db.close()

    result = investigate(database, Scripted(fail))

    assert result.output.verdict == NO_INCIDENT
    assert "No incident" in database.with_suffix(".md").read_text()
    assert result.summary.tasks.succeeded < 35


@pytest.mark.slow
def test_the_main_job_writes_a_report_with_its_cost_and_the_same_id_ends_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "out" / "report.md"
    options = ["--seed", "5", "--scale", "small", "--store", str(tmp_path), "--out", str(report)]
    options += ["--model", "rule", "--id", "once"]

    assert main(options) == 0
    first = capsys.readouterr()
    written = report.read_text()
    assert main(options) == 0

    truth = msgspec.json.decode((tmp_path / "incident-5-small.truth.json").read_bytes(), type=Truth)
    assert first.out.startswith(f"verdict: {truth.service}: ")
    assert "makespan ÷ critical path" in written
    assert "--id once" in first.err
    assert report.read_text() == written
    assert capsys.readouterr().out == first.out


@pytest.mark.prove
def test_the_workflow_is_right_on_every_seed_and_each_rule_of_thumb_often_wrong(tmp_path: Path) -> None:
    database = tmp_path / "telemetry.db"
    wrong_rules = dict.fromkeys(RULES, 0)
    wrong: list[int] = []

    for seed in range(1, prove_count(20) + 1):
        truth = generate(database, seed=seed)
        if not is_right(investigate(database, Scripted(copy_spans)).output.verdict, truth):
            wrong.append(seed)
        overview = survey(str(database))
        for rule in RULES:
            wrong_rules[rule] += rule(overview) != truth.service

    assert wrong == []
    assert SCALE < 1 or min(wrong_rules.values()) >= 8


@pytest.mark.embedded
@pytest.mark.slow
def test_what_the_embedded_model_adds_stands_in_the_log_line_it_names(tmp_path: Path) -> None:
    database = tmp_path / "telemetry.db"
    truth = generate(database, seed=7)

    result = investigate(database, "embedded", str(tmp_path / "store"))

    verdict = result.output.verdict
    added = [line for line in verdict.evidence if line.startswith("log line")]
    with sqlite3.connect(database) as db:
        messages = dict(db.execute("SELECT id, message FROM logs"))
    db.close()
    assert is_right(verdict, truth)
    assert result.usage.prompt_tokens > result.usage.cached_tokens > 0
    assert result.usage.completion_tokens > 0
    assert added
    for line in added:
        start, _, fact = line.partition(" blames ")
        upstream, _, error = fact.partition(": ")
        message = messages[int(start.split()[2])]
        assert upstream in message
        assert error.partition(" (")[0] in message
    assert all(line in database.with_suffix(".md").read_text() for line in verdict.evidence)
