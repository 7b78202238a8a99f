"""A change of goals on its way: checked against the goals as they stand, made on copies; all of it or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from makespan.planners.changes import Refused
from makespan.planners.goal_edits import (
    MAX_GOALS,
    MAX_PATHS,
    AddGoal,
    AddPath,
    DropGoal,
    DropPath,
    Goal,
    GoalChange,
    ReplaceGoal,
    ReplacePath,
    goals_of,
    in_circle,
    read_goal,
    read_path,
)
from makespan.planners.goal_states import (
    COMPLETED,
    DROPPED,
    IN_PROGRESS,
    JUDGED,
    LEAVING,
    TRYING,
    UNTRIED,
    PathState,
    Pursued,
)

if TYPE_CHECKING:
    from makespan.planners.goals import Goals


class GoalDraft:
    """Goals as an edit would leave them. Raises Refused where it makes no sense."""

    def __init__(self, goals: Goals, changes: Sequence[GoalChange], author: str, seen: int | None) -> None:
        self._of, self._author, self._seen = goals, author, seen
        self.goals = goals.copies()
        self.leaving: list[PathState] = []
        gone = {each.name for each in changes if isinstance(each, DropGoal | ReplaceGoal)}
        new = {each.goal.name for each in changes if isinstance(each, AddGoal | ReplaceGoal)}
        self._names = {name for name, each in self.goals.items() if each.status != DROPPED} - gone | new
        for change in changes:
            self._make(change)
        running = [each for each in self.goals.values() if each.status == IN_PROGRESS]
        if len(running) > MAX_GOALS:
            raise Refused("limit", f"{len(running)} goals in progress; at most {MAX_GOALS}")
        needs = ((e.goal.name, goals_of(p.steps, self._names)) for e in running for p in e.paths if not p.is_over())
        if circle := in_circle(needs):
            raise Refused("cycle", f"goals {', '.join(circle)} need each other")

    def _make(self, change: GoalChange) -> None:
        match change:
            case AddGoal():
                self._add(change.goal)
            case DropGoal():
                self._drop(change.name)
            case ReplaceGoal():
                self._drop(change.name)
                self._add(change.goal)
            case AddPath():
                each = self._open(change.goal)
                each.paths.append(self._path(change.goal, change.calls))
                each.status, each.why = IN_PROGRESS, ""
                self._refuse_crowd(each)
            case DropPath():
                self._leave(self._open_path(change.goal, change.path), self.goals[change.goal])
            case ReplacePath():
                old, each = self._open_path(change.goal, change.path), self.goals[change.goal]
                new = self._path(change.goal, change.calls)
                self._leave(old, each)
                each.paths.insert(each.paths.index(old) + 1 if old in each.paths else change.path - 1, new)

    def _add(self, goal: Goal) -> None:
        if goal.name in self.goals and self.goals[goal.name].status != DROPPED:
            raise Refused("duplicate", f"there is a goal {goal.name} already")
        read = read_goal(goal, self._of.plan.tools, self._names)
        pairs = zip(goal.paths, read, strict=True)
        paths = [PathState(calls, steps, self._author, self._of.revision + 1) for calls, steps in pairs]
        before = self.goals.pop(goal.name, None)
        going = [] if before is None else [path for path in before.paths if path in self.leaving]
        self.goals[goal.name] = Pursued(goal, [*going, *paths], self._of.revision + 1)

    def _drop(self, name: str) -> None:
        each = self._open(name)
        for path in each.paths:
            if path.status in (TRYING, JUDGED):
                self._take_back(path)
        each.status, each.revision = DROPPED, self._of.revision + 1

    def _open(self, name: str) -> Pursued:
        each = self.goals.get(name)
        if each is None or each.status == DROPPED:
            raise Refused("unknown_goal", f"there is no goal {name}; there are {', '.join(self.goals) or 'none'}")
        if each.status == COMPLETED:
            raise Refused("already_ended", f"goal {name} has been reached")
        if self._seen is not None and each.revision > self._seen:
            raise Refused("stale", f"goal {name} was changed meanwhile")
        return each

    def _open_path(self, name: str, number: int) -> PathState:
        paths = self._open(name).paths
        if not 1 <= number <= len(paths):
            raise Refused("unknown_path", f"goal {name} has no path {number}; it has {len(paths)}")
        path = paths[number - 1]
        if path.is_over() or path.status == LEAVING:
            raise Refused("already_ended", f"path {number} of goal {name} is over: {path.why or path.status}")
        if self._seen is not None and path.revision > self._seen:
            raise Refused("stale", f"path {number} of goal {name} was changed meanwhile")
        return path

    def _path(self, name: str, calls: list[str]) -> PathState:
        try:
            steps = read_path(calls, self._of.plan.tools, self._names)
        except Refused as refusal:
            raise Refused(refusal.reason, f"a path for goal {name}: {refusal}") from None
        return PathState(calls, steps, self._author, self._of.revision + 1)

    def _leave(self, path: PathState, each: Pursued) -> None:
        if path.status == UNTRIED:
            each.paths.remove(path)
        else:
            self._take_back(path)

    def _take_back(self, path: PathState) -> None:
        if self._of.is_in_doubt(path):
            raise Refused("already_started", f"an irreversible call of `{'; '.join(path.calls)}` is in flight")
        self.leaving.append(path)

    def _refuse_crowd(self, each: Pursued) -> None:
        if sum(path.status == UNTRIED for path in each.paths) > MAX_PATHS:
            raise Refused("limit", f"goal {each.goal.name} would have more than {MAX_PATHS} paths to try")
