"""A plan inside a running workflow: it grows while a planner writes it, and every change of it is an edit of the graph.

    plan = LivePlan(tools)
    await plan.ingest(planner(goal))        steps start while the planner is still writing
    await plan.edit([Replace("3", step)], author="editor", why="3 would fail")      checked, applied whole, or refused
    await plan.settled()                    until all steps have ended
    plan.outcomes()                         how each ended, by name

An edit is decided in the turn in which it is asked for, by the machine, against what has started by then. A body that
is resumed makes the same plan again from the journal: nothing finished runs twice, no edit is lost or applied twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.context import running_body
from makespan.authoring.items import item_type, said
from makespan.authoring.place import here
from makespan.authoring.ref import Ref
from makespan.authoring.task import HOOKS, Task
from makespan.codec import Outcome
from makespan.errors import GraphError
from makespan.graph.edit import AddTasks, Batch, Edit, RemoveTask, ReplaceTask
from makespan.graph.node import Declaration, Kind, Node
from makespan.machine.edits import Change, Verdict
from makespan.machine.observations import AddTask, Finished, HoldTasks, LetGo
from makespan.planners.changes import Add, Drop, EditVerdict, PlanChange, Refused, Replace
from makespan.planners.drafting import Draft, Drafting
from makespan.planners.reading import Ingested, Reading
from makespan.planners.steps import Problem, Step, depends_on
from makespan.planners.tools import Tools, Unfit
from makespan.values import TaskId

EDIT = Declaration("edit", Kind.EDIT, returns="EditVerdict")
MAX_STEPS = 1_000
"""Steps of one plan, those that are gone not counted."""

_encode = msgspec.msgpack.encode
_verdict = msgspec.msgpack.Decoder(Verdict)


class Planned:
    """A step that is in the graph."""

    def __init__(self, draft: Draft, author: str, revision: int) -> None:
        self.step, self.ref, self.nodes, self.author = draft.step, draft.ref, draft.nodes, author
        self.revision = revision
        """Number of the edit that made it as it is."""
        self.outcome: Outcome[Any] | None = None
        self.at_s = 0.0
        """When it ended, seconds since the run's start."""


