"""How long tasks are expected to take: as a profile says, else as the run itself has seen, else alike.

What was seen is the mean over the finished tasks of the same key. Expectations are changed in steps: after the first
few tasks, then when their number has doubled or a quarter of the open ones has ended, and only when a mean has moved by
an eighth. Each change costs a pass over the open tasks, and so those passes cost a constant for each task in all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from makespan.draws import draws
from makespan.graph.node import Declaration, Kind, MapOver
from makespan.machine.records import Status
from makespan.profiles.profile import ANY, Profile

if TYPE_CHECKING:
    from makespan.machine.records import TaskState
    from makespan.machine.state import State

UNKNOWN_NS = 1_000_000_000
"""What a task takes of which nothing is known: all alike, so that counts decide."""
FIRST_LOOK = 8
"""Finished tasks before their means are believed."""
_SUCCEEDED, _CALL, _WORKFLOW, _TIMER, _MAP = Status.SUCCEEDED, Kind.CALL, Kind.WORKFLOW, Kind.TIMER, Kind.MAP


class Expected:
    """Expected durations of one run's tasks.

    Args:
        modes: task key → the mode chosen for the run; without one the mean over the known modes holds.
        noise: each task's duration is believed to be up to this share longer or shorter, drawn from `seed` and its id.
    """

    def __init__(
        self,
        profile: Profile | None = None,
        *,
        modes: Mapping[str, str] | None = None,
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._profile, self._modes = profile or Profile(), modes or {}
        self._noise, self._seed = noise, seed
        self._known: dict[str, int | None] = {}
        """Task key → what the profile says, None where it says nothing."""
        self._of_key: dict[str, int] = {}
        """Task key → what is believed, forgotten when that changes."""
        self._doubts: dict[int, float] = {}
        self._seen: dict[str, tuple[int, int]] = {}
        """Task key → how many finished, nanoseconds in all."""
        self._learned: dict[str, int] = {}
        self._usual = UNKNOWN_NS
        self._read = self._finished = 0
        self._next_look = FIRST_LOOK
        self.version = 0
        """Another number means that expectations given before have changed."""

    def look(self, state: State) -> None:
        """Learn from what has ended since. Cost: 0.1 µs when nothing has, else about 0.5 µs a task."""
        log = state.finish_log
        if self._read == len(log):
            return
        for number in log[self._read :]:
            self._learn(state.tasks[number])
        self._read = len(log)
        if self._finished >= self._next_look:
            pause = min(max(self._finished, state.open // 32), state.open // 4)
            self._next_look = self._finished + max(pause, FIRST_LOOK)
            self._believe()

    def of(self, task: TaskState) -> int:
        """Nanoseconds from the start of the task to its end, 0 for what the engine does by itself."""
        kind = task.kind
        if kind is _CALL or kind is _WORKFLOW:
            expected = self._of_key.get(task.declaration.key)
            if expected is None:
                expected = self._believed(task.declaration.key)
        elif kind is _MAP and task.spec.over is not None:
            expected = self._of_template(task.spec.over)
        else:
            return task.spec.delay_ns if kind is _TIMER else self._profiled(task.declaration.key) or 0
        return expected if not self._noise else round(expected * self._doubt(task))

    def _doubt(self, task: TaskState) -> float:
        doubt = self._doubts.get(task.number)
        if doubt is None:
            doubt = self._doubts[task.number] = 1 + self._noise * (2 * draws(self._seed, task.spec.id, 0)[0] - 1)
        return doubt

    def _believed(self, key: str) -> int:
        known = self._profiled(key)
        found = self._of_key[key] = known if known is not None else self._learned.get(key, self._usual)
        return found

    def _profiled(self, key: str) -> int | None:
        if key not in self._known:
            is_known = bool(self._profile.modes(key))
            mode = self._modes.get(key, ANY)
            self._known[key] = max(round(self._profile.mean_ns(key, mode)), 1) if is_known else None
        return self._known[key]

    def _of_template(self, over: MapOver) -> int:
        """The longest path through what is done with one item."""
        ends: dict[bytes, int] = {}
        for node in over.nodes:
            begin = max((ends.get(source.task, 0) for source in node.sources), default=0)
            ends[node.id] = begin + self._of_node(node.declaration, node.delay_ns, node.over)
        return max(ends.values(), default=0)

    def _of_node(self, declaration: Declaration, delay_ns: int, over: MapOver | None) -> int:
        if declaration.kind in (_CALL, _WORKFLOW):
            return self._believed(declaration.key)
        return delay_ns if over is None else self._of_template(over)

    def _learn(self, task: TaskState) -> None:
        if task.status is not _SUCCEEDED or task.cached or task.started_at < 0:
            return
        key = task.declaration.key
        if self._profiled(key) is None and (task.kind is _CALL or task.kind is _WORKFLOW):
            count, total = self._seen.get(key, (0, 0))
            self._seen[key] = count + 1, total + task.ended_at - task.started_at
            self._finished += 1

    def _believe(self) -> None:
        means = {key: max(total // count, 1) for key, (count, total) in self._seen.items()}
        usual = max(sum(total for _, total in self._seen.values()) // self._finished, 1)
        believed = [(self._learned.get(key, self._usual), mean) for key, mean in means.items()]
        if all(abs(mean - before) * 8 <= before for before, mean in [*believed, (self._usual, usual)]):
            return
        self._learned, self._usual = means, usual
        self._of_key.clear()
        self.version += 1
