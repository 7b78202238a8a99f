"""`makespan models [list|pull|check]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from makespan.cli.options import json_option

if TYPE_CHECKING:
    from makespan.models.pull import Pulled
    from makespan.models.weights import Weights
    from makespan.services import EngineServices


@click.group("models", invoke_without_command=True, short_help="List, fetch or check models.")
@click.pass_context
def command(context: click.Context) -> int:
    """Models: which there are, whether they can be called, and getting the embedded one."""
    if context.invoked_subcommand is None:
        return int(context.invoke(list_models) or 0)
    return 0


@command.command("list", short_help="Names, what they stand for, whether they can be called.")
@json_option
def list_models(as_json: bool = False) -> int:
    """Every model name that a prompt may use here."""
    from makespan.cli.text import table

    rows = [_described(name, stands_for, problem) for name, stands_for, problem in _known()]
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode({"models": rows}).decode())
        return 0
    cells = [["NAME", "STANDS FOR", "STATE"]]
    cells += [[row["name"], row["model"], row["problem"] or "ready"] for row in rows]
    click.echo("\n".join(table(cells)))
    return 0


@command.command("pull", short_help="Fetch the embedded model (94 MB, once), or a larger one by name.")
@click.argument("name", required=False)
@json_option
def pull_model(name: str | None, as_json: bool) -> int:
    """Make sure that a model is on this machine and is the file it should be.

    Without NAME the default one, `embedded`. By name: qwen2.5-coder-1.5b (1.1 GB, Apache-2.0), which can plan.
    """
    from makespan.cli.failures import say
    from makespan.models.embedded import EMBEDDED_NAME
    from makespan.models.pull import pull
    from makespan.models.weights import weights_of

    if name in (None, "embedded", EMBEDDED_NAME):
        pulled, name = pull(), "embedded"
    else:
        pulled = _pull_by_name(weights_of(str(name)))
    megabytes = pulled.size_bytes / 1e6
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(pulled, enc_hook=str).decode())
    elif pulled.downloaded:
        say(f"fetched {megabytes:.0f} MB in {pulled.seconds:.1f} s, sha256 checked: {pulled.path}")
    else:
        which = "embedded model" if name == "embedded" else f"model {name}"
        say(f"the {which} is here already, sha256 checked: {pulled.path}")
    return 0


def _pull_by_name(weights: Weights) -> Pulled:
    """Fetch an opt-in model, saying what it is and how far it is."""
    from makespan.cli.failures import say
    from makespan.models.weights import pull_weights

    say(f"{weights.name}: {weights.licence}")
    say(f"  {weights.size_bytes / 1e6:,.0f} MB from {weights.source}")

    def said(done: int, whole: int) -> None:
        if done % 4 == 0 or done == whole:
            say(f"  {done} of {whole} slices")

    return pull_weights(weights, said=said)


@command.command("check", short_help="Whether one model, or all, can be called; nothing is sent.")
@click.argument("name", required=False)
def check_models(name: str | None) -> int:
    """Check keys, files and prices. Exit code 2 for a name that means nothing, 5 for what is missing here."""
    from makespan.cli.failures import code_of, say

    worst = 0
    for each, _, problem in _known(name):
        say(f"{each}: {problem or 'ready'}")
        if problem is not None:
            worst = min(worst or 9, code_of(problem))
    return worst


def _known(only: str | None = None) -> list[tuple[str, str, Any]]:
    """(name, what it stands for, problem)."""
    import asyncio

    from makespan.cli.reachable import model_problem
    from makespan.config import engine_from, load_config
    from makespan.models.weights import OPT_IN
    from makespan.services import DEFAULT_MODEL, EngineServices

    config = load_config()
    options = engine_from(config)
    services: EngineServices = EngineServices(
        options["models"], options["prices"], allow_unknown_prices=options["allow_unknown_prices"]
    )
    stands_for = {"default": DEFAULT_MODEL, "embedded": "smollm2-135m", "scripted": "echo, for tests"}
    stands_for |= dict.fromkeys(OPT_IN, "in this process, opt-in")
    stands_for |= {name: entry.model for name, entry in config.models.items()}
    names = [only] if only else list(stands_for)
    try:
        return [(name, stands_for.get(name, name), model_problem(services, name)) for name in names]
    finally:
        asyncio.run(services.close())


def _described(name: str, stands_for: str, problem: Any) -> dict[str, Any]:
    return {"name": name, "model": stands_for, "problem": None if problem is None else str(problem)}
