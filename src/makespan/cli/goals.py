"""Goals and kept plans on the command line: what `plan` and `run` do where the target is no workflow."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from makespan.app import Engine
from makespan.authoring.ref import Ref
from makespan.authoring.task import Task
from makespan.authoring.yielding import Yielded
from makespan.cli.failures import FAILED, say
from makespan.cli.reachable import model_problem, models_of, pool_problems, reachable_tasks
from makespan.cli.session import Report, driven, tell
from makespan.cli.targets import absolute, see_the_current_folder
from makespan.cli.text import clean, one_line
from makespan.config import load_config
from makespan.errors import GraphError, UsageError
from makespan.handle import Run
from makespan.machine import facts as f
from makespan.machine.items import ITEMS
from makespan.machine.state import State
from makespan.planners.paper import Checked, PaperPlan
from makespan.planners.saved import SavedPlan, SavedReader, read_saved, saved_steps, shown
from makespan.planners.steps import Problem, depends_on
from makespan.planners.tools import Tools
from makespan.recipes import goal as recipe_of_goals
from makespan.recipes.goal import DEFAULT_RECIPE, checked, draft_plan, format_for, function_of, load_tools, run_plan

PLAN_FILE = ".json"
MODULE = recipe_of_goals.__name__


class Goal(msgspec.Struct, frozen=True):
    """What was said besides the goal itself."""

    text: str
    tools: list[str]
    recipe: str
    models: list[str]
    format: str

    def offered(self) -> Tools:
        """Its tools, imported. Raises as `load_tools`, and GraphError for a task that cannot be described."""
        loaded = load_tools(self.tools)
        try:
            return Tools(f"--tools {' '.join(self.tools)}", loaded)
        except GraphError as error:
            raise UsageError(f"{error}; or name the tools, --tools tools.py:a,b") from None


def said_goal(
    target: str,
    inputs: tuple[str, ...],
    tools: tuple[str, ...],
    recipe: str | None,
    models: tuple[str, ...],
    plan_format: str | None,
) -> Goal | None:
    """The goal or kept plan that a command is about; None where its target is a workflow.

    Raises:
        UsageError: options that belong to goals beside a workflow, or none of a goal's tools.
    """
    is_kept = target.endswith(PLAN_FILE) and Path(target).is_file()
    if not (tools or recipe or is_kept):
        if models or plan_format:
            raise UsageError("--model and --format belong to goals: add --tools MODULE, or leave them out")
        return None
    if not (tools or is_kept):
        raise UsageError("a goal needs tools: add --tools tools.py, or --tools tools.py:search,add")
    if not all(map(str.strip, tools)):
        raise UsageError("--tools is empty: name a file or module, --tools tools.py")
    if target.endswith(PLAN_FILE) and not is_kept and not any(map(str.isspace, target)):
        raise UsageError(f"there is no file {target}; a goal is said in words")
    if not target.strip():
        raise UsageError("the goal is empty: say in words what is to be reached")
    if is_kept and (recipe or models or plan_format):
        raise UsageError(f"{target} is a plan already: leave out --recipe, --model and --format, which are for goals")
    if inputs:
        where = f"change {target}" if is_kept else f"say {inputs[0]!r} in its text"
        raise UsageError(f"a {'kept plan' if is_kept else 'goal'} has no inputs: {where}")
    see_the_current_folder()
    found_at = [spec_from(spec, Path()) for spec in tools]
    return Goal(target, found_at, recipe or DEFAULT_RECIPE, list(models) or ["default"], plan_format or "auto")


def spec_from(spec: str, folder: Path) -> str:
    """`tools.py:a,b` as any other process finds it; a file is looked for from a folder."""
    source, colon, names = spec.rpartition(":") if ":" in spec else (spec, "", "")
    is_file = source.endswith(".py") or "/" in source
    return f"{absolute(str(folder / source)) if is_file else source}{colon}{names}"


def spec_for(spec: str, folder: Path) -> str:
    """The same as a file in that folder says it, so that both can be moved together."""
    source, colon, names = spec.rpartition(":") if ":" in spec else (spec, "", "")
    return f"{os.path.relpath(source, folder.absolute()) if os.path.isabs(source) else source}{colon}{names}"


# ---------------------------------------------------------------- run


class Errand(msgspec.Struct, frozen=True):
    """A run to start for a goal or a kept plan."""

    call: Ref[Any]
    workflow: Task[..., Any]
    target: str
    tasks: list[Task[..., Any]]
    models: list[str]

    def refuse_what_is_missing(self, engine: Engine) -> None:
        """Raise the first problem with a model or pool that it can reach, before anything runs."""
        for problem in pool_problems(engine.broker, self.tasks):
            raise UsageError(problem)
        for name in [*self.models, *(name for name, _ in models_of(self.tasks))]:
            missing = model_problem(engine.services, name)
            if missing is not None:
                raise missing


def errand(goal: Goal) -> Errand:
    """What `run` starts.

    Raises:
        UsageError: unknown recipe, tools or file. GraphError: a kept plan that is not whole.
    """
    if goal.text.endswith(PLAN_FILE) and Path(goal.text).is_file():
        return _kept_plan(goal)
    format_for(function_of(goal.recipe, "pursue"), goal.recipe, goal.format)
    tools = goal.offered()
    call = recipe_of_goals.goal(goal.text, goal.tools, goal.recipe, goal.models, goal.format)
    return Errand(call, recipe_of_goals.goal, f"{MODULE}:goal", _reachable(tools), goal.models)


def _kept_plan(goal: Goal) -> Errand:
    plan = read_saved(Path(goal.text).read_bytes(), goal.text)
    see_the_current_folder()
    specs = goal.tools or [spec_from(spec, Path(goal.text).parent) for spec in plan.tools]
    if not specs:
        raise UsageError(f"{goal.text} does not say whose tools its steps call: add --tools MODULE")
    tools = msgspec.structs.replace(goal, tools=specs).offered()
    try:
        paper = checked(plan.text(), tools)
    except GraphError as error:
        raise UsageError(f"{goal.text}: {error}") from None
    for problem in paper.problems:  # what a slip of the pen may have meant otherwise
        say(one_line(f"{goal.text}: {problem.message}: {problem.text}"))
    return Errand(run_plan(plan.text(), specs), run_plan, f"{MODULE}:run_plan", _reachable(tools), [])


def _reachable(tools: Tools) -> list[Task[..., Any]]:
    return [task for name in tools.names for task in reachable_tasks(tools.task(name))]


# ---------------------------------------------------------------- plan


class Growing:
    """Shows a plan line by line while it is written; a `Progress`."""

    def __init__(self, tools: Tools, *, is_silent: bool) -> None:
        self._tools, self._is_silent, self._out = tools, is_silent, sys.stdout
        self._paper, self._start = PaperPlan(tools), (-1, -1, -1)
        self._shown: list[str] = []

    def attach(self, run: Run[Any], usual_s: float | None) -> None:
        """Follow the run from now on."""
        run.watch(self._note_facts)

    def note(self, text: str) -> None:
        """Beside the plan."""
        say(one_line(text))

    def close(self) -> None:
        """Nothing to let go of."""

    def _note_facts(self, facts: Any, state: State) -> None:
        for fact in facts:
            if isinstance(fact, f.MessageReceived) and fact.name.startswith(ITEMS):
                one = msgspec.msgpack.decode(state.bytes_of(fact.value), type=Yielded)
                if one.start != self._start:
                    self._paper, self._start = PaperPlan(self._tools), one.start
                    self._begin()
                self._show(self._paper.take(msgspec.msgpack.decode(one.body, type=str)))

    def _begin(self) -> None:
        if self._shown:
            self._echo("the planner begins again")
        self._shown = []

    def end(self, text: str) -> PaperPlan:
        """The plan is complete: show what was not shown yet."""
        paper = PaperPlan(self._tools)
        lines = list(map(line_of, [*paper.take(text), *paper.done()]))
        if self._shown != lines[: len(self._shown)]:
            self._begin()
        for line in lines[len(self._shown) :]:
            self._echo(line)
        return paper

    def _show(self, found: list[Checked | Problem]) -> None:
        for each in found:
            self._shown.append(line_of(each))
            self._echo(self._shown[-1])

    def _echo(self, line: str) -> None:
        if self._is_silent:
            return
        try:
            click.echo(line, file=self._out)
        except BrokenPipeError:  # `| head` has seen enough; inside the driver's turn an error would stop the run
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            self._is_silent = True


def line_of(found: Checked | Problem) -> str:
    """A step, or what is wrong, on one line."""
    if isinstance(found, Problem):
        return f"  {'repaired' if found.repaired else 'problem'} {clean(str(found))}"
    step = found.step
    after = f"  after {', '.join(depends_on(step))}" if depends_on(step) else ""
    return f"  {step.name}. {one_line(shown(step), 90)}{after}"


def show_plan(goal: Goal, store: str | None, output: str | None, *, as_json: bool) -> int:
    """Ask only the planner, show its plan as it grows, keep it."""
    if goal.text.endswith(PLAN_FILE) and Path(goal.text).is_file():
        return _show_kept(goal, output, as_json=as_json)
    format_for(function_of(goal.recipe, "draft"), goal.recipe, goal.format)
    tools = goal.offered()
    if output is not None:
        _refuse_output(output)
    call = draft_plan(goal.text, goal.tools, goal.recipe, goal.models, goal.format)
    started = Errand(call, draft_plan, f"{MODULE}:draft_plan", [], goal.models)

    def begin(engine: Engine) -> Run[Any]:
        started.refuse_what_is_missing(engine)
        return engine.start(call, target=started.target)

    growing = Growing(tools, is_silent=as_json)
    report = driven(load_config(store=store), begin, growing)
    if report.status != "succeeded":
        return tell(report, as_json)
    paper = growing.end(str(report.output))
    return _told(goal, paper, tools, report, output, as_json=as_json)


def _told(
    goal: Goal, paper: PaperPlan, tools: Tools, report: Report | None, output: str | None, *, as_json: bool
) -> int:
    """What a plan came to."""
    steps = saved_steps((each.step for each in paper.steps.values()), tools)
    if as_json:
        click.echo(msgspec.json.encode(_described(goal, paper, steps, report)).decode())
    elif paper.steps:
        widest = max(paper.widths)
        size = f"{_counted(len(steps), 'step')} on {_counted(len(paper.widths), 'level')}, at most {widest} at once"
        cost = f"; planned by {', '.join(goal.models)} for ${report.cost_usd:.4f}" if report and report.cost_usd else ""
        click.echo(f"{size}{cost}")
    if paper.faults or not paper.steps:
        lost = _counted(len(paper.faults), "part") if paper.faults else "the planner wrote no steps"
        say(f"this plan cannot run as it is: {f'{lost} of it came to nothing' if paper.faults else lost}")
        return FAILED
    if output is not None:
        specs = [spec_for(spec, Path(output).parent) for spec in goal.tools]
        plan = SavedPlan(steps, goal.text, specs, goal.recipe, goal.models)
        Path(output).write_bytes(msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n")
        say(f"kept: run it with `makespan run {output}`")
    return 0


def _show_kept(goal: Goal, output: str | None, *, as_json: bool) -> int:
    """A plan that was kept, checked again, and kept elsewhere where that is wished for."""
    if output is not None:
        _refuse_output(output)
    plan = read_saved(Path(goal.text).read_bytes(), goal.text)
    specs = goal.tools or [spec_from(spec, Path(goal.text).parent) for spec in plan.tools]
    if not specs:
        raise UsageError(f"{goal.text} does not say whose tools its steps call: add --tools MODULE")
    see_the_current_folder()
    tools = msgspec.structs.replace(goal, tools=specs).offered()
    paper = PaperPlan(tools, format=SavedReader())
    for found in [*paper.take(plan.text()), *paper.done()]:
        if not as_json:
            click.echo(line_of(found))
    recipe, models = plan.recipe or goal.recipe, plan.models or goal.models
    kept = Goal(plan.goal, specs, recipe, models, goal.format)
    return _told(kept, paper, tools, None, output, as_json=as_json)


def _described(goal: Goal, paper: PaperPlan, steps: list[dict[str, Any]], report: Report | None) -> dict[str, Any]:
    levels = [each.level for each in paper.steps.values()]
    return {
        "goal": goal.text,
        "recipe": goal.recipe,
        "models": goal.models,
        "run_id": report.run_id if report else None,
        "cost_usd": report.cost_usd if report else 0.0,
        "is_whole": bool(paper.steps) and not paper.faults,
        "levels": len(paper.widths),
        "width": max(paper.widths, default=0),
        "steps": [{**step, "level": level} for step, level in zip(steps, levels, strict=True)],
        "problems": [
            {
                "line": problem.spot.line,
                "column": problem.spot.column,
                "text": problem.text,
                "message": problem.message,
                "repaired": problem.repaired,
            }
            for problem in paper.problems
        ],
    }


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _refuse_output(path: str) -> None:
    """Raise at once what would fail after the planner was paid."""
    if not path.endswith(PLAN_FILE):
        raise UsageError(f"-o {path}: write FILE.json for the plan of a goal")
    if not Path(path).absolute().parent.is_dir():
        raise UsageError(f"the folder {str(Path(path).parent)!r} does not exist; make it, or write the plan elsewhere")
    if Path(path).is_dir() or not os.access(path if Path(path).exists() else Path(path).absolute().parent, os.W_OK):
        raise UsageError(
            f"-o {path} cannot be written: it is a folder, or not yours to change; write the plan elsewhere"
        )
