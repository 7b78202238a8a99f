"""Goals with fallbacks in the words in which models write them, and how a set of them may change.

    Goal("price", "the price of tin", check="result > 0", paths=[
        ['1. search("tin price")', '2. price_in($1)'],                       tried first
        ['1. ask_expert("what does tin cost? It is made in ${country}")']])   only when that failed; waits for a goal

A path is a few calls, numbered lines as in every plan: `$1` is a result of the same path, `$name` and `${name}` the
result of another goal. Invariant: a path that was accepted can be read, and its tools and references exist.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

import msgspec

from makespan.planners.changes import Refused
from makespan.planners.formats.marks import Dialect
from makespan.planners.formats.numbered import NumberedReader
from makespan.planners.goal_checks import Expression, Unreadable
from makespan.planners.steps import Argument, Join, Problem, Step, Text, depends_on
from makespan.planners.tools import Tools, Unfit

MAX_GOALS = 5
"""Goals that are pursued at the same time."""
MAX_PATHS = 5
"""Ways to one goal that have not been tried."""
MAX_CALLS = 5
"""Calls of one path."""

_NAME = re.compile(r"[A-Za-z]\w{0,60}")


class Goal(msgspec.Struct, frozen=True):
    """Something to find out or to do, and the ways to it."""

    name: str
    """A word; other goals' paths refer to the result by it."""
    want: str
    paths: list[list[str]]
    """Each a few calls, one a line; tried in this order, the next only when the one before failed."""
    check: str = ""
    """An expression over `result`, the value of a path's last call; empty: any result will do."""
    criterion: str = ""
    """The same in words, for whoever judges results."""


class AddGoal(msgspec.Struct, frozen=True, tag=True):
    """One more goal."""

    goal: Goal


class DropGoal(msgspec.Struct, frozen=True, tag=True):
    """A goal that need not, or cannot, be reached."""

    name: str


class ReplaceGoal(msgspec.Struct, frozen=True, tag=True):
    """Another goal in the place of one that has not been reached."""

    name: str
    goal: Goal


class AddPath(msgspec.Struct, frozen=True, tag=True):
    """One more way to a goal, behind those that it has."""

    goal: str
    calls: list[str]


class DropPath(msgspec.Struct, frozen=True, tag=True):
    """A way that is not to be tried, or is to be given up."""

    goal: str
    path: int
    """From 1."""


class ReplacePath(msgspec.Struct, frozen=True, tag=True):
    """Another way in the place of one that has not failed."""

    goal: str
    path: int
    """From 1."""
    calls: list[str]


GoalChange = AddGoal | DropGoal | ReplaceGoal | AddPath | DropPath | ReplacePath


def read_path(calls: Iterable[str], tools: Tools, goals: Collection[str]) -> list[Step]:
    """The steps of a path, named by their numbers; references to goals have the goals' names.

    Raises:
        Refused: `unfit`, with everything that is wrong with it.
    """
    reader = NumberedReader()
    found = [*reader.feed("".join(f"{line.strip()}\n" for line in calls)), *reader.close()]
    steps = [_with_goals(each, goals) for each in found if isinstance(each, Step)]
    wrong = [str(each) for each in found if isinstance(each, Problem) and not each.repaired]
    wrong += [f"{each.spot.line}:{each.spot.column}: a path has no join" for each in found if isinstance(each, Join)]
    if not 1 <= len(steps) <= MAX_CALLS:
        wrong.append(f"a path has 1 to {MAX_CALLS} calls, this one {len(steps)}")
    wrong += [problem for place, step in enumerate(steps) for problem in _misfits(step, steps[:place], tools, goals)]
    if wrong:
        raise Refused("unfit", "; ".join(wrong))
    return steps


def _misfits(step: Step, before: list[Step], tools: Tools, goals: Collection[str]) -> Iterator[str]:
    try:
        tools.named(step.tool)
    except Unfit as problem:
        yield f"call {step.name}: {problem}"
    known = {*goals, *(each.name for each in before)}
    for name in depends_on(step):
        if name not in known:
            yield f"call {step.name} refers to ${name}, which is neither an earlier call of the path nor a goal"


