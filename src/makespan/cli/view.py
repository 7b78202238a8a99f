"""What a progress display shows, kept up to date from facts: counts by scope and key, never a walk over all tasks.

Cost: under 1 µs a fact; the critical path is computed at most 2 % of the time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from makespan.logs import logger
from makespan.machine.facts import Fact
from makespan.machine.records import TaskState
from makespan.machine.state import State
from makespan.runtime.drive import Watcher
from makespan.traces.summary import critical_path_ns
from makespan.traces.words import is_shown, name_of, word_of

CRITICAL_PATH_SHARE = 50
"""After computing it once, leave at least this many times its cost before the next time."""


class Group:
    """Tasks of one key in one scope."""

    __slots__ = ("counts", "depth", "latest", "name", "total")

    def __init__(self, name: str, depth: int) -> None:
        self.name, self.depth = name, depth
        self.total = 0
        self.counts: dict[str, int] = {}
        self.latest: TaskState | None = None

    def move(self, before: str, after: str) -> None:
        if before:
            self.counts[before] -= 1
        if after:
            self.counts[after] = self.counts.get(after, 0) + 1


class View:
    """The display's picture of one run. `take` is a watcher; the rest only reads."""

    def __init__(self, state: State, usual_s: float | None) -> None:
        self.state, self.usual_s = state, usual_s
        self.groups: dict[tuple[int, str], Group] = {}
        self.began_s = time.monotonic()
        self._words: list[str] = []
        self._group_of: list[Group | None] = []
        self._path_s, self._path_due_s = 0.0, 0.0
        self._see_new()
        for task in state.tasks:
            self._see(task)

    def take(self, facts: Sequence[Fact], state: State) -> None:
        """A commit: count what changed."""
        self._see_new()
        for fact in facts:
            number = getattr(fact, "task", -1)
            if number >= 0:
                self._see(self.state.tasks[number])

    def _see_new(self) -> None:
        tasks = self.state.tasks
        for number in range(len(self._words), len(tasks)):
            task = tasks[number]
            group = self._group(task) if is_shown(task) else None
            self._group_of.append(group)
            self._words.append("pending" if group else "")
            if group is not None:
                group.total += 1
                group.move("", "pending")

    def _group(self, task: TaskState) -> Group:
        key = (task.spec.scope, name_of(task))
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Group(key[1], self.state.scopes[task.spec.scope].depth)
        return group

    def _see(self, task: TaskState) -> None:
        group, before = self._group_of[task.number], self._words[task.number]
        after = word_of(task)
        if group is not None and after != before:
            group.move(before, after)
            group.latest = task
            self._words[task.number] = after

    # ------------------------------------------------------------ reading

    @property
    def elapsed_s(self) -> float:
        """Since this display began."""
        return time.monotonic() - self.began_s

    def counts(self) -> dict[str, int]:
        """Tasks by status."""
        total: dict[str, int] = {}
        for group in list(self.groups.values()):
            for word, count in list(group.counts.items()):
                total[word] = total.get(word, 0) + count
        return total

    def critical_path_s(self) -> float:
        """Length of the realised critical path so far; recomputed seldom for large runs."""
        now = time.perf_counter()
        if now >= self._path_due_s:
            try:
                self._path_s = critical_path_ns(self.state) / 1e9
            except (IndexError, RuntimeError):  # the engine's thread added tasks meanwhile: next time
                return self._path_s
            self._path_due_s = now + CRITICAL_PATH_SHARE * (time.perf_counter() - now)
        return self._path_s

    def money(self) -> tuple[float, float, float | None]:
        """Spent, reserved, left (None without a budget), in USD."""
        scope = self.state.scopes[0]
        left = None if scope.budget is None else (scope.budget - scope.committed - scope.reserved) / 1e9
        return scope.committed / 1e9, scope.reserved / 1e9, left

    def eta(self) -> str:
        """From earlier runs of the same workflow."""
        if self.usual_s is None:
            return "unknown"
        left_s = self.usual_s - self.state.at / 1e9
        return f"{left_s:.0f} s" if left_s > 0 else f"longer than usual ({self.usual_s:.1f} s)"


def shielded(watcher: Watcher) -> Watcher:
    """A watcher that says so once and falls silent when it fails: a display never harms the run it shows."""
    is_well = [True]

    def watch(facts: Sequence[Fact], state: State) -> None:
        if is_well[0]:
            try:
                watcher(facts, state)
            except Exception as error:
                is_well[0] = False
                logger("makespan").warning("the progress display failed and is off, the run goes on: %r", error)
                if os.environ.get("MAKESPAN_DEBUG"):
                    raise

    return watch
