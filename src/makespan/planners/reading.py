"""One planner's text on its way into a live plan: names, forward references, beginnings that are given up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from makespan.graph.edit import Batch
from makespan.planners.changes import Add, Drop, Refused, Replace
from makespan.planners.formats.choose import reader_for
from makespan.planners.steps import Join, PlanReader, Problem, Reference, Step, Text, depends_on

if TYPE_CHECKING:
    from makespan.planners.live import LivePlan


class Ingested(msgspec.Struct, frozen=True):
    """What one text of a planner came to."""

    steps: tuple[str, ...]
    """Names of the steps it gave, those that an earlier text had given too included."""
    problems: tuple[Problem, ...]
    join: Join | None
    """The planner said that its plan is complete."""


class Reading:
    """One planner's text on its way into a plan.

    Its names are its own: where the plan has another step of a name from before, the new one gets a longer one, and the
    text's references mean its own steps first.
    """

    def __init__(self, plan: LivePlan, format: str, author: str) -> None:
        self._plan, self._format, self._author = plan, format, author
        self._before = set(plan.steps)
        self._names: dict[str, str] = {}
        """The text's name → the plan's."""
        self._stale: dict[str, str] = {}
        """The same of a beginning that was given up."""
        self._waiting: list[Step] = []
        self._problems: list[Problem] = []
        self._join: Join | None = None
        self._reader: PlanReader = reader_for(format)

    def start_over(self) -> None:
        """The text so far does not count: what it said is kept where it is said again."""
        self._stale = {**self._stale, **self._names}
        self._names, self._waiting, self._problems, self._join = {}, [], [], None
        self._reader = reader_for(self._format)

    async def take(self, text: str) -> None:
        """More of the text."""
        await self._note(self._reader.feed(text))

    async def done(self) -> Ingested:
        """The text is over: what still waits for steps that never came is reported."""
        await self._note(self._reader.close())
        for step in self._waiting:
            missing = [name for name in depends_on(step) if self._plan_name(name) is None]
            here = {each.name for each in self._waiting}
            why = "which need each other" if set(missing) <= here else "which is not in the plan"
            await self._refuse(step, f"it needs step {', '.join(missing)}, {why}")
        await self._drop_stale()
        self._plan.problems += self._problems
        return Ingested(tuple(self._names.values()), tuple(self._problems), self._join)

    async def _note(self, found: Iterable[Step | Problem | Join]) -> None:
        for each in found:
            if isinstance(each, Problem):
                self._problems.append(each)
            elif isinstance(each, Join):
                self._join = each
            else:
                self._waiting.append(each)
                await self._enter_ready()

    async def _enter_ready(self) -> None:
        """Every waiting step whose references are all there becomes one of the plan."""
        while True:
            ready = [step for step in self._waiting if all(self._plan_name(name) for name in depends_on(step))]
            if not ready:
                return
            for step in ready:
                self._waiting.remove(step)
                await self._enter(step)

    def _plan_name(self, name: str) -> str | None:
        return self._names.get(name) or (name if name in self._before and name in self._plan.steps else None)

    async def _enter(self, step: Step) -> None:
        plan, earlier = self._plan, self._stale.pop(step.name, None)
        if step.name in self._names:
            await self._refuse(step, f"there is a step {step.name} already")
            return
        name = earlier or _free(step.name, plan.steps)
        meant = renamed(step, name, self._plan_name)
        if earlier is not None and earlier in plan.steps:
            if (
                plan.steps[earlier].step == meant
                or msgspec.structs.replace(plan.steps[earlier].step, spot=meant.spot, why=meant.why) == meant
            ):
                self._names[step.name] = earlier
                return
            verdict = await plan.edit([Replace(earlier, meant)], author=self._author, why=step.why)
            if verdict:
                self._names[step.name] = earlier
                return
            meant = msgspec.structs.replace(meant, name=_free(step.name, plan.steps))
        verdict = await plan.edit([Add(meant)], author=self._author, why=step.why)
        if verdict:
            self._names[step.name] = meant.name
        else:
            self._problems.append(Problem(step.spot, _quoted(step), verdict.detail))

    async def _refuse(self, step: Step, message: str) -> None:
        """Put a step that came to nothing on record."""
        self._problems.append(Problem(step.spot, _quoted(step), message))
        refusal = Refused("unfit", f"step {step.name}: {message}")
        await self._plan.ask(Batch(()), self._author, step.why, refusal)

    async def _drop_stale(self) -> None:
        """Steps of a beginning that was given up, and that nobody has said again: away where they have not started."""
        for name in reversed([name for name in self._stale.values() if name in self._plan.steps]):
            if self._plan.steps[name].outcome is None:
                await self._plan.edit([Drop(name)], author=self._author, why="the planner began again without it")


def _free(name: str, taken: Iterable[str]) -> str:
    """The name, or the next one like it that is free."""
    used, number, free = set(taken), 2, name
    while free in used:
        free, number = f"{name}.{number}", number + 1
    return free


def _quoted(step: Step) -> str:
    return f"{step.tool}(…)" if step.args or step.kwargs else f"{step.tool}()"


def renamed(step: Step, name: str, plan_name: Callable[[str], str | None]) -> Step:
    """A step under another name, with its references as the plan knows them."""

    def meant(argument: Any) -> Any:
        if isinstance(argument, Reference):
            return msgspec.structs.replace(argument, step=plan_name(argument.step) or argument.step)
        if isinstance(argument, Text):
            return Text(tuple(meant(part) for part in argument.parts))
        if isinstance(argument, dict):
            return {key: meant(value) for key, value in argument.items()}
        return [meant(value) for value in argument] if isinstance(argument, list | tuple) else argument

    return msgspec.structs.replace(
        step,
        name=name,
        args=tuple(map(meant, step.args)),
        kwargs={key: meant(value) for key, value in step.kwargs.items()},
        after=tuple(plan_name(each) or each for each in step.after),
    )
