"""Edits of a plan by people, while its workflow runs: messages to the plan's mailbox, applied by the plan's own body.

    makespan edit RUN patch.yaml ──▶ message to `edits:plan` ──▶ plan.edit(author=person), checked as any other

The body owns what it waits for, so nobody else changes its steps. Waiting costs nothing until a message comes, and a
body that is resumed applies the same messages again in the same places.
"""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.place import Place
from makespan.authoring.task import HOOKS
from makespan.errors import TaskError
from makespan.graph.edit import Batch
from makespan.graph.node import Declaration, Kind, Node, Scope, Wait
from makespan.machine.items import EDITS
from makespan.machine.observations import Expect, Finished
from makespan.planners.changes import Refused
from makespan.planners.patches import Patch, changes_of, edits_of
from makespan.values import TaskId

if TYPE_CHECKING:
    from makespan.planners.live import LivePlan


class Listening:
    """Hears of edits of one plan for as long as its body runs. Made in the body."""

    def __init__(self, plan: LivePlan, place: Place, bodies: LiveBodies) -> None:
        self._plan, self._bodies = plan, bodies
        self._declaration = Declaration(
            f"receive {EDITS}{plan.name}", Kind.SIGNAL, returns="Patch", wait=Wait(EDITS + plan.name, b"{}")
        )
        bodies.registry.awaited[self._declaration] = Patch
        self._place = Place(_Expecting(bodies), place.real, place.scope_id(EDITS + plan.name))  # type: ignore[arg-type]  # it makes SIGNALs only
        self._decode = HOOKS.codec(Patch).decode
        self._context = copy_context()
        self._listen()

    def _listen(self) -> None:
        task: TaskId = self._place.special(self._declaration)
        self._bodies.watch(task, self._heard)

    def _heard(self, end: Finished) -> None:
        """A message, or the end of the body."""
        if end.value is not None:
            patch = self._decode(end.value)
            self._context.run(self._bodies.loop.create_task, self._apply(patch))

    async def _apply(self, patch: Patch) -> None:
        plan = self._plan
        try:
            try:
                changes = changes_of(edits_of(patch.edits), plan.named)
            except Refused as refusal:
                await plan.ask(Batch(()), patch.author, patch.why, refusal, request=patch.request)
            else:
                await plan.edit(changes, author=patch.author, why=patch.why, seen=patch.seen, request=patch.request)
        except TaskError:
            return  # the workflow was cancelled
        self._listen()


class _Expecting:
    """A builder whose tasks are there once a message comes for them."""

    def __init__(self, bodies: LiveBodies) -> None:
        self.registry, self._bodies = bodies.registry, bodies

    def add(self, node: Node) -> None:
        self._bodies.ask(Expect(node))

    def open_scope(self, scope: Scope) -> None:
        raise AssertionError("a message opens no scope")
