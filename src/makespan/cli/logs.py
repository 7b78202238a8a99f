"""`makespan logs RUN`."""

from __future__ import annotations

import click

from makespan.cli.options import json_option, store_option


@click.command("logs", short_help="Print the facts of a run in order, or follow it.")
@click.argument("run_id", metavar="RUN", default="last")
@click.option("--follow", "-f", "is_following", is_flag=True, help="What happens, as it happens, until the run ends.")
@click.option("--after", metavar="CURSOR", help="With --follow: go on after the update with this cursor (see --json).")
@click.option("--only", metavar="KIND", multiple=True, help="With --follow: only updates of this kind; repeatable.")
@store_option
@json_option
def command(
    run_id: str, is_following: bool, after: str | None, only: tuple[str, ...], store: str | None, as_json: bool
) -> int:
    """Print what was decided in RUN (the newest unless given), oldest first; --json: one object a line.

    --follow prints starts, results, questions, pieces of answers and progress instead, in whichever process the run
    is, and ends with it or at its pause. Ctrl-C leaves; the run goes on.
    """
    if is_following:
        from makespan.cli.follow import follow

        return follow(store, run_id, after, only, as_json=as_json)
    if after is not None or only:
        raise click.UsageError("--after and --only belong to --follow")
    return _print_facts(run_id, store, as_json)


def _print_facts(run_id: str, store: str | None, as_json: bool) -> int:
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
