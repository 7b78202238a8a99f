"""`makespan logs RUN`."""

from __future__ import annotations

import click

from makespan.cli.options import json_option, store_option


@click.command("logs", short_help="Print the facts of a run in order.")
@click.argument("run_id", metavar="RUN", default="last")
@store_option
@json_option
def command(run_id: str, store: str | None, as_json: bool) -> int:
    """Print what was decided in RUN (the newest unless given), oldest first; --json: one object a line."""
    import msgspec

    from makespan.cli.stored import configured_store, facts_of, find_run, must_open
    from makespan.cli.text import one_line
    from makespan.machine.state import State
    from makespan.traces.lines import lines_of

    journal = must_open(configured_store(store))
    try:
        row = find_run(journal, run_id)
        state = State(journal.blob)
        for fact in facts_of(journal, row.run_id):
            state.apply(fact)
            for line in lines_of(fact, state):
                if as_json:
                    click.echo(msgspec.json.encode(line).decode())
                else:
                    click.echo(f"{line.at_s:10.3f} s  {one_line(line.text, 400)}")
    finally:
        journal.close()
    return 0
