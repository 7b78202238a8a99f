"""A goal in words as a run: which tools, which recipe and which models are plain text, so that any process can go on.

    makespan run "GOAL" --tools tools.py --recipe R        the workflow `goal`
    makespan plan "GOAL" --tools tools.py --recipe R       the workflow `draft_plan`: only the planner is asked
    makespan run plan.json --tools tools.py                the workflow `run_plan`

What a recipe module has for the command line, each only where it makes sense:

    async def pursue(goal: str, *, tools, models) -> Any           inside an async workflow; may take `format` too
    def draft(goal: str, *, tools, models) -> Ref[list[str]]       the call that writes its first plan; as above

`tools` are tasks for `pursue` and a `Tools` for `draft`. Recipes are imported when they are named.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import msgspec

from makespan.authoring.task import HOOKS, Task
from makespan.authoring.workflow import workflow
from makespan.errors import GraphError, UsageError, suggestion
from makespan.graph.node import Kind
from makespan.planners.changes import Add
from makespan.planners.live import LivePlan
from makespan.planners.paper import PaperPlan
from makespan.planners.saved import SavedReader
from makespan.planners.tools import Tools
from makespan.runtime.targets import load_module

DEFAULT_RECIPE = "one_plan"
RECIPES = {
    name: f"makespan.recipes.{name}"
    for name in (
        "one_plan",
        "react",
        "llmcompiler",
        "parallel_search",
        "flash_searcher",
        "constellation",
        "roma",
        "dta",
        "threadweaver",
        "dart",
        "task_memory",
    )
}
"""Recipe → module. Any other module with a `pursue` is a recipe too, by its dotted name or file."""
WHY_NOT = {
    "constellation": "it needs devices and their capabilities, which a goal in words does not say",
    "dart": "it needs robots and what each can do, which a goal in words does not say",
    "parallel_search": "it asks a search engine, not any tools",
    "task_memory": "it is a turn of a conversation, not a way to a goal",
}
"""What some recipes cannot do from the command line, and why, where their modules have no `pursue`."""


@workflow
async def goal(
    text: str, tools: list[str], recipe: str = DEFAULT_RECIPE, models: list[str] | None = None, format: str = "auto"
) -> Any:
    """Reach a goal with tools, as a recipe does it.

    Args:
        text: the goal.
        tools: what `load_tools` takes: `tools.py`, `package.module`, `tools.py:search,add`.
        recipe: a name of RECIPES, or a module with a `pursue`.
        models: names, best first; `default` unless given.
        format: how the plan is asked for, where the recipe can choose.
    """
    pursue = function_of(recipe, "pursue")
    reached = await pursue(
        text, tools=load_tools(tools), models=models or ["default"], **format_for(pursue, recipe, format)
    )
    return _plain(reached)


@workflow
async def draft_plan(
    text: str, tools: list[str], recipe: str = DEFAULT_RECIPE, models: list[str] | None = None, format: str = "auto"
) -> str:
    """Only the recipe's first plan, as its planner writes it; no tool runs. Arguments as for `goal`."""
    draft = function_of(recipe, "draft")
    offered = Tools(f"the recipe {recipe}", load_tools(tools))
    written = draft(text, tools=offered, models=models or ["default"], **format_for(draft, recipe, format))
    return "".join([piece async for piece in written])


@workflow
async def run_plan(plan: str, tools: list[str]) -> dict[str, Any]:
    """Every step of a kept plan, as soon as it can start; the results by name.

    Args:
        plan: its steps, JSON.
    Raises:
        GraphError: not all of it is calls of the tools; nothing has run then.
        TaskError: a step failed; all that do not need it have ended.
    """
    paper = checked(plan, Tools("the plan", load_tools(tools)))
    live = LivePlan(load_tools(tools))
    verdict = await live.edit([Add(each.step) for each in paper.steps.values()], author="plan")
    if not verdict:
        raise GraphError(f"the plan was refused ({verdict.reason}): {verdict.detail}")
    await live.settled()
    results = {name: await ref for name, ref in live.refs.items()}
    plain: dict[str, Any] = _plain(results)
    return plain


