"""Progress on stderr: a live tree on a terminal, one line a state change elsewhere, or nothing."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Protocol

from makespan.cli.text import one_line
from makespan.cli.view import View, shielded
from makespan.cli.waits import Waits
from makespan.graph.node import Kind
from makespan.handle import Run
from makespan.machine import facts as f
from makespan.machine.records import Status
from makespan.machine.state import State
from makespan.traces.lines import Line, lines_of
from makespan.traces.words import is_shown, name_of

LINES_A_KEY = 10
"""So many tasks of one key get lines of their own; more are counted together."""
ENDED = ("succeeded", "cached", "failed", "skipped", "cancelled")
COUNT_EVERY_S = 1.0
MOST_QUEUED = 2_000


class Progress(Protocol):
    """What a display can do."""

    def attach(self, run: Run[object], usual_s: float | None) -> None:
        """Follow the run from now on."""
        ...

    def note(self, text: str) -> None:
        """Say something beside the tasks; may come from any thread."""
        ...

    def close(self) -> None:
        """Show the last state and let go of the terminal."""
        ...


def choose_progress(quiet: bool) -> Progress:
    """The display that fits where stderr goes."""
    if quiet:
        return Quiet()
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    if sys.stderr.isatty() and not is_plain:
        from makespan.cli.live import LiveProgress

        return LiveProgress()
    return PlainProgress()


class Quiet:
    """Shows nothing but notes."""

    def attach(self, run: Run[object], usual_s: float | None) -> None:
        pass

    def note(self, text: str) -> None:
        print(one_line(text), file=sys.stderr, flush=True)

    def close(self) -> None:
        pass


class LineWriter:
    """Writes lines to stderr from a thread of its own: a reader that does not read never holds up the engine."""

    def __init__(self) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue(MOST_QUEUED)
        self._left_out = 0
        self._thread = threading.Thread(target=self._write, name="makespan-progress", daemon=True)
        self._thread.start()

    def put(self, text: str) -> None:
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self._left_out += 1

    def close(self) -> None:
        if self._left_out:
            self.put(f"… {self._left_out} lines were left out: nobody read them in time")
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(2.0)

    def _write(self) -> None:
        while (text := self._lines.get()) is not None:
            try:
                print(text, file=sys.stderr, flush=True)
            except (OSError, ValueError):
                return


class PlainProgress:
    """One line a state change; wide groups get counts."""

    _SHOWN = (
        f.AttemptStarted,
        f.TaskSucceeded,
        f.AttemptFailed,
        f.RetryScheduled,
        f.TaskFailed,
        f.TaskSkipped,
        f.TaskCancelled,
        f.MessageTaken,
        f.AttemptUnknown,
        f.TaskDiverged,
        f.DecisionMade,
        f.LimitReached,
        f.EditRefused,
        f.RunResumed,
    )
    _ALWAYS = (f.AttemptUnknown, f.TaskDiverged, f.LimitReached, f.EditRefused, f.RunResumed)

    def __init__(self) -> None:
        self._writer = LineWriter()
        self._said: dict[tuple[str, type], int] = {}
        self._started: set[tuple[int, int]] = set()
        self._at_once: Counter[int] = Counter()
        """How many attempts of each task start in the batch at hand."""
        self._waits = Waits()
        self._counted_at_s = time.monotonic()
        self._view: View | None = None

    def attach(self, run: Run[object], usual_s: float | None) -> None:
        state = run.state
        self._view = View(state, usual_s)
        name = state.started.workflow if state.started else ""
        total = sum(group.total for group in self._view.groups.values())
        self._writer.put(f"run {run.id} of {one_line(name)}: {total} tasks so far")
        for task in state.tasks:
            if task.status == Status.RUNNING and is_shown(task) and task.kind != Kind.SIGNAL:
                self._started.add((task.number, task.attempt))
                self._line(f.AttemptStarted(task.number, task.started_at), state)
        self._say(self._waits.already(state))
        run.watch(shielded(self.take))

    def take(self, facts: Sequence[f.Fact], state: State) -> None:
        assert self._view is not None
        self._view.take(facts, state)
        self._at_once = Counter(fact.task for fact in facts if type(fact) is f.AttemptStarted)
        for fact in facts:
            if isinstance(fact, self._SHOWN):
                self._line_once(fact, state)
        self._say(self._waits.begun(facts, state))
        now_s = time.monotonic()
        if now_s - self._counted_at_s >= COUNT_EVERY_S:
            self._counted_at_s = now_s
            self._count(state)

    def _say(self, lines: Iterator[Line]) -> None:
        for line in lines:
            self._writer.put(self._stamped(line))

    def note(self, text: str) -> None:
        self._writer.put(one_line(text, 400))

    def close(self) -> None:
        self._writer.close()

    def _line_once(self, fact: f.Fact, state: State) -> None:
        if isinstance(fact, f.AttemptStarted):
            if state.tasks[fact.task].kind == Kind.SIGNAL:
                return  # said with what to type, however many there are
            which = (fact.task, state.tasks[fact.task].attempt)
            if which in self._started:
                return
            self._started.add(which)
        self._line(fact, state)

    def _line(self, fact: f.Fact, state: State) -> None:
        number = getattr(fact, "task", -1)
        if number >= 0 and not is_shown(state.tasks[number]):
            return
        if not isinstance(fact, self._ALWAYS):
            key = name_of(state.tasks[number]) if number >= 0 else ""
            said = self._said[key, type(fact)] = self._said.get((key, type(fact)), 0) + 1
            if said > LINES_A_KEY:
                return
        for line in lines_of(fact, state):
            self._writer.put(self._stamped(line).replace(*self._samples(fact, state)))

    def _samples(self, fact: f.Fact, state: State) -> tuple[str, str]:
        """What to write for the number of an attempt that started together with others of its task."""
        if type(fact) is not f.AttemptStarted or self._at_once[fact.task] < 2:
            return "", ""
        last = state.tasks[fact.task].attempt
        return f"(attempt {last})", f"(attempts {last - self._at_once[fact.task] + 1} to {last})"

    def _stamped(self, line: Line) -> str:
        return f"{line.at_s:9.3f} s  {one_line(line.text, 400)}"

    def _count(self, state: State) -> None:
        assert self._view is not None
        for group in self._view.groups.values():
            if group.total > LINES_A_KEY and group.counts.get("running"):
                done = sum(group.counts.get(word, 0) for word in ENDED)
                running = group.counts["running"]
                self._writer.put(
                    f"{state.at / 1e9:9.3f} s  {one_line(group.name)}: {done} of {group.total} done, {running} running"
                )
