"""The verdict: the best hypothesis, what speaks for it, and why the others fall.

Pure: the same evidence gives the same verdict. It reads measured records only; a model's facts may word
a finding but never choose one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from examples.incident import naive
from examples.incident.blame import Blame, attribute
from examples.incident.evidence import Change, Evidence, Overview
from examples.incident.hypotheses import Hypothesis, client_changes, hypotheses

MOST_DETAILED = 4
MOST_REJECTED = 8
COINCIDENCE_S = 300.0


class Moment(msgspec.Struct, frozen=True):
    """One line of the timeline."""

    at_s: float
    what: str


class Rejected(msgspec.Struct, frozen=True):
    """A hypothesis that fell, and the finding that felled it."""

    hypothesis: str
    reason: str


class Verdict(msgspec.Struct, frozen=True):
    """What began the incident.

    `change` is None when no change fits; `confidence` is the best score over the best two, 0.5..1.
    """

    service: str
    cause_kind: str
    change: Change | None
    confidence: float
    evidence: tuple[str, ...]
    timeline: tuple[Moment, ...]
    rejected: tuple[Rejected, ...]


NO_INCIDENT = Verdict("", "none", None, 1.0, ("no service fails or waits more than it used to",), (), ())


def prime_suspects(blames: Sequence[Blame], *, most: int = MOST_DETAILED) -> tuple[str, ...]:
    """The services worth a closer look, most blamed first."""
    return tuple(blame.service for blame in blames[:most])


def judge(evidence: Evidence) -> Verdict:
    """The verdict on one incident; `NO_INCIDENT` when nothing rose for good."""
    blames = attribute(evidence.overview.health, evidence.edges)
    ranked = hypotheses(evidence, blames)
    if not ranked:
        return NO_INCIDENT
    best = ranked[0]
    rival = next((h.score for h in ranked[1:] if h.change != best.change or h.service != best.service), 0.0)
    return Verdict(
        service=best.service,
        cause_kind=best.cause_kind,
        change=best.change,
        confidence=best.score / (best.score + rival) if best.score else 0.0,
        evidence=_findings(best, blames, evidence),
        timeline=_timeline(best, blames, evidence.overview),
        rejected=_rejected(ranked, blames, evidence),
    )


def _findings(best: Hypothesis, blames: Sequence[Blame], evidence: Evidence) -> tuple[str, ...]:
    """What speaks for the best hypothesis, one sentence each."""
    blame = next(blame for blame in blames if blame.service == best.service)
    health = next(h for h in evidence.overview.health if h.service == best.service)
    detail = next(d for d in evidence.details if d.service == best.service)
    found = [
        f"{best.service} owns {blame.own_share:.0%} of the trouble that no failing call explains",
        f"services linked to it by failing calls hold {blame.reach:.0%} of all extra failures",
    ]
    if health.errors:
        found.append(f"its error rate rose from {health.errors.before:.1%} to {health.errors.after:.1%}")
    if health.latency:
        found.append(f"its latency rose from {health.latency.before:.0f} to {health.latency.after:.0f} ms")
    if detail.pool.share:
        found.append(
            f"its connection pool went from {detail.pool.share.before:.0%} to {detail.pool.share.after:.0%} in use"
        )
    if best.change:
        found += [f"{best.change.id} ({best.change.summary}): {reason}" for reason in best.reasons]
    excerpts = detail.own_logs + detail.caller_logs
    found += [f'{e.service} logged lines like this {e.count} times: "{e.message}"' for e in excerpts]
    return tuple(found + _worded_facts(best, evidence))


def _worded_facts(best: Hypothesis, evidence: Evidence) -> list[str]:
    """Facts the model copied from log lines that blame the service or the change of the verdict."""
    names = {best.service, best.change.id if best.change else best.service}
    return [
        f"log line {f.excerpt.id} of {f.excerpt.service} blames {f.fact.upstream}: {f.fact.error}"
        + (f" ({f.fact.value})" if f.fact.value else "")
        for f in evidence.facts
        if f.fact.upstream in names
    ]


def _timeline(best: Hypothesis, blames: Sequence[Blame], overview: Overview) -> tuple[Moment, ...]:
    """The change, the first sign, each service's onset and the first alerts, in time order."""
    moments = [Moment(best.first_sign_s, f"first sign of trouble at {best.service}")]
    if best.change:
        moments.append(Moment(best.change.at_s, f"{best.change.id} at {best.service}: {best.change.summary}"))
    moments += [Moment(blame.onset_s, f"{blame.service} begins to fail or to slow down") for blame in blames]
    later = [alert for alert in overview.alerts if alert.at_s >= best.first_sign_s]
    moments += [Moment(alert.at_s, f"alert at {alert.service}: {alert.rule}") for alert in later[:3]]
    return tuple(sorted(moments, key=lambda moment: (moment.at_s, moment.what)))


def _rejected(ranked: Sequence[Hypothesis], blames: Sequence[Blame], evidence: Evidence) -> tuple[Rejected, ...]:
    """Rival changes of the guilty service, then what a glance would have blamed, then changes elsewhere."""
    best = ranked[0]
    rivals = [h for h in ranked[1:] if h.change and h.service == best.service]
    found = [Rejected(_name(h.change), _why_not(h, best)) for h in rivals if h.change]
    glances = {
        "highest error rate": naive.highest_error_rate(evidence.overview),
        "latest deployment": naive.latest_deployment(evidence.overview),
        "first alert": naive.first_alert(evidence.overview),
    }
    for glance, service in glances.items():
        if service not in ("", best.service):
            found.append(Rejected(f"{service} ({glance})", _innocence(service, blames, evidence, best)))
    surges = [change for detail in evidence.details for change in client_changes(detail)]
    elsewhere = [c for c in (*evidence.overview.changes, *surges) if c.service != best.service]
    found += [
        Rejected(_name(change), _innocence(change.service, blames, evidence, best))
        for change in elsewhere
        if abs(change.at_s - best.first_sign_s) < COINCIDENCE_S
    ]
    return tuple(found[:MOST_REJECTED])


def _name(change: Change) -> str:
    return f"{change.id} at {change.service} ({change.summary})"


def _why_not(rival: Hypothesis, best: Hypothesis) -> str:
    reason = rival.reasons[0] if rival.reasons else "nothing speaks for it"
    return reason if rival.score == 0 else f"{reason}, and fits the symptoms less well than the change named"


def _innocence(service: str, blames: Sequence[Blame], evidence: Evidence, best: Hypothesis) -> str:
    """Why one service other than the guilty one did not begin the incident."""
    blame = next((b for b in blames if b.service == service), None)
    if blame is None:
        health = next((h for h in evidence.overview.health if h.service == service), None)
        share = health.failed_share if health else 0.0
        return f"{service} fails {share:.1%} of its requests, as it did before the incident"
    if blame.worst_callee:
        return f"the extra failures of {service} are explained by its calls to {blame.worst_callee}"
    if blame.onset_s > best.first_sign_s:
        late_s = blame.onset_s - best.first_sign_s
        return f"it changed {late_s:.0f} s after the first sign and explains {blame.reach:.0%} of the failures"
    return f"it explains only {blame.reach:.0%} of the extra failures"
