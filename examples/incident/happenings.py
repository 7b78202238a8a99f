"""What the monitoring said: alerts and log lines that follow from the signals, among everyday noise."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from examples.incident import wording
from examples.incident.scenario import START_S, Decoys, Fault, Scale
from examples.incident.signals import Signals
from examples.incident.topology import SERVICES, Edge


class AlertRow(NamedTuple):
    """One alert, `at_s` when it fired."""

    at_s: float
    service: str
    rule: str


class LogRow(NamedTuple):
    """One log line of `service`."""

    at_s: float
    service: str
    level: str
    message: str


EVERYDAY_RULES = (
    "disk above 80 %",
    "cpu above 85 %",
    "queue depth above 1000",
    "certificate expires in 14 days",
)


def draw_alerts(
    rng: random.Random, fault: Fault, decoys: Decoys, signals: Signals, scale: Scale
) -> tuple[AlertRow, ...]:
    """Alerts in time order: late or missing for the faulty service, one for each it reaches, and noise."""
    rows = []
    for service in SERVICES:
        felt_s = first_felt_s(signals, service, fault.onset_s - 1, least=0.05)
        if felt_s is None or (service == fault.service and rng.random() < 0.25):
            continue
        waits_s = (60, 240) if service == fault.service else (90, 420)
        fired_s = felt_s + rng.uniform(*waits_s)
        rule = rng.choice(("error rate above 5 %", "p95 latency above 1 s", "availability objective burning"))
        rows.append(AlertRow(fired_s, service, rule))
    if rng.random() < 0.4:
        calm = rng.choice([*decoys.blips, *decoys.strained] or list(SERVICES))
        rows.append(AlertRow(fault.onset_s - rng.uniform(20, 500), calm, rng.choice(EVERYDAY_RULES)))
    for _ in range(int(scale.duration_s / 2_000)):
        at_s = rng.uniform(START_S, scale.end_s - 3_700)
        rows.append(AlertRow(at_s, rng.choice(SERVICES), rng.choice(EVERYDAY_RULES)))
    return tuple(sorted(rows))


def first_felt_s(signals: Signals, service: str, from_s: float, *, least: float) -> float | None:
    """When `service` first fails with probability `least` or more, not before `from_s`; None if never."""
    for at_s, probability in zip(signals.times_s, signals.fail[service], strict=True):
        if at_s >= from_s and probability >= least:
            return at_s
    return None


def draw_logs(
    rng: random.Random, fault: Fault, decoys: Decoys, edges: Sequence[Edge], signals: Signals, setting: str
) -> tuple[LogRow, ...]:
    """Log lines in time order: the fault as its service and its callers see it, decoy noise, routine."""
    end_s = signals.times_s[-1]
    rows = [_routine_line(rng, rng.uniform(START_S, end_s)) for _ in range(int((end_s - START_S) / 4))]
    for _ in range(120):
        at_s = rng.uniform(fault.onset_s, end_s)
        message = wording.own_error(rng, fault.kind, setting=setting, client=fault.client)
        level = "warn" if fault.kind == "certificate_expiry" else "error"
        rows.append(LogRow(at_s, fault.service, level, message))
    for edge in edges:
        rows += _call_errors(rng, fault, edge, signals, end_s)
    if decoys.noisy:
        noise = wording.NOISE_4XX if decoys.noisy_is_4xx else wording.NOISE_5XX
        times_s = [rng.uniform(START_S, end_s) for _ in range(400)]
        rows += [LogRow(at_s, decoys.noisy, "error", wording.fill(rng, noise)) for at_s in times_s]
    return tuple(sorted(rows))


def _routine_line(rng: random.Random, at_s: float) -> LogRow:
    level, template = rng.choice(wording.ROUTINE)
    return LogRow(at_s, rng.choice(SERVICES), level, wording.fill(rng, template))


def _call_errors(rng: random.Random, fault: Fault, edge: Edge, signals: Signals, end_s: float) -> list[LogRow]:
    """Lines in which the caller of a failing service names it."""
    felt_s = first_felt_s(signals, edge.callee, fault.onset_s - 1, least=0.04)
    if felt_s is None or not edge.is_internal:
        return []
    direct = edge.callee == fault.service
    return [
        LogRow(at_s, edge.caller, "error", wording.call_error(rng, fault.kind, edge.callee, direct=direct))
        for at_s in (rng.uniform(felt_s, end_s) for _ in range(40))
    ]
