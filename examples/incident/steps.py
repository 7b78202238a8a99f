"""What `incident.yaml` needs between the queries: small pure functions that put their answers together.

The workflow in Python does this in its body. Each has the types of what goes in and out, so a wrong reference in the
document is an error before anything runs.
"""

from __future__ import annotations

from itertools import chain

import msgspec

from examples.incident.blame import attribute, incident_onset_s, suspects
from examples.incident.evidence import (
    Alert,
    Change,
    Dependency,
    Detail,
    EdgeShift,
    Evidence,
    Excerpt,
    GroundedFact,
    LogFact,
    Overview,
    PoolUse,
    ServiceHealth,
    Surge,
    Window,
)
from examples.incident.facts import choose_excerpts, ground
from examples.incident.verdict import prime_suspects

Edges = list[tuple[EdgeShift, ...]]


class Onset(msgspec.Struct, frozen=True):
    """Whether something began to fail for good, when, and where to look."""

    found: bool
    at_s: float
    suspects: tuple[str, ...]


def overview(
    window: Window,
    dependencies: tuple[Dependency, ...],
    health: list[ServiceHealth],
    changes: list[tuple[Change, ...]],
    alerts: tuple[Alert, ...],
) -> Overview:
    """The whole shop at a glance."""
    return Overview(window, dependencies, tuple(health), tuple(chain.from_iterable(changes)), alerts)


def onset(health: list[ServiceHealth]) -> Onset:
    """When the first service began to fail, and which failed after it."""
    at_s = incident_onset_s(health)
    return Onset(at_s is not None, at_s or 0.0, suspects(health))


def primes(health: list[ServiceHealth], edges: Edges) -> tuple[str, ...]:
    """The services most to blame."""
    return prime_suspects(attribute(health, tuple(chain.from_iterable(edges))))


def detail(
    service: str,
    pool: PoolUse,
    surges: tuple[Surge, ...],
    own_logs: tuple[Excerpt, ...],
    caller_logs: tuple[Excerpt, ...],
) -> Detail:
    """A closer look at one of them."""
    return Detail(service, pool, surges, own_logs, caller_logs)


def excerpts(details: list[Detail]) -> tuple[Excerpt, ...]:
    """The log lines worth reading."""
    return choose_excerpts(details)


def grounded(excerpt: Excerpt, fact: LogFact) -> GroundedFact | None:
    """What of a model's answer really stands in the line."""
    return ground(excerpt, fact)


def evidence(
    overview: Overview,
    edges: Edges | None = None,
    details: list[Detail] | None = None,
    facts: list[GroundedFact | None] | None = None,
) -> Evidence:
    """Everything the verdict rests on."""
    found = tuple(fact for fact in facts or () if fact is not None)
    return Evidence(overview, tuple(chain.from_iterable(edges or ())), tuple(details or ()), found)
