"""Every (service, change) that could have begun the incident, scored by how well it fits the evidence.

    score = blame of the service (blame.py) x fit of the change
    fit   = closeness in time before the first sign x agreement with the symptoms

A change after the first sign has no fit: a cause comes before its effect. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from examples.incident.blame import Blame
from examples.incident.evidence import (
    Change,
    ChangeKind,
    Detail,
    Evidence,
    PoolUse,
    ServiceHealth,
    Surge,
)

CLOCK_TOLERANCE_S = 25.0
"""Signals are measured in buckets of 10 to 20 s, so an effect may seem to come that much early."""
CLOSENESS_S = 600.0
LONGEST_LAG_S = 2_700.0
NO_CHANGE_FIT = 0.2

KIND_NAMES: dict[ChangeKind, str] = {
    "release": "bad_deployment",
    "migration": "slow_query",
    "config": "config_change",
    "certificate": "certificate_expiry",
    "client": "poison_client",
}


class Hypothesis(msgspec.Struct, frozen=True):
    """`change` began the incident at `service`; no change means an unknown cause. `score` is 0..1.

    `first_sign_s` is when the first signal of the service rose, its connection pool included.
    """

    service: str
    change: Change | None
    first_sign_s: float
    score: float
    cause_kind: str
    reasons: tuple[str, ...]


def hypotheses(evidence: Evidence, blames: Iterable[Blame]) -> tuple[Hypothesis, ...]:
    """All hypotheses about the services looked at in detail, best first."""
    details = {detail.service: detail for detail in evidence.details}
    blamed = [blame for blame in blames if blame.service in details]
    first_s = min((blame.onset_s for blame in blamed), default=0.0)
    health = {h.service: h for h in evidence.overview.health}
    found: list[Hypothesis] = []
    for blame in blamed:
        detail = details[blame.service]
        own = [change for change in evidence.overview.changes if change.service == blame.service]
        candidates: tuple[Change | None, ...] = (*own, *client_changes(detail), None)
        found += [_hypothesis(blame, health[blame.service], detail, c, first_s) for c in candidates]
    return tuple(sorted(found, key=lambda h: (-h.score, h.service, h.change.id if h.change else "")))


def client_changes(detail: Detail) -> tuple[Change, ...]:
    """The traffic surges of clients of one service, as changes."""
    return tuple(_client_change(surge) for surge in detail.surges)


def _client_change(surge: Surge) -> Change:
    traffic = surge.traffic
    summary = f"traffic from {traffic.before:.1f} to {traffic.after:.1f} requests/s"
    return Change(surge.client, "client", surge.service, traffic.onset_s, summary)


def _hypothesis(
    blame: Blame, health: ServiceHealth, detail: Detail, change: Change | None, first_onset_s: float
) -> Hypothesis:
    pool_s = detail.pool.share.onset_s if detail.pool.share else math.inf
    first_sign_s = min(blame.onset_s, pool_s)
    base = blame.score(first_onset_s)
    if change is None:
        return Hypothesis(blame.service, None, first_sign_s, base * NO_CHANGE_FIT, "unknown", ())
    closeness, when = _timing(change, first_sign_s)
    agreement, why = _symptoms(change, health, detail)
    kind = KIND_NAMES[change.kind]
    if change.kind == "release" and _pool_led(detail.pool, blame.onset_s):
        kind = "pool_leak"
    return Hypothesis(blame.service, change, first_sign_s, base * closeness * agreement, kind, (when, *why))


def _timing(change: Change, first_sign_s: float) -> tuple[float, str]:
    """Closeness 0..1 of a change to the first sign, and the same in words."""
    lead_s = first_sign_s - change.at_s
    if lead_s < -CLOCK_TOLERANCE_S:
        return 0.0, f"it came {-lead_s:.0f} s after the first sign of trouble"
    if lead_s > LONGEST_LAG_S:
        return 0.0, f"it came {lead_s / 60:.0f} min before the first sign, too long ago"
    lead_s = max(0.0, lead_s)
    return math.exp(-lead_s / CLOSENESS_S), f"it came {lead_s:.0f} s before the first sign"


def _pool_led(pool: PoolUse, onset_s: float) -> bool:
    """True when connections ran out first and failures followed: the mark of a leak."""
    return pool.share is not None and pool.share.after > 0.9 and onset_s - pool.share.onset_s > 120


def _refuses_all(health: ServiceHealth) -> bool:
    """True when nearly every call fails without waiting: the mark of a refused handshake."""
    return health.errors is not None and health.errors.after > 0.7 and health.latency is None


def _symptoms(change: Change, health: ServiceHealth, detail: Detail) -> tuple[float, tuple[str, ...]]:
    """Agreement 0..1 of a kind of change with what was seen, and the agreeing findings in words."""
    lines = " ".join(excerpt.message for excerpt in detail.own_logs + detail.caller_logs)
    says_certificate = "certificate" in lines
    match change.kind:
        case "certificate":
            if says_certificate:
                return 1.0, ("callers report an expired certificate",)
            return (0.8, ("nearly every call fails, and fails fast",)) if _refuses_all(health) else (0.3, ())
        case "client":
            named = change.id in lines
            return (1.0, (f"the service's own log names {change.id}",)) if named else (0.4, ())
        case "migration":
            slower = health.latency is not None and "query" in lines
            return (1.0, ("its queries became slow at once",)) if slower else (0.6, ())
        case "config":
            key = change.summary.split(" ", 1)[0]
            return (1.0, (f"the service's own log names the setting {key}",)) if key in lines else (0.7, ())
    agreement = 0.5 if says_certificate else 0.9
    led = _pool_led(detail.pool, health.onset_s or 0.0)
    return agreement, (("connections ran out before requests failed",) if led else ())
