"""Goals with fallbacks in a live plan: goals side by side, the paths of each one after the other, until one succeeds.

    goal a   path 1 ─✗─ path 2 ─✓─                   a path is over when all its calls are; only then the next begins
    goal b   path 1 ────────✓─  (path 2 is never started)
    goal c   path 1 ─✗─ path 2 ─✗─ blocked ── an edit adds path 3 ── path 3 ─✓─

Every path enters the plan as one edit, or in pieces where it waits for other goals, so its calls start as soon as their
references are there. When a goal is reached, or a path has failed, nothing more of it starts in that turn; what is in
flight is cancelled, except irreversible calls: they are waited for, and no fallback starts beside them. An irreversible
call starts only after all calls before it on its path succeeded.
Source: the goals, paths and refinements of Flash-Searcher (2025); changed: falling back needs no model, rounds are
counted and have no barrier, a change of goals is an edit with a typed verdict.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.place import here
from makespan.authoring.ref import Ref
from makespan.authoring.task import Task
from makespan.errors import GraphError
from makespan.graph.edit import Batch
from makespan.graph.node import Effect
from makespan.planners.changes import Add, EditVerdict, Refused
from makespan.planners.goal_checks import Expression, Unreadable
from makespan.planners.goal_drafts import GoalDraft
from makespan.planners.goal_edits import Goal, GoalChange, goals_of
from makespan.planners.goal_states import (
    BLOCKED,
    COMPLETED,
    DROPPED,
    FAILED,
    IN_PROGRESS,
    JUDGED,
    LEAVING,
    STOPPED,
    SUCCEEDED,
    TRYING,
    Action,
    GoalView,
    PathState,
    PathView,
    Pursued,
    in_words,
    plainly,
)
from makespan.planners.live import LivePlan
from makespan.planners.reading import renamed
from makespan.planners.saved import shown
from makespan.planners.steps import Step, depends_on

ROUND_WIDTH = 5
"""Calls that count as one round: those beyond it are counted as another."""

Judge = Task[..., bool] | Callable[[Goal, Any], bool]
"""A task or prompt of (want, criterion, result), or a function of a goal and a path's result as plain values."""


