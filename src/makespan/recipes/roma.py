"""ROMA: a goal is split into goals until each can be done at once; what comes back is put together on the way up.

    solve(goal) ── at once? ──▶ execute ──────────────────────────────────────▶ result
                └─ split ──▶ solve, solve, solve (each its own sub-graph) ──▶ aggregate ──▶ result

Source: ROMA, the recursive open meta-agent of Sentient (2026), from its public description. Parts: a workflow that is a
tool of its own plan (`planners.live`), so every split, and every second try of children, is one edit of the graph.
What differs: a child that failed is really planned again, and its siblings' results are reused; references to subtasks
that are not there go back to the planner, they are not dropped; the reducer is mandatory, and its type is checked.
Measured by `pytest tests/recipes/test_roma.py`, and by `python -m bench --case plans-roma`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

import makespan as ms
from makespan.authoring.place import here
from makespan.authoring.task import Task
from makespan.errors import GraphError
from makespan.graph.types import assignable, explain
from makespan.planners.asking import asked_of
from makespan.planners.changes import Add
from makespan.planners.live import LivePlan
from makespan.planners.steps import Reference, Step, depends_on

MAX_DEPTH = 5
"""Levels of goals inside goals; at the last one a goal is done at once, whatever the atomizer says."""
MAX_WIDTH = 8
"""Subtasks of one goal."""
REPLANS = 1
"""Times that failed children of one goal are planned again."""
ASKED_AGAIN = 1
"""Times a planner is told what is wrong with its subtasks; then the goal is done at once."""
CONTEXT_CHARS = 4_800
"""Characters of results that one prompt is shown: about 1,200 tokens."""


class Subtask(msgspec.Struct, frozen=True):
    """One part of a goal."""

    goal: str
    needs: list[int] = []
    """Subtasks whose results it is given, by their places in the list, from 0."""


@ms.prompt()
def is_atomic(goal: str, given: list[str]) -> bool:
    """Whether a goal can be done at once."""
    ms.chat(f"Can this be done in one step, without splitting it up? Goal: {goal}\n{_shown(given)}")


@ms.prompt(max_tokens=1024)
def split(goal: str, given: list[str], problems: list[str]) -> list[Subtask]:
    """The parts of a goal."""
    wrong = f"\nYour last answer could not be used: {'; '.join(problems)}" if problems else ""
    ms.chat(
        f"Split this goal into a few subtasks that together reach it. `needs` lists the places, from 0, of the "
        f"subtasks whose results a subtask must be given. Goal: {goal}\n{_shown(given)}{wrong}"
    )


@ms.prompt(max_tokens=1024)
def execute(goal: str, given: list[str]) -> str:
    """Do it."""
    ms.chat(f"{goal}\n{_shown(given)}")


@ms.prompt(max_tokens=1024)
def aggregate(goal: str, parts: list[str]) -> str:
    """One result from those of the parts."""
    ms.chat(f"Answer this goal from the results below, briefly. Goal: {goal}\n{_shown(parts)}")


@ms.prompt()
def try_otherwise(goal: str, failed: str, why: str) -> str:
    """Another wording of a part that failed."""
    ms.chat(f"To reach the goal {goal!r}, the subtask {failed!r} failed: {why}. Write one other subtask in its place.")


def _shown(given: list[str]) -> str:
    """Results as a prompt is given them: all of them, each cut to its fair share of `CONTEXT_CHARS`."""
    share = CONTEXT_CHARS // max(len(given), 1)
    return "\n".join(f"- {text if len(text) <= share else text[: share - 1] + '…'}" for text in given)


async def roma(
    goal: str,
    *,
    atomizer: Task[..., bool] = is_atomic,
    planner: Task[..., list[Subtask]] = split,
    executor: Task[..., Any] = execute,
    aggregator: Task[..., Any] = aggregate,
    replanner: Task[..., str] = try_otherwise,
    models: Sequence[str] = (),
    max_depth: int = MAX_DEPTH,
    max_width: int = MAX_WIDTH,
    replans: int = REPLANS,
    name: str = "roma",
) -> Any:
    """Reach a goal recursively; use it in an async workflow.

    Args:
        atomizer, planner, executor, aggregator, replanner: tasks or prompts with the parameters of those above.
        name: tells two different uses in one run apart; the same use, as in a map, needs no other name.
    Returns: what the executor or the aggregator gives.
    Raises:
        GraphError: the aggregator's result cannot stand where the executor's does.
        TaskError: a part failed and planning it again did not help.
    """
    if not assignable(aggregator.returns, executor.returns):
        raise GraphError(f"roma: the aggregator's result: {explain(aggregator.returns, executor.returns)}")
    atomizer, planner, replanner = asked_of(atomizer, models), asked_of(planner, models), asked_of(replanner, models)
    executor, aggregator = asked_of(executor, models), asked_of(aggregator, models)
    parts = (atomizer, planner, executor, aggregator, replanner, max_depth, max_width, replans)
    known = _solver_of(name, parts)
    if known is not None:
        return await known(goal, [], 0)

    async def solve(goal: str, given: list[Any], depth: int) -> Any:
        if depth >= max_depth or await atomizer(goal, given):
            return await executor(goal, given)
        subtasks = await _parts(planner, goal, given, max_width)
        if not subtasks:
            return await executor(goal, given)
        plan = LivePlan([solver])
        latest = {str(place): str(place) for place in range(len(subtasks))}
        steps = [_step(tool, str(place), each.goal, each.needs, latest, depth) for place, each in enumerate(subtasks)]
        await _add(plan, steps, f"split into {len(steps)}")
        for again in range(2, replans + 2):
            await plan.settled()
            broken = [place for place, name in latest.items() if not plan.steps[name].outcome]
            failed = [place for place in broken if all(str(need) not in broken for need in subtasks[int(place)].needs)]
            if not failed:
                break
            words = {place: _second_try(plan, replanner, goal, latest[place]) for place in failed}
            latest |= {place: f"{place}~{again}" for place in broken}
            steps = []
            for place in broken:
                said = await words[place] if place in words else subtasks[int(place)].goal
                steps.append(_step(tool, latest[place], said, subtasks[int(place)].needs, latest, depth))
            await _add(plan, steps, f"subtask {', '.join(failed)} failed")
        await plan.settled()
        return await aggregator(goal, [plan.steps[name].ref for name in latest.values()])

    solve.__annotations__["return"] = executor.returns
    solve.__dict__[_PARTS] = parts
    tool = _tool(name)
    solver = ms.workflow(key=tool)(solve)
    return await solver(goal, [], 0)


async def pursue(goal: str, *, tools: Sequence[Task[..., Any]], models: Sequence[str]) -> Any:
    """`roma` for the command line: who does a part is an agent with the tools."""
    worker = ms.prompt(key="roma_worker", tools=list(tools), max_tokens=1024)(execute.fn)
    return await roma(goal, executor=worker, models=models)


_PARTS = "roma_parts"
"""Where a function that solves goals keeps what it is made of."""


def _tool(name: str) -> str:
    return f"{name}_solve"


def _solver_of(name: str, parts: tuple[Any, ...]) -> Task[..., Any] | None:
    """What solves goals in this run under this name: the runs of a map, or two goals of one body, share it.

    Raises:
        GraphError: it is made of other parts.
    """
    known = here("roma").builder.registry.get(_tool(name))
    if known is None:
        return None
    made_of = vars(known.fn).get(_PARTS, ())
    if len(made_of) != len(parts) or not all(map(_is_same, made_of, parts)):
        raise GraphError(f"roma: two different uses in one run are called {name!r}; give one of them name=...")
    return known


def _is_same(one: Any, other: Any) -> bool:
    """Whether two parts do the same: a task with other options is a copy of it."""
    if isinstance(one, Task) and isinstance(other, Task):
        return one.fn is other.fn and one.key == other.key and one._options == other._options
    return bool(one == other)


async def _parts(planner: Task[..., list[Subtask]], goal: str, given: list[Any], max_width: int) -> list[Subtask]:
    """The planner's subtasks; none where they make no sense after it was told so."""
    problems: list[str] = []
    for _ in range(ASKED_AGAIN + 1):
        subtasks: list[Subtask] = await planner(goal, given, problems)
        problems = _problems(subtasks, max_width)
        if not problems:
            return subtasks
    return []


