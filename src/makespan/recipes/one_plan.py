"""One plan for a goal, carried out while it is written: no judge, no re-planning on results.

    goal ─▶ planner ═lines═▶ steps, each starts as soon as it can ─▶ the result of the step that nothing else uses
               ▲ problems, once                                       (of several: all of them, by name)

Source: the planner of Kim et al., "An LLM Compiler for Parallel Function Calling" (2024), without its joiner: a small
model plans better than it judges, and what tools compute needs no verdict. Parts used: `planners.asking` (numbered
text, or JSON under a schema for small models), `LivePlan.ingest`. Ours: a plan with parts that came to nothing is asked
for once more with what was wrong; calls that are the same are not made again. Measured in
`tests/recipes/test_goal_small_models.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from makespan.authoring.ref import Ref
from makespan.authoring.task import Task
from makespan.errors import GraphError
from makespan.planners.asking import check_format, planner
from makespan.planners.changes import Drop
from makespan.planners.live import LivePlan
from makespan.planners.schema import MAX_STEPS, offers
from makespan.planners.steps import depends_on
from makespan.planners.tools import Tools

ROUNDS = 2
"""Times a plan is asked for: once more where something of it could not become a step."""


async def one_plan(
    goal: str,
    *,
    tools: Sequence[Task[..., Any]],
    models: Sequence[str] = (),
    format: str = "auto",
    max_steps: int = MAX_STEPS,
    rounds: int = ROUNDS,
) -> Any:
    """Plan and do; for the body of an async workflow.

    Args:
        models: who plans, best first; the workflow's unless given.
        format: `auto` (by the model), `numbered` or `schema`.
        max_steps: steps that the planner is told, or held to.
    Returns: the value of the step that no other one uses; of several such steps, their values by name.
    Raises:
        GraphError: after the last round some of the plan is no call of a tool; or there are no steps.
        TaskError: a step failed.
    """
    check_format(format)
    plan = LivePlan(tools)
    said, problems = None, tuple[str, ...]()
    for _ in range(rounds):
        text = planner(models)(goal, offers(plan.tools), max_steps, format, problems)
        said = await plan.ingest(text, format="auto")
        problems = tuple(str(problem) for problem in said.problems if not problem.repaired)
        if said.steps and not problems:
            break
    if said is None or problems or not said.steps:
        why = "; ".join(problems) or "it has no steps"
        raise GraphError(f"the plan for {goal!r} is not whole after {rounds} rounds: {why}")
    names = list(said.steps)
    for name in reversed([name for name in plan.open_steps() if name not in names]):
        await plan.edit([Drop(name)], author="planner", why="the plan was written again without it")
    used = {source for name in names for source in depends_on(plan.steps[name].step)}
    ends = [name for name in names if name not in used]
    await plan.settled(names)
    for name in names:
        await plan.refs[name]
    values = {name: await plan.refs[name] for name in ends}
    return next(iter(values.values())) if len(values) == 1 else values


async def pursue(goal: str, *, tools: Sequence[Task[..., Any]], models: Sequence[str], format: str = "auto") -> Any:
    """`one_plan` for the command line."""
    return await one_plan(goal, tools=tools, models=models, format=format)


def draft(goal: str, *, tools: Tools, models: Sequence[str], format: str = "auto") -> Ref[list[str]]:
    """The call that writes the plan, for `makespan plan`."""
    check_format(format)
    return planner(models)(goal, offers(tools), MAX_STEPS, format)
