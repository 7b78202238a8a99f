"""`--retry TASK`, `--skip TASK`, `--happened TASK=JSON`: a person's answers about tasks that wait for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from makespan.errors import UsageError, suggestion
from makespan.graph.node import Effect
from makespan.machine.records import Status, TaskState
from makespan.machine.state import State
from makespan.traces.words import name_of, short_id


def read_decisions(state: State, said: Mapping[str, Sequence[str]]) -> dict[bytes, str | tuple[str, Any]]:
    """Verdict by task id; for `happened` with the value it returned, null unless `TASK=JSON` gives one.

    Raises:
        UsageError: a task that is not there, does not wait for a decision, or is decided twice; a value that is no
            JSON.
    """
    decisions: dict[bytes, str | tuple[str, Any]] = {}
    for verdict, names in said.items():
        for given in names:
            name, decision = (given, verdict) if verdict != "happened" else _happened(given)
            task = _waiting_task(state, name)
            if decisions.get(task.spec.id, decision) != decision:
                raise UsageError(f"the task {name} is decided twice; choose one of --retry, --skip and --happened")
            decisions[task.spec.id] = decision
    return decisions


def _happened(given: str) -> tuple[str, str | tuple[str, Any]]:
    name, _, text = given.partition("=")
    try:
        return name, ("happened", msgspec.json.decode(text) if text else None)
    except msgspec.DecodeError as error:
        raise UsageError(f"--happened {given!r}: after {name}= comes what it returned as JSON ({error})") from None


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