def _with_goals(step: Step, goals: Collection[str]) -> Step:
    """A step whose texts refer to goals as well: numbered lines know numbers only."""
    dialect = Dialect(lambda name: name if name in goals else None, words=True)

    def linked(argument: Argument) -> Argument:
        if isinstance(argument, str):
            return _in_text(argument, dialect)
        if isinstance(argument, Text):
            parts = [_in_text(part, dialect) if isinstance(part, str) else part for part in argument.parts]
            return Text(tuple(one for part in parts for one in (part.parts if isinstance(part, Text) else (part,))))
        if isinstance(argument, dict):
            return {key: linked(value) for key, value in argument.items()}
        return [linked(value) for value in argument] if isinstance(argument, list | tuple) else argument

    kwargs = {key: linked(value) for key, value in step.kwargs.items()}
    return msgspec.structs.replace(step, args=tuple(map(linked, step.args)), kwargs=kwargs)


def _in_text(text: str, dialect: Dialect) -> Argument:
    """A text with its goals; as it was where it names none."""
    if any(not mark.escaped and dialect.canonical(mark.name) for mark in dialect.marks(text)):
        return dialect.linked(text)[0]
    return text


def goals_of(steps: Iterable[Step], goals: Collection[str]) -> set[str]:
    """Goals whose results a path reads."""
    return {name for step in steps for name in depends_on(step) if name in goals}


def read_goal(goal: Goal, tools: Tools, goals: Collection[str]) -> list[list[Step]]:
    """The paths of a goal, read.

    Raises:
        Refused: `unfit`, with everything that is wrong with it.
    """
    wrong, paths = list[str](), list[list[Step]]()
    if not _NAME.fullmatch(goal.name):
        wrong.append("its name is no word")
    if len(goal.paths) > MAX_PATHS:
        wrong.append(f"it has {len(goal.paths)} paths; at most {MAX_PATHS}")
    if goal.check:
        try:
            Expression(goal.check)
        except Unreadable as problem:
            wrong.append(str(problem))
    for number, calls in enumerate(goal.paths, 1):
        try:
            paths.append(read_path(calls, tools, goals))
        except Refused as problem:
            wrong.append(f"path {number}: {problem}")
    if wrong:
        raise Refused("unfit", f"goal {goal.name!r}: {'; '.join(wrong)}")
    return paths


def usable(goals: Iterable[Goal], tools: Tools) -> list[Goal]:
    """Goals without what cannot be read of them; one without a path left stays, and is blocked."""
    kept: dict[str, Goal] = {}
    for goal in goals:
        if _NAME.fullmatch(goal.name) and len(kept) < MAX_GOALS:
            kept.setdefault(goal.name, goal)
    fitting = [_fitting(goal, tools, kept) for goal in kept.values()]
    if in_circle((goal.name, goals_of(read, kept)) for goal, paths in fitting for read in paths):
        return [_alone(goal, paths, kept) for goal, paths in fitting]
    return [goal for goal, _ in fitting]


def _fitting(goal: Goal, tools: Tools, goals: Collection[str]) -> tuple[Goal, list[list[Step]]]:
    calls, read = list[list[str]](), list[list[Step]]()
    for path in goal.paths[:MAX_PATHS]:
        try:
            read.append(read_path(path, tools, goals))
        except Refused:
            continue
        calls.append(path)
    try:
        check = goal.check and Expression(goal.check).text
    except Unreadable:
        check = ""
    criterion = goal.criterion if check == goal.check else f"{goal.criterion} {goal.check}".strip()
    return msgspec.structs.replace(goal, paths=calls, check=check, criterion=criterion), read


def _alone(goal: Goal, read: list[list[Step]], goals: Collection[str]) -> Goal:
    """A goal without the paths that wait for other goals."""
    pairs = zip(goal.paths, read, strict=True)
    return msgspec.structs.replace(goal, paths=[calls for calls, steps in pairs if not goals_of(steps, goals)])


def in_circle(needs: Iterable[tuple[str, set[str]]]) -> list[str]:
    """Goals that wait for each other; none where there is an order in which they can be reached."""
    left: dict[str, set[str]] = {}
    for name, others in needs:
        left.setdefault(name, set()).update(others)
    while free := [name for name, others in left.items() if not any(other in left for other in others)]:
        for name in free:
            del left[name]
    return list(left)
