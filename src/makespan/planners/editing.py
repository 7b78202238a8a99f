"""One change of a plan on its way to be one of the graph: said in names, checked against the plan, then in nodes.

[Drop("3"), Add(step)]  ──▶  Proposal(edit=Batch(RemoveTask, AddTasks), drafts, gone)     or Refused(reason)
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from makespan.authoring.ref import Ref
from makespan.graph.edit import AddTasks, Batch, Edit, RemoveTask, ReplaceTask
from makespan.graph.node import Node
from makespan.planners.changes import Add, Drop, PlanChange, Refused, Replace
from makespan.planners.drafting import Draft, Drafting
from makespan.planners.tools import Unfit
from makespan.values import TaskId

if TYPE_CHECKING:
    from makespan.planners.live import LivePlan, Planned


class Proposal:
    """Several changes that are made together. Cost: O(changes), not O(plan).

    Raises:
        Refused: they make no sense for the plan as it is.
    """

    def __init__(
        self,
        plan: LivePlan,
        drafting: Drafting,
        results: dict[str, Ref[Any] | None],
        changes: Sequence[PlanChange],
        seen: int | None,
    ) -> None:
        self._plan, self._drafting, self._seen = plan, drafting, seen
        self.drafts: dict[str, Draft] = {}
        """New steps by name."""
        self.gone: dict[str, Planned] = {}
        """Steps that leave the plan."""
        self.removed: dict[TaskId, None] = {}
        """Nodes that leave the graph."""
        self._left: dict[TaskId, int] = {}
        """Node → how many steps stand on it once those that go are gone."""
        self._new: dict[TaskId, Node] = {}
        self._results: ChainMap[str, Ref[Any] | None] = ChainMap({}, results)
        edits = [edit for change in changes for edit in self._edits_of(change)]
        self._refuse_loose_ends()
        size = len(plan.steps) - len(self.gone) + len(self.drafts)
        if size > max(plan.max_steps, len(plan.steps)):
            raise Refused("limit", f"a plan has at most {plan.max_steps} steps")
        adds = [edit for edit in edits if isinstance(edit, AddTasks)]
        self.edit: Edit = Batch(tuple(edits))
        if len(adds) == len(edits):
            self.edit = AddTasks(tuple(node for add in adds for node in add.nodes))

    def _edits_of(self, change: PlanChange) -> list[Edit]:
        if isinstance(change, Add):
            draft = self._draft(change)
            nodes = self._unknown(draft.uses)
            return [AddTasks(nodes)] if nodes else []
        planned = self._leaving(change.name)
        if isinstance(change, Drop):
            self._results[change.name] = None
            return self._removals(planned)
        return self._replacement(change, planned)

    def _leaving(self, name: str) -> Planned:
        planned = self._plan.steps.get(name)
        if planned is None or name in self.gone:
            raise Refused("unknown_task", f"there is no step {name} in the plan")
        if planned.outcome is not None:
            raise Refused("already_started", f"step {name} has ended")
        if self._seen is not None and planned.revision > self._seen:
            raise Refused("stale", f"step {name} was changed by {planned.author or 'another'} meanwhile")
        self.gone[name] = planned
        for node in planned.uses:
            self._left[node.id] = self._left.get(node.id, self._drafting.users(node)) - 1
        return planned

    def _removals(self, planned: Planned) -> list[Edit]:
        """The nodes that no other step stands on, readers first. Texts that may have been made up stay: it is late."""
        edits: list[Edit] = []
        for node in reversed(planned.uses):
            is_call = node.id == planned.ref._task
            if self._left[node.id] <= 0 and node.id not in self._new and (is_call or not self._may_have_started(node)):
                edits.append(RemoveTask(node.id))
                self.removed[node.id] = None
        return edits

    def _replacement(self, change: Replace, planned: Planned) -> list[Edit]:
        old = planned.uses[-1]
        draft = self._draft(change)
        self._results[change.name] = draft.ref
        if draft.ref._task == old.id:
            return []  # the same call in other words
        sharer = next((name for name in self._plan.steps_of(old.id) if name not in self.gone), None)
        if sharer is not None:
            raise Refused(
                "duplicate", f"steps {change.name} and {sharer} are one call: drop {change.name} and add another step"
            )
        if not self._is_new(draft.uses[-1]):
            raise Refused("duplicate", f"step {change.name} would be the same call as another step: drop it instead")
        *fills, call = self._unknown(draft.uses)
        edits: list[Edit] = [AddTasks(tuple(fills))] if fills else []
        others = [edit for edit in self._removals(planned) if edit != RemoveTask(old.id)]
        return [*edits, ReplaceTask(old.id, call), *others]

    def _draft(self, change: Add | Replace) -> Draft:
        step = change.step
        if (step.name in self._plan.steps and step.name not in self.gone) or step.name in self.drafts:
            raise Refused("duplicate", f"there is a step {step.name} already")
        try:
            draft = self._drafting.draft(step, self._results)
        except Unfit as problem:
            raise Refused("unfit", f"step {step.name}: {problem}") from None
        self.drafts[step.name] = draft
        self._results[step.name] = draft.ref
        for node in draft.uses:
            self._left[node.id] = self._left.get(node.id, self._drafting.users(node)) + 1
        return draft

    def _unknown(self, uses: tuple[Node, ...]) -> tuple[Node, ...]:
        """Those that are to be added, which this edit has from now on."""
        nodes = tuple(node for node in uses if self._is_new(node))
        for node in nodes:
            self._new[node.id] = node
            self.removed.pop(node.id, None)
        return nodes

    def _is_new(self, node: Node) -> bool:
        """Whether neither the graph, as this edit leaves it so far, nor the edit itself has a node."""
        return node.id not in self._new and (node.id in self.removed or not self._drafting.is_there(node))

    def _refuse_loose_ends(self) -> None:
        """A call that other steps share stays when a step goes: then the graph cannot tell that somebody reads it."""
        replaced = {draft.step.name for draft in self.drafts.values()}
        for name, planned in self.gone.items():
            if planned.ref._task in self.removed or self._results.get(name) is not None or name in replaced:
                continue
            left = [each for each in self._plan.dependants([name]) if each not in self.gone]
            if left:
                raise Refused("dangling", f"step {left[0]} needs step {name}, which would be gone")

    def _may_have_started(self, node: Node) -> bool:
        return all(self._plan.has_ended(source.task) for source in node.sources)
