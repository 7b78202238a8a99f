"""DART: a goal for robots becomes a plan of steps that ask for robots, by number or by name; it is checked, then done.

    goal, fleet ── planner ──▶ JSON steps ── checked as a whole ──▶ steps wait for what they depend on, then for robots
                      ▲ what is wrong, a few times ─┘

Source: Wang et al., "DART-LLM: Dependency-Aware Multi-Robot Task Decomposition and Execution using Large Language
Models" (2024), from its description and plan format. Parts: pools whose units have names (`Engine(pools={"truck":
["truck_1", ...]})`) and a live plan. What differs: all robots that a step needs are claimed in one transaction, so none
is booked twice, in whatever process; a step starts in the turn that frees its robots, not at the next look of a timer;
a shortage waits in line; a plan is checked to its last word before the first robot moves.
Measured by `pytest tests/recipes/test_dart.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

import makespan as ms
from makespan.authoring.task import Task
from makespan.capacity import pools_of
from makespan.errors import GraphError, suggestion
from makespan.machine.broker import Broker
from makespan.machine.resources import UNIT, by_pool
from makespan.planners.asking import asked_of
from makespan.planners.changes import Add
from makespan.planners.formats.json_plan import JsonReader
from makespan.planners.live import LivePlan
from makespan.planners.paper import PaperPlan
from makespan.planners.schema import offers, signature
from makespan.planners.steps import Found, Problem, Step
from makespan.planners.tools import Tools

ROUNDS = 3
"""Times a plan is asked for, while something of it cannot be done."""

Fleet = Mapping[str, int | Sequence[str]]
"""Type of robot → how many, or their names: what `Engine(pools=...)` is given."""


class Ran(msgspec.Struct, frozen=True):
    """How one step of the plan went."""

    tool: str
    status: str
    """`succeeded`, `failed`, `cancelled` or `skipped`."""
    robots: dict[str, int]
    """What it asked for: how many of a type, or `truck:truck_1`."""
    result: Any = None
    problem: str = ""
    """Why there is no result."""


@ms.prompt(max_tokens=2048)
def assign(goal: str, robots: list[str], tools: list[str], problems: list[str]) -> str:
    """A plan for robots."""
    wrong = "\n".join(f"- {problem}" for problem in problems)
    ms.chat(
        f"Goal: {goal}\n\nRobots:\n{_listed(robots)}\n\nWhat robots can do:\n{_listed(tools)}\n\n"
        'Answer with a JSON list of steps, one object each: {"name": "a", "tool": "...", "args": {...}, "depends_on": '
        '["names of steps that must be over before"], "robots": {"type": "...", "count": 1}}. For certain robots write '
        '"robots": {"type": "...", "ids": ["..."]}; several types in a list. Steps that need not wait for each other '
        'are done at the same time; "$a" in an argument is the result of step a.'
        + (f"\n\nYour last plan cannot be done:\n{wrong}" if wrong else "")
    )


def _listed(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


async def dart(
    goal: str,
    *,
    robots: Fleet,
    tools: Sequence[Task[..., Any]],
    planner: Task[..., str] = assign,
    models: Sequence[str] = (),
    rounds: int = ROUNDS,
) -> dict[str, Ran]:
    """Plan for a fleet and do it; use it in an async workflow.

    A tool finds the robots that it was given in `ms.context().units["truck"]`. Steps that say the same are all done.

    Args:
        robots: the fleet, as the engine's `pools` have it.
        planner: a task or prompt with the parameters of `assign`, which writes JSON steps.
    Returns: how each step went, by name, in the order of the plan. What stood on a failed step failed with it.
    Raises:
        GraphError: after `rounds` there is no plan that can be done; nothing has moved.
        UsageError: `robots` are no pools.
    """
    offered = Tools("the recipe dart", tools)
    steps = await _plan(goal, robots, offered, asked_of(planner, models), rounds)
    plan = LivePlan(offered, repeats=True)
    verdict = await plan.edit([Add(step) for step in steps], author="planner", why=goal)
    if not verdict:
        raise GraphError(f"the plan was refused ({verdict.reason}): {verdict.detail}")
    await plan.settled()
    return {
        name: Ran(
            plan.steps[name].step.tool,
            outcome.status,
            dict(plan.steps[name].step.needs),  # type: ignore[arg-type]  # `Robots` has named them all
            outcome.result if outcome else None,
            "" if outcome.failure is None else f"{outcome.failure.type}: {outcome.failure.message}",
        )
        for name, outcome in plan.outcomes().items()
    }


async def _plan(goal: str, fleet: Fleet, tools: Tools, planner: Task[..., str], rounds: int) -> list[Step]:
    """Steps that can all be done, in an order in which they could start. Raises GraphError."""
    problems: list[str] = []
    known = [signature(offer) for offer in offers(tools)]
    for _ in range(rounds):
        paper = PaperPlan(tools, format=Robots(fleet))
        paper.take(await planner(goal, described(fleet), known, problems))
        paper.done()
        if paper.steps and not paper.faults:
            return [each.step for each in paper.steps.values()]
        problems = [str(problem) for problem in paper.faults] or ["it has no steps"]
    raise GraphError(f"no plan for {goal!r} can be done, after {rounds} tries: {'; '.join(problems)}")


def described(fleet: Fleet) -> list[str]:
    """The fleet for a planner, a line a type."""
    return [f"{kind}: {each if isinstance(each, int) else ', '.join(each)}" for kind, each in fleet.items()]


class Robots:
    """Reads JSON steps; what they say of robots is made into needs of the fleet, or into a problem.

    `{"type": "truck", "count": 2}` is `{"truck": 2}`. Names without a type are looked up: `["truck_1"]` is
    `{"truck:truck_1": 1}`.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._reader = JsonReader()
        pools = pools_of(fleet)
        self._broker = Broker(pools)
        self._types = {name: kind for kind, pool in pools.items() for name in pool.names}

    def feed(self, text: str) -> list[Found]:
        """What is complete now."""
        return [self._checked(found) for found in self._reader.feed(text)]

    def close(self) -> list[Found]:
        """The rest."""
        return [self._checked(found) for found in self._reader.close()]

    def _checked(self, found: Found) -> Found:
        if not isinstance(found, Step):
            return found
        needs: dict[str, int | tuple[str, ...]] = {}
        for kind, units in found.needs.items():
            if isinstance(units, int):
                needs[kind] = units
                continue
            for name in units:
                needs[f"{self._type(kind, name)}{UNIT}{name}"] = 1
        said = self._problem(needs)
        if said:
            return Problem(found.spot, f"{found.tool}(…)", f"step {found.name}: {said}")
        return msgspec.structs.replace(found, needs=needs)

    def _type(self, kind: str, name: str) -> str:
        """The type of a robot: plans name robots under any field."""
        return kind if kind in self._broker.pools else self._types.get(name, kind)

    def _problem(self, needs: dict[str, Any]) -> str:
        unknown = [kind for kind, _ in by_pool(tuple(needs.items())) if kind not in self._broker.pools]
        if unknown:
            names = [name.partition(UNIT)[2] for name in needs if name.startswith(f"{unknown[0]}{UNIT}")]
            known = [*self._broker.pools, *self._types]
            said = names[0] if names else unknown[0]
            return f"there is no robot {said!r}" + (suggestion(said, known) or f"; there are {', '.join(known)}")
        return self._broker.problem(tuple(needs.items())) or ""
