"""`makespan export TARGET|RUN --to mermaid|json`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from makespan.cli.options import store_option

if TYPE_CHECKING:
    from makespan.graph.graph import Graph


@click.command("export", short_help="Write a graph as Mermaid or JSON.")
@click.argument("what", metavar="TARGET|RUN")
@click.option("--to", "form", type=click.Choice(["mermaid", "json"]), default="mermaid", show_default=True)
@store_option
def command(what: str, form: str, store: str | None) -> int:
    """Write the graph of a workflow, or the graph a run really had, to stdout."""
    from makespan.graph.codec import to_json
    from makespan.graph.mermaid import mermaid

    graph = _graph(what, store)
    click.echo(mermaid(graph) if form == "mermaid" else to_json(graph).decode(), nl=form == "json")
    return 0


def _graph(what: str, store: str | None) -> Graph:
    if ":" in what or what.endswith(".py"):
        from makespan.authoring.trace import template_of
        from makespan.cli.targets import find_workflow

        return template_of(find_workflow(what)[0]).graph
    from makespan.cli.stored import configured_store, find_run, fold, must_open
    from makespan.machine.realised import realised

    journal = must_open(configured_store(store))
    try:
        return realised(fold(journal, find_run(journal, what).run_id))
    finally:
        journal.close()
