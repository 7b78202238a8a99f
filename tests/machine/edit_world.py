"""EDIT tasks without bodies: a graph whose tasks change it."""

from __future__ import annotations

from typing import Any

import msgspec

from makespan.graph.edit import AddTasks, Edit
from makespan.graph.node import Declaration, Kind, Node
from makespan.machine.edits import Change, Verdict
from makespan.machine.observations import EditAsked
from tests.graph.samples import node
from tests.machine.driver import Life

EDIT = Declaration("edit", Kind.EDIT, returns="EditVerdict")
_verdict = msgspec.msgpack.Decoder(Verdict)


def edit_node(name: str, *sources: str, change: Change | Edit, **fields: Any) -> Node:
    """A task that makes a change when its sources have succeeded."""
    said = change if isinstance(change, Change) else Change(change, "ann", "because")
    made = node(name, *sources, declaration=EDIT, **fields)
    return msgspec.structs.replace(made, args=(msgspec.msgpack.encode(said),))


def verdict_of(life: Life, number: int) -> Verdict:
    """What became of the change that a task asked for."""
    value = life.state.tasks[number].value
    assert value is not None
    return _verdict.decode(life.state.bytes_of(value))


def ask(life: Life, edit: Edit, name: str = "asks", scope: Any = None) -> Verdict:
    """Have a task of the run make a change now."""
    fields = {} if scope is None else {"scope": scope}
    before = len(life.state.tasks)
    life.observe(EditAsked(life.now, AddTasks((edit_node(name, change=edit, **fields),))))
    return verdict_of(life, before)
