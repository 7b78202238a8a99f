"""A person's patch as an edit of a run's graph: for runs without a live plan, by the names of tasks.

    {"replace": "fetch", "with": {"tool": "fetch_mirror", "args": {"url": "${pick.url}"}}}  ──▶  ReplaceTask(id, node)

A name is that of a new step of the patch, a task's label, its key or the last part of it, or the beginning of its id.
New steps may call the tasks that the run knows. What the graph makes of it is the machine's to judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.place import Place
from makespan.authoring.ref import Ref
from makespan.authoring.task import Task
from makespan.errors import suggestion
from makespan.graph.edit import AddTasks, Batch, Edit, RemoveTask, ReplaceTask
from makespan.graph.node import Kind, Node, copied
from makespan.machine.records import Status, TaskState
from makespan.machine.state import State
from makespan.planners.changes import Drop, Refused, Replace
from makespan.planners.drafting import Drafting
from makespan.planners.patches import Patch, changes_of, edits_of
from makespan.planners.steps import Step
from makespan.planners.tools import Tools, Unfit
from makespan.values import ROOT_SCOPE, ScopeId, TaskId

ID_CHARACTERS = 4
"""Fewest of an id that name a task."""
MOST_NAMED = 6
"""Tasks that a message lists."""
_UNNAMED = (Kind.VALUE, Kind.FIRST, Kind.EDIT)
"""Kinds that only their id names: the engine's own bookkeeping."""


def graph_edit(patch: Patch, state: State, bodies: LiveBodies, beside: Iterable[Task[..., Any]] = ()) -> Edit:
    """The patch as an edit of the graph as it stands.

    Args:
        beside: tasks that new steps may call besides those that the run knows.
    Raises:
        Refused: it cannot be read, a name means nothing or several tasks, or a step does not fit its task.
    """
    tasks = TasksByName(state, bodies)
    tools = _RunTools([*beside, *bodies.registry.all()])
    inside = ScopeId(sha256(b"patch:" + patch.request.encode()).digest()[:16])
    made: list[Edit] = []
    new: dict[str, Ref[Any] | None] = {}
    for change in changes_of(edits_of(patch.edits), tasks.known):
        if isinstance(change, Drop):
            made.append(RemoveTask(TaskId(tasks.task(change.name).spec.id)))
            continue
        old = tasks.task(change.name) if isinstance(change, Replace) else None
        if change.step.name in new:
            raise Refused("duplicate", f"the patch has two steps {change.step.name}")
        scope = ROOT_SCOPE if old is None else ScopeId(state.scopes[old.spec.scope].id)
        drafting = Drafting(tools, bodies, Place(bodies, scope, inside), change.step.name)
        ref, nodes = _drafted(drafting, change.step, _Results(new, tasks))
        if old is not None:
            is_root = state.started is not None and old.spec.id == state.started.root
            _refuse_misfit(old, nodes[-1], is_read=is_root or bool(old.dependents))
            if is_root:  # the run's result is known by the id
                nodes[-1] = copied(nodes[-1], id=TaskId(old.spec.id))
                ref = Ref(bodies, nodes[-1].id, ref._type, ref._name)
        made += _placed(nodes, old)
        new[change.step.name] = ref
        if isinstance(change, Replace):
            new[change.name] = ref
    return made[0] if len(made) == 1 else Batch(tuple(made))


def _drafted(drafting: Drafting, step: Step, results: Mapping[str, Ref[Any] | None]) -> tuple[Ref[Any], list[Node]]:
    try:
        draft = drafting.draft(step, results)
    except Unfit as problem:
        raise Refused("unfit", f"step {step.name}: {problem}") from None
    return draft.ref, list(draft.uses)


def _placed(nodes: list[Node], old: TaskState | None) -> list[Edit]:
    if old is None:
        return [AddTasks(tuple(nodes))]
    *fills, call = nodes
    edits: list[Edit] = [AddTasks(tuple(fills))] if fills else []
    return [*edits, ReplaceTask(TaskId(old.spec.id), call)]


def _refuse_misfit(old: TaskState, new: Node, *, is_read: bool) -> None:
    """What reads a task takes its type: another one must give the same, as far as both say what they give."""
    before, after = old.declaration.returns, new.declaration.returns
    if is_read and before and after and before != after and "Any" not in (before, after):
        raise Refused(
            "type_mismatch",
            f"{new.declaration.key} gives {after}, but what reads {old.declaration.key} takes {before}; "
            f"put a task in between that turns one into the other",
        )


class TasksByName:
    """The tasks of a run as people name them."""

    def __init__(self, state: State, bodies: LiveBodies) -> None:
        self._state, self._bodies = state, bodies
        self._by_name: dict[str, list[TaskState]] = {}
        for task in state.tasks:
            if task.status == Status.REMOVED or task.kind in _UNNAMED:
                continue
            key = task.declaration.key
            for name in dict.fromkeys((task.spec.label or key, key, key.rpartition(".")[2])):
                self._by_name.setdefault(name, []).append(task)

    def known(self, name: str) -> str | None:
        """The name, if some task has it."""
        return name if self._found(name) else None

    def task(self, name: str) -> TaskState:
        """The task that is meant. Raises Refused where that is none, or several."""
        found = self._found(name)
        if not found:
            close = suggestion(name, self._by_name)
            there = "; `makespan show RUN --json` lists the tasks with their ids"
            raise Refused("unknown_task", f"no task of the run is called {name!r}{close or there}")
        if len(found) > 1:
            ids = ", ".join(task.spec.id.hex()[:12] for task in found[:MOST_NAMED])
            more = ", …" if len(found) > MOST_NAMED else ""
            raise Refused("ambiguous", f"{len(found)} tasks are called {name!r}: say which by its id: {ids}{more}")
        return found[0]

    def ref(self, name: str) -> Ref[Any]:
        """Stands for the result of the task that is meant."""
        task = self.task(name)
        known = self._bodies.registry.get(task.declaration.key)
        kind = known.returns if isinstance(known, Task) and task.kind == Kind.CALL else Any
        return Ref(self._bodies, TaskId(task.spec.id), kind, task.declaration.key)

    def _found(self, name: str) -> list[TaskState]:
        by_name = self._by_name.get(name)
        if by_name:
            return by_name
        said = name.lower()
        if len(said) < ID_CHARACTERS or not set(said) <= set("0123456789abcdef"):
            return []
        return [
            task for task in self._state.tasks if task.status != Status.REMOVED and task.spec.id.hex().startswith(said)
        ]


class _Results(Mapping[str, Ref[Any] | None]):
    """References of a patch: its own steps first, then the tasks of the run."""

    def __init__(self, new: dict[str, Ref[Any] | None], tasks: TasksByName) -> None:
        self._new, self._tasks = new, tasks

    def __getitem__(self, name: str) -> Ref[Any] | None:
        if name in self._new:
            return self._new[name]
        return self._tasks.ref(name)

    def get(self, name: str, default: Any = None) -> Any:
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._new)

    def __len__(self) -> int:
        return len(self._new)


class _RunTools(Tools):
    """All tasks that a run knows, as they are; none is described to a model."""

    def __init__(self, tasks: Sequence[Task[..., Any]]) -> None:
        self._tasks = {task.key.rpartition(".")[2]: task for task in tasks} | {task.key: task for task in tasks}
        self._loosely = {}
        self.described = ()
