"""Everything people changed: the guilty change (if a person made it) among routine and coincident ones.

Ids are drawn at random and rows are sorted by time, so neither tells which change is the guilty one.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from examples.incident.scenario import START_S, Fault, Scale
from examples.incident.topology import SERVICES, ancestors

Kind = Literal["release", "migration", "config", "certificate"]

AUTHORS = ("amara", "bjorn", "chen", "dolores", "emeka", "farah", "goran", "hana")
RELEASES = (
    "Refactor the response mapper",
    "Bump the HTTP client library",
    "Add currency to the order payload",
    "Cache lookups per request",
    "Drop the legacy parser",
    "Log fewer headers",
    "Return typed errors",
    "Move retries into the client",
)
MIGRATIONS = (
    "Drop index on created_at",
    "Widen the status column",
    "Add table audit_entry",
    "Split address into columns",
)
CONFIGS = (
    ("db.pool.max_size", "60", "6"),
    ("http.client.timeout_ms", "2000", "40"),
    ("feature.strict_schema", "false", "true"),
    ("rate_limit.rps", "900", "60"),
    ("cache.ttl_s", "300", "0"),
    ("log.level", "info", "debug"),
    ("feature.new_banner", "false", "true"),
)


@dataclass(frozen=True)
class ChangeRow:
    """One change; `detail` is a commit message, or `key|old|new`, or empty for a certificate's expiry."""

    id: str
    kind: Kind
    service: str
    at_s: float
    detail: str
    author: str


def draw_changes(rng: random.Random, fault: Fault, scale: Scale) -> tuple[tuple[ChangeRow, ...], str]:
    """All changes in time order, and the id of the guilty one (a client's name for a poison client)."""
    own: dict[str, Kind] = {
        "bad_deployment": "release",
        "pool_leak": "release",
        "slow_query": "migration",
        "config_change": "config",
        "certificate_expiry": "certificate",
    }
    rows = _routine(rng, fault, scale) + _coincident(rng, fault) + _at_the_root(rng, fault, scale)
    guilty = fault.client
    if not fault.client:
        cause = _row(rng, own[fault.kind], fault.service, fault.change_at_s, harmful=True)
        rows.append(cause)
        guilty = cause.id
    return tuple(sorted(rows, key=lambda row: row.at_s)), guilty


def _row(rng: random.Random, kind: Kind, service: str, at_s: float, *, harmful: bool = False) -> ChangeRow:
    prefix = {"release": "dep", "migration": "dep", "config": "cfg", "certificate": "cert"}[kind]
    if kind == "config":
        detail = "|".join(rng.choice(CONFIGS[:5] if harmful else CONFIGS[2:]))
    else:
        detail = {"release": rng.choice(RELEASES), "migration": rng.choice(MIGRATIONS)}.get(kind, "")
    return ChangeRow(f"{prefix}-{rng.randrange(16**6):06x}", kind, service, at_s, detail, rng.choice(AUTHORS))


def _draw_kind(rng: random.Random) -> Kind:
    kinds: tuple[Kind, ...] = ("release", "release", "config", "migration")
    return rng.choice(kinds)


def _routine(rng: random.Random, fault: Fault, scale: Scale) -> list[ChangeRow]:
    """A day's ordinary work on any service but the faulty one, ended before the incident."""
    others = [s for s in SERVICES if s != fault.service]
    last_s = fault.change_at_s - 1_200
    return [
        _row(rng, _draw_kind(rng), rng.choice(others), rng.uniform(START_S, last_s))
        for _ in range(max(6, int(scale.duration_s / 900)))
    ]


def _coincident(rng: random.Random, fault: Fault) -> list[ChangeRow]:
    """Changes elsewhere that fall close to the onset: on a healthy service, on a victim, or soon after."""
    victims = sorted(ancestors(fault.service))
    calm = [s for s in SERVICES if s not in victims and s != fault.service]
    rows: list[ChangeRow] = []
    if rng.random() < 0.8:
        rows.append(_row(rng, _draw_kind(rng), rng.choice(calm), fault.onset_s - rng.uniform(-60, 90)))
    if rng.random() < 0.7:
        rows.append(_row(rng, _draw_kind(rng), rng.choice(victims), fault.onset_s - rng.uniform(5, 120)))
    if rng.random() < 0.7:
        rows.append(_row(rng, "release", rng.choice(calm + victims), fault.onset_s + rng.uniform(120, 900)))
    if rng.random() < 0.5:
        rows.append(_row(rng, "certificate", rng.choice(calm), fault.onset_s - rng.uniform(-300, 2_000)))
    return rows


def _at_the_root(rng: random.Random, fault: Fault, scale: Scale) -> list[ChangeRow]:
    """Harmless changes to the faulty service itself: well before, in between, and as a reaction."""
    rows: list[ChangeRow] = []
    if rng.random() < 0.5:
        kind = _draw_kind(rng)
        rows.append(_row(rng, kind, fault.service, fault.change_at_s - rng.uniform(420, 1_800)))
    if fault.kind == "pool_leak" and rng.random() < 0.6:
        latest_s = fault.onset_s - 10
        rows.append(_row(rng, "config", fault.service, rng.uniform(fault.change_at_s + 300, latest_s)))
    if rng.random() < 0.4:
        rows.append(_row(rng, "config", fault.service, fault.onset_s + rng.uniform(300, 1_000)))
    return rows
