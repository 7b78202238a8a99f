"""A plan on paper: read and checked as `LivePlan` does it, with no run around it, so that nothing starts.

    paper = PaperPlan(tools)
    paper.take(text)        what is new: steps that would go into the graph, problems; the text may come in pieces
    paper.done()            the rest, when the text is complete

Steps that refer to later ones wait for them; those that never come are problems, as in a live plan.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any, cast

import msgspec

from makespan.authoring.place import Place, Registry
from makespan.authoring.ref import Ref
from makespan.errors import GraphError
from makespan.graph.node import Node, Scope
from makespan.planners.drafting import Drafting
from makespan.planners.formats.choose import reader_for
from makespan.planners.steps import Found, Join, PlanReader, Problem, Step, depends_on
from makespan.planners.tools import Tools, Unfit
from makespan.values import ROOT_SCOPE

if TYPE_CHECKING:
    from makespan.authoring.bodies import LiveBodies

MAX_STEPS = 1_000
"""Steps of one plan, as of a live one."""


class Checked(msgspec.Struct, frozen=True):
    """A step that would go into the graph."""

    step: Step
    level: int
    """From 1: how many steps stand in line up to it."""


class PaperPlan:
    """A plan whose steps are checked and never run.

    Args:
        format: of its text, as for `LivePlan.ingest`, or what reads it.
    """

    def __init__(self, tools: Tools, *, format: str | PlanReader = "auto", max_steps: int = MAX_STEPS) -> None:
        nowhere = _Nowhere()
        self._drafting = Drafting(tools, cast("LiveBodies", nowhere), Place(nowhere, ROOT_SCOPE), "paper")
        self._reader = reader_for(format) if isinstance(format, str) else format
        self._max_steps = max_steps
        self._results: dict[str, Ref[Any] | None] = {}
        self._waiting: list[Step] = []
        self.steps: dict[str, Checked] = {}
        """By name, in the order in which they could start."""
        self.problems: list[Problem] = []
        self.join: Join | None = None

    @property
    def faults(self) -> list[Problem]:
        """Problems that were not repaired: something of the text is not in the plan."""
        return [problem for problem in self.problems if not problem.repaired]

    @property
    def widths(self) -> list[int]:
        """Steps on each level."""
        levels = [checked.level for checked in self.steps.values()]
        return [levels.count(level) for level in range(1, max(levels, default=0) + 1)]

    def take(self, text: str) -> list[Checked | Problem]:
        """More of the text; what is new."""
        return self._noted(self._reader.feed(text))

    def done(self) -> list[Checked | Problem]:
        """The text is complete; what is new."""
        new = self._noted(self._reader.close())
        here = {step.name for step in self._waiting}
        for step in self._waiting:
            missing = [name for name in depends_on(step) if name not in self.steps]
            why = "which need each other" if set(missing) <= here else "which is not in the plan"
            new.append(self._problem(step, f"it needs step {', '.join(missing)}, {why}"))
        self._waiting = []
        return new

    def _noted(self, found: list[Found]) -> list[Checked | Problem]:
        new: list[Checked | Problem] = []
        for each in found:
            if isinstance(each, Problem):
                self.problems.append(each)
                new.append(each)
            elif isinstance(each, Join):
                self.join = each
            else:
                self._waiting.append(each)
                new += self._entered()
        return new

    def _entered(self) -> list[Checked | Problem]:
        """Every waiting step whose references are all there, checked."""
        new: list[Checked | Problem] = []
        while ready := [step for step in self._waiting if all(name in self.steps for name in depends_on(step))]:
            for step in ready:
                self._waiting.remove(step)
                new += self._enter(step)
        return new

    def _enter(self, step: Step) -> list[Checked | Problem]:
        if step.name in self.steps:
            return [self._problem(step, f"there is a step {step.name} already")]
        if len(self.steps) >= self._max_steps:
            return [self._problem(step, f"a plan has at most {self._max_steps} steps")]
        try:
            draft = self._drafting.draft(step, self._results)
        except Unfit as problem:
            return [self._problem(step, str(problem))]
        self._results[step.name] = draft.ref
        level = 1 + max((self.steps[name].level for name in depends_on(step)), default=0)
        self.steps[step.name] = Checked(step, level)
        self.problems += draft.repairs
        return [self.steps[step.name], *draft.repairs]

    def _problem(self, step: Step, message: str) -> Problem:
        problem = Problem(step.spot, f"{step.tool}({'…' if step.args or step.kwargs else ''})", message)
        self.problems.append(problem)
        return problem


class _Nowhere:
    """A builder without a run."""

    def __init__(self) -> None:
        self.registry = Registry()

    def add(self, node: Node) -> None:
        """Nothing becomes of it."""

    def open_scope(self, scope: Scope) -> None:
        raise GraphError("a plan on paper opens no scope")

    def wait(self, ref: Ref[Any]) -> Generator[Any, None, Any]:
        raise GraphError("a plan on paper has no results")

    def iterate(self, ref: Ref[Any]) -> AsyncIterator[Any]:
        raise GraphError("a plan on paper has no results")
