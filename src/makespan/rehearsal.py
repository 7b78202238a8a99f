"""What changed code would do to a run, found out without doing it: live bodies replay the journal, in memory.

journal ──▶ state ──▶ today's code asks for its tasks ──▶ the same, of other code, new, not asked for, or diverged
"""

from __future__ import annotations

import msgspec

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.task import Task
from makespan.authoring.trace import template_of
from makespan.graph.node import Declaration, Kind
from makespan.machine import retrying
from makespan.machine.items import is_bookkeeping
from makespan.machine.machine import Machine
from makespan.machine.records import Status, TaskState
from makespan.machine.requests import describe_divergence
from makespan.machine.state import State

_SHOWN = (Kind.CALL, Kind.WORKFLOW, Kind.SIGNAL)


class Rehearsal(msgspec.Struct, frozen=True):
    """Today's code against a run: names of tasks, with their ids' first 12 digits, in the run's order."""

    run_id: str
    same: int
    """Tasks whose results would be used as they are."""
    stale: list[str]
    """Finished tasks whose code is another now: used by default, done again with `on_change="rerun"`."""
    dropped: list[str]
    """Tasks of the run that the code does not ask for any more."""
    added: list[str]
    """Tasks that the code asks for and the run does not have, as far as it can see without their results."""
    diverged: str = ""
    """What the run would be paused for: paid or irreversible work that would be done with other arguments."""

    @property
    def is_clean(self) -> bool:
        return not (self.stale or self.dropped or self.added or self.diverged)


def rehearse(state: State, code: Task[..., object]) -> Rehearsal:
    """Compare today's code with a run. The state is used up: fold a fresh one.

    Cost: one replay of the run's bodies, no I/O, nothing of a task runs.
    """
    template = template_of(code)
    known = len(state.tasks)
    assert state.started is not None
    bodies = LiveBodies(template.registry.copy(), state.run_id, state.started.seed, state.started.started_wall_ns)
    if getattr(code, "is_traced", False):
        stale = retrying.stale(state, template.nodes)
        there = {node.id for node in template.nodes}
        mine = [task for task in state.tasks if not task.requested and task.spec.scope == 0]
        dropped = [task for task in mine if task.spec.id not in there and _is_shown(task.declaration)]
        added = [n.key for n in template.nodes if n.id not in state.index and _is_shown(n.declaration)]
        return _told(state, known, stale, dropped, added, "")
    machine = Machine(state, bodies=bodies)
    machine.stopping = ("rehearsal", "")
    root = state.root
    again = [root.number] if root is not None and root.is_final else []
    machine.resume(state.at, budget=None, deadline_ns=None, on_change="stop", retry=again)
    bodies.close()
    live = [task for task in state.tasks[:known] if task.requested and _is_shown(task.declaration) and task is not root]
    dropped = [task for task in live if task.number not in machine.replay.claimed and _is_done(task)]
    added = [task.declaration.key for task in state.tasks[known:] if _is_shown(task.declaration)]
    diverged = [state.tasks[number] for number in sorted(state.diverged)]
    said = describe_divergence(state, diverged) if diverged else ""
    return _told(state, known, machine.stale, dropped, added, said)


def _told(
    state: State, known: int, stale: list[int], dropped: list[TaskState], added: list[str], diverged: str
) -> Rehearsal:
    used = sum(t.status == Status.SUCCEEDED and t.kind == Kind.CALL for t in state.tasks[:known])
    same = used - len(stale) - sum(t.status == Status.SUCCEEDED and t.kind == Kind.CALL for t in dropped)
    return Rehearsal(
        state.run_id, same, [_name(state.tasks[n]) for n in stale], [_name(t) for t in dropped], added, diverged
    )


def _is_shown(declaration: Declaration) -> bool:
    return declaration.kind in _SHOWN and not is_bookkeeping(declaration)


def _is_done(task: TaskState) -> bool:
    return task.attempt > 0


def _name(task: TaskState) -> str:
    return f"{task.spec.label or task.declaration.key} ({task.spec.id.hex()[:12]})"
