"""`--retry TASK`, `--skip TASK`: a person's answers about tasks that wait for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from makespan.errors import UsageError, suggestion
from makespan.graph.node import Effect
from makespan.machine.records import Status, TaskState
from makespan.machine.state import State
from makespan.traces.words import name_of, short_id


def read_decisions(state: State, said: Mapping[str, Sequence[str]]) -> dict[bytes, str]:
    """Verdict by task id.

    Raises:
        UsageError: a task that is not there, does not wait for a decision, or is decided twice.
    """
    decisions: dict[bytes, str] = {}
    for verdict, names in said.items():
        for name in names:
            task = _waiting_task(state, name)
            if decisions.get(task.spec.id, verdict) != verdict:
                raise UsageError(f"--retry and --skip of the same task {name}: choose one")
            decisions[task.spec.id] = verdict
    return decisions


def waiting_for_decision(state: State) -> list[TaskState]:
    """Tasks a person may decide about: unknown, diverged, or irreversible and cut while they ran."""
    return [
        task
        for task in state.tasks
        if task.status in (Status.UNKNOWN, Status.DIVERGED)
        or (task.status == Status.RUNNING and task.declaration.options.effect == Effect.IRREVERSIBLE)
    ]


def _waiting_task(state: State, name: str) -> TaskState:
    waiting = waiting_for_decision(state)
    by_id = [task for task in waiting if len(name) >= 4 and task.spec.id.hex().startswith(name.lower())]
    found = by_id or [task for task in waiting if name in (task.declaration.key, name_of(task))]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{name_of(task)} ({short_id(task)})" for task in waiting[:6])
    if found:
        raise UsageError(f"{len(found)} tasks are called {name!r}; give the id of one: {listed}")
    if not waiting:
        raise UsageError(f"no task of run {state.run_id} waits for a decision, so {name!r} cannot be decided")
    hint = suggestion(name, [task.declaration.key for task in waiting])
    raise UsageError(f"no task {name!r} waits for a decision{hint}; these do: {listed}")
