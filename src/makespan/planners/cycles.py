"""Edit cycles: an editor (a model, a person, a function) changes a live plan as its steps end.

    steps end ──┬─ nobody thinks ─▶ the editor is asked, about all of them in one batch
                └─ somebody does ─▶ they wait for the next batch
    meanwhile      steps that read what ended are held, all others go on and start
    the answer     one edit, against the revision the editor saw: applied whole, or refused and told with the next batch

Nothing an editor says is lost, however slow it is: there is no time after which an answer does not count. One that
fails changes nothing, and the next batch holds what it was asked about. Invariants are the machine's to check.
Source: the TaskConstellation's edit cycles of UFO³; changed: no lock over unrelated work, no timeout that drops edits,
staleness by revision, refusals are told to the editor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from typing import Any, Literal

import msgspec

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.place import here
from makespan.authoring.ref import Ref
from makespan.authoring.task import HOOKS
from makespan.authoring.waiting import sleep
from makespan.codec import Outcome
from makespan.errors import record_of
from makespan.graph.edit import Batch
from makespan.planners.changes import EditVerdict, Refused
from makespan.planners.live import LivePlan
from makespan.planners.patches import changes_in
from makespan.planners.saved import saved_step
from makespan.planners.steps import depends_on
from makespan.values import TaskId

MAX_CALLS = 500
"""Times the editor of one cycle is asked."""
CORRECTIONS = 1
"""Times in a row an editor is asked again at once because its edit was refused."""


class Ended(msgspec.Struct, frozen=True):
    """A step that has ended since the editor was last asked."""

    name: str
    tool: str
    status: str
    """`succeeded`; `failed`, also of what reads a failed step; `skipped` by a guard; `cancelled`."""
    value: Any = None
    error: str = ""


class Shown(msgspec.Struct, frozen=True):
    """A step of the plan as it stands."""

    name: str
    tool: str
    args: Any
    """By parameter or in order, `${name}` for results: the words in which an edit is written."""
    after: tuple[str, ...]
    status: str
    """How it ended; `waiting` where it has not started; `started` where it may have."""
    author: str


class RefusedEdit(msgspec.Struct, frozen=True):
    """An edit of this editor that changed nothing."""

    reason: str
    detail: str


class Window(msgspec.Struct, frozen=True):
    """What an editor is asked about: one batch."""

    goal: str
    ended: tuple[Ended, ...]
    plan: tuple[Shown, ...]
    refused: tuple[RefusedEdit, ...]
    """Its edits that were refused since it was last asked."""
    revision: int
    tools: tuple[dict[str, Any], ...]
    """Name, description and JSON Schema of what new steps may call."""


class Cycle(msgspec.Struct):
    """What an edit cycle came to."""

    calls: int = 0
    applied: int = 0
    refused: list[RefusedEdit] = []
    failures: list[str] = []
    """Why the editor failed, each time."""
    overdue: int = 0
    """Calls that took longer than `editor_timeout_s`."""
    untold: list[str] = []
    """Steps whose end the editor was not told of: no reason to ask it came after, or `max_calls` was reached."""


Editor = Callable[[Window], Any]
"""A task or prompt of one parameter, or a function of the body: gives changes, an `Answer`, the same as plain values or
as text with JSON in it, None for no change; or a Ref or an awaitable of one of these."""
When = Literal["ended", "failed"] | Callable[[str, Outcome[Any]], bool]
"""Which ends are a reason to ask: all, those without a result, or by name and outcome."""


async def edit_cycle(
    plan: LivePlan,
    editor: Editor,
    *,
    goal: str = "",
    when: When = "ended",
    author: str = "editor",
    gather_s: float = 0.0,
    editor_timeout_s: float | None = None,
    corrections: int = CORRECTIONS,
    max_calls: int = MAX_CALLS,
) -> Cycle:
    """Let an editor change the plan until it has nothing open, no planner writes and nothing is left to tell.

    Args:
        editor: asked about a `Window`, one call at a time.
        when: which ends are a reason to ask; the window holds all ends since the last one.
        author: who the edits are by; on record.
        gather_s: how long ends are collected before the editor is asked; what ends at the same moment always is.
        editor_timeout_s: how long steps are held for one answer; a later one is judged all the same.
        corrections: times in a row it is asked again at once because its edit was refused.
    Returns: how often it was asked, and what became of its edits.
    Raises:
        TaskError: the workflow was cancelled. A failing editor does not raise.
    Cost: one editor call a batch; holding costs no fact.
    """
    limits = _Limits(gather_s, editor_timeout_s, corrections, max_calls)
    return await _EditCycle(plan, editor, goal, when, author, limits).run()


class _Failed(str):
    """The editor raised: what."""

    __slots__ = ()


class _Limits(msgspec.Struct, frozen=True):
    gather_s: float
    timeout_s: float | None
    corrections: int
    max_calls: int


class _EditCycle:
    """One cycle and what it knows of its editor."""

    def __init__(self, plan: LivePlan, editor: Editor, goal: str, when: When, author: str, limits: _Limits) -> None:
        bodies = here("an edit cycle").builder
        assert isinstance(bodies, LiveBodies), "a plan is in a live body"
        self._plan, self._editor, self._bodies = plan, editor, bodies
        self._goal, self._when, self._author = goal, when, author
        self._limits = limits
        self.cycle = Cycle()
        self._heard: set[tuple[str, TaskId]] = set()
        self._since: list[str] = []
        """Steps that ended and that no editor has been told of."""
        self._reasons: dict[str, None] = {}
        """Those of them for which the editor is asked."""
        self._given: list[str] = []
        """What the editor thinks about now."""
        self._given_reasons: dict[str, None] = {}
        self._to_tell: list[RefusedEdit] = []
        self._refused_in_a_row = 0
        self._held: dict[TaskId, str] = {}
        self._thinking: asyncio.Task[Any] | None = None
        self._made: Any = None
        self._seen = 0
        self._gathering: Ref[None] | None = None
        self._timer: Ref[None] | None = None
        self._is_overdue = False

    async def run(self) -> Cycle:
        plan = self._plan
        try:
            while True:
                self._look()
                self._hold()
                if self._thinking is None and self._is_due():
                    self._gather()
                is_idle = self._thinking is None and self._gathering is None
                if is_idle and not plan.open_steps() and not plan.growing:
                    self.cycle.untold = list(self._since)
                    return self.cycle
                if self._thinking is None or not self._thinking.done():
                    await plan.news()
                if self._thinking is not None and self._thinking.done():
                    await self._judge(self._thinking)
        finally:
            self._stop()

    # ------------------------------------------------------------ what has ended

    def _look(self) -> None:
        """Note the steps that have ended, in the order in which they did."""
        steps = self._plan.steps
        new = [
            (planned.at_s, place, name)
            for place, (name, planned) in enumerate(steps.items())
            if planned.outcome is not None and (name, planned.ref._task) not in self._heard
        ]
        for _, _, name in sorted(new):
            outcome = steps[name].outcome
            assert outcome is not None
            self._heard.add((name, steps[name].ref._task))
            self._since.append(name)
            if self._is_reason(name, outcome):
                self._reasons[name] = None

    def _is_reason(self, name: str, outcome: Outcome[Any]) -> bool:
        if callable(self._when):
            return self._when(name, outcome)
        return self._when == "ended" or not outcome

    def _is_due(self) -> bool:
        return bool(self._reasons) and self.cycle.calls < self._limits.max_calls

    def _hold(self) -> None:
        """Hold exactly the steps that read what the editor thinks about, or will."""
        plan = self._plan
        wanted: dict[TaskId, str] = {}
        if (self._thinking is not None and not self._is_overdue) or (self._thinking is None and self._is_due()):
            for name in plan.dependants([*self._reasons, *self._given_reasons]):
                wanted[plan.steps[name].ref._task] = name
        new = [name for task, name in wanted.items() if task not in self._held]
        over = [
            name
            for task, name in self._held.items()
            if task not in wanted and name in plan.steps and plan.steps[name].ref._task == task
        ]
        self._held = wanted
        if new:
            plan.hold(new)
        if over:
            plan.let_go(over)

    # ------------------------------------------------------------ asking

    def _gather(self) -> None:
        """Ask, once all is collected that ends at the same time: a failure and what it makes impossible, above all."""
        if self._gathering is None:
            self._gathering = sleep(self._limits.gather_s)
            self._bodies.watch(self._gathering._task, lambda _: self._plan.ring())
        elif self._bodies.ended(self._gathering) is not None:
            self._gathering = None
            self._ask()

    def _ask(self) -> None:
        window = self._window()
        self._given, self._since = self._since, []
        self._given_reasons, self._reasons = self._reasons, {}
        self._to_tell, self._seen, self._is_overdue = [], self._plan.revision, False
        self.cycle.calls += 1
        self._thinking = asyncio.get_running_loop().create_task(self._think(window))
        if self._limits.timeout_s is not None:
            self._timer = timer = sleep(self._limits.timeout_s)
            self._bodies.watch(timer._task, lambda _: self._overdue(timer))

    async def _think(self, window: Window) -> Any:
        try:
            self._made = self._editor(window)
            return await self._made if isawaitable(self._made) else self._made
        except Exception as error:  # noqa: BLE001 - whatever an editor raises is its failure, and on record
            return _Failed(_said(error))
        finally:
            self._plan.ring()

    def _overdue(self, timer: Ref[None]) -> None:
        if self._timer is timer and self._thinking is not None:
            self._is_overdue = True
            self.cycle.overdue += 1
            self._plan.ring()

    def _window(self) -> Window:
        tools = tuple(
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
            for tool in self._plan.tools.described
        )
        return Window(
            self._goal,
            tuple(self._ended(name) for name in self._since),
            tuple(self._shown(name) for name in self._plan.steps),
            tuple(self._to_tell),
            self._plan.revision,
            tools,
        )

    def _ended(self, name: str) -> Ended:
        planned = self._plan.steps[name]
        outcome = planned.outcome
        assert outcome is not None
        value = msgspec.to_builtins(outcome.value, enc_hook=HOOKS.encode) if outcome else None
        error = "" if outcome.error is None else f"{outcome.error.type}: {outcome.error.message}"
        return Ended(name, planned.step.tool, outcome.status, value, error)

    def _shown(self, name: str) -> Shown:
        plan, planned = self._plan, self._plan.steps[name]
        said = saved_step(planned.step)
        if planned.outcome is not None:
            status = planned.outcome.status
        else:
            needed = (plan.steps.get(each) for each in depends_on(planned.step))
            waits = any(each is not None and each.outcome is None for each in needed)
            status = "waiting" if waits or planned.ref._task in self._held else "started"
        return Shown(name, planned.step.tool, said["args"], planned.step.after, status, planned.author)

    # ------------------------------------------------------------ what came of it

    async def _judge(self, thinking: asyncio.Task[Any]) -> None:
        """Take the editor's answer: its edit is applied or refused, and the steps it was held for may go."""
        answer = thinking.result()
        self._thinking = self._made = None
        self._stop_timer()
        verdict = await self._verdict(answer)
        if verdict is None:
            self._since = [*self._given, *self._since]
        elif verdict:
            self._refused_in_a_row = 0
        else:
            self._refused(verdict)
        self._given, self._given_reasons = [], {}

    async def _verdict(self, answer: Any) -> EditVerdict | None:
        """What became of an answer; None where the editor failed."""
        plan = self._plan
        if isinstance(answer, _Failed):
            self.cycle.failures.append(str(answer))
            await plan.ask(Batch(()), self._author, "", Refused("editor_failed", str(answer)))
            return None
        try:
            changes, why = changes_in(answer, plan.named)
        except Refused as refusal:
            return await plan.ask(Batch(()), self._author, "", refusal)
        if not changes:
            return EditVerdict()
        verdict = await plan.edit(changes, author=self._author, why=why, seen=self._seen)
        self.cycle.applied += bool(verdict)
        return verdict

    def _refused(self, verdict: EditVerdict) -> None:
        """Tell the editor with the next batch, which comes at once unless it was refused too often in a row."""
        refused = RefusedEdit(verdict.reason, verdict.detail)
        self.cycle.refused.append(refused)
        self._to_tell.append(refused)
        self._refused_in_a_row += 1
        if self._refused_in_a_row <= self._limits.corrections:
            self._since = [*self._given, *self._since]
            self._reasons = {**self._given_reasons, **self._reasons}
        else:
            self._refused_in_a_row = 0

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and not self._is_overdue:
            self._bodies.cancel_ref(timer)
        self._is_overdue = False

    def _stop(self) -> None:
        """Nobody thinks any more: let go of all that is held."""
        self._stop_timer()
        if self._gathering is not None:
            self._bodies.cancel_ref(self._gathering)
        if self._thinking is not None:
            self._thinking.cancel()
            if isinstance(self._made, Ref):
                self._bodies.cancel_ref(self._made)
        self._given_reasons, self._reasons, self._thinking = {}, {}, None
        self._hold()


def _said(error: Exception) -> str:
    record = record_of(error)
    return f"{record.type}: {record.message}"