def checked(plan: str, tools: Tools) -> PaperPlan:
    """A kept plan on paper. Raises GraphError when some of it is no call of the tools."""
    paper = PaperPlan(tools, format=SavedReader())
    paper.take(plan)
    paper.done()
    if paper.faults:
        raise GraphError(f"the plan cannot run: {'; '.join(problem.message for problem in paper.faults)}")
    return paper


def function_of(recipe: str, name: str) -> Callable[..., Any]:
    """A recipe's `pursue` or `draft`.

    Raises:
        UsageError: there is no such recipe, or it has none.
    """
    module = find_recipe(recipe)
    found: Callable[..., Any] | None = getattr(module, name, None)
    if found is not None:
        return found
    if name == "draft" and hasattr(module, "pursue"):
        raise UsageError(f"the recipe {recipe} writes no plan before it acts: there is nothing to show; `run` does it")
    why = WHY_NOT.get(recipe, "its module has no `async def pursue(goal, *, tools, models)`")
    raise UsageError(f"the recipe {recipe} cannot be given a goal on the command line: {why}; call it in a workflow")


def find_recipe(recipe: str) -> ModuleType:
    """The module of a recipe by its name, or by its own dotted name or file. Raises UsageError for others."""
    if recipe in RECIPES or not ("." in recipe or "/" in recipe):
        if recipe not in RECIPES:
            known = suggestion(recipe, RECIPES) or f"; there are {', '.join(RECIPES)}"
            raise UsageError(f"no recipe is called {recipe!r}{known}")
        return load_module(RECIPES[recipe])
    return load_module(recipe)


def load_tools(specs: Sequence[str]) -> list[Task[..., Any]]:
    """The tasks that modules or files offer as tools.

    Args:
        specs: `tools.py` or `package.module` for every task and prompt it defines but those whose names begin with an
            underscore; `tools.py:a,b` for these, workflows included.
    Raises:
        UsageError: no such file, module or name, or nothing in it is a task.
    """
    found: dict[int, Task[..., Any]] = {}
    for spec in specs:
        source, colon, names = spec.rpartition(":")
        module = load_module(source if colon else spec)
        for task in _named(module, source, names) if colon else _all_tasks(module, spec):
            found[id(task)] = task
    if not found:
        raise UsageError("a goal needs tools: --tools tools.py, or --tools tools.py:search,add")
    return list(found.values())


def _named(module: ModuleType, source: str, names: str) -> list[Task[..., Any]]:
    known = [name for name, value in vars(module).items() if isinstance(value, Task)]
    tasks = []
    for name in filter(None, (each.strip() for each in names.split(","))):
        value = getattr(module, name, None)
        if value is None:
            raise UsageError(f"{source} has no {name!r}{suggestion(name, known) or f'; its tasks: {_list(known)}'}")
        if not isinstance(value, Task):
            raise UsageError(f"{source}:{name} is no task: decorate it with @ms.task")
        tasks.append(value)
    return tasks


def _all_tasks(module: ModuleType, spec: str) -> list[Task[..., Any]]:
    tasks = [
        value
        for name, value in vars(module).items()
        if isinstance(value, Task)
        and value.kind == Kind.CALL
        and value.module == module.__name__
        and not name.startswith("_")
    ]
    if not tasks:
        raise UsageError(f"{spec} defines no tasks; mark its functions with @ms.task")
    return tasks


def _list(names: list[str]) -> str:
    return ", ".join(names) or "none"


def format_for(function: Callable[..., Any], recipe: str, format: str) -> dict[str, str]:
    """`format` for those that take it. Raises UsageError where another one was wished for than there is."""
    if "format" in inspect.signature(function).parameters:
        return {"format": format}
    if format != "auto":
        raise UsageError(f"the recipe {recipe} asks for its plan in its own way: leave --format {format} out")
    return {}


def _plain(value: Any) -> Any:
    """A result as JSON: what a recipe gives has no declared type here."""
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=HOOKS.encode))