class Goals:
    """Goals in a live plan, in the body of an async workflow.

        goals = Goals(plan)
        await goals.edit([AddGoal(goal), …])
        while not goals.are_over:
            await goals.advance()
            await plan.news()

    Args:
        judge: asked about a path's result after the goal's own `check`, if the goal has a `criterion`.
        judge_all: it is asked about goals without one as well.
    """

    def __init__(self, plan: LivePlan, *, judge: Judge | None = None, judge_all: bool = False) -> None:
        bodies = here("goals").builder
        assert isinstance(bodies, LiveBodies), "a plan is in a live body"
        self.plan, self._bodies, self._judge, self._judge_all = plan, bodies, judge, judge_all
        self._pursued: dict[str, Pursued] = {}
        self._paths_made = 0
        self._all: set[str] = set()
        """Names in the plan of all calls of all paths."""
        self._lock = asyncio.Lock()
        self._rounds: dict[str, int] = {}
        """Call of ours → the round in which it starts: one more than what it, or its path, waited for."""
        self._unheard: dict[str, tuple[str, int]] = {}
        """Calls whose end is not among `actions` yet, with their goal and path."""
        self.revision = 0
        """Edits applied so far."""
        self.max_rounds: int | None = None
        """Goals whose next calls would need more are stopped."""
        self.actions: list[Action] = []
        """Calls that have ended, in order."""
        self.failed_paths = self.blocked_goals = 0
        """How often either has happened: a planner's surprises."""

    @property
    def are_over(self) -> bool:
        """Whether none is in progress."""
        return all(each.status != IN_PROGRESS for each in self._pursued.values())

    @property
    def has_blocked(self) -> bool:
        """Whether one is out of paths."""
        return any(each.status == BLOCKED for each in self._pursued.values())

    @property
    def rounds(self) -> int:
        """Rounds of at most `ROUND_WIDTH` calls that somebody would need who waits for a whole round before the next:
        the calls that wait for as many others, one after the other, are one round."""
        return _count(self._rounds.values())

    @property
    def calls(self) -> int:
        """Calls made, or that will be as soon as their references are there."""
        return len(self._rounds)

    def views(self) -> list[GoalView]:
        """All goals as they stand, in the order in which they came."""
        return [self._view(each) for each in self._pursued.values()]

    def stop(self, why: str) -> None:
        """Start nothing more, and cancel what may be; goals in progress are `stopped`."""
        for each in self._pursued.values():
            if each.status == IN_PROGRESS:
                self._stop_goal(each, STOPPED, why)

    # ------------------------------------------------------------ what happens

    async def advance(self) -> None:
        """Take note of what has ended and start what is next. To be called at every news of the plan."""
        async with self._lock:
            self._hear()
            is_moving = True
            while is_moving:
                is_moving = False
                for each in list(self._pursued.values()):
                    if await self._push(each):
                        is_moving = True

    async def _push(self, each: Pursued) -> bool:
        """One move of a goal; whether there was one."""
        current = each.current()
        if current is not None and current[1].status == LEAVING:
            return self._left(current[1])
        if each.status != IN_PROGRESS:
            return False
        if current is None:
            each.status, each.why = BLOCKED, "all its paths have failed" if each.paths else "it has no path"
            self.blocked_goals += 1
            return True
        number, path = current
        if path.status == JUDGED:
            return self._hear_judge(each, path)
        path.status = TRYING
        broken = next((why for name in path.names.values() if (why := self._failure(name))), "")
        if broken:
            return self._give_up(path, broken)
        if path.left:
            return await self._start(each, number, path)
        last = self.plan.steps[path.names[path.steps[-1].name]]
        return last.outcome is not None and self._check(each, path, last.outcome.value)

    def _failure(self, name: str) -> str:
        planned = self.plan.steps.get(name)
        if planned is None:
            return "a call of it was dropped from the plan"
        outcome = planned.outcome
        if outcome is None or outcome:
            return ""
        why = "" if outcome.failure is None else f": {outcome.failure.type}: {outcome.failure.message}"
        return in_words(f"{shown(planned.step)} {outcome.status}{why}")

    def _hear(self) -> None:
        ended = [
            (planned.at_s, name)
            for name in self._unheard
            if (planned := self.plan.steps.get(name)) is not None and planned.outcome is not None
        ]
        for _, name in sorted(ended, key=lambda each: each[0]):
            goal, path = self._unheard.pop(name)
            planned = self.plan.steps[name]
            outcome = planned.outcome
            assert outcome is not None
            if outcome.status == "skipped" or name not in self._rounds:
                self._rounds.pop(name, None)
                continue
            said = in_words(plainly(outcome.value)) if outcome else ""
            if outcome.failure is not None:
                said = in_words(f"{outcome.failure.type}: {outcome.failure.message}")
            self.actions.append(Action(goal, path, shown(planned.step), outcome.status, said))

    # ------------------------------------------------------------ starting

    async def _start(self, each: Pursued, number: int, path: PathState) -> bool:
        """Put the calls into the plan whose references are there, all in one edit."""
        ready: list[Step] = []
        rounds = dict[str, int]()
        results = {name: other.result for name, other in self._pursued.items() if other.status == COMPLETED}
        prefix = next(iter(path.names.values())).rpartition(".")[0] if path.names else self._new_prefix(each, number)
        for step in path.left:
            needed = goals_of([step], self._pursued)
            lost = next((name for name in needed if self._pursued[name].status not in (IN_PROGRESS, COMPLETED)), None)
            if lost is not None:
                return self._give_up(path, f"it needs goal {lost}, which is {self._pursued[lost].status}")
            before = self._before(step, path) if self._is_irreversible(step) else []
            own = {name for name in (*depends_on(step), *before) if name not in needed}
            if not needed <= results.keys() or not own <= {*path.names, *(one.name for one in ready)}:
                continue
            names = [results[name] if name in needed else f"{prefix}.{name}" for name in (*needed, *own)]
            rounds[f"{prefix}.{step.name}"] = 1 + max([each.round, *(rounds.get(n, self._round(n)) for n in names)])
            ready.append(msgspec.structs.replace(step, after=tuple(before)))
        if not ready or self._must_wait(ready):
            return False
        if self.max_rounds is not None and _count([*self._rounds.values(), *rounds.values()]) > self.max_rounds:
            self._stop_goal(each, STOPPED, "there are no more steps")
            return True
        return await self._enter(each, number, path, ready, rounds, prefix, results)

    async def _enter(
        self,
        each: Pursued,
        number: int,
        path: PathState,
        ready: list[Step],
        rounds: dict[str, int],
        prefix: str,
        results: dict[str, str],
    ) -> bool:
        plan = self.plan
        steps = [renamed(s, f"{prefix}.{s.name}", lambda n: results.get(n) or f"{prefix}.{n}") for s in ready]
        why = f"path {number} of goal {each.goal.name}"
        verdict = await plan.edit([Add(step) for step in steps], author=path.author, why=why)
        if not verdict:
            return self._give_up(path, f"{verdict.reason}: {verdict.detail}")
        for step in steps:
            if len(plan.steps_of(plan.steps[step.name].ref._task)) == 1:  # no call that was made before
                self._rounds[step.name] = rounds[step.name]
                self._unheard[step.name] = (each.goal.name, number)
        self._all.update(step.name for step in steps)
        path.names.update({step.name: f"{prefix}.{step.name}" for step in ready})
        path.left = [step for step in path.left if step.name not in path.names]
        self._hear()
        return True

    def _must_wait(self, steps: list[Step]) -> bool:
        """Whether one of these is a call that is being cancelled right now: it would be the same one."""
        leaving = [path for each in self._pursued.values() for path in each.paths if path.status == LEAVING]
        names = [name for path in leaving for name in path.names.values() if self._is_mine(name, path)]
        going = [self._step(name) for name in names]
        return any((s.tool, s.args, s.kwargs) == (g.tool, g.args, g.kwargs) for s in steps for g in going)

    def _new_prefix(self, each: Pursued, number: int) -> str:
        self._paths_made += 1
        plain = f"{each.goal.name}/{number}"
        is_taken = any(name.startswith(f"{plain}.") for name in self.plan.steps)
        return f"{plain}~{self._paths_made}" if is_taken else plain

    def _round(self, name: str) -> int:
        return self._rounds.get(name, 0)

    def _before(self, step: Step, path: PathState) -> list[str]:
        """The calls before one on its path."""
        return [other.name for other in path.steps[: path.steps.index(step)]]

    def _is_irreversible(self, step: Step) -> bool:
        tools = self.plan.tools
        return tools.task(tools.named(step.tool)).declaration.options.effect == Effect.IRREVERSIBLE

    # ------------------------------------------------------------ success

    def _check(self, each: Pursued, path: PathState, value: Any) -> bool:
        """A path's last call has succeeded: is the goal reached?"""
        plain, goal = plainly(value), each.goal
        try:
            if goal.check and not Expression(goal.check).holds(plain):
                return self._give_up(path, f"its result does not pass `{goal.check}`: {in_words(plain)}")
        except Unreadable as problem:
            return self._give_up(path, f"its result cannot be checked: {problem}")
        if self._judge is None or not (goal.criterion or self._judge_all):
            return self._reach(each, path)
        if not isinstance(self._judge, Task):
            return self._reach(each, path) if self._judge(goal, plain) else self._refuse(path, goal, plain)
        result = self.plan.steps[path.names[path.steps[-1].name]].ref
        try:
            path.verdict = self._judge(goal.want, goal.criterion, result)
        except GraphError as error:
            return self._give_up(path, f"its result cannot be judged: {error}")
        path.status = JUDGED
        self._bodies.watch(path.verdict._task, lambda _: self.plan.ring())
        return True

    def _hear_judge(self, each: Pursued, path: PathState) -> bool:
        assert path.verdict is not None
        if self._bodies.finished(path.verdict._task) is None:
            return False
        outcome = self._bodies.look_at(path.verdict)
        if not outcome:
            why = outcome.status if outcome.failure is None else outcome.failure.message
            return self._give_up(path, f"its result could not be judged: {why}")
        value = self.plan.steps[path.names[path.steps[-1].name]].outcome
        assert value is not None
        return self._reach(each, path) if outcome.value else self._refuse(path, each.goal, plainly(value.value))

    def _refuse(self, path: PathState, goal: Goal, plain: Any) -> bool:
        return self._give_up(
            path, f"its result is not what is wanted ({goal.criterion or goal.want}): {in_words(plain)}"
        )

    def _reach(self, each: Pursued, path: PathState) -> bool:
        each.status, each.result, path.status = COMPLETED, path.names[path.steps[-1].name], SUCCEEDED
        self._cancel(path)
        return True

    # ------------------------------------------------------------ leaving

    def _give_up(self, path: PathState, why: str, *, ends_as: str = FAILED) -> bool:
        """A path has failed or is to go: nothing more of it starts."""
        path.status, path.why, path.ends_as, path.left = LEAVING, why, ends_as, []
        if path.verdict is not None and self._bodies.finished(path.verdict._task) is None:
            self._forget(path.verdict)
        self.failed_paths += ends_as == FAILED
        self._cancel(path)
        return True

    def _forget(self, verdict: Ref[bool]) -> None:
        """Nobody asks any more; that it failed is nobody's fault."""
        self._bodies.watch(verdict._task, lambda _: self._look_at(verdict))
        self._bodies.cancel_ref(verdict)

    def _look_at(self, verdict: Ref[bool]) -> None:
        self._bodies.look_at(verdict)

    def _left(self, path: PathState) -> bool:
        if any(self._is_mine(name, path) for name in path.names.values()):
            return False
        path.status = path.ends_as
        for each in self._pursued.values():
            if path in each.paths:
                each.round = max([each.round, *(self._round(name) for name in path.names.values())])
        return True

    def _cancel(self, path: PathState) -> None:
        """What of a path has not ended, except what other paths need as well and irreversible calls in flight."""
        for name in path.names.values():
            if self._is_mine(name, path) and not (self._is_started(name) and self._is_irreversible(self._step(name))):
                if not self._is_started(name):
                    self._rounds.pop(name, None)
                self._bodies.cancel_ref(self.plan.steps[name].ref)

    def _is_mine(self, name: str, path: PathState) -> bool:
        """Whether a call is open and no other path stands on it."""
        planned = self.plan.steps.get(name)
        if planned is None or planned.outcome is not None:
            return False
        mine = set(path.names.values())
        users = [each for each in self.plan.steps_of(planned.ref._task) if each not in mine]
        return not any(self._is_wanted(each) for each in users)

    def _is_wanted(self, name: str) -> bool:
        """Whether a call serves a path that is being tried, or somebody else's plan."""
        whose = (path for each in self._pursued.values() for path in each.paths if name in path.names.values())
        return any(path.status in (TRYING, JUDGED) for path in whose) or name not in self._all

    def _is_started(self, name: str) -> bool:
        """Whether a call that has not ended may be in flight."""
        needed = [self.plan.steps.get(each) for each in depends_on(self._step(name))]
        return all(each is not None and bool(each.outcome) for each in needed)

    def _step(self, name: str) -> Step:
        return self.plan.steps[name].step

    def _stop_goal(self, each: Pursued, status: str, why: str) -> None:
        each.status, each.why = status, why
        current = each.current()
        if current is not None and current[1].status in (TRYING, JUDGED):
            self._give_up(current[1], why, ends_as=DROPPED)

    # ------------------------------------------------------------ edits

    async def edit(
        self, changes: Sequence[GoalChange], *, author: str = "", why: str = "", seen: int | None = None
    ) -> EditVerdict:
        """Change goals and paths: all of it, or nothing. It is on record as an edit of the plan.

        Args:
            author: who wants it. why: their reason.
            seen: the `revision` they were shown; what others changed since is not changed again: `stale`.
        Returns: what became of it; refused with `unknown_goal`, `unknown_path`, `already_ended`, `already_started`
            (something irreversible is in flight), `stale`, `duplicate`, `limit`, `cycle` or `unfit`.
        """
        async with self._lock:
            try:
                draft = GoalDraft(self, changes, author, seen)
            except Refused as refusal:
                return await self.plan.ask(Batch(()), author, why, refusal)
            verdict = await self.plan.edit([], author=author, why=why or _said_changes(changes))
            if verdict:
                self.revision += 1
                self._pursued = draft.goals
                for path in draft.leaving:
                    self._give_up(path, f"given up by {author or 'an edit'}", ends_as=DROPPED)
        self.plan.ring()
        return verdict

    def is_in_doubt(self, path: PathState) -> bool:
        """Whether something irreversible of a path is in flight."""
        open_ = [name for name in path.names.values() if self._is_mine(name, path) and self._is_started(name)]
        return any(self._is_irreversible(self._step(name)) for name in open_)

    def copies(self) -> dict[str, Pursued]:
        """The goals, to be changed; paths are shared."""
        copies = {name: copy.copy(each) for name, each in self._pursued.items()}
        for each in copies.values():
            each.paths = list(each.paths)
        return copies

    def _view(self, each: Pursued) -> GoalView:
        result = None
        if each.status == COMPLETED:
            outcome = self.plan.steps[each.result].outcome
            result = None if outcome is None else plainly(outcome.value)
        paths = tuple(PathView(path.calls, path.status, path.why) for path in each.paths)
        return GoalView(each.goal.name, each.goal.want, each.status, paths, result, each.why)


def _count(rounds: Iterable[int]) -> int:
    return sum(-(-calls // ROUND_WIDTH) for calls in Counter(rounds).values())


def _said_changes(changes: Sequence[GoalChange]) -> str:
    return ", ".join(type(change).__name__ for change in changes)
