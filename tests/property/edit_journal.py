"""Reads the facts of a run and looks whether its edits kept the rules: written against the facts alone.

Rules: the graph has no cycle after any edit; what has started or ended is never removed or rewired; an attempt starts
only when all that the task reads, as it is wired by then, has ended well; a task has one attempt at a time; nothing
that was removed starts; a refused edit has a reason of the list and changes nothing; an applied one adds what it says.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from makespan.graph.graph import Refusal
from makespan.graph.node import Mode
from makespan.machine import facts as f

PLAN_REASONS = {"unfit", "stale", "unreadable", "ambiguous", "unknown_plan", "editor_failed"}
REASONS = {str(reason) for reason in Refusal} | PLAN_REASONS


@dataclass
class Seen:
    """A task as the journal tells it."""

    id: bytes
    sources: list[tuple[int, Mode]]
    started: bool = False
    running: bool = False
    ended: str = ""
    removed: bool = False


@dataclass
class EditJournal:
    """Feed it every fact; it raises AssertionError at the first that breaks a rule."""

    bodies: bool = False
    """Whether bodies may add tasks outside of edits."""
    tasks: list[Seen] = field(default_factory=list)
    by_id: dict[bytes, int] = field(default_factory=dict)
    applied: int = 0
    refused: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    starts: int = 0
    removed: int = 0
    _left: int | None = None
    """Tasks that the edit at hand still has to add; None where no edit is being written."""

    def take(self, fact: f.Fact) -> None:
        match fact:
            case f.GraphAdded():
                assert isinstance(fact.body, bytes)
                for part in f.decode_graph(fact.body).facts:
                    if isinstance(part, f.TaskAdded):
                        self._add(part)
            case f.EditApplied():
                self._close()
                self.applied, self._left = self.applied + 1, fact.tasks
            case f.EditRefused():
                self._close()
                assert fact.reason in REASONS, fact
                assert fact.detail, fact
                self.refused += 1
                self.reasons[fact.reason] = self.reasons.get(fact.reason, 0) + 1
            case f.TaskAdded():
                self._added(fact)
            case f.TaskRemoved():
                self._changed(fact.task, "removed")
                self.tasks[fact.task].removed, self.removed = True, self.removed + 1
                del self.by_id[self.tasks[fact.task].id]
            case f.TaskRewired():
                self._changed(fact.task, "rewired")
                self.tasks[fact.task].sources = [(source, mode) for source, _, mode in fact.sources]
            case f.DeclarationAdded() | f.ScopeAdded():
                pass
            case _:
                self._close()
                self._happens(fact)

    def done(self) -> EditJournal:
        self._close()
        return self

    def _added(self, fact: f.TaskAdded) -> None:
        if self._left:
            self._left -= 1
        else:
            self._close()
            assert self.bodies, "a task is added that no edit has announced"
        self._add(fact)

    def _add(self, fact: f.TaskAdded) -> None:
        number = len(self.tasks)
        assert fact.id not in self.by_id, "a task is there twice"
        for source, _, _ in fact.sources:
            assert source < number, "a new task reads one that is not there"
        self.tasks.append(Seen(fact.id, [(source, mode) for source, _, mode in fact.sources]))
        self.by_id[fact.id] = number

    def _changed(self, number: int, how: str) -> None:
        task = self.tasks[number]
        assert self._left is not None, f"a task is {how} outside of an edit"
        assert not task.started, f"a task is {how} that has started"
        assert not task.ended, f"a task is {how} that has ended"
        assert not task.removed, f"a task is {how} that is gone"

    def _close(self) -> None:
        """The edit at hand is over: what it has left must make sense."""
        if self._left is None:
            return
        assert self._left == 0, f"an edit said that it adds {self._left} tasks more"
        self._left = None
        present = [number for number, task in enumerate(self.tasks) if not task.removed]
        for number in present:
            for source, _ in self.tasks[number].sources:
                assert not self.tasks[source].removed or self.tasks[number].ended, "a task reads one that is gone"
        self._refuse_cycles(present)

    def _refuse_cycles(self, present: list[int]) -> None:
        waits = {number: {source for source, _ in self.tasks[number].sources} for number in present}
        readers: dict[int, list[int]] = {}
        for number, sources in waits.items():
            for source in sources:
                readers.setdefault(source, []).append(number)
        free = [number for number in present if not waits[number]]
        left = len(present)
        while free:
            number = free.pop()
            left -= 1
            for reader in readers.get(number, ()):
                waits[reader].discard(number)
                if not waits[reader]:
                    free.append(reader)
        assert not left, "the graph has a cycle"

    def _happens(self, fact: f.Fact) -> None:
        number = getattr(fact, "task", None)
        if not isinstance(number, int) or number < 0:
            return
        task = self.tasks[number]
        match fact:
            case f.AttemptStarted():
                assert not task.removed, "a task of a superseded version starts"
                assert not task.ended, "a task starts that has ended"
                assert not task.running, "a task has two attempts"
                for source, mode in task.sources:
                    ended = self.tasks[source].ended
                    assert ended, "a task starts before what it reads has ended"
                    assert ended == "succeeded" or mode == Mode.OUTCOME, "a task starts although what it reads failed"
                task.started = task.running = True
                self.starts += 1
            case f.AttemptFailed() | f.AttemptInterrupted() | f.AttemptUnknown():
                task.running = False
            case f.TaskSucceeded() | f.MessageTaken():
                assert not task.removed, "a task ends that is gone"
                task.running, task.ended = False, "succeeded"
            case f.TaskFailed():
                task.running, task.ended = False, "failed"
            case f.TaskSkipped() | f.TaskCancelled():
                task.running, task.ended = False, "skipped"
            case _:
                pass
