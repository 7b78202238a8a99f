"""Tasks that a workflow's code can reach, found without running it: what `check` and `run` look at before money flows.

An async workflow's graph is not known before it runs, but the names its code uses are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import CodeType, ModuleType
from typing import Any

from makespan.app import Engine
from makespan.authoring.task import Task
from makespan.errors import ProviderError, UsageError
from makespan.machine.broker import Broker
from makespan.ports import Dependency
from makespan.references import Secret
from makespan.services import EngineServices
from makespan.values import Usage


def reachable_tasks(workflow: Task[..., Any]) -> list[Task[..., Any]]:
    """The workflow and every task whose name its code, or theirs, mentions. Source order, each once."""
    found: dict[int, Task[..., Any]] = {id(workflow): workflow}
    waiting = [workflow]
    while waiting:
        at = waiting.pop(0)
        undo = () if at.undo is None else (at.undo,)
        for task in (*_mentioned(at.fn), *at.parts, *undo):
            if id(task) not in found:
                found[id(task)] = task
                waiting.append(task)
    return list(found.values())


def models_of(tasks: list[Task[..., Any]]) -> list[tuple[str, str]]:
    """(model name, key of the first prompt that wants it)."""
    wanted: dict[str, str] = {}
    for task in tasks:
        options = task.declaration.options
        if options.priced:
            for name in options.models:
                wanted.setdefault(name, task.key)
    return list(wanted.items())


def secrets_of(needs: Mapping[str, Dependency]) -> list[Secret]:
    """The secrets among injected parameters and all that these need, each once."""
    found: dict[Secret, None] = {}
    for dependency in needs.values():
        if isinstance(dependency, Secret):
            found[dependency] = None
        found.update(dict.fromkeys(secrets_of(dependency.needs)))
    return list(found)


def model_problem(services: EngineServices, name: str) -> ProviderError | None:
    """Why a model cannot be called: unknown, not installed, no key, no price. Nothing is sent."""
    try:
        model = services.model(name)
        check: Callable[[], None] | None = getattr(model, "check", None)
        if check is not None:
            check()
        services.cost(model.name, Usage())
    except ProviderError as error:
        return error
    return None


def pool_problems(broker: Broker, tasks: list[Task[..., Any]]) -> Iterator[str]:
    """What tasks need and no pool or rate here can ever give."""
    for task in tasks:
        needs = task.declaration.options.needs
        problem = broker.problem(tuple(need for need in needs if not broker.has_budget_of(need[0])))
        if problem:
            said = problem.partition("; give its size")[0]
            yield f"task {task.key}: {said}; give its size in [pools] of makespan.toml"


def refuse_what_is_missing(engine: Engine, workflow: Task[..., Any]) -> None:
    """Raise the first problem with a model or pool that the workflow can reach, before anything runs."""
    tasks = reachable_tasks(workflow)
    for problem in pool_problems(engine.broker, tasks):
        raise UsageError(problem)
    for name, key in models_of(tasks):
        missing = model_problem(engine.services, name)
        if missing is not None:
            raise ProviderError(f"prompt {key}: {missing}", kind=missing.kind, retryable=False) from missing


def _mentioned(fn: Callable[..., Any]) -> Iterator[Task[..., Any]]:
    code = getattr(fn, "__code__", None)
    if code is None:
        return
    known = dict(getattr(fn, "__globals__", {}))
    cells = zip(code.co_freevars, getattr(fn, "__closure__", None) or (), strict=False)
    for name, cell in cells:
        try:
            known[name] = cell.cell_contents
        except ValueError:  # a name that is not bound yet
            continue
    names = list(_names(code))
    for name in names:
        value = known.get(name)
        if isinstance(value, Task):
            yield value
        elif isinstance(value, ModuleType):
            yield from (each for each in _attributes(value, names))


def _attributes(module: ModuleType, names: list[str]) -> Iterator[Task[..., Any]]:
    for name in names:
        value = vars(module).get(name)
        if isinstance(value, Task):
            yield value


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    yield from code.co_freevars
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
