"""Three rules of thumb that name a service at a glance. They are here to be beaten, not used."""

from __future__ import annotations

from examples.incident.evidence import Overview

ALERT_WINDOW_S = 3_600.0


def highest_error_rate(overview: Overview) -> str:
    """The service that fails the largest share of its requests right now, 4xx and 5xx alike."""
    return max(overview.health, key=lambda health: health.failed_share).service


def latest_deployment(overview: Overview) -> str:
    """The service deployed last; empty if none was."""
    deployed = [change for change in overview.changes if change.kind in ("release", "migration")]
    return max(deployed, key=lambda change: change.at_s).service if deployed else ""


def first_alert(overview: Overview) -> str:
    """The service of the first alert of the last hour; empty if there was none."""
    since_s = overview.window.end_s - ALERT_WINDOW_S
    recent = [alert for alert in overview.alerts if alert.at_s >= since_s]
    return min(recent, key=lambda alert: alert.at_s).service if recent else ""
