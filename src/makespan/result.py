"""What a run gives back: its output when it succeeded, and in any case its totals, its gaps and how to go on."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from makespan.authoring.failures import raisable
from makespan.authoring.task import HOOKS
from makespan.errors import DecisionNeeded, EngineError, ErrorRecord, LimitError
from makespan.graph.node import Kind
from makespan.machine.records import Status
from makespan.machine.resolve import failure_of, status_word
from makespan.machine.state import State
from makespan.traces.summary import Summary, summarise
from makespan.values import Usage

T_co = TypeVar("T_co", covariant=True)


class Interrupted(EngineError):
    """The run was stopped before it ended; it can be resumed."""


class Result(Generic[T_co]):
    """The end (or the pause) of a run. Truthy when it succeeded."""

    def __init__(self, state: State, returns: Any, store: str) -> None:
        self.run_id = state.run_id
        self.status = state.status
        self.reason = state.reason
        """Why it is paused: budget, deadline, decision or divergence."""
        self.detail = state.detail
        self.cost_usd = state.cost / 1e9
        self.usage: Usage = state.usage
        self.resume_command = resume_command(state.run_id, store)
        self._state, self._returns = state, returns
        root = state.root
        self._value = None if root is None or root.value is None else state.bytes_of(root.value)

    @cached_property
    def summary(self) -> Summary:
        """All totals of the run. Cost: about 1 µs a task, once."""
        return summarise(self._state)

    @cached_property
    def gaps(self) -> list[str]:
        """One line for each task whose result is missing: `task: why`."""
        return gaps(self._state)

    @property
    def makespan_s(self) -> float:
        """From the first attempt's start to the last task's end, seconds."""
        return self.summary.makespan_s

    @property
    def critical_path_s(self) -> float:
        """Longest chain of tasks that waited for each other, seconds: no schedule could have been shorter."""
        return self.summary.critical_path_s

    def __bool__(self) -> bool:
        return self.status == "succeeded"

    def __repr__(self) -> str:
        return f"<Result {self.run_id} {self.status}>"

    @property
    def error(self) -> BaseException | None:
        """Why there is no output; None when there is."""
        state = self._state
        if state.status == "succeeded":
            return None
        if state.status == "failed":
            record = state.error or ErrorRecord("makespan.errors.EngineBug", "failed without a reason")
            return raisable(*_culprit(state, record), ())
        if state.status == "cancelled":
            return EngineError(f"run {state.run_id} was cancelled")
        if state.reason in ("decision", "divergence"):
            return DecisionNeeded(f"{state.detail}. {self._how_to_decide()}")
        if state.reason in ("budget", "deadline"):
            return self._limit()
        return Interrupted(f"run {state.run_id} was interrupted; resume it with: {self.resume_command}")

    @property
    def output(self) -> T_co:
        """The workflow's value. Raises `error` when there is none."""
        error = self.error
        if error is not None:
            raise error
        assert self._value is not None, "a run that succeeded has a value"
        returns = type(None) if self._returns is None else self._returns
        value: T_co = HOOKS.codec(returns).decode(self._value)
        return value

    def _limit(self) -> LimitError:
        scope = self._state.scopes[0]
        if self._state.reason == "deadline":
            allowed, used, unit = (scope.deadline_ns or 0) / 1e9, self._state.at / 1e9, "s"
            return LimitError("deadline_s", allowed=allowed, used=used, unit=unit)
        return LimitError("budget_usd", allowed=(scope.budget or 0) / 1e9, used=scope.committed / 1e9, unit="USD")

    def _how_to_decide(self) -> str:
        if self._state.reason == "divergence":
            return f"Resume with `{self.resume_command} --on-change allow` to run the changed calls"
        return f"Say what happened: `{self.resume_command} --retry TASK` or `--skip TASK`"


def gaps(state: State) -> list[str]:
    """One line a task that has no result and was not skipped by a guard, in journal order."""
    lines = []
    for task in state.tasks:
        if task.kind not in (Kind.CALL, Kind.WORKFLOW) or task.status in (Status.SUCCEEDED, Status.REMOVED):
            continue
        name = task.spec.label or task.declaration.key
        if not task.is_final:
            lines.append(f"{name}: not done")
        elif status_word(state, task) != "skipped":
            error = failure_of(state, task)
            lines.append(f"{name}: {error.message if error else task.status.name.lower()}")
    return lines


def resume_command(run_id: str, store: str) -> str:
    """What to type to go on with the run."""
    where = "" if store in ("", ".makespan") else f" --store {shlex.quote(os.fspath(store))}"
    return f"{program()} resume {run_id}{where}"


def program() -> str:
    """What to type for the command line: its name where the shell finds it, else its path beside this interpreter."""
    beside = Path(sys.executable).with_name("makespan")
    if shutil.which("makespan") or not beside.exists():
        return "makespan"
    near = os.path.relpath(beside)
    return shlex.quote(str(beside) if near.startswith("..") else near)


def _culprit(state: State, record: ErrorRecord) -> tuple[str, ErrorRecord, tuple[ErrorRecord, ...]]:
    """Name, error and all attempts of the task whose failure is the run's."""
    for number in state.failed:
        task = state.tasks[number]
        if task.errors and task.errors[-1] == record:
            return task.spec.label or task.declaration.key, record, task.errors
    return state.started.workflow if state.started else "run", record, ()
