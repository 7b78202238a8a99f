"""What goes wrong in one seed: the fault, the decoys around it, and the ground truth.

All draws come from one `random.Random`; nothing here touches a file. Times are UTC epoch seconds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import msgspec

from examples.incident.topology import CLIENTS, SERVICES, ancestors

KINDS = ("bad_deployment", "config_change", "pool_leak", "slow_query", "certificate_expiry", "poison_client")
DEEP = tuple(s for s in SERVICES if len(ancestors(s)) >= 2)
START_S = 1_767_225_600.0


@dataclass(frozen=True)
class Scale:
    """How much telemetry to write: seconds covered, seconds per bucket, most routes per edge."""

    duration_s: float
    bucket_s: float
    most_routes: int

    @property
    def end_s(self) -> float:
        """Time of the last observation: the moment the investigation starts."""
        return START_S + self.duration_s


SCALES = {"full": Scale(21_600, 10, 3), "small": Scale(7_200, 20, 1)}


class Truth(msgspec.Struct, frozen=True):
    """The answer, kept outside the database: which change to which service began the incident."""

    seed: int
    service: str
    cause_kind: str
    change: str
    change_at_s: float
    onset_s: float


@dataclass(frozen=True)
class Ramp:
    """A level that rises linearly from 0 at `from_s` to `level` at `full_s`, and ends at `until_s`."""

    from_s: float
    full_s: float
    level: float
    until_s: float = float("inf")

    def at(self, at_s: float) -> float:
        """Level at one moment."""
        if at_s < self.from_s or at_s >= self.until_s:
            return 0.0
        if at_s >= self.full_s:
            return self.level
        return self.level * (at_s - self.from_s) / (self.full_s - self.from_s)


@dataclass(frozen=True)
class Fault:
    """The true cause and its direct effect on one service.

    `fail` is a probability, `extra_ms` added latency, `pool` added connections in use as a share of the pool.
    """

    kind: str
    service: str
    change_at_s: float
    onset_s: float
    fail: Ramp
    extra_ms: Ramp
    pool: Ramp
    client: str = ""


@dataclass(frozen=True)
class Decoys:
    """Things that look guilty and are not; an empty name or list means the decoy is absent in this seed.

    `noisy` fails at a constant rate since long before; `blips` failed for minutes and recovered; `strained`
    became slower under its callers' retries; `surges` maps a client to when its harmless traffic rise began.
    """

    noisy: str
    noisy_rate: float
    noisy_is_4xx: bool
    blips: dict[str, Ramp] = field(default_factory=dict)
    strained: dict[str, Ramp] = field(default_factory=dict)
    surges: dict[str, float] = field(default_factory=dict)


def draw_fault(rng: random.Random, seed: int, scale: Scale) -> Fault:
    """The fault of this seed; it starts to hurt 20 to 45 minutes before the end."""
    kind = KINDS[seed % len(KINDS)] if rng.random() < 0.7 else rng.choice(KINDS)
    client = rng.choice([c for c in CLIENTS if CLIENTS[c] in DEEP]) if kind == "poison_client" else ""
    service = CLIENTS[client] if client else rng.choice(DEEP)
    onset_s = scale.end_s - rng.uniform(1_200, 2_700)
    ramp_s, fail, extra_ms = _direct_effect(rng, kind)
    lag_s = rng.uniform(480, 1_080) if kind == "pool_leak" else rng.uniform(4, 30)
    change_at_s = onset_s - lag_s
    return Fault(
        kind=kind,
        service=service,
        change_at_s=change_at_s,
        onset_s=onset_s,
        fail=Ramp(onset_s, onset_s + ramp_s, fail),
        extra_ms=Ramp(onset_s, onset_s + ramp_s, extra_ms),
        pool=Ramp(change_at_s + 10, onset_s, 1.0 if kind == "pool_leak" else 0.0),
        client=client,
    )


def _direct_effect(rng: random.Random, kind: str) -> tuple[float, float, float]:
    """Seconds to full effect, failure probability, added latency in ms."""
    match kind:
        case "bad_deployment":
            return rng.uniform(30, 120), rng.uniform(0.2, 0.6), rng.uniform(0, 40)
        case "config_change":
            return rng.uniform(10, 40), rng.uniform(0.25, 0.7), rng.uniform(0, 400)
        case "pool_leak":
            return rng.uniform(60, 150), rng.uniform(0.25, 0.6), rng.uniform(200, 900)
        case "slow_query":
            return rng.uniform(20, 60), rng.uniform(0.1, 0.35), rng.uniform(600, 2_500)
        case "certificate_expiry":
            return rng.uniform(5, 15), rng.uniform(0.85, 0.97), 0.0
        case _:
            return rng.uniform(30, 90), rng.uniform(0.15, 0.5), rng.uniform(200, 900)


def draw_decoys(rng: random.Random, fault: Fault, scale: Scale) -> Decoys:
    """Decoys on services the fault does not reach, and one service strained by the retries of its callers."""
    reached = ancestors(fault.service) | {fault.service}
    calm = [s for s in SERVICES if s not in reached]
    noisy, blipped, strained = rng.sample(calm, 3)
    blip_s = rng.uniform(START_S + 1_800, fault.onset_s - 1_500)
    strain_s = fault.onset_s + rng.uniform(60, 240)
    busier = rng.choice([c for c in CLIENTS if CLIENTS[c] in calm])
    return Decoys(
        noisy=noisy if rng.random() < 0.65 else "",
        noisy_rate=rng.uniform(0.5, 0.9) if fault.kind != "certificate_expiry" else rng.uniform(0.9, 0.99),
        noisy_is_4xx=rng.random() < 0.5,
        blips={blipped: Ramp(blip_s, blip_s + 10, rng.uniform(0.2, 0.6), blip_s + rng.uniform(120, 300))},
        strained={strained: Ramp(strain_s, strain_s + 60, rng.uniform(15, 40))} if rng.random() < 0.6 else {},
        surges={busier: fault.onset_s - rng.uniform(-120, 300)} if rng.random() < 0.6 else {},
    )
