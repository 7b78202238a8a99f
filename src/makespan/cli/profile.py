"""`makespan profile [RUN]...`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from makespan.cli.options import json_option, store_option

if TYPE_CHECKING:
    from makespan.profiles.fitting import Figures, Fit
    from makespan.store_port import Journal, RunRow

LAST = 200
"""Newest runs that are looked at, unless `--last` says otherwise."""


@click.command("profile", short_help="Fit what tasks take and cost from past runs.")
@click.argument("run_ids", metavar="[RUN]...", nargs=-1)
@click.option("--workflow", metavar="NAME", help="Only runs of this workflow.")
@click.option("--last", type=click.IntRange(min=1), default=LAST, show_default=True, help="Most runs, newest first.")
@click.option("-o", "--output", "path", metavar="FILE", help="Write the profile: FILE.json, for `--profile`.")
@store_option
@json_option
def command(
    run_ids: tuple[str, ...], workflow: str | None, last: int, path: str | None, store: str | None, as_json: bool
) -> int:
    """Fit a profile from the journals of RUNs, or of the newest: by task and mode how long an attempt takes, what it
    costs, how often it succeeds, and results to draw from.

    `makespan simulate` does this by itself; a file is for editing, for other machines, and for what has never run.
    """
    from makespan.cli.stored import configured_store, find_run, must_open
    from makespan.cli.text import counted, table
    from makespan.errors import UsageError
    from makespan.profiles.profile import written

    if path is not None and not path.endswith(".json"):
        raise UsageError(f"-o {path}: a profile is written as JSON: give FILE.json")
    journal = must_open(configured_store(store))
    try:
        rows = [find_run(journal, said) for said in run_ids] or past_runs(journal, workflow, last)
        fit = fitted_from(journal, rows)
    finally:
        journal.close()
    if not fit.runs:
        named = f" of {workflow!r}" if workflow else ""
        raise UsageError(f"no stored run{named} to fit a profile from; `makespan ps` lists what there is")
    body = written(fit.profile)
    if path is not None:
        write(path, body)
        click.echo(f"{path}: {counted({'runs' if fit.runs > 1 else 'run': fit.runs})}", err=True)
    if as_json:
        click.echo(body, nl=False)
    else:
        click.echo("\n".join(table(list(_rows(fit.figures())))))
    return 0


def past_runs(journal: Journal, workflow: str | None = None, last: int = LAST) -> list[RunRow]:
    """The newest runs that really ran."""
    from makespan.forecast.saved import is_simulated

    rows = (row for row in journal.runs() if not is_simulated(row.workflow))
    return [row for row in rows if workflow is None or row.workflow == workflow][:last]


def fitted_from(journal: Journal, rows: Iterable[RunRow]) -> Fit:
    """A fit of stored runs."""
    from makespan.cli.stored import facts_of
    from makespan.profiles.fitting import Fit

    fit = Fit()
    for row in rows:
        fit.add(facts_of(journal, row.run_id), journal.blob)
    return fit


def write(path: str, body: bytes) -> None:
    """A file. Raises UsageError where it cannot be."""
    from makespan.errors import UsageError

    try:
        Path(path).write_bytes(body)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def _rows(figures: Iterable[Figures]) -> Iterable[list[str]]:
    from makespan.cli.text import duration, money, one_line

    yield ["task", "mode", "attempts", "p50", "p95", "mean cost", "success"]
    for each in figures:
        yield [
            one_line(each.key, 60),
            one_line(each.mode, 30) or "-",
            f"{each.attempts:,}",
            duration(each.p50_ns / 1e9),
            duration(each.p95_ns / 1e9),
            money(each.mean_cost / 1e9) if each.mean_cost else "-",
            f"{each.success:.1%}",
        ]
