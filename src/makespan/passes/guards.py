"""Guards as data: which condition a node waits for, and whether it must hold or not.

when "(s1) and (not (s2.ok))"  ──▶  [Guard(condition of s1, holds), Guard(condition of s2.ok, does not hold)]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from makespan.graph.expression import parse
from makespan.graph.node import Kind, Mode, Node
from makespan.graph.terms import Every, Not, Term
from makespan.values import TaskId

NAME = re.compile(r"Name\(name='s(\d+)'\)")


class Test(NamedTuple):
    """A condition: equal tests are true together."""

    condition: TaskId
    text: str
    key: str
    """Of the task that is asked."""
    field: str
    """Which part of its value, `.ok`; empty for all of it."""
    on_failure: bool
    """Whether it asks if a task has failed."""

    @property
    def name(self) -> str:
        """For people."""
        return self.key + self.field


class Guard(NamedTuple):
    """A test, and what it must give."""

    test: Test
    holds: bool


def guards_of(node: Node, nodes: Mapping[TaskId, Node]) -> tuple[Guard, ...]:
    """The guards of a node, outermost first."""
    if not node.when:
        return ()
    term = parse(node.when).term
    return tuple(_guard(each, node, nodes) for each in (term.terms if isinstance(term, Every) else (term,)))


def _guard(term: Term, node: Node, nodes: Mapping[TaskId, Node]) -> Guard:
    holds = True
    while isinstance(term, Not):
        term, holds = term.term, not holds
    said = repr(term)
    places = [int(place) for place in NAME.findall(said)]
    if not places:
        return Guard(Test(node.id, said, "always", "", False), holds)
    source = node.sources[max(places)]
    text = NAME.sub(lambda found: f"{node.sources[int(found[1])].task.hex()}{node.sources[int(found[1])].path}", said)
    failed = said.replace(f"'s{places[0]}'", "'value'") == FAILED and source.mode == Mode.OUTCOME and not source.path
    field = "".join(f".{step}" for step in source.path)
    return Guard(Test(source.task, text, asked(source.task, nodes), field, failed), holds)


def asked(task: TaskId, nodes: Mapping[TaskId, Node]) -> str:
    """The key of the task whose value is tested: values that only pass one on are looked through."""
    node = found = nodes.get(task)
    while node is not None and node.declaration.kind == Kind.VALUE and len({s.task for s in node.sources}) == 1:
        node = nodes.get(node.sources[0].task)
        found = node or found
    return "item" if found is None else found.key


FAILED = repr(parse("value.status == 'failed'").term)
