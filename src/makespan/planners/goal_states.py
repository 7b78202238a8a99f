"""Where goals and their paths stand, for those who pursue them, change them and report on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from makespan.authoring.ref import Ref
from makespan.authoring.task import HOOKS
from makespan.planners.goal_edits import Goal
from makespan.planners.steps import Step
from makespan.planners.tools import text

SAID_CHARS = 2_000
"""Characters of a result, or of an error, that are kept for prompts."""

IN_PROGRESS, COMPLETED, BLOCKED, DROPPED, STOPPED = "in progress", "completed", "blocked", "dropped", "stopped"
UNTRIED, TRYING, JUDGED, LEAVING, FAILED, SUCCEEDED = "untried", "trying", "judged", "leaving", "failed", "succeeded"
_OVER = (FAILED, DROPPED, SUCCEEDED)


class Action(msgspec.Struct, frozen=True):
    """A call that has ended, in words."""

    goal: str
    path: int
    """From 1."""
    call: str
    status: str
    said: str

    def __str__(self) -> str:
        return f"{self.goal} (path {self.path}): {self.call} -> {self.status}: {self.said}"


class PathView(msgspec.Struct, frozen=True):
    """A path as it stands."""

    calls: tuple[str, ...]
    status: str
    """`untried`, `trying`, `judged`, `leaving` (it has failed, and something of it is in flight), `failed`, `dropped`,
    `succeeded`."""
    why: str = ""


class GoalView(msgspec.Struct, frozen=True):
    """A goal as it stands."""

    name: str
    want: str
    status: str
    """`completed`, `in progress`, `blocked` (out of paths), `dropped`, `stopped`."""
    paths: tuple[PathView, ...]
    result: Any = None
    """Of a completed goal, as plain values."""
    why: str = ""


class PathState:
    def __init__(self, calls: Sequence[str], steps: list[Step], author: str, revision: int) -> None:
        self.calls, self.steps, self.author, self.revision = tuple(calls), steps, author, revision
        self.left = list(steps)
        """Not in the plan yet."""
        self.status, self.why, self.ends_as = UNTRIED, "", FAILED
        self.names: dict[str, str] = {}
        """Number in the path → name in the plan."""
        self.verdict: Ref[bool] | None = None

    def is_over(self) -> bool:
        return self.status in _OVER


class Pursued:
    def __init__(self, goal: Goal, paths: list[PathState], revision: int) -> None:
        self.goal, self.paths, self.revision = goal, paths, revision
        self.status, self.why, self.result, self.round = IN_PROGRESS, "", "", 0
        """`result`: the step that reached it; `round`: the last one in which something of it started."""

    def current(self) -> tuple[int, PathState] | None:
        return next(((n, path) for n, path in enumerate(self.paths, 1) if not path.is_over()), None)


def in_words(plain: Any) -> str:
    """A value for a prompt, at most `SAID_CHARS` of it."""
    said = text.fn([plain])
    return said if len(said) <= SAID_CHARS else f"{said[: SAID_CHARS - 1]}…"


def plainly(value: Any) -> Any:
    """A value as a prompt or an expression sees it: fields of records are keys."""
    return msgspec.to_builtins(value, enc_hook=HOOKS.encode)
