"""How a fault spreads: failure probability and added latency of every service in every time bucket.

    own effect of S  ──►  S  ──(need, wait, delay of the edge)──►  callers of S  ──►  ...

Pure arithmetic on lists; services are visited callees first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from examples.incident.scenario import START_S, Decoys, Fault, Ramp, Scale
from examples.incident.topology import SERVICES, Edge

CALL_TIMEOUT_MS = 3_000.0


@dataclass(frozen=True)
class Signals:
    """Per service: `fail[s][t]` probability and `extra_ms[s][t]`, one entry per bucket of `times_s`."""

    times_s: tuple[float, ...]
    fail: dict[str, list[float]]
    extra_ms: dict[str, list[float]]


def spread(edges: Sequence[Edge], fault: Fault, decoys: Decoys, scale: Scale) -> Signals:
    """Own effects of the fault and the decoys, carried from callees to callers.

    Cost: O(edges x buckets).
    """
    buckets = int(scale.duration_s / scale.bucket_s)
    times_s = tuple(START_S + i * scale.bucket_s for i in range(buckets))
    fail: dict[str, list[float]] = {}
    extra_ms: dict[str, list[float]] = {}
    for service in reversed(SERVICES):
        own_fail = _own(service, {fault.service: fault.fail}, times_s)
        own_extra = _own(service, {fault.service: fault.extra_ms, **decoys.strained}, times_s)
        for edge in edges:
            if edge.caller == service:
                _carry_failures(own_fail, fail[edge.callee], edge)
                _carry_latency(own_extra, extra_ms[edge.callee], edge)
        fail[service] = own_fail
        extra_ms[service] = own_extra
    for service, blip in decoys.blips.items():  # callers had a fallback: a blip stays where it is
        fail[service] = [max(p, blip.at(t)) for p, t in zip(fail[service], times_s, strict=True)]
    return Signals(times_s, fail, extra_ms)


def _own(service: str, ramps: dict[str, Ramp], times_s: Sequence[float]) -> list[float]:
    ramp = ramps.get(service)
    return [0.0] * len(times_s) if ramp is None else [ramp.at(t) for t in times_s]


def _carry_failures(caller: list[float], callee: Sequence[float], edge: Edge) -> None:
    for i, probability in enumerate(callee[: len(callee) - edge.delay], start=edge.delay):
        if probability:
            caller[i] = 1 - (1 - caller[i]) * (1 - edge.need * probability)


def _carry_latency(caller: list[float], callee: Sequence[float], edge: Edge) -> None:
    for i, added_ms in enumerate(callee[: len(callee) - edge.delay], start=edge.delay):
        if added_ms:
            caller[i] += edge.wait * min(added_ms, CALL_TIMEOUT_MS)