def _problems(subtasks: list[Subtask], max_width: int) -> list[str]:
    """What is wrong with a list of subtasks: every reference must be to one before or after it, and none in a ring."""
    if not 1 <= len(subtasks) <= max_width:
        return [f"{len(subtasks)} subtasks; give 1 to {max_width}"]
    found = [
        f"subtask {place} needs {need}, which is " + ("itself" if need == place else "not in the list")
        for place, each in enumerate(subtasks)
        for need in each.needs
        if need == place or not 0 <= need < len(subtasks)
    ]
    return found or _ring(subtasks)


def _ring(subtasks: list[Subtask]) -> list[str]:
    left = dict(enumerate(subtasks))
    while ready := [place for place, each in left.items() if not any(need in left for need in each.needs)]:
        for place in ready:
            del left[place]
    return [f"subtasks {', '.join(map(str, left))} need each other"] if left else []


def _step(tool: str, name: str, goal: str, needs: list[int], latest: dict[str, str], depth: int) -> Step:
    given = [Reference(latest[str(need)]) for need in needs]
    return Step(name, tool, kwargs={"goal": goal, "given": given, "depth": depth + 1})


def _second_try(plan: LivePlan, replanner: Task[..., str], goal: str, name: str) -> ms.Ref[str]:
    """Other words for a subtask that failed."""
    planned = plan.steps[name]
    failure = planned.outcome.failure if planned.outcome is not None else None
    return replanner(goal, planned.step.kwargs["goal"], "" if failure is None else failure.message)


async def _add(plan: LivePlan, steps: list[Step], why: str) -> None:
    """One edit for all of them, in an order in which each comes after those it needs."""
    ordered: list[Step] = []
    left = {step.name: step for step in steps}
    while left:
        ready = [name for name, step in left.items() if not any(other in left for other in depends_on(step))]
        ordered += [left.pop(name) for name in ready]
    verdict = await plan.edit([Add(step) for step in ordered], author="planner", why=why)
    if not verdict:
        raise GraphError(f"roma: the edit was refused ({verdict.reason}): {verdict.detail}")
