"""What a run came to, in numbers: a pure fold of its state. The command line, `Result` and the store's list all use it."""

from __future__ import annotations

import msgspec

from makespan.graph.node import Kind
from makespan.machine.state import State, Status, TaskState

_WORDS = {
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.SKIPPED: "skipped",
    Status.CANCELLED: "cancelled",
    Status.RUNNING: "running",
}


class Tokens(msgspec.Struct, frozen=True):
    """Tokens of all model calls of a run."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0


class TaskCounts(msgspec.Struct, frozen=True):
    """How the run's tasks ended; joins and values that the machine computes itself are not counted."""

    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0
    running: int = 0
    waiting: int = 0
    cached: int = 0


class Summary(msgspec.Struct, frozen=True):
    """Totals of a run. Times in seconds, money in USD."""

    status: str
    reason: str
    detail: str
    cost_usd: float
    tokens: Tokens
    makespan_s: float
    critical_path_s: float
    attempts: int
    tasks: TaskCounts


def summarise(state: State) -> Summary:
    """The run's totals so far. Cost: O(tasks)."""
    counts = dict.fromkeys(("succeeded", "failed", "skipped", "cancelled", "running", "waiting"), 0)
    for task in state.tasks:
        if task.kind in (Kind.CALL, Kind.WORKFLOW) and task.status != Status.REMOVED:
            counts[_WORDS.get(task.status, "waiting")] += 1
    usage = state.usage
    return Summary(
        state.status,
        state.reason,
        state.detail,
        state.cost / 1e9,
        Tokens(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens),
        makespan_ns(state) / 1e9,
        sum(duration_ns(state, task) for task in critical_path(state)) / 1e9,
        sum(task.attempt for task in state.tasks if task.kind == Kind.CALL),
        TaskCounts(**counts),
    )


def makespan_ns(state: State) -> int:
    """From the first attempt's start to the last task's end."""
    started = [task.started_at for task in state.tasks if task.started_at >= 0]
    ended = [max(task.ended_at, task.started_at) for task in state.tasks]
    return max(ended) - min(started) if started else 0


def duration_ns(state: State, task: TaskState) -> int:
    """What the task itself took: its latest attempt. Live bodies take no time of their own."""
    if task.kind not in (Kind.CALL, Kind.TIMER) or task.started_at < 0 or task.ended_at < 0:
        return 0
    return task.ended_at - task.started_at


def critical_path(state: State) -> list[TaskState]:
    """The realised critical path: from the last end back through whatever each task had to wait for.

    A task waits for its sources, and one that a live body asked for also for the end which that body had just received.
    The sum of the durations is the least time the run could have taken with unlimited slots.
    Source: Kelley and Walker, "Critical-Path Planning and Scheduling" (1959), on the realised graph.
    """
    tasks, log = state.tasks, state.finish_log
    length = [-1] * len(tasks)
    before = [-1] * len(tasks)
    for number in log:
        task, best, longest = tasks[number], -1, 0
        for source, _, _ in task.spec.sources:
            if length[source] > longest:
                best, longest = source, length[source]
        if task.requested and task.trigger >= 0 and length[log[task.trigger]] > longest:
            best = log[task.trigger]
            longest = length[best]
        if task.kind == Kind.MAP or task.kind == Kind.WORKFLOW:
            for inside in _inside(state, task):
                if length[inside] > longest:
                    best, longest = inside, length[inside]
        before[number] = best
        length[number] = longest + duration_ns(state, task)
    path: list[TaskState] = []
    at = max(range(len(length)), key=length.__getitem__, default=-1)
    while at >= 0:
        path.append(state.tasks[at])
        at = before[at]
    return path[::-1]


def _inside(state: State, task: TaskState) -> list[int]:
    """The tasks of a map or workflow and of the scopes inside it."""
    number = state.scope_index.get(task.spec.id)
    found: list[int] = []
    waiting = [] if number is None else [number]
    while waiting:
        scope = state.scopes[waiting.pop()]
        found += scope.tasks
        waiting += scope.children
    return found
