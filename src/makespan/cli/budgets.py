"""`makespan budgets`."""

from __future__ import annotations

import time
from typing import Any

import click

from makespan.cli.options import json_option, store_option


@click.command("budgets", short_help="Show what is used of the budgets that runs share.")
@store_option
@json_option
def command(store: str | None, as_json: bool) -> int:
    """Show each budget of makespan.toml in its present period: its amount, what is used and what is reserved.

    `lost` is what runs had reserved whose process died: it counts as used, and is charged when they go on.
    """
    from makespan.cli.failures import say
    from makespan.cli.text import table
    from makespan.config import load_config

    config = load_config(store=store)
    listed = _listed(config, config.store)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode({"budgets": listed}).decode())
        return 0
    if not listed:
        say("no budgets: write [budgets] usd = 5.0 into makespan.toml")
        return 0
    cells = [["ACCOUNT", "UNIT", "USED", "RESERVED", "LOST", "AMOUNT", "PER", "UNTIL"], *map(_cells, listed)]
    if not any(budget["lost"] for budget in listed):
        cells = [[*row[:4], *row[5:]] for row in cells]
    click.echo("\n".join(table(cells)))
    return 0


def _listed(config: Any, store: str) -> list[dict[str, Any]]:
    from makespan.capacity import budgets_of, in_units, iso
    from makespan.cli.stored import open_for_reading
    from makespan.slots import in_period
    from makespan.store_port import Account

    now = time.time_ns()
    journal, listed = open_for_reading(store), []
    for name, budget in budgets_of(config.budgets).items():
        start, end = budget.period(now)
        where = in_period(f"budget:{name}", start)
        held = Account(0, 0, 0) if journal is None else journal.account(where, now)
        account, _, unit = name.partition("/")
        listed.append(
            {
                "account": account,
                "unit": unit,
                "used": in_units(unit, held.spent),
                "reserved": in_units(unit, held.reserved),
                "lost": in_units(unit, held.lost),
                "amount": in_units(unit, budget.amount),
                "per": getattr(budget.periods, "per", None),
                "until": iso(end) if end else None,
            }
        )
    if journal is not None:
        journal.close()
    return listed


def _cells(budget: dict[str, Any]) -> list[str]:
    numbers = [f"{budget[name]:g}" for name in ("used", "reserved", "lost", "amount")]
    return [budget["account"], budget["unit"], *numbers, budget["per"] or "", budget["until"] or ""]
