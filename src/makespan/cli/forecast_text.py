"""A simulation's report for people."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from makespan.cli.text import duration, money, one_line, table
from makespan.traces.grid import grid_lines
from makespan.traces.text import percent

if TYPE_CHECKING:
    from makespan.forecast.report import Chance, Comparison, Difference, PolicyReport, Report
    from makespan.traces.grid import Grid

SHOWN_TASKS = 5
SHOWN_ERRORS = 3
NEVER = "never"


def told(report: Report, where: str, grid: Grid | None) -> Iterator[str]:
    """The whole report."""
    yield f"{report.subject}: {report.runs:,} simulated runs ({where}, seed {report.seed})"
    for each in report.policies:
        yield ""
        yield from _policy(each, report)
    for comparison in report.comparisons:
        yield ""
        yield from _comparison(comparison)
    if grid is not None:
        yield ""
        yield from grid_lines(grid, shutil.get_terminal_size((100, 24)).columns)
    if report.assumed:
        yield ""
        yield "assumed:"
        yield from (f"  {one_line(line, 240)}" for line in report.assumed)


def _policy(each: PolicyReport, report: Report) -> Iterator[str]:
    times, costs = each.makespan_s, each.cost_usd
    rows = [[f"policy {each.policy}", "mean", "p50", "p90", "p95", "p99"]]
    rows.append(["  makespan", *(_time(value) for value in (times.mean, times.p50, times.p90, times.p95, times.p99))])
    if costs.mean:
        rows.append(["  cost", *(_money(value) for value in (costs.mean, costs.p50, costs.p90, costs.p95, costs.p99))])
    yield from table(rows)
    yield from table([[f"  {name}", _chance(chance)] for name, chance in _chances(each, report) if chance is not None])
    if each.waste_usd:
        yield f"  waste  {money(each.waste_usd)} a run, {percent(each.waste_share)} of all money"
    if times.mean is not None and set(each.ends) != {"succeeded"}:
        yield f"  mean makespan: of the runs that succeeded; {NEVER}: fewer than so many did"
    if set(each.ends) != {"succeeded"}:
        yield f"  ends  {', '.join(f'{count:,} {end}' for end, count in each.ends.items())}"
    for error, count in list(each.errors.items())[:SHOWN_ERRORS]:
        yield f"    {count:,} × {one_line(error, 160)}"
    if each.critical:
        named = [f"{one_line(name, 40)} {percent(share)}" for name, share in each.critical[:SHOWN_TASKS]]
        more = len(each.critical) - SHOWN_TASKS
        yield f"  critical path  {', '.join(named)}{f' and {more} more' if more > 0 else ''}"


def _chances(each: PolicyReport, report: Report) -> Iterator[tuple[str, Chance | None]]:
    yield "succeeded", each.succeeded
    if report.deadline_s is not None:
        yield f"within {duration(report.deadline_s)}", each.within_deadline
    if report.budget_usd is not None:
        yield f"within {money(report.budget_usd)}", each.within_budget
    yield "within both", each.within_both


def _comparison(each: Comparison) -> Iterator[str]:
    yield f"{each.policy} against {each.against}, on the same {each.success.seeds:,} seeds"
    if each.makespan_s is not None:
        yield f"  makespan  {_difference(each.makespan_s, _signed_time)}"
    if each.cost_usd is not None and (each.cost_usd.mean or each.cost_usd.better or each.cost_usd.worse):
        yield f"  cost  {_difference(each.cost_usd, _signed_money)}"
    success = each.success
    if success.better or success.worse:
        low, high = success.low * 100, success.high * 100
        yield f"  success  {success.mean * 100:+.1f} points ({low:+.1f} to {high:+.1f})"


def _difference(each: Difference, text: object) -> str:
    assert callable(text)
    if not each.better and not each.worse:
        return "the same in every seed"
    spread = f"{text(each.mean)} ({text(each.low)} to {text(each.high)})"
    return f"{spread}, less in {percent(each.better)} of the seeds, more in {percent(each.worse)}"


def _signed_time(seconds: float) -> str:
    return f"{_sign(seconds)}{duration(abs(seconds))}"


def _signed_money(usd: float) -> str:
    return f"{_sign(usd)}{money(abs(usd))}"


def _sign(number: float) -> str:
    return "−" if number < 0 else "+"


def _time(seconds: float | None) -> str:
    return NEVER if seconds is None else duration(seconds)


def _money(usd: float | None) -> str:
    return NEVER if usd is None else money(usd)


def _chance(chance: Chance) -> str:
    return f"{percent(chance.share)} ({percent(chance.low)} to {percent(chance.high)})"
