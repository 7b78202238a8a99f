"""Log lines in the words engineers write them; each names what failed in spans that can be copied out."""

from __future__ import annotations

import random

OWN_ERRORS: dict[str, tuple[str, ...]] = {
    "bad_deployment": (
        "unhandled NullPointerException in ResponseMapper.map: field currency is missing",
        "request failed with KeyError: 'customer_ref' while building the reply",
        "worker panicked: index out of range [3] with length 3, returning 500",
    ),
    "config_change": (
        "request rejected by new setting: {setting}, returning 500",
        "giving up after the configured limit was reached, current setting {setting}",
        "invalid state since configuration reload: {setting} is in effect",
    ),
    "pool_leak": (
        "could not get a connection from the pool: {size} of {size} in use, waited {ms} ms",
        "pool exhausted: {size} connections checked out and none returned for {ms} ms",
        "connection pool timeout after {ms} ms, active={size} idle=0",
    ),
    "slow_query": (
        "slow query took {ms} ms: SELECT * FROM entries WHERE created_at > ? (full table scan)",
        "statement cancelled after {ms} ms, plan changed to sequential scan",
        "query exceeded {ms} ms on table entries, 1 of 1 attempts failed",
    ),
    "certificate_expiry": ("health probe over plain HTTP is fine, no TLS traffic received for {ms} ms",),
    "poison_client": (
        "request from {client} rejected: payload of {kb} kB exceeds worker memory, returning 503",
        "worker killed while parsing a batch of {kb} kB sent by {client}",
        "queue full: {client} holds {size} of {size} worker slots",
    ),
}
CALL_ERRORS: dict[str, tuple[str, ...]] = {
    "status": (
        "call to {upstream} failed: HTTP 500 after {fast} ms, giving up after 2 retries",
        "upstream {upstream} returned HTTP 503 Service Unavailable in {fast} ms",
        "could not complete request because {upstream} answered with HTTP 500, took {fast} ms",
    ),
    "timeout": (
        "call to {upstream} timed out after {ms} ms",
        "deadline exceeded while waiting for {upstream}: limit {ms} ms",
        "no answer from {upstream} within {ms} ms, circuit half open",
    ),
    "tls": (
        "TLS handshake with {upstream} failed: x509 certificate has expired, attempt took {fast} ms",
        "cannot reach {upstream}: SSL error certificate has expired after {fast} ms",
    ),
}
ROUTINE = (
    ("info", "GET /v1/read finished in {fast} ms"),
    ("info", "cache refreshed, {size} entries in {fast} ms"),
    ("info", "health check ok in {fast} ms"),
    ("warn", "retrying a read from the replica after {ms} ms"),
    ("warn", "slow consumer: queue depth {size}"),
    ("error", "client closed the connection after {ms} ms"),
    ("error", "request failed with HTTP 500: upstream connection reset"),
)
NOISE_4XX = "GET /v1/read/{size} returned 404 Not Found: no such item"
NOISE_5XX = "optional enrichment failed with HTTP 500, served the reply without it"


def fill(rng: random.Random, template: str, **names: str) -> str:
    """`template` with its numbers drawn from `rng` and its names as given."""
    numbers = {
        "ms": rng.choice((500, 800, 1_000, 1_500, 2_000, 3_000)),
        "fast": rng.randint(3, 180),
        "size": rng.choice((20, 32, 40, 50, 64)),
        "kb": rng.randint(4_000, 90_000),
    }
    return template.format(**numbers, **names)


def own_error(rng: random.Random, kind: str, *, setting: str, client: str) -> str:
    """What the faulty service itself logs."""
    return fill(rng, rng.choice(OWN_ERRORS[kind]), setting=setting, client=client)


def call_error(rng: random.Random, kind: str, upstream: str, *, direct: bool) -> str:
    """What a caller logs when `upstream` fails; `direct` when `upstream` is the faulty service itself."""
    if direct and kind == "certificate_expiry":
        style = "tls"
    elif kind in ("slow_query", "pool_leak"):
        style = rng.choice(("timeout", "timeout", "status"))
    else:
        style = "status"
    return fill(rng, rng.choice(CALL_ERRORS[style]), upstream=upstream)
