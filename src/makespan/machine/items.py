"""What tasks yield on its way to the bodies that read them: messages of the run, journaled as they are taken.

    attempt ──Sent(items:TASK)──▶ unread, in memory ──a body listens──▶ MessageReceived + MessageTaken

An attempt that is cut says everything again and one that ended has it all in its result, so what nobody has read needs
no journal: a task that yields where nobody listens costs none.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from makespan.graph.node import Declaration, Kind
from makespan.machine.facts import MessageReceived
from makespan.machine.observations import Sent
from makespan.machine.records import TaskState

if TYPE_CHECKING:
    from makespan.machine.machine import Machine

ITEMS = "items:"
"""Begins the names of the mailboxes for what tasks yield."""
EDITS = "edits:"
"""Begins the names of the mailboxes of live plans, for edits by people."""


def mailbox_of(task: bytes) -> str:
    """Where the items of a task arrive."""
    return f"{ITEMS}{task.hex()}"


def is_bookkeeping(declaration: Declaration) -> bool:
    """Whether a task is the engine's own: the next item of another task, an edit of the graph, or one on its way."""
    if declaration.kind == Kind.SIGNAL:
        return declaration.wait is not None and declaration.wait.name.startswith((ITEMS, EDITS))
    return declaration.kind == Kind.EDIT


def note(machine: Machine, seen: Sent) -> None:
    """A task has yielded. Beyond the limit `messages` its readers find the rest in its result."""
    if machine.bodies is None:
        return
    unread = machine.unread.setdefault(seen.name, deque())
    if len(unread) < machine.state.limits.messages:
        unread.append(seen)
        machine.mail.append(seen.name)


def next_unread(machine: Machine, name: str) -> int | None:
    """The next item of a mailbox as a message that somebody takes now: its number; None without one."""
    unread = machine.unread.get(name)
    if not unread:
        return None
    seen = unread.popleft()
    machine.emit(MessageReceived(machine.now, name, machine.keep(seen.value), seen.message_id))
    return len(machine.state.messages) - 1


def forget(machine: Machine, task: TaskState) -> None:
    """The attempt is over: what it said is in its result, or does not count."""
    machine.unread.pop(mailbox_of(task.spec.id), None)