class LivePlan:
    """A plan in the body of an async workflow.

    Args:
        tools: tasks that its steps may call.
        name: tells the plans of one workflow apart.
    Raises:
        GraphError: outside of an async workflow, or a tool that cannot be described.
    """

    def __init__(
        self, tools: Sequence[Task[..., Any]] | Tools, *, name: str = "plan", max_steps: int = MAX_STEPS
    ) -> None:
        place = here("a plan")
        if not isinstance(place.builder, LiveBodies):
            raise GraphError("a plan grows in an async workflow only")
        inside = running_body.get()
        assert inside is not None, "an async workflow has a context"
        self.tools = tools if isinstance(tools, Tools) else Tools(f"the plan {name!r}", tools)
        self.name, self._place, self._bodies, self._body = name, place, place.builder, inside.task_id
        self._drafting = Drafting(self.tools, place.builder, place, name)
        self._max_steps = max_steps
        self.steps: dict[str, Planned] = {}
        """By name, in the order in which they came."""
        self.gone: dict[str, Step] = {}
        """Steps that were dropped or replaced before they started."""
        self.revision = 0
        """Edits applied so far; what an editor was shown is as old as this was then."""
        self.problems: list[Problem] = []
        self._ended: list[str] = []
        self._wakers: list[Callable[[], None]] = []

    # ------------------------------------------------------------ reading it

    @property
    def refs(self) -> dict[str, Ref[Any]]:
        """Stands for the results, by name."""
        return {name: planned.ref for name, planned in self.steps.items()}

    def outcomes(self) -> dict[str, Outcome[Any]]:
        """How the steps that have ended did, by name, in the order of the plan."""
        return {name: planned.outcome for name, planned in self.steps.items() if planned.outcome is not None}

    def open_steps(self) -> list[str]:
        """Names of the steps that have not ended."""
        return [name for name, planned in self.steps.items() if planned.outcome is None]

    def dependants(self, names: Iterable[str]) -> list[str]:
        """Open steps that read or wait for one of these directly."""
        wanted = set(names)
        return [name for name in self.open_steps() if wanted & set(depends_on(self.steps[name].step))]

    async def settled(self, names: Iterable[str] | None = None) -> None:
        """Until these steps have ended, all of them by default, those that come meanwhile included."""
        wanted = None if names is None else set(names)
        while any(wanted is None or name in wanted for name in self.open_steps()):
            await self._news()

    async def completions(self) -> list[str]:
        """Names of the steps that have ended since the last look, in order; waits for one. Empty when none is open."""
        while not self._ended and self.open_steps():
            await self._news()
        ended, self._ended = self._ended, []
        return ended

    async def _news(self) -> None:
        future = self._bodies.loop.create_future()
        self._wakers.append(lambda: None if future.done() else future.set_result(None))
        await future

    # ------------------------------------------------------------ holding back

    def hold(self, names: Iterable[str]) -> None:
        """Keep steps from starting while their change is thought about; those that have started go on."""
        self._bodies.ask(HoldTasks(self._calls(names), self._body))

    def let_go(self, names: Iterable[str]) -> None:
        """Held steps may start."""
        self._bodies.ask(LetGo(self._calls(names)))

    def _calls(self, names: Iterable[str]) -> tuple[TaskId, ...]:
        """The tasks of steps that are not over."""
        return tuple(self.steps[name].ref._task for name in names if name in self.steps)

    # ------------------------------------------------------------ edits

    async def edit(
        self, changes: Sequence[PlanChange], *, author: str = "", why: str = "", seen: int | None = None
    ) -> EditVerdict:
        """Change the plan: all of it, or nothing.

        Args:
            author: who wants it; it is on record.
            seen: the `revision` its author was shown; what others changed since is not changed again: `stale`.
        Returns: what became of it; a refusal is on record with its reason.
        """
        try:
            edit, drafts, gone = self._drafted(changes, seen)
        except Refused as refusal:
            return await self.ask(Batch(()), author, why, refusal)
        verdict = await self.ask(edit, author, why)
        if not verdict:
            for draft in drafts.values():
                self._drafting.forget(draft.nodes)
            return verdict
        self.revision += 1
        for name in gone:
            planned = self.steps.pop(name)
            self.gone[name] = planned.step
            self._drafting.forget(planned.nodes)
        for name, draft in drafts.items():
            self._enter(name, draft, author)
        for waker in self._woken():
            waker()
        return EditVerdict(added=tuple(drafts))

    def _drafted(
        self, changes: Sequence[PlanChange], seen: int | None
    ) -> tuple[Edit, dict[str, Draft], dict[str, None]]:
        """The graph's edit, the drafts of new steps by name, and the names of the steps that go."""
        drafts: dict[str, Draft] = {}
        gone: dict[str, None] = {}
        edits: list[Edit] = []
        refs = self.refs
        try:
            for change in changes:
                if not isinstance(change, Add):
                    self._check_current(change.name, gone, seen)
                    gone[change.name] = None
                if isinstance(change, Drop):
                    edits += [RemoveTask(node.id) for node in reversed(self._removable(change.name))]
                    refs.pop(change.name)
                    continue
                draft = self._drafted_step(change, drafts, gone, refs)
                edits += self._edits_of(change, draft)
        except Refused:
            for draft in drafts.values():
                self._drafting.forget(draft.nodes)
            raise
        if len(self.steps) - len(gone) + len(drafts) > self._max_steps:
            for draft in drafts.values():
                self._drafting.forget(draft.nodes)
            raise Refused("limit", f"a plan has at most {self._max_steps} steps")
        adds = all(isinstance(edit, AddTasks) for edit in edits)
        nodes = tuple(node for edit in edits if isinstance(edit, AddTasks) for node in edit.nodes)
        return (AddTasks(nodes) if adds else Batch(tuple(edits))), drafts, gone

    def _drafted_step(
        self, change: Add | Replace, drafts: dict[str, Draft], gone: dict[str, None], refs: dict[str, Ref[Any]]
    ) -> Draft:
        step = change.step
        if (step.name in self.steps and step.name not in gone) or step.name in drafts:
            raise Refused("duplicate", f"there is a step {step.name} already")
        try:
            draft = self._drafting.draft(step, refs)
        except Unfit as problem:
            raise Refused("unfit", f"step {step.name}: {problem}") from None
        drafts[step.name], refs[step.name] = draft, draft.ref
        if isinstance(change, Replace) and step.name != change.name:
            refs[change.name] = draft.ref
        return draft

    def _edits_of(self, change: Add | Replace, draft: Draft) -> list[Edit]:
        """What the graph has to change for a new step, alone or in the place of another."""
        if isinstance(change, Add):
            return [AddTasks(draft.nodes)] if draft.nodes else []
        *others, old = self._removable(change.name)
        if not draft.nodes:
            raise Refused("duplicate", f"step {change.name} would be the same call as another step: drop it instead")
        *fills, call = draft.nodes
        edits: list[Edit] = [AddTasks(tuple(fills))] if fills else []
        return [*edits, ReplaceTask(old.id, call), *(RemoveTask(node.id) for node in reversed(others))]

    def _removable(self, name: str) -> list[Node]:
        """The nodes of a step that go with it, its call last: texts that are made up already may have been read."""
        planned = self.steps[name]
        if not planned.nodes:
            raise Refused("duplicate", f"step {name} uses the result of another step: change that one")
        *fills, call = planned.nodes
        return [*(node for node in fills if not self._may_have_started(node)), call]

    def _may_have_started(self, node: Node) -> bool:
        return all(self._bodies.finished(source.task) is not None for source in node.sources)

    def _check_current(self, name: str, gone: dict[str, None], seen: int | None) -> None:
        planned = self.steps.get(name)
        if planned is None or name in gone:
            raise Refused("unknown_task", f"there is no step {name} in the plan")
        if planned.outcome is not None:
            raise Refused("already_started", f"step {name} has ended")
        if seen is not None and planned.revision > seen:
            raise Refused("stale", f"step {name} was changed by {planned.author or 'another'} meanwhile")

    async def ask(self, edit: Edit, author: str, why: str, refusal: Refused | None = None) -> EditVerdict:
        """Let the machine decide; the verdict comes in the same turn."""
        reason, detail = ("", "") if refusal is None else (refusal.reason, str(refusal))
        task = self._place.special(EDIT, (_encode(Change(edit, author, why, reason, detail)),))
        await self._bodies.until_any(task)
        ended = self._bodies.finished(task)
        if ended is None or ended.value is None:
            raise GraphError(f"an edit of the plan {self.name!r} was cut off: {ended.error if ended else 'no verdict'}")
        verdict = _verdict.decode(ended.value)
        return EditVerdict(verdict.reason, verdict.detail)

    def _enter(self, name: str, draft: Draft, author: str) -> None:
        """A step is in the graph: hear of its end."""
        planned = self.steps[name] = Planned(draft, author, self.revision)
        self.problems += draft.repairs
        for node in draft.nodes:
            self._bodies.ask(AddTask(node, 0))
        self._bodies.watch(draft.ref._task, lambda end: self._note_end(name, planned, end))

    def _note_end(self, name: str, planned: Planned, end: Finished) -> None:
        if self.steps.get(name) is not planned:
            return
        planned.outcome, planned.at_s = self._bodies.look_at(planned.ref), end.at / 1e9
        if not planned.outcome:
            self._drafting.failed(planned.ref)
        self._ended.append(name)
        for waker in self._woken():
            waker()

    def _woken(self) -> list[Callable[[], None]]:
        wakers, self._wakers = self._wakers, []
        return wakers

    # ------------------------------------------------------------ planners

    async def ingest(
        self, planner: Ref[list[str]] | str, *, format: str = "numbered", author: str = "planner"
    ) -> Ingested:
        """Take a planner's text as it comes; its steps start as soon as they can.

        Returns when the text is complete, not when its steps have ended. A planner that is cut and writes again keeps
        the steps it says again; those it does not are dropped unless they have started.

        Args:
            planner: a call of a task or prompt that yields text (`-> AsyncIterator[str]`), or a text.
            format: `numbered`, `json` or `program`.
        Raises:
            TaskError: the planner failed. What it had said before stays.
        """
        reading = Reading(self, format, author)
        if isinstance(planner, str):
            await reading.take(planner)
        else:
            await self._take_from(planner, reading)
        return await reading.done()

    async def _take_from(self, planner: Ref[list[str]], reading: Reading) -> None:
        start, given, item = "", 0, item_type(self._bodies, planner)
        if item is not None:
            decode = HOOKS.codec(item).decode
            async for one in said(self._bodies, planner):
                if one.start != start:
                    start, given = one.start, 0
                    reading.start_over()
                given += 1
                await reading.take(decode(one.body))
        whole: Any = await planner
        for piece in [whole] if isinstance(whole, str) else whole[given:]:
            await reading.take(piece)
