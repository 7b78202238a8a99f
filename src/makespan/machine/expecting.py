"""Waits that cost nothing until their message comes: how a plan hears of edits by people.

    body ──Expect(signal)──▶ expected, in memory        a message of that name ──▶ TaskAdded + MessageTaken

A wait that nobody ends would keep a workflow open, so the SIGNAL is added only when there is something for it. A body
that is resumed expects the same again: one that an earlier life has added is claimed by its id, like any other task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from makespan.graph.node import Kind, Node
from makespan.machine.observations import Expect
from makespan.machine.records import Status

if TYPE_CHECKING:
    from makespan.machine.machine import Machine


def expect(machine: Machine, request: Expect) -> None:
    """From now on the next message of this name adds the SIGNAL; at once where one waits already."""
    node = request.node
    wait = node.declaration.wait
    assert wait is not None, "only a SIGNAL is expected"
    if node.id in machine.state.index:
        machine.add(node)
        return
    machine.expected.setdefault(wait.name, []).append(node)
    if machine.state.mailboxes.get(wait.name):
        arrived(machine, wait.name)


def arrived(machine: Machine, name: str) -> None:
    """There is a message of this name: whoever has expected one for longest gets it."""
    for node in list(machine.expected.get(name, ())):
        machine.expected[name].remove(node)
        if _is_heard(machine, node):
            machine.add(node)
            return


def names(machine: Machine) -> list[str]:
    """The mailboxes that a body expects something in, oldest first."""
    return [name for name, nodes in machine.expected.items() if any(_is_heard(machine, node) for node in nodes)]


def _is_heard(machine: Machine, node: Node) -> bool:
    """Whether the body that expects it still runs."""
    state = machine.state
    number = state.scope_index.get(node.scope)
    if number is None or state.scopes[number].is_dead:
        return False
    owner = state.scopes[state.scopes[number].home].owner
    if owner < 0 or owner in machine.returned:
        return False
    task = state.tasks[owner]
    return task.kind == Kind.WORKFLOW and task.status == Status.RUNNING
