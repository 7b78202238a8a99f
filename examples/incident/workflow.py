"""The investigation as a durable workflow: ask in parallel, look, ask more precisely, then judge.

    overview ──▶ onset? ──▶ traffic ──▶ closer look ──▶ log lines ──▶ verdict ──▶ report
    27 queries   no: done   1 query a   4 queries a     12 calls of
                            suspect     prime suspect   the model

The body is ordinary Python over the records in `evidence`; every query, model call and file is a task, so
what was finished before a crash is not done again. The model only copies spans out of log lines: the verdict
never depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import msgspec

import makespan as ms
from examples.incident import queries, verdict
from examples.incident.blame import attribute, incident_onset_s, suspects
from examples.incident.evidence import Detail, EdgeShift, Evidence, Excerpt, GroundedFact, LogFact, Overview
from examples.incident.facts import INSTRUCTION, choose_excerpts, ground, shots
from examples.incident.report import RunFigures, render
from examples.incident.verdict import Verdict, prime_suspects

MOST_EXCERPTS = 12

pure = ms.task(effect="pure")
window = pure(queries.window)
services = pure(queries.services)
dependencies = pure(queries.dependencies)
alerts = pure(queries.alerts)
deployments = pure(queries.deployments)
config_changes = pure(queries.config_changes)
certificate_expiries = pure(queries.certificate_expiries)
service_health = pure(queries.service_health)
edges_around = pure(queries.edges_around)
pool_use = pure(queries.pool_use)
client_surges = pure(queries.client_surges)
own_logs = pure(queries.own_logs)
caller_logs = pure(queries.caller_logs)
judge = pure(verdict.judge)


class Report(msgspec.Struct, frozen=True):
    """The verdict, and the file that explains it."""

    verdict: Verdict
    path: str


@ms.prompt(models=["embedded"], max_tokens=48, retries=0, timeout_s=120)
def extract(line: str) -> LogFact:
    """What one log line says, in spans copied from it."""
    ms.chat(shots(), line, system=INSTRUCTION)


@ms.task
async def measure(store: str) -> RunFigures:
    """What this run has come to so far, read from its own journal."""
    async with ms.Engine(store) as engine:
        result = await engine.get(ms.context().run_id)
    return RunFigures(
        tasks=result.summary.tasks.succeeded + result.summary.tasks.failed,
        makespan_s=result.makespan_s,
        critical_path_s=result.critical_path_s,
        cost_usd=result.cost_usd,
        prompt_tokens=result.usage.prompt_tokens,
        completion_tokens=result.usage.completion_tokens,
    )


@ms.task
def write_report(found: Verdict, figures: RunFigures | None, path: str) -> None:
    """Write the report to `path`, whole or not at all; written again, it is the same."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.draft")
    draft.write_text(render(found, figures), encoding="utf-8")
    draft.replace(file)


@ms.workflow
async def incident(database: str, report: str = "report.md", store: str = "") -> Report:
    """Find what began the incident in the telemetry at `database`, and write the report.

    Args:
        report: file to write.
        store: where this run is journaled; given, the report ends with what the investigation cost.
    """
    evidence = await collect(database)
    async with ms.scope("verdict"):
        found = await judge(evidence)
        figures = await ms.outcome(measure(store)) if store else None
        await write_report(found, figures.value if figures else None, report)
    return Report(found, report)


async def collect(database: str) -> Evidence:
    """Everything the verdict rests on; each question is asked once it is known to matter."""
    overview = await survey(database)
    onset_s = incident_onset_s(overview.health)
    if onset_s is None:
        return Evidence(overview, (), ())
    edges = await traffic(database, suspects(overview.health), onset_s)
    details = await inspect(database, prime_suspects(attribute(overview.health, edges)), onset_s)
    return Evidence(overview, edges, details, await read(choose_excerpts(details, most=MOST_EXCERPTS)))


async def survey(database: str) -> Overview:
    """The whole shop at a glance."""
    async with ms.scope("overview"):
        span, links, fired = window(database), dependencies(database), alerts(database)
        changed = ms.gather(deployments(database), config_changes(database), certificate_expiries(database))
        health = ms.gather(*[service_health(database, name) for name in await services(database)])
        return Overview(
            window=await span,
            dependencies=await links,
            health=tuple(await health),
            changes=tuple(chain.from_iterable(await changed)),
            alerts=await fired,
        )


async def traffic(database: str, sick: Sequence[str], onset_s: float) -> tuple[EdgeShift, ...]:
    """Calls into and out of every service that fails or waits."""
    async with ms.scope("traffic"):
        around = await ms.gather(*[edges_around(database, service, onset_s) for service in sick])
    return tuple(chain.from_iterable(around))


async def inspect(database: str, primes: Sequence[str], onset_s: float) -> tuple[Detail, ...]:
    """Four more questions about each of the services most to blame."""
    async with ms.scope("closer look"):
        asked = [
            ms.gather(
                pool_use(database, service),
                client_surges(database, service),
                own_logs(database, service, onset_s),
                caller_logs(database, service, onset_s),
            )
            for service in primes
        ]
        answers = [await answer for answer in asked]
    return tuple(Detail(service, *answer) for service, answer in zip(primes, answers, strict=True))


async def read(excerpts: Sequence[Excerpt]) -> tuple[GroundedFact, ...]:
    """What the model copies out of the log lines; a line it fails on, or invents about, is left out."""
    async with ms.scope("log lines"):
        found = await ms.map(lambda excerpt: extract(excerpt.message), excerpts, errors="keep")
    facts = [ground(excerpt, fact.value) for excerpt, fact in zip(excerpts, found, strict=True) if fact]
    return tuple(fact for fact in facts if fact)
