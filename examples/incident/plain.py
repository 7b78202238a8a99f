"""The same investigation as plain function calls, one after another, without the engine and without a model.

A yardstick: the workflow must reach the same verdict from the same telemetry.
"""

from __future__ import annotations

from pathlib import Path

from examples.incident import queries
from examples.incident.blame import attribute, incident_onset_s, suspects
from examples.incident.evidence import Detail, EdgeShift, Evidence, Overview
from examples.incident.verdict import prime_suspects


def survey(path: str) -> Overview:
    """Stage one: the whole shop at a glance."""
    changes = queries.deployments(path) + queries.config_changes(path) + queries.certificate_expiries(path)
    return Overview(
        window=queries.window(path),
        dependencies=queries.dependencies(path),
        health=tuple(queries.service_health(path, service) for service in queries.services(path)),
        changes=changes,
        alerts=queries.alerts(path),
    )


def inspect(path: str, service: str, onset_s: float) -> Detail:
    """Stage two: a closer look at one suspect."""
    return Detail(
        service=service,
        pool=queries.pool_use(path, service),
        surges=queries.client_surges(path, service),
        own_logs=queries.own_logs(path, service, onset_s),
        caller_logs=queries.caller_logs(path, service, onset_s),
    )


def collect(path: Path) -> Evidence:
    """All evidence the telemetry at `path` holds; facts are left to a model."""
    name = str(path)
    overview = survey(name)
    onset_s = incident_onset_s(overview.health)
    if onset_s is None:
        return Evidence(overview, (), ())
    edges: list[EdgeShift] = []
    for service in suspects(overview.health):
        edges += queries.edges_around(name, service, onset_s)
    primes = prime_suspects(attribute(overview.health, edges))
    return Evidence(overview, tuple(edges), tuple(inspect(name, service, onset_s) for service in primes))
