"""The shop whose telemetry we invent: twenty services, who calls whom, and which clients call them.

Rates, weights and delays are drawn per seed; names and edges are fixed. Edges never form a cycle.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

CALLEES: dict[str, str] = {
    "gateway": "checkout catalog search account orders auth",
    "mobile-bff": "checkout catalog search account notifications auth",
    "partner-api": "orders catalog inventory auth",
    "checkout": "payments pricing inventory shipping fraud",
    "catalog": "pricing inventory media recommendations",
    "search": "recommendations pricing",
    "account": "users auth notifications",
    "orders": "payments shipping inventory ledger",
    "notifications": "users media",
    "payments": "ledger fraud users",
    "pricing": "tax",
    "shipping": "tax users",
    "recommendations": "users media",
    "auth": "users",
    "fraud": "users ledger",
    "inventory": "",
    "ledger": "",
    "users": "",
    "media": "",
    "tax": "",
}
"""Every service, callers before callees, with the services it calls."""

CLIENTS: dict[str, str] = {
    "web": "gateway",
    "ios": "mobile-bff",
    "android": "mobile-bff",
    "client-104": "partner-api",
    "client-131": "partner-api",
    "client-207": "search",
    "client-219": "inventory",
    "client-233": "pricing",
    "client-302": "media",
    "client-318": "orders",
    "client-340": "payments",
    "client-377": "account",
    "client-401": "shipping",
    "client-415": "recommendations",
    "client-422": "inventory",
    "client-436": "search",
}
"""Every outside caller and the service it talks to."""

SERVICES: tuple[str, ...] = tuple(CALLEES)
ROUTE_NAMES = ("/v1/read", "/v1/write", "/v1/list")


@dataclass(frozen=True)
class Edge:
    """One caller-callee pair.

    `need` is the share of the caller's requests that fail when this call fails; `wait` the share that waits
    for it; `delay` how many buckets pass before the caller feels a change (caches, retries).
    """

    caller: str
    callee: str
    rate_rps: float
    need: float
    wait: float
    delay: int
    routes: tuple[str, ...]

    @property
    def is_internal(self) -> bool:
        """True when the caller is one of our services rather than a client."""
        return self.caller in CALLEES


def draw_edges(rng: random.Random, most_routes: int) -> tuple[Edge, ...]:
    """Every internal and client edge, with its rate, coupling and routes drawn from `rng`.

    Rates add up: a service sends each callee a fixed number of calls per request that it receives.
    """
    received_rps = dict.fromkeys(SERVICES, 0.0)
    edges: list[Edge] = []
    for caller, callees in (CLIENTS | CALLEES).items():
        for callee in callees.split():
            calls = 1.0 if caller in CLIENTS else rng.uniform(0.3, 0.8)
            rate_rps = rng.uniform(6, 30) if caller in CLIENTS else received_rps[caller] * calls
            edges.append(_draw_edge(rng, (caller, callee), rate_rps, calls, most_routes))
            received_rps[callee] += rate_rps
    return tuple(edges)


def ancestors(service: str) -> frozenset[str]:
    """Services that call `service` directly or through others: those its failure may reach."""
    found: set[str] = set()
    for caller in reversed(SERVICES):
        if any(callee == service or callee in found for callee in CALLEES[caller].split()):
            found.add(caller)
    return frozenset(found)


def _draw_edge(rng: random.Random, pair: tuple[str, str], rate_rps: float, calls: float, most_routes: int) -> Edge:
    has_fallback = rng.random() < 0.15
    return Edge(
        caller=pair[0],
        callee=pair[1],
        rate_rps=rate_rps,
        need=calls * (rng.uniform(0.05, 0.1) if has_fallback else rng.uniform(0.6, 1.0)),
        wait=calls * rng.uniform(0.6, 1.0),
        delay=rng.randint(0, 3),
        routes=ROUTE_NAMES[: max(1, most_routes - (pair[0] in CLIENTS) - (rng.random() < 0.5))],
    )
