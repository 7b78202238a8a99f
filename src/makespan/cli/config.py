"""`makespan config [show]`."""

from __future__ import annotations

import re
from typing import Any

import click

from makespan.cli.options import json_option, store_option


@click.group("config", invoke_without_command=True, short_help="Show the configuration.")
@click.pass_context
def command(context: click.Context) -> int:
    """The configuration that holds here: flags over environment over makespan.toml over defaults."""
    if context.invoked_subcommand is None:
        return int(context.invoke(show) or 0)
    return 0


@command.command("show", short_help="Every value.")
@click.option("--origin", is_flag=True, help="Where each value comes from.")
@store_option
@json_option
def show(origin: bool = False, store: str | None = None, as_json: bool = False) -> int:
    """Print every value, keys as references, never as themselves."""
    from makespan.cli.text import table
    from makespan.config import load_config

    config = load_config(store=store)
    rows = list(_values(config))
    if as_json:
        import msgspec

        listed = [{"name": name, "value": value, "origin": config.origins.get(name, "default")} for name, value in rows]
        click.echo(msgspec.json.encode({"file": config.path or None, "values": listed}).decode())
        return 0
    cells = [[name, _shown(value), config.origins.get(name, "default")][: 3 if origin else 2] for name, value in rows]
    click.echo("\n".join(table(cells)))
    return 0


def _values(config: Any) -> list[tuple[str, Any]]:
    import msgspec

    from makespan.machine.facts import Limits

    rows: list[tuple[str, Any]] = [
        ("store", config.store),
        ("allow_unknown_prices", config.allow_unknown_prices),
        ("policy", config.policy),
        ("profile", config.profile),
    ]
    for table in ("models", "prices", "pools", "rates"):
        entries = getattr(config, table)
        rows += [(f"{table}.{name}", _without_password(msgspec.to_builtins(entry))) for name, entry in entries.items()]
    rows += [
        (f"budgets.{name}.{unit}" if isinstance(said, dict) else f"budgets.{name}", amount)
        for name, said in config.budgets.items()
        for unit, amount in (said.items() if isinstance(said, dict) else [("", said)])
    ]
    limits = msgspec.to_builtins(Limits()) | config.limits
    return rows + [(f"limits.{name}", value) for name, value in limits.items()]


def _without_password(entry: Any) -> Any:
    """An address may carry one: `https://user:password@host`."""
    if not isinstance(entry, dict):
        return entry
    return {
        name: re.sub("//[^/@]*@", "//***@", each) if isinstance(each, str) else each for name, each in entry.items()
    }


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={_shown(each)}" for name, each in value.items() if each not in ("", (), []))
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(repr, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
