"""`makespan check TARGET`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from makespan.cli.options import input_option, json_option, store_option

if TYPE_CHECKING:
    from makespan.authoring.task import Task
    from makespan.config import Config
    from makespan.documents.problems import DocumentError
    from makespan.rehearsal import Rehearsal


@click.command("check", short_help="Import and trace a workflow and look for problems; run nothing.")
@click.argument("target")
@input_option
@click.option(
    "--against", "run_id", metavar="RUN", help="Compare with what RUN did: what this code would do otherwise."
)
@store_option
@json_option
def command(target: str, inputs: tuple[str, ...], run_id: str | None, store: str | None, as_json: bool) -> int:
    """Import and trace TARGET; check types, inputs, models, keys, prices and pools. Nothing runs, nothing is sent.

    With --against, replay RUN in memory with this code: which finished tasks have other code now, which it does not ask
    for any more, which are new. Exit code 2 when the definition has a problem, or RUN would be paused by the changes; 5
    when only this machine has a problem (a key, a model file).
    """
    from makespan.cli.failures import DONE, say
    from makespan.cli.inputs import read_inputs
    from makespan.cli.targets import find_workflow
    from makespan.cli.text import clean
    from makespan.config import load_config
    from makespan.documents.problems import DocumentError

    config = load_config(store=store)
    try:
        workflow, _ = find_workflow(target)
    except DocumentError as error:
        return _broken(error, as_json)
    if inputs:
        read_inputs(workflow, inputs)
    if run_id is not None:
        return _against(workflow, run_id, config.store, as_json)
    found = list(_problems(workflow, config))
    if as_json:
        import msgspec

        problems = [message for message, _ in found]
        result = {"workflow": workflow.key, "ok": not found, "problems": problems}
        click.echo(msgspec.json.encode(result).decode())
    for message, _ in found:
        say(f"problem: {clean(message)}")
    if not found:
        say(f"{workflow.key} is in order")
    return min((code for _, code in found), default=DONE)


def _against(workflow: Task[..., Any], run_id: str, store: str, as_json: bool) -> int:
    """Today's code against a run."""
    from makespan.cli.failures import DONE, USAGE
    from makespan.cli.stored import find_run, fold, must_open
    from makespan.errors import UsageError
    from makespan.rehearsal import rehearse

    journal = must_open(store)
    try:
        state = fold(journal, find_run(journal, run_id).run_id)
        if state.started is not None and state.started.workflow != workflow.key:
            raise UsageError(f"run {state.run_id} is one of {state.started.workflow}, not of {workflow.key}")
        found = rehearse(state, workflow)
    finally:
        journal.close()
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(found).decode())
    else:
        for line in _compared(found):
            click.echo(line)
    return USAGE if found.diverged else DONE


def _compared(found: Rehearsal) -> Iterator[str]:
    from makespan.cli.text import clean, one_line

    yield f"{found.same} results of run {found.run_id} would be used as they are"
    said = {
        "have other code now (used all the same; --on-change rerun does them again)": found.stale,
        "would not be asked for any more": found.dropped,
        "would be new": found.added,
    }
    for what, names in said.items():
        if names:
            yield f"{len(names)} {what}:"
            yield from (f"  {one_line(name, 100)}" for name in names)
    if found.diverged:
        yield f"the run would be paused: {clean(found.diverged)}"


def _broken(error: DocumentError, as_json: bool) -> int:
    """A document that cannot be loaded: each problem on a line that editors and people can jump to."""
    from makespan.cli.failures import USAGE, say
    from makespan.cli.text import clean

    messages = [f"{error.file}:{each.at.line}:{each.at.column}: {each.message}" for each in error.problems]
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode({"workflow": error.file, "ok": False, "problems": messages}).decode())
    for message in messages:
        say(clean(message))
    return USAGE


def _problems(workflow: Task[..., Any], config: Config) -> Iterator[tuple[str, int]]:
    """Messages, each with the exit code it stands for."""
    from makespan.authoring.trace import template_of
    from makespan.cli.failures import USAGE
    from makespan.cli.reachable import reachable_tasks
    from makespan.errors import GraphError
    from makespan.graph.check import problems

    tasks = {id(task): task for task in reachable_tasks(workflow)}
    try:
        template = template_of(workflow)
    except GraphError as error:
        yield str(error), USAGE
    else:
        for problem in problems(template.nodes, template.scopes):
            yield problem.message, USAGE
        for node in template.nodes:
            task = template.registry.get(node.key)
            if task is not None:
                tasks.setdefault(id(task), task)
    yield from _needs_problems(list(tasks.values()), config)
    yield from _model_problems(list(tasks.values()), config)
    yield from _secret_problems(list(tasks.values()))


def _secret_problems(tasks: list[Task[..., Any]]) -> Iterator[tuple[str, int]]:
    from makespan.cli.failures import ENVIRONMENT, USAGE
    from makespan.cli.reachable import secrets_of
    from makespan.errors import GraphError

    for task in tasks:
        try:
            wanted = secrets_of(task.signature.injected)
        except GraphError as error:
            yield str(error), USAGE
            continue
        for secret in wanted:
            if secret.problem:
                yield f"task {task.key}: the secret {secret.reference} {secret.problem}", ENVIRONMENT


def _needs_problems(tasks: list[Task[..., Any]], config: Config) -> Iterator[tuple[str, int]]:
    from makespan.capacity import budgets_of, pools_of, rates_of
    from makespan.cli.failures import USAGE
    from makespan.cli.reachable import pool_problems
    from makespan.machine.broker import Broker

    broker = Broker(pools_of(config.pools), rates_of(config.rates), budgets_of(config.budgets))
    for problem in pool_problems(broker, tasks):
        yield problem, USAGE


def _model_problems(tasks: list[Task[..., Any]], config: Config) -> Iterator[tuple[str, int]]:
    import asyncio

    from makespan.cli.failures import code_of
    from makespan.cli.reachable import model_problem, models_of
    from makespan.config import engine_from
    from makespan.services import EngineServices

    options = engine_from(config)
    services = EngineServices(
        options["models"], options["prices"], allow_unknown_prices=options["allow_unknown_prices"]
    )
    try:
        for name, key in models_of(tasks):
            problem = model_problem(services, name)
            if problem is not None:
                yield f"prompt {key}: {problem}", code_of(problem)
    finally:
        asyncio.run(services.close())
