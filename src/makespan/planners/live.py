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

import asyncio
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
from makespan.errors import GraphError, TaskError
from makespan.graph.edit import Batch, Edit
from makespan.graph.node import Declaration, Kind
from makespan.machine.edits import Change, Verdict
from makespan.machine.observations import ClaimTask, Finished, HoldTasks, LetGo
from makespan.planners.changes import EditVerdict, PlanChange, Refused
from makespan.planners.drafting import Draft, Drafting
from makespan.planners.editing import Proposal
from makespan.planners.listening import Listening
from makespan.planners.reading import Ingested, Reading
from makespan.planners.steps import Problem, Step, depends_on
from makespan.planners.tools import Tools
from makespan.values import TaskId

EDIT = Declaration("edit", Kind.EDIT, returns="EditVerdict")
MAX_STEPS = 1_000
"""Steps of one plan, those that are gone not counted."""

_encode = msgspec.msgpack.encode
_verdict = msgspec.msgpack.Decoder(Verdict)


class Planned:
    """A step that is in the graph."""

    def __init__(self, draft: Draft, author: str, revision: int) -> None:
        self.step, self.ref, self.uses, self.author = draft.step, draft.ref, draft.uses, author
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
        repeats: a call that the plan has already is made again, as where calls move things; otherwise its result is
            used.
    Raises:
        GraphError: outside of an async workflow, or a tool that cannot be described.
    """

    def __init__(
        self,
        tools: Sequence[Task[..., Any]] | Tools,
        *,
        name: str = "plan",
        max_steps: int = MAX_STEPS,
        repeats: bool = False,
    ) -> None:
        place = here("a plan")
        if not isinstance(place.builder, LiveBodies):
            raise GraphError("a plan grows in an async workflow only")
        inside = running_body.get()
        assert inside is not None, "an async workflow has a context"
        self.tools = tools if isinstance(tools, Tools) else Tools(f"the plan {name!r}", tools)
        self.name, self._place, self._bodies, self._body = name, place, place.builder, inside.task_id
        self._drafting = Drafting(self.tools, place.builder, place, name, repeats=repeats)
        self.max_steps = max_steps
        self.steps: dict[str, Planned] = {}
        """By name, in the order in which they came."""
        self.gone: dict[str, Step] = {}
        """Steps that were dropped or replaced before they started."""
        self.revision = 0
        """Edits applied so far; what an editor was shown is as old as this was then."""
        self.problems: list[Problem] = []
        self._results: dict[str, Ref[Any] | None] = {}
        self._open: dict[str, None] = {}
        self._by_call: dict[TaskId, dict[str, None]] = {}
        """Call → the steps that are that call, in order."""
        self._editing = asyncio.Lock()
        self._ended: list[str] = []
        self._wakers: list[Callable[[], None]] = []
        self.growing = 0
        """Planners whose text is still being read."""
        self._listening = Listening(self, place, place.builder)

    # ------------------------------------------------------------ reading it

    def named(self, name: str) -> str | None:
        """The step that a name means, None where there is none."""
        return name if name in self.steps else None

    @property
    def refs(self) -> dict[str, Ref[Any]]:
        """Stands for the results, by name."""
        return {name: planned.ref for name, planned in self.steps.items()}

    def outcomes(self) -> dict[str, Outcome[Any]]:
        """How the steps that have ended did, by name, in the order of the plan."""
        return {name: planned.outcome for name, planned in self.steps.items() if planned.outcome is not None}

    def open_steps(self) -> list[str]:
        """Names of the steps that have not ended."""
        return list(self._open)

    def dependants(self, names: Iterable[str]) -> list[str]:
        """Open steps that read or wait for one of these directly."""
        wanted = set(names)
        return [name for name in self._open if not wanted.isdisjoint(depends_on(self.steps[name].step))]

    async def settled(self, names: Iterable[str] | None = None) -> None:
        """Until these steps have ended, all of them by default, those that come meanwhile included."""
        if names is None:
            while self._open:
                await self.news()
            return
        left = list(names)
        while left:
            if left[-1] in self._open:
                await self.news()
            else:
                left.pop()

    async def completions(self) -> list[str]:
        """Names of the steps that have ended since the last look, in order; waits for one. Empty when none is open."""
        while not self._ended and self._open:
            await self.news()
        ended, self._ended = self._ended, []
        return ended

    async def news(self) -> None:
        """Until a step has ended, the plan was changed, or `ring`."""
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
        self,
        changes: Sequence[PlanChange],
        *,
        author: str = "",
        why: str = "",
        seen: int | None = None,
        request: str = "",
    ) -> EditVerdict:
        """Change the plan: all of it, or nothing. Edits that are asked for at once are made one after the other.

        Args:
            author: who wants it; it is on record.
            seen: the `revision` its author was shown; what others changed since is not changed again: `stale`.
            request: id of the message that it came with; it is on record.
        Returns: what became of it; a refusal is on record with its reason.
        """
        await self._editing.acquire()
        try:
            proposal = Proposal(self, self._drafting, self._results, changes, seen)
        except Refused as refusal:
            self._editing.release()
            return await self.ask(Batch(()), author, why, refusal, request=request)
        asked = self._asked(proposal.edit, author, why, request=request)
        verdicts: list[EditVerdict] = []

        def decided(end: Finished) -> None:  # not behind an `await`: who asked may have been cancelled meanwhile
            self._editing.release()
            if end.value is not None:
                verdicts.append(self._take(proposal, _verdict.decode(end.value), author))

        self._bodies.watch(asked._task, decided)
        await asked
        return verdicts[0]

    def _take(self, proposal: Proposal, verdict: Verdict, author: str) -> EditVerdict:
        """The machine has decided: the plan is as the graph is now."""
        if verdict.reason:
            return EditVerdict(verdict.reason, verdict.detail)
        self.revision += 1
        self._drafting.removed(proposal.removed)
        for name, planned in proposal.gone.items():
            del self.steps[name], self._results[name], self._by_call[planned.ref._task][name]
            self._open.pop(name, None)
            self._drafting.leave(planned.uses)
            self.gone[name] = planned.step
        for name, draft in proposal.drafts.items():
            self._enter(name, draft, author)
        self.ring()
        return EditVerdict(added=tuple(proposal.drafts))

    async def ask(
        self, edit: Edit, author: str, why: str, refusal: Refused | None = None, *, request: str = ""
    ) -> EditVerdict:
        """Let the machine decide; the verdict comes in the same turn. Nothing of the plan changes.

        Raises:
            TaskError: the workflow, or the scope that the plan is in, was cancelled.
        """
        verdict = await self._asked(edit, author, why, refusal, request=request)
        return EditVerdict(verdict.reason, verdict.detail)

    def _asked(
        self, edit: Edit, author: str, why: str, refusal: Refused | None = None, *, request: str = ""
    ) -> Ref[Verdict]:
        reason, detail = ("", "") if refusal is None else (refusal.reason, str(refusal))
        task = self._place.special(EDIT, (_encode(Change(edit, author, why, reason, detail, request)),))
        return Ref(self._bodies, task, Verdict, EDIT.key)

    def _enter(self, name: str, draft: Draft, author: str) -> None:
        """A step is in the graph: hear of its end."""
        planned = self.steps[name] = Planned(draft, author, self.revision)
        self._results[name], self._open[name] = draft.ref, None
        self._by_call.setdefault(draft.ref._task, {})[name] = None
        self.problems += draft.repairs
        self._drafting.enter(draft.uses)
        for node in draft.uses:
            self._bodies.ask(ClaimTask(node))
        self._bodies.watch(draft.ref._task, lambda end: self._note_end(name, planned, end))

    def steps_of(self, call: TaskId) -> list[str]:
        """Names of the steps that are one call."""
        return list(self._by_call.get(call, ()))

    def has_ended(self, task: TaskId) -> bool:
        """Whether the body has heard of the end of a task."""
        return self._bodies.finished(task) is not None

    def _note_end(self, name: str, planned: Planned, end: Finished) -> None:
        if self.steps.get(name) is not planned:
            return
        planned.outcome, planned.at_s = self._bodies.look_at(planned.ref), end.at / 1e9
        self._open.pop(name, None)
        if not planned.outcome:
            self._drafting.failed(planned.ref)
        self._ended.append(name)
        self.ring()

    def ring(self) -> None:
        """Wake all who wait for news."""
        wakers, self._wakers = self._wakers, []
        for waker in wakers:
            waker()

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
        self.growing += 1
        try:
            if isinstance(planner, str):
                await reading.take(planner)
                return await reading.done()
            try:
                await self._take_from(planner, reading)
            except TaskError:
                reading.give_up()
                raise
            return await reading.done()
        finally:
            self.growing -= 1
            self.ring()

    async def _take_from(self, planner: Ref[list[str]], reading: Reading) -> None:
        pieces: list[str] = []
        start, item = (0, 0, 0), item_type(self._bodies, planner)
        if item is not None:
            decode = HOOKS.codec(item).decode
            async for one in said(self._bodies, planner):
                if one.start != start:
                    start, pieces = one.start, []
                    reading.start_over()
                if one.index == len(pieces):
                    pieces.append(decode(one.body))
                    await reading.take(pieces[-1])
        whole: Any = await planner
        text = [whole] if isinstance(whole, str) else whole
        if text[: len(pieces)] != pieces:  # what counts in the end is not what was heard last
            pieces = []
            reading.start_over()
        for piece in text[len(pieces) :]:
            await reading.take(piece)
