"""The incident example without the engine: its telemetry, its verdict, and the rules of thumb it beats."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

import pytest

from examples.incident.changepoint import find_rise
from examples.incident.evidence import Detail, Excerpt, LogFact, PoolUse
from examples.incident.facts import choose_excerpts, ground
from examples.incident.plain import collect
from examples.incident.report import RunFigures, render
from examples.incident.scenario import KINDS
from examples.incident.score import RULES, is_right, without_logs
from examples.incident.telemetry import generate
from examples.incident.verdict import NO_INCIDENT, judge

LINE = Excerpt(1, 0.0, "orders", "call to ledger timed out after 800 ms", 3)


def test_a_rise_is_dated_at_its_first_sign_and_a_passing_burst_is_ignored() -> None:
    times_s = [10.0 * i for i in range(200)]
    levels = [1.0 + 0.01 * (i % 3) for i in range(200)]
    burst = [5.0 if 60 <= i < 75 else level for i, level in enumerate(levels)]
    ramp = [level + max(0, i - 150) * 0.1 for i, level in enumerate(burst)]

    assert find_rise(times_s, burst, least_rise=0.5) is None
    rise = find_rise(times_s, ramp, least_rise=0.5)
    assert rise is not None
    assert 1_500 <= rise.onset_s <= 1_560


def test_a_span_the_line_does_not_contain_is_dropped() -> None:
    copied = ground(LINE, LogFact(upstream="ledger", error="timed out", value="900 ms"))
    invented = ground(LINE, LogFact(upstream="ledger", error="disk full", value="800 ms"))

    assert copied is not None
    assert copied.fact == LogFact(upstream="ledger", error="timed out", value="")
    assert invented is None


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_the_verdict_names_the_true_cause(seed: int, tmp_path: Path) -> None:
    truth = generate(tmp_path / "telemetry.db", seed=seed, scale="small")

    verdict = judge(collect(tmp_path / "telemetry.db"))

    assert is_right(verdict, truth)
    assert verdict.change is not None
    assert verdict.change.id in render(verdict, RunFigures(tasks=60, makespan_s=2.0, critical_path_s=1.0))


def test_without_the_rows_since_the_fault_there_is_no_incident(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    truth = generate(path, seed=3, scale="small")
    with sqlite3.connect(path) as db:
        for table in ("requests", "pools", "logs"):
            db.execute(f"DELETE FROM {table} WHERE at_s >= ?", (truth.change_at_s,))
    db.close()

    verdict = judge(collect(path))

    assert verdict == NO_INCIDENT
    assert "No incident" in render(verdict)


@pytest.mark.slow
def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one.db", tmp_path / "two.db"

    assert generate(one, seed=6, scale="small") == generate(two, seed=6, scale="small")
    assert one.read_bytes() == two.read_bytes()


def test_chosen_excerpts_come_from_every_suspect_and_never_twice() -> None:
    lines = [Excerpt(i, 0.0, "orders", f"line {i}", 1) for i in range(6)]
    pool = PoolUse("orders", None)
    first = Detail("orders", pool, (), own_logs=tuple(lines[:3]), caller_logs=(lines[3],))
    second = Detail("ledger", pool, (), own_logs=(lines[3], lines[4]), caller_logs=(lines[5],))

    chosen = choose_excerpts([first, second], most=5)

    assert [excerpt.id for excerpt in chosen] == [0, 3, 5, 1, 4]


class Scored(NamedTuple):
    """One seed: who was right."""

    kind: str
    verdict: bool
    without_logs: bool
    rules: dict[str, bool]


def score(path: Path, seed: int, scale: str) -> Scored:
    """Who is right on one seed."""
    truth = generate(path, seed=seed, scale=scale)
    evidence = collect(path)
    rules = {name: rule(evidence.overview) == truth.service for name, rule in RULES.items()}
    bare = judge(without_logs(evidence))
    return Scored(truth.cause_kind, is_right(judge(evidence), truth), is_right(bare, truth), rules)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> list[Scored]:
    """Seeds 1 to 20 at full scale."""
    path = tmp_path_factory.mktemp("incident") / "telemetry.db"
    return [score(path, seed, "full") for seed in range(1, 21)]


@pytest.mark.prove
def test_the_verdict_is_right_on_20_of_20_seeds(known: list[Scored]) -> None:
    assert [seed for seed, scored in enumerate(known, start=1) if not scored.verdict] == []
    assert {scored.kind for scored in known} == set(KINDS)


@pytest.mark.prove
@pytest.mark.parametrize("rule", sorted(RULES))
def test_each_rule_of_thumb_is_wrong_on_at_least_8_of_20_seeds(rule: str, known: list[Scored]) -> None:
    assert sum(not scored.rules[rule] for scored in known) >= 8


@pytest.mark.prove
def test_the_verdict_holds_on_other_seeds_and_hardly_needs_the_logs(tmp_path: Path) -> None:
    others = [score(tmp_path / "telemetry.db", seed, "small") for seed in range(21, 61)]

    assert sum(scored.verdict for scored in others) >= 38
    assert sum(scored.without_logs for scored in others) >= 36


@pytest.mark.prove
def test_the_full_database_has_about_300_000_rows(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    for seed in (1, 2, 3):
        generate(path, seed=seed)
        db = sqlite3.connect(path)
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = sum(db.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in tables)
        db.close()
        assert 260_000 <= rows <= 380_000
