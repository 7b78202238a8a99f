"""The door of a planner: ready tasks with several modes wait until it has chosen a mode and a number of samples.

    ready ──▶ undecided ──AskPlanner(view)──▶ planner, off the loop ──Allotted──▶ ready queue

One question at a time. Choices that come too late are dropped; what the planner leaves out while nothing else runs is
done as it would be without a planner, so that a run never waits for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from makespan.graph.node import Declaration, Effect, Kind
from makespan.machine import beside
from makespan.machine.observations import Allotted, AskPlanner, PlanTask, PlanView
from makespan.machine.records import Status, TaskState

if TYPE_CHECKING:
    from makespan.machine.machine import Machine

SAMPLES_LIMIT = 256
"""Most attempts of one task at a time, whatever a planner says."""


class Choices:
    """How the tasks of this life are done: what the run says of their keys, and the planner of each."""

    def __init__(self, plans: Callable[[Declaration], bool] | None) -> None:
        self.plans = plans
        """Whether a planner chooses how a task is done; None without one."""
        self.modes: dict[str, str] = {}
        """Key → mode, as the run was started."""
        self.undecided: dict[int, None] = {}
        """Ready tasks for which the planner has not chosen, in order."""
        self.allotted: dict[int, tuple[str, int]] = {}
        """Task → (mode, samples) as the planner chose."""
        self.asking = False
        """Whether a question to the planner is out."""
        self.asked_about: tuple[int, int, int] | None = None
        """How things stood when it was last asked."""


def queue(machine: Machine, task: TaskState) -> None:
    """A task is ready: into the queue, or before the planner."""
    choices = machine.choices
    if task.kind == Kind.CALL and choices.plans is not None and choices.plans(task.declaration):
        choices.undecided[task.number] = None
        choices.asked_about = None
    else:
        machine.ready.push(task.number, task.declaration.options.priority)


def mode_of(machine: Machine, task: TaskState) -> str:
    """The mode of the next attempt: the planner's choice, the run's, or none."""
    choices = machine.choices
    if task.number in choices.allotted:
        return choices.allotted[task.number][0]
    return choices.modes.get(task.declaration.key, "") if choices.modes else ""


def ask(machine: Machine) -> None:
    """Ask the planner about the undecided, unless a question is out or nothing has changed since its last answer."""
    choices = machine.choices
    if machine.stopping is not None or choices.asking:
        return
    for number in [n for n in choices.undecided if machine.state.tasks[n].status != Status.READY]:
        del choices.undecided[number]
    news = (len(machine.state.finish_log), len(choices.undecided), machine.in_flight)
    if not choices.undecided or news == choices.asked_about:
        return
    choices.asked_about, choices.asking = news, True
    machine.out.commands.append(AskPlanner(view_of(machine)))


def allotted(machine: Machine, seen: Allotted) -> None:
    """The planner's answer."""
    choices = machine.choices
    choices.asking = False
    for choice in seen.choices:
        if choice.task in choices.undecided and choice.samples > 0:
            task = machine.state.tasks[choice.task]
            del choices.undecided[choice.task]
            choices.allotted[choice.task] = choice.mode, min(choice.samples, SAMPLES_LIMIT)
            machine.ready.push(choice.task, task.declaration.options.priority)
    if seen.gave_up or (not machine.ready and not machine.running and not machine.lingering):
        for number in choices.undecided:
            machine.ready.push(number, machine.state.tasks[number].declaration.options.priority)
        choices.undecided.clear()


def view_of(machine: Machine) -> PlanView:
    """The rest of the run. Cost: O(tasks + edges) that have not ended."""
    state = machine.state
    root = state.scopes[0]
    tasks = tuple([_plan_task(machine, task) for task in state.tasks if not task.is_final])
    seed = state.started.seed if state.started is not None else 0
    left = None if root.budget is None else max(root.budget - root.committed - root.reserved, 0)
    return PlanView(machine.now, seed, root.deadline_ns, left, tasks, state.limits.running)


def _plan_task(machine: Machine, task: TaskState) -> PlanTask:
    state = machine.state
    options = task.declaration.options
    sources = {number for number, _, _ in task.spec.sources if not state.tasks[number].is_final}
    flights: tuple[tuple[str, int], ...] = ()
    if task.number in state.beside:
        flights = tuple((each.mode, each.started_at) for each in state.beside[task.number].values())
    elif task.status == Status.RUNNING and task.kind == Kind.CALL:
        flights = ((state.modes.get(task.number, ""), task.started_at),)
    return PlanTask(
        task.number,
        task.declaration.key,
        (options.models or ("",)) if task.kind == Kind.CALL else (),
        tuple(sorted(sources)),
        task.number in machine.choices.undecided,
        flights,
        task.failures,
        _tries_left(machine, task),
        task.not_before if task.status == Status.BACKOFF else -1,
        not beside.may_have_company(task),
    )


def _tries_left(machine: Machine, task: TaskState) -> int:
    """Tries that its `retries` allow for an ordinary failure."""
    options = task.declaration.options
    allowed = options.retries + 1 if options.effect != Effect.IRREVERSIBLE or options.retry_on else 1
    return max(min(allowed, machine.state.limits.attempts) - task.failures, 1)
