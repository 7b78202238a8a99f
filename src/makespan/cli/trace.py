"""`makespan trace RUN`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from makespan.cli.options import json_option, store_option

if TYPE_CHECKING:
    from makespan.traces.spans import Span

ALL_ROWS = 1_000_000


@click.command("trace", short_help="Show what ran when, and the critical path.")
@click.argument("run_id", metavar="RUN", default="last")
@click.option("--gantt", "form", flag_value="gantt", default=True, help="A chart in the terminal's width (default).")
@click.option("--tree", "form", flag_value="tree", help="Attempts below their scopes.")
@click.option("--all", "show_all", is_flag=True, help="All attempts, however many.")
@store_option
@json_option
def command(run_id: str, form: str, show_all: bool, store: str | None, as_json: bool) -> int:
    """Show the attempts of RUN (the newest unless given): when, how long, how they ended. * is the critical path."""
    import msgspec

    from makespan.cli.stored import configured_store, facts_of, find_run, must_open
    from makespan.cli.text import one_line
    from makespan.machine.state import State
    from makespan.traces.gantt import MOST_ROWS, gantt
    from makespan.traces.spans import spans_of

    journal = must_open(configured_store(store))
    try:
        row = find_run(journal, run_id)
        state = State(journal.blob)
        spans = spans_of(facts_of(journal, row.run_id), state)
    finally:
        journal.close()
    if as_json:
        click.echo(msgspec.json.encode({"run_id": row.run_id, "spans": spans}).decode())
        return 0
    for span in spans:
        span.name, span.scope = one_line(span.name, 80), one_line(span.scope, 80)
    if form == "tree":
        click.echo("\n".join(tree(spans)))
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        rows = ALL_ROWS if show_all else MOST_ROWS
        click.echo("\n".join(gantt(spans, width, state.at / 1e9, rows)))
    return 0


def tree(spans: list[Span]) -> Iterator[str]:
    """Attempts in order of start, indented by their scope, whose name is printed where it changes."""
    from makespan.cli.text import duration, money, one_line, sign

    scope = ""
    for span in spans:
        depth = span.scope.count("/") + 1 if span.scope else 0
        if span.scope != scope:
            scope = span.scope
            yield f"{'  ' * (depth - 1)}{scope}/" if scope else "(run)"
        took = duration(None if span.end_s is None else span.end_s - span.start_s)
        parts = [f"{span.start_s:.3f} s + {took}"]
        if span.attempt > 1:
            parts.append(f"attempt {span.attempt}")
        if span.cost_usd:
            parts.append(money(span.cost_usd))
        if span.error:
            parts.append(one_line(span.error, 120))
        mark = " *" if span.critical else ""
        yield f"{'  ' * depth}{sign(span.status)} {span.name}  {'  '.join(parts)}{mark}"
