"""`makespan schema`."""

from __future__ import annotations

import click


@click.command("schema", short_help="Print the JSON Schema of workflows in YAML.")
def command() -> int:
    """Print the JSON Schema of workflows in YAML, for editors.

    Write it to a file and name that in the first line of a workflow:
    `# yaml-language-server: $schema=workflow.schema.json`
    """
    from makespan.documents.schema import text

    click.echo(text(), nl=False)
    return 0
