"""One planner's text on its way into a live plan: names, forward references, beginnings that are given up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
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
        self._waiting: dict[int, Step] = {}
        """Steps that wait for others of the text, by their place in it."""
        self._missed: dict[str, list[int]] = {}
        """Name that is not there yet → the places of steps that wait for it."""
        self._place = 0
        self._problems: list[Problem] = []
        self._join: Join | None = None
        self._reader: PlanReader = reader_for(format)

    def start_over(self) -> None:
        """The text so far does not count: what it said is kept where it is said again."""
        self._stale = {**self._stale, **self._names}
        self._names, self._waiting, self._missed, self._problems, self._join = {}, {}, {}, [], None
        self._reader = reader_for(self._format)

    async def take(self, text: str) -> None:
        """More of the text."""
        await self._note(self._reader.feed(text))

    async def done(self) -> Ingested:
        """The text is over: what still waits for steps that never came is reported."""
        await self._note(self._reader.close())
        waiting = list(self._waiting.values())
        for step, missing, why in _reasons(waiting, lambda name: self._plan_name(name) is not None):
            await self._refuse(step, f"it needs step {', '.join(missing)}, {why}")
        await self._drop_stale()
        self.give_up()
        return Ingested(tuple(self._names.values()), tuple(self._problems), self._meant_join())

    def _meant_join(self) -> Join | None:
        """The end of the text, with its references as the plan knows them."""
        if self._join is None:
            return None
        return msgspec.structs.replace(self._join, args=tuple(meant(each, self._plan_name) for each in self._join.args))

    def give_up(self) -> None:
        """There will be no more; what was said stays, its problems too."""
        self._plan.problems += self._problems

    async def _note(self, found: Iterable[Step | Problem | Join]) -> None:
        for each in found:
            if isinstance(each, Problem):
                self._problems.append(each)
            elif isinstance(each, Join):
                self._join = each
            else:
                self._place += 1
                self._waiting[self._place] = each
                await self._enter_ready(self._place)

    async def _enter_ready(self, place: int) -> None:
        """The step at this place, if its references are all there, and then those that waited for it."""
        ready = deque([place])
        while ready:
            place = ready.popleft()
            step = self._waiting[place]
            missing = next((name for name in depends_on(step) if self._plan_name(name) is None), None)
            if missing is not None:
                self._missed.setdefault(missing, []).append(place)
                continue
            del self._waiting[place]
            await self._enter(step)
            if step.name in self._names:
                ready.extend(self._missed.pop(step.name, ()))

    def _plan_name(self, name: str) -> str | None:
        return self._names.get(name) or (name if name in self._before and name in self._plan.steps else None)

    async def _enter(self, step: Step) -> None:
        plan = self._plan
        if step.name in self._names:
            await self._refuse(step, f"there is a step {step.name} already")
            return
        earlier = self._stale.pop(step.name, None)
        name = earlier or _free(step.name, plan.steps)
        ours = renamed(step, name, self._plan_name)
        if earlier is not None and earlier in plan.steps and await self._is_kept(step.name, earlier, ours):
            return
        ours = msgspec.structs.replace(ours, name=_free(step.name, plan.steps))
        verdict = await plan.edit([Add(ours)], author=self._author, why=step.why)
        if verdict:
            self._names[step.name] = ours.name
            return
        self._problems.append(Problem(step.spot, _quoted(step), verdict.detail))
        if earlier is not None:
            self._stale[step.name] = earlier

    async def _is_kept(self, name: str, earlier: str, ours: Step) -> bool:
        """Whether a step that an earlier beginning gave is this one, or could be changed to it."""
        known = self._plan.steps[earlier].step
        if msgspec.structs.replace(known, spot=ours.spot, why=ours.why) != ours:
            verdict = await self._plan.edit([Replace(earlier, ours)], author=self._author, why=ours.why)
            if not verdict:
                return False
        self._names[name] = earlier
        return True

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


def _reasons(waiting: list[Step], is_there: Callable[[str], bool]) -> Iterator[tuple[Step, list[str], str]]:
    """Why each of these steps cannot be added: names that it misses, and in words what is wrong with them."""
    missing = {step.name: [name for name in depends_on(step) if not is_there(name)] for step in waiting}
    in_circle = set(missing)
    lost = deque(name for name, names in missing.items() if any(each not in missing for each in names))
    readers: dict[str, list[str]] = {}
    for name, names in missing.items():
        for each in names:
            readers.setdefault(each, []).append(name)
    while lost:
        name = lost.popleft()
        if name in in_circle:
            in_circle.remove(name)
            lost.extend(readers.get(name, ()))
    for step in waiting:
        absent = [name for name in missing[step.name] if name not in missing]
        if absent:
            yield step, absent, "which is not in the plan"
        elif step.name in in_circle:
            yield step, missing[step.name], "which need each other"
        else:
            yield step, missing[step.name], "which could not be added"


def _free(name: str, taken: Container[str]) -> str:
    """The name, or the next one like it that is free."""
    number, free = 2, name
    while free in taken:
        free, number = f"{name}.{number}", number + 1
    return free


def _quoted(step: Step) -> str:
    return f"{step.tool}(…)" if step.args or step.kwargs else f"{step.tool}()"


def meant(argument: Any, plan_name: Callable[[str], str | None]) -> Any:
    """An argument with its references as the plan knows them."""
    if isinstance(argument, Reference):
        return msgspec.structs.replace(argument, step=plan_name(argument.step) or argument.step)
    if isinstance(argument, Text):
        return Text(tuple(meant(part, plan_name) for part in argument.parts))
    if isinstance(argument, dict):
        return {key: meant(value, plan_name) for key, value in argument.items()}
    return [meant(value, plan_name) for value in argument] if isinstance(argument, list | tuple) else argument


def renamed(step: Step, name: str, plan_name: Callable[[str], str | None]) -> Step:
    """A step under another name, with its references as the plan knows them."""
    return msgspec.structs.replace(
        step,
        name=name,
        args=tuple(meant(each, plan_name) for each in step.args),
        kwargs={key: meant(value, plan_name) for key, value in step.kwargs.items()},
        after=tuple(plan_name(each) or each for each in step.after),
    )
