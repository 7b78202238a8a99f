"""Which service began it: what each one fails beyond what its own upstream calls explain.

    failures its callers see  minus  failures it sees from its callees  =  failures of its own making

Pure; works on measured edges only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from examples.incident.evidence import EdgeShift, ServiceHealth

SICK_ERROR_RISE = 0.01
SICK_LATENCY_RISE = 1.5


class Blame(msgspec.Struct, frozen=True):
    """How far one service explains the incident.

    `own_share` is its part of all failures that no upstream call explains; `reach` the part of all extra
    failures at services linked to it by a chain of sick calls; both 0..1. `worst_callee` is the sick service
    it calls most often in vain, empty if none.
    """

    service: str
    onset_s: float
    own_share: float
    reach: float
    worst_callee: str

    def score(self, first_onset_s: float) -> float:
        """0..1: mostly own failures, then how much they explain, then how early they began."""
        promptness = math.exp(-max(0.0, self.onset_s - first_onset_s) / 120)
        return 0.5 * self.own_share + 0.25 * self.reach + 0.25 * promptness


def incident_onset_s(health: Iterable[ServiceHealth]) -> float | None:
    """When the first service began to fail for good; None when none does."""
    return min((h.errors.onset_s for h in health if h.errors), default=None)


def suspects(health: Iterable[ServiceHealth]) -> tuple[str, ...]:
    """Services whose failures or latency rose for good, earliest first."""
    sick = sorted((h.onset_s, h.service) for h in health if h.onset_s is not None)
    return tuple(service for _, service in sick)


def attribute(health: Sequence[ServiceHealth], edges: Iterable[EdgeShift]) -> tuple[Blame, ...]:
    """Blame of every suspect, most blamed first. `edges` holds the calls into and out of every suspect."""
    measured = tuple({(edge.caller, edge.callee): edge for edge in edges}.values())
    onsets_s = {h.service: h.onset_s for h in health if h.onset_s is not None}
    own_errors = {s: _own(s, [(e, e.excess_errors_per_s) for e in measured]) for s in onsets_s}
    own_wait = {s: _own(s, [(e, e.excess_wait) for e in measured]) for s in onsets_s}
    first_s = min(onsets_s.values(), default=0.0)
    blames = [
        Blame(
            service=service,
            onset_s=onset_s,
            own_share=0.8 * _share(own_errors, service) + 0.2 * _share(own_wait, service),
            reach=_reach(service, measured),
            worst_callee=_worst_callee(service, measured),
        )
        for service, onset_s in onsets_s.items()
    ]
    return tuple(sorted(blames, key=lambda blame: (-blame.score(first_s), blame.service)))


def is_sick(edge: EdgeShift) -> bool:
    """True when calls on this edge fail more, or take much longer, than they used to."""
    if edge.error_rate_after - edge.error_rate_before > SICK_ERROR_RISE:
        return True
    return edge.latency_after_ms > SICK_LATENCY_RISE * edge.latency_before_ms


def _own(service: str, excess: Iterable[tuple[EdgeShift, float]]) -> float:
    balance = 0.0
    for edge, amount in excess:
        balance += amount * ((edge.callee == service) - (edge.caller == service))
    return max(0.0, balance)


def _share(amounts: dict[str, float], service: str) -> float:
    total = sum(amounts.values())
    return amounts[service] / total if total else 0.0


def _reach(service: str, edges: Sequence[EdgeShift]) -> float:
    """Share of all extra failures seen by callers of `service`, of its sick callers, and so on upwards."""
    reached, frontier = {service}, [service]
    while frontier:
        callee = frontier.pop()
        callers = {edge.caller for edge in edges if edge.callee == callee and is_sick(edge)} - reached
        reached |= callers
        frontier += sorted(callers)
    total = sum(edge.excess_errors_per_s for edge in edges)
    return sum(edge.excess_errors_per_s for edge in edges if edge.callee in reached) / total if total else 0.0


def _worst_callee(service: str, edges: Iterable[EdgeShift]) -> str:
    sick = [edge for edge in edges if edge.caller == service and is_sick(edge)]
    return max(sick, key=lambda edge: (edge.excess_errors_per_s, edge.callee)).callee if sick else ""
