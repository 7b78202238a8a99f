"""Questions to the telemetry database: each opens it read-only, runs bound SQL, and returns frozen records.

Safe to run side by side, in any order, any number of times.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from examples.incident.changepoint import find_rise
from examples.incident.evidence import (
    Alert,
    Change,
    Dependency,
    EdgeShift,
    Excerpt,
    PoolUse,
    ServiceHealth,
    Surge,
    Window,
)

BASELINE_S = 3_600.0
"""How long before the onset counts as usual behaviour; the last ten minutes are left out as uncertain."""
UNCERTAIN_S = 600.0
SETTLE_S = 120.0
RECENT_S = 900.0


@contextmanager
def _reading(path: str) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)
    try:
        yield connection
    finally:
        connection.close()


def window(path: str) -> Window:
    """The span the telemetry covers."""
    with _reading(path) as db:
        start_s, end_s, bucket_s = db.execute("SELECT start_s, end_s, bucket_s FROM window").fetchone()
    return Window(start_s, end_s, bucket_s)


def services(path: str) -> tuple[str, ...]:
    """Names of all services, sorted."""
    with _reading(path) as db:
        return tuple(name for (name,) in db.execute("SELECT service FROM services ORDER BY service"))


def dependencies(path: str) -> tuple[Dependency, ...]:
    """Who calls whom, clients left out."""
    with _reading(path) as db:
        rows = db.execute("SELECT caller, callee FROM dependencies ORDER BY caller, callee").fetchall()
    return tuple(Dependency(caller, callee) for caller, callee in rows)


def alerts(path: str) -> tuple[Alert, ...]:
    """All alerts in time order."""
    with _reading(path) as db:
        rows = db.execute("SELECT id, at_s, service, rule FROM alerts ORDER BY at_s, id").fetchall()
    return tuple(Alert(*row) for row in rows)


def deployments(path: str) -> tuple[Change, ...]:
    """Releases and schema migrations, in time order."""
    sql = "SELECT id, kind, service, at_s, version, message, author FROM deployments ORDER BY at_s, id"
    with _reading(path) as db:
        rows = db.execute(sql).fetchall()
    return tuple(
        Change(id_, kind, service, at_s, f"{kind} {version} by {author}: {message}")
        for id_, kind, service, at_s, version, message, author in rows
    )


def config_changes(path: str) -> tuple[Change, ...]:
    """Changed settings, in time order."""
    sql = "SELECT id, service, at_s, key, old, new, author FROM config_changes ORDER BY at_s, id"
    with _reading(path) as db:
        rows = db.execute(sql).fetchall()
    return tuple(
        Change(id_, "config", service, at_s, f"{key} {old} -> {new} by {author}")
        for id_, service, at_s, key, old, new, author in rows
    )


def certificate_expiries(path: str) -> tuple[Change, ...]:
    """Certificates that expired before the end of the window, in time order."""
    sql = """SELECT id, service, expires_s FROM certificates
             WHERE expires_s <= (SELECT end_s FROM window) ORDER BY expires_s, id"""
    with _reading(path) as db:
        rows = db.execute(sql).fetchall()
    return tuple(Change(id_, "certificate", service, at_s, "it expired") for id_, service, at_s in rows)


def service_health(path: str, service: str) -> ServiceHealth:
    """Whether failures and latency of one service rose for good, and how much it fails now.

    Cost: reads the service's own rows of `requests`, about a twentieth of the table.
    """
    series = """SELECT at_s, SUM(errors_5xx) * 1.0 / SUM(requests), AVG(latency_ms)
                FROM requests WHERE service = ? GROUP BY at_s ORDER BY at_s"""
    share = """SELECT SUM(errors_5xx + errors_4xx) * 1.0 / SUM(requests) FROM requests
               WHERE service = ? AND at_s >= (SELECT end_s FROM window) - ?"""
    with _reading(path) as db:
        rows = db.execute(series, (service,)).fetchall()
        (failed_share,) = db.execute(share, (service, RECENT_S)).fetchone()
    times_s = [at_s for at_s, _, _ in rows]
    return ServiceHealth(
        service=service,
        errors=find_rise(times_s, [rate for _, rate, _ in rows], least_rise=0.01),
        latency=find_rise(times_s, [latency_ms for _, _, latency_ms in rows], least_rise=8.0),
        failed_share=failed_share or 0.0,
    )


def edges_around(path: str, service: str, onset_s: float) -> tuple[EdgeShift, ...]:
    """Traffic into and out of `service`, usual against now."""
    return edges_into(path, service, onset_s) + edges_out_of(path, service, onset_s)


def edges_into(path: str, service: str, onset_s: float) -> tuple[EdgeShift, ...]:
    """Traffic of every caller of `service` (clients too), usual against now."""
    return _edges(path, "service", service, onset_s)


def edges_out_of(path: str, service: str, onset_s: float) -> tuple[EdgeShift, ...]:
    """Traffic from `service` to each service it calls, usual against now."""
    return _edges(path, "caller", service, onset_s)


def _edges(path: str, column: str, service: str, onset_s: float) -> tuple[EdgeShift, ...]:
    """`column` is one of two literals above, never input: names cannot be bound."""
    sql = f"""SELECT caller, service, SUM(errors_5xx) * 1.0 / SUM(requests), AVG(latency_ms), SUM(requests)
              FROM requests WHERE {column} = ? AND at_s >= ? AND at_s < ?
              GROUP BY caller, service ORDER BY caller, service"""
    with _reading(path) as db:
        (end_s,) = db.execute("SELECT end_s FROM window").fetchone()
        usual = (service, onset_s - BASELINE_S, onset_s - UNCERTAIN_S)
        before = {row[:2]: row for row in db.execute(sql, usual)}
        after = db.execute(sql, (service, onset_s + SETTLE_S, end_s)).fetchall()
    lasted_s = end_s - onset_s - SETTLE_S
    return tuple(
        EdgeShift(caller, callee, requests / lasted_s, old[2], rate, old[3], latency_ms)
        for caller, callee, rate, latency_ms, requests in after
        if (old := before.get((caller, callee)))
    )


def pool_use(path: str, service: str) -> PoolUse:
    """Whether the share of connections in use rose for good."""
    sql = "SELECT at_s, in_use * 1.0 / size FROM pools WHERE service = ? ORDER BY at_s"
    with _reading(path) as db:
        rows = db.execute(sql, (service,)).fetchall()
    times_s, shares = [at_s for at_s, _ in rows], [share for _, share in rows]
    return PoolUse(service, find_rise(times_s, shares, least_rise=0.1))


def client_surges(path: str, service: str) -> tuple[Surge, ...]:
    """Clients whose traffic to `service` at least doubled and stayed up; calls from services do not count."""
    sql = """SELECT caller, at_s, SUM(requests) / (SELECT bucket_s FROM window) FROM requests
             WHERE service = ? AND caller NOT IN (SELECT service FROM services)
             GROUP BY caller, at_s ORDER BY caller, at_s"""
    series: dict[str, tuple[list[float], list[float]]] = {}
    with _reading(path) as db:
        for client, at_s, requests_per_s in db.execute(sql, (service,)):
            times_s, rates = series.setdefault(client, ([], []))
            times_s.append(at_s)
            rates.append(requests_per_s)
    rises = {client: find_rise(*points, least_rise=1.0) for client, points in series.items()}
    lasting = {client: rise for client, rise in rises.items() if rise and rise.after > 2 * rise.before}
    return tuple(Surge(client, service, rise) for client, rise in lasting.items())


def own_logs(path: str, service: str, onset_s: float, *, most: int = 3) -> tuple[Excerpt, ...]:
    """The lines of `service` that became most common since the onset, one per shape, at most `most`."""
    sql = """SELECT id, at_s, service, message FROM logs
             WHERE service = ? AND level IN ('warn', 'error') ORDER BY at_s, id"""
    with _reading(path) as db:
        return _risen(db.execute(sql, (service,)).fetchall(), onset_s, most)


def caller_logs(path: str, upstream: str, onset_s: float, *, most: int = 3) -> tuple[Excerpt, ...]:
    """The lines of the callers of `upstream` that name it and became most common since the onset."""
    sql = """SELECT id, at_s, service, message FROM logs
             WHERE service IN (SELECT caller FROM dependencies WHERE callee = ?)
               AND level IN ('warn', 'error') AND instr(message, ?) ORDER BY at_s, id"""
    with _reading(path) as db:
        return _risen(db.execute(sql, (upstream, upstream)).fetchall(), onset_s, most)


def _risen(rows: list[tuple[int, float, str, str]], onset_s: float, most: int) -> tuple[Excerpt, ...]:
    """First line since the onset of each shape (numbers aside) that became twice as common, by count."""
    before = Counter(_shape(message) for _, at_s, _, message in rows if at_s < onset_s)
    after = Counter(_shape(message) for _, at_s, _, message in rows if at_s >= onset_s)
    first: dict[str, Excerpt] = {}
    for id_, at_s, service, message in rows:
        shape = _shape(message)
        if at_s >= onset_s and shape not in first and after[shape] > 2 * before[shape]:
            first[shape] = Excerpt(id_, at_s, service, message, after[shape])
    return tuple(sorted(first.values(), key=lambda excerpt: (-excerpt.count, excerpt.id))[:most])


def _shape(message: str) -> str:
    return re.sub(r"\d+", "#", message)
