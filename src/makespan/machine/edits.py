"""Edits while the run goes on: checked against what has started, applied whole, or refused with a reason.

The edit is tried on a `Graph` of the run as it stands now; the difference between the two graphs becomes facts. What
has started is frozen: it can be read by new tasks, never altered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from makespan.graph.check import misshapen
from makespan.graph.edit import apply
from makespan.graph.graph import EditRefused as Refused
from makespan.graph.graph import Graph, Refusal, name_of
from makespan.graph.node import Node, Scope, copied
from makespan.machine import starting
from makespan.machine.facts import EditApplied, EditRefused, ScopeAdded, TaskRemoved, TaskRewired
from makespan.machine.observations import EditAsked
from makespan.machine.realised import realised
from makespan.machine.records import Status, TaskState
from makespan.machine.requests import add_node
from makespan.machine.state import State
from makespan.values import ROOT_SCOPE, TaskId

if TYPE_CHECKING:
    from makespan.machine.machine import Machine


def decide(machine: Machine, asked: EditAsked) -> None:
    """Apply an edit as facts, or refuse it with a typed reason. A refused edit leaves nothing behind."""
    state, kind = machine.state, type(asked.edit).__name__
    if state.edits >= state.limits.edits:
        machine.emit(
            EditRefused(machine.now, asked.author, kind, "limit", f"the limit `edits` is {state.limits.edits}")
        )
        return
    before = realised(state)
    started = frozenset(TaskId(t.spec.id) for t in state.tasks if _has_started(state, t))
    try:
        after = apply(before, asked.edit, started, max_tasks=state.limits.tasks)
        _refuse_nonsense(machine, before, after)
    except Refused as refusal:
        machine.emit(EditRefused(machine.now, asked.author, kind, str(refusal.reason), str(refusal)))
        return
    _emit_difference(machine, before, after, asked.author, kind)


def _has_started(state: State, task: TaskState) -> bool:
    is_undoing = state.scopes[task.spec.scope].shielded
    return is_undoing or task.status > Status.READY or bool(task.attempt) or task.number in state.maps


def _refuse_nonsense(machine: Machine, before: Graph, after: Graph) -> None:
    """Refuse what only this run knows to be wrong: shapes nobody checked yet, and tasks that somebody waits for."""
    state = machine.state
    for node in after:
        old = before.get(node.id)
        if old == node:
            continue
        for problem in misshapen(node, 0):
            raise Refused(Refusal.INVALID, problem.message)
        if old is not None and not _only_rewired(old, node) and _is_asked_for(machine, node.id):
            raise Refused(Refusal.DANGLING, f"a running workflow asked for {name_of(old)}: only its inputs may change")
    for node in before:
        if node.id in after:
            continue
        if state.started is not None and node.id == state.started.root:
            raise Refused(Refusal.DANGLING, f"the run's result is that of task {name_of(node)}")
        if _is_asked_for(machine, node.id):
            raise Refused(Refusal.DANGLING, f"a running workflow asked for task {name_of(node)}")


def _is_asked_for(machine: Machine, task: TaskId) -> bool:
    number = machine.state.index[task]
    return number in machine.replay.claimed or machine.replay.waits_for_claim(number)


def _only_rewired(old: Node, new: Node) -> bool:
    return copied(old, sources=new.sources, args=new.args) == new


def _emit_difference(machine: Machine, before: Graph, after: Graph, author: str, kind: str) -> None:
    """The facts that lead from one graph to the other. A task changed in more than its inputs gets a new number."""
    state, index = machine.state, machine.state.index
    added = [node for node in after if node.id not in before]
    changed = [(old, node) for node in after if (old := before.get(node.id)) is not None and old != node]
    exchanged = {node.id: node for old, node in changed if not _only_rewired(old, node)}
    machine.emit(EditApplied(machine.now, author, kind, len(added) + len(exchanged)))
    _emit_scopes(machine, [scope for scope in after.scopes.values() if scope.id not in before.scopes])
    for task in exchanged:
        _remove(machine, index[task])
    for node in _in_run_order(state, [*added, *exchanged.values()]):
        add_node(machine, node, state.scope_index.get(node.scope, state.scope_index[ROOT_SCOPE]))
    rewired = {node.id: node for _, node in changed if node.id not in exchanged}
    for task in exchanged:
        rewired |= {
            each: after.known(each) for each in before.dependents(task) if each in after and each not in exchanged
        }
    for node in rewired.values():
        _forget(machine, index[node.id])
        edges = tuple((index[s.task], s.path, s.mode) for s in node.sources)
        machine.emit(TaskRewired(index[node.id], node.args, edges))
    for node in before:
        if node.id not in after:
            _remove(machine, index[node.id])


def _emit_scopes(machine: Machine, scopes: list[Scope]) -> None:
    """New scopes, parents first, with their deadlines on the heap."""
    state, waiting = machine.state, list(scopes)
    while waiting:
        scope = next(scope for scope in waiting if scope.parent in state.scope_index)
        waiting.remove(scope)
        parent = state.scope_index[scope.parent]
        machine.emit(
            ScopeAdded(
                scope.id, parent, scope.name, machine.now, scope.budget, scope.deadline_ns, scope.limit, undo=scope.undo
            )
        )
        machine.watch_deadline(len(state.scopes) - 1)


def _remove(machine: Machine, number: int) -> None:
    _forget(machine, number)
    machine.emit(TaskRemoved(number, machine.now))


def _forget(machine: Machine, number: int) -> None:
    """Drop what is known of a task under its old inputs: judged candidates, a place in line."""
    machine.joined.pop(number, None)
    task = machine.state.tasks[number]
    if task.status == Status.READY:
        starting.hold_nothing(machine, task)


def _in_run_order(state: State, nodes: list[Node]) -> list[Node]:
    """New nodes so that each comes after those it reads."""
    waiting, ordered, placed = {node.id: node for node in nodes}, list[Node](), set(state.index)
    while waiting:
        ready = [node for node in waiting.values() if all(source.task in placed for source in node.sources)]
        assert ready, "an applied edit is acyclic"
        for node in ready:
            ordered.append(node)
            placed.add(node.id)
            del waiting[node.id]
    return ordered
