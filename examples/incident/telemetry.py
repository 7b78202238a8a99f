"""A seeded SQLite telemetry database of a shop in trouble: about 300,000 rows at full scale.

The fault's ground truth is returned (and can be written beside the database), never stored inside it.
Only `requests` is large: one row per bucket, caller, service and route.
"""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from examples.incident.changes import ChangeRow, draw_changes
from examples.incident.happenings import AlertRow, LogRow, draw_alerts, draw_logs
from examples.incident.scenario import SCALES, START_S, Decoys, Fault, Scale, Truth, draw_decoys, draw_fault
from examples.incident.signals import Signals, spread
from examples.incident.topology import SERVICES, Edge, draw_edges

SCHEMA = """
CREATE TABLE window (start_s REAL, end_s REAL, bucket_s REAL);
CREATE TABLE services (service TEXT PRIMARY KEY);
CREATE TABLE dependencies (caller TEXT, callee TEXT);
CREATE TABLE deployments (id TEXT, at_s REAL, service TEXT, kind TEXT, version TEXT, message TEXT,
                          author TEXT);
CREATE TABLE config_changes (id TEXT, at_s REAL, service TEXT, key TEXT, old TEXT, new TEXT, author TEXT);
CREATE TABLE certificates (id TEXT, service TEXT, expires_s REAL);
CREATE TABLE requests (at_s REAL, caller TEXT, service TEXT, route TEXT, requests INT, errors_5xx INT,
                       errors_4xx INT, latency_ms REAL);
CREATE TABLE pools (at_s REAL, service TEXT, in_use INT, size INT);
CREATE TABLE logs (id INTEGER PRIMARY KEY, at_s REAL, service TEXT, level TEXT, message TEXT);
CREATE TABLE alerts (id TEXT, at_s REAL, service TEXT, rule TEXT);
"""
INDEXES = """
CREATE INDEX requests_by_service ON requests (service, at_s);
CREATE INDEX requests_by_caller ON requests (caller, at_s);
CREATE INDEX logs_by_service ON logs (service, at_s);
CREATE INDEX pools_by_service ON pools (service, at_s);
"""

RequestRow = tuple[float, str, str, str, int, int, int, float]


@dataclass(frozen=True)
class Story:
    """One seed's whole plot: what the rows are drawn from."""

    scale: Scale
    edges: tuple[Edge, ...]
    fault: Fault
    decoys: Decoys
    changes: tuple[ChangeRow, ...]
    alerts: tuple[AlertRow, ...]
    logs: tuple[LogRow, ...]
    signals: Signals
    truth: Truth


def generate(path: Path, *, seed: int, scale: str = "full") -> Truth:
    """Write the telemetry of `seed` to `path` (replaced if present) and return the ground truth.

    `scale` is `full` (about 300,000 rows, 2 to 4 s of CPU) or `small` (about 25,000 rows). The same seed and
    scale give the same rows.
    """
    rng = random.Random(f"incident-{seed}-{scale}")
    story = draw_story(rng, seed, SCALES[scale])
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(SCHEMA)
        connection.execute("BEGIN")
        _write(connection, rng, story)
        connection.execute("COMMIT")
        connection.executescript(INDEXES)
    finally:
        connection.close()
    return story.truth


