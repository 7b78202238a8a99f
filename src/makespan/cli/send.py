"""`makespan send RUN NAME VALUE`: a message for a run, whatever process drives it."""

from __future__ import annotations

import click

from makespan.cli.options import json_option, store_option


@click.command("send", short_help="Send a run a message.")
@click.argument("run_id", metavar="RUN")
@click.argument("name")
@click.argument("value", required=False, default="null")
@click.option("--id", "message_id", help="Sent again with the same id it is the same message.")
@click.option("--text", is_flag=True, help="VALUE is text, not JSON.")
@store_option
@json_option
def command(
    run_id: str, name: str, value: str, message_id: str | None, text: bool, store: str | None, as_json: bool
) -> int:
    """Send RUN the message NAME with VALUE (JSON; null unless given). It is kept until something receives it."""
    from makespan.cli.asking import ask_run, read_value

    body = {"name": name, "value": value if text else read_value(value)}
    answer = ask_run(run_id, "send", body, message_id, store)
    return answer.tell(f"sent {name!r}", as_json)