def write_truth(truth: Truth, path: Path) -> None:
    """Store the ground truth as JSON, beside the database, for a scorer to read."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(truth), indent=2))


def draw_story(rng: random.Random, seed: int, scale: Scale) -> Story:
    """Fault, decoys and everything that follows from them, without writing any row."""
    edges = draw_edges(rng, scale.most_routes)
    fault = draw_fault(rng, seed, scale)
    decoys = draw_decoys(rng, fault, scale)
    changes, guilty = draw_changes(rng, fault, scale)
    signals = spread(edges, fault, decoys, scale)
    detail = next((row.detail for row in changes if row.id == guilty), "")
    setting = detail.replace("|", "=", 1).replace("|", " -> ")
    return Story(
        scale=scale,
        edges=edges,
        fault=fault,
        decoys=decoys,
        changes=changes,
        alerts=draw_alerts(rng, fault, decoys, signals, scale),
        logs=draw_logs(rng, fault, decoys, edges, signals, setting),
        signals=signals,
        truth=Truth(seed, fault.service, fault.kind, guilty, fault.change_at_s, fault.onset_s),
    )


def _write(connection: sqlite3.Connection, rng: random.Random, story: Story) -> None:
    put = connection.executemany
    put("INSERT INTO window VALUES (?,?,?)", [(START_S, story.scale.end_s, story.scale.bucket_s)])
    put("INSERT INTO services VALUES (?)", [(service,) for service in sorted(SERVICES)])
    put("INSERT INTO dependencies VALUES (?,?)", [(e.caller, e.callee) for e in story.edges if e.is_internal])
    _write_changes(connection, rng, story)
    put("INSERT INTO requests VALUES (?,?,?,?,?,?,?,?)", _request_rows(rng, story))
    put("INSERT INTO pools VALUES (?,?,?,?)", _pool_rows(rng, story))
    put("INSERT INTO logs (at_s, service, level, message) VALUES (?,?,?,?)", story.logs)
    numbered = [(f"alert-{i:03d}", *row) for i, row in enumerate(story.alerts)]
    put("INSERT INTO alerts VALUES (?,?,?,?)", numbered)


def _write_changes(connection: sqlite3.Connection, rng: random.Random, story: Story) -> None:
    deployed = [row for row in story.changes if row.kind in ("release", "migration")]
    connection.executemany(
        "INSERT INTO deployments VALUES (?,?,?,?,?,?,?)",
        [(r.id, r.at_s, r.service, r.kind, _version(rng), r.detail, r.author) for r in deployed],
    )
    configured = [row for row in story.changes if row.kind == "config"]
    connection.executemany(
        "INSERT INTO config_changes VALUES (?,?,?,?,?,?,?)",
        [(r.id, r.at_s, r.service, *r.detail.split("|"), r.author) for r in configured],
    )
    expiring = [(r.id, r.service, r.at_s) for r in story.changes if r.kind == "certificate"]
    valid = [
        (f"cert-{rng.randrange(16**6):06x}", service, story.scale.end_s + rng.uniform(5, 300) * 86_400)
        for service in SERVICES
        if story.fault.kind != "certificate_expiry" or service != story.fault.service
    ]
    connection.executemany("INSERT INTO certificates VALUES (?,?,?)", sorted(expiring + valid))


def _version(rng: random.Random) -> str:
    return f"{rng.randint(1, 9)}.{rng.randint(0, 40)}.{rng.randint(0, 9)}"


def _request_rows(rng: random.Random, story: Story) -> Iterator[RequestRow]:
    for edge in story.edges:
        for route in edge.routes:
            yield from _route_rows(rng, story, edge, route)


def _route_rows(rng: random.Random, story: Story, edge: Edge, route: str) -> Iterator[RequestRow]:
    """One series: requests, failures and mean latency per bucket of one route of one edge."""
    gauss = rng.gauss
    noise_5xx, noise_4xx = _noise(story.decoys, edge.callee)
    base_fail = rng.uniform(0.0005, 0.004) + noise_5xx
    base_4xx = rng.uniform(0.002, 0.02) + noise_4xx
    base_ms = rng.uniform(8, 60)
    route_factor = rng.uniform(0.75, 1.1)
    traffic = _traffic(story, edge)
    fails, extras = story.signals.fail[edge.callee], story.signals.extra_ms[edge.callee]
    columns = zip(story.signals.times_s, traffic, fails, extras, strict=True)
    for at_s, expected, fail, extra_ms in columns:
        requests = max(1, int(expected + gauss(0, math.sqrt(expected))))
        p = min(0.995, base_fail + fail * route_factor)
        errors = min(requests, max(0, round(requests * p + gauss(0, math.sqrt(requests * p * (1 - p))))))
        rejected = min(requests - errors, max(0, round(requests * base_4xx * (1 + gauss(0, 0.15)))))
        latency_ms = base_ms * (1 + 0.06 * gauss(0, 1)) + extra_ms * (1 + 0.08 * gauss(0, 1))
        counts = (requests, errors, rejected)
        yield at_s, edge.caller, edge.callee, route, *counts, round(max(0.5, latency_ms), 2)


def _noise(decoys: Decoys, service: str) -> tuple[float, float]:
    """Constant (5xx, 4xx) rates of the noisy decoy; zeros for every other service."""
    if service != decoys.noisy:
        return 0.0, 0.0
    return (0.0, decoys.noisy_rate) if decoys.noisy_is_4xx else (decoys.noisy_rate, 0.0)


def _traffic(story: Story, edge: Edge) -> Iterator[float]:
    """Expected requests per bucket: a daily wave, retries into a failing callee, and surges of clients."""
    base = edge.rate_rps * story.scale.bucket_s / len(edge.routes)
    surge_s = story.decoys.surges.get(edge.caller, math.inf)
    if edge.caller == story.fault.client:
        surge_s = story.fault.change_at_s
    fails = story.signals.fail[edge.callee]
    for at_s, fail in zip(story.signals.times_s, fails, strict=True):
        wave = 1 + 0.15 * math.sin((at_s - START_S) / 7_200)
        retries = 1 + 0.6 * fail if edge.is_internal else 1.0
        yield base * wave * retries * (7.0 if at_s >= surge_s else 1.0)


def _pool_rows(rng: random.Random, story: Story) -> Iterator[tuple[float, str, int, int]]:
    """Connections in use: a base load, more while requests are slow, and a leak at the faulty service."""
    for service in SERVICES:
        size, base = rng.choice((32, 40, 50, 64)), rng.uniform(0.2, 0.4)
        extras = story.signals.extra_ms[service]
        for at_s, extra_ms in list(zip(story.signals.times_s, extras, strict=True))[::2]:
            leaked = story.fault.pool.at(at_s) if service == story.fault.service else 0.0
            share = base * (1 + extra_ms / 400) + leaked + rng.gauss(0, 0.02)
            yield at_s, service, min(size, max(0, round(share * size))), size
