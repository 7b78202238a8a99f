"""Flash-Searcher: goals side by side, each with ways to it that are tried one after the other, refined as they go.

    plan ──▶ goal a: path 1 ─✗─ path 2 ─✓            refine: every N calls, and when a goal is out of paths
         └─▶ goal b: path 1 ─✓                       (what it is shown never grows: `planners.summary`)
         └─▶ goal c: path 1 ─✗─ blocked ──▶ refine ──▶ path 2 ─✓ ──▶ answer

Source: Flash-Searcher (2025), a web agent on a graph of subtasks, from its description. Parts: `planners.goals` on a
live plan, `planners.summary`. What differs: falling back to the next path takes no model; refining does not stop the
goals that go on, and its changes are edits that may be refused, with a reason that the model is told; an answer always
comes, with typed gaps for the goals that were not reached.
Measured by `pytest tests/recipes/test_flash_searcher.py`, and by `python -m bench --case plans-flash`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

import makespan as ms
from makespan.authoring.bodies import LiveBodies
from makespan.authoring.place import here
from makespan.authoring.task import Task
from makespan.errors import GraphError, TaskError
from makespan.planners.asking import asked_of
from makespan.planners.goal_edits import AddGoal, Goal, GoalChange, usable
from makespan.planners.goal_states import COMPLETED, GoalView, in_words
from makespan.planners.goals import Goals, Judge
from makespan.planners.live import LivePlan
from makespan.planners.schema import offers, signature
from makespan.planners.summary import CAP_CHARS, RECENT, Summary

MAX_STEPS = 40
"""Rounds of one question: those of models (plan, refine, summarise, answer) and those of calls."""
REFINE_EVERY = 8
"""Calls after which the plan is looked at again."""
ASKED_AGAIN = 1
"""Times in a row a planner is told at once what is wrong with its answer."""
MIN_CONTEXT_CHARS = 4_000
"""What stands around the view in a prompt is less than a fifth of this."""

_PATHS = (
    "A path is 1 to 5 calls, one a line, numbered from 1: 1. tool(argument). $1 is the result of call 1 of the same "
    "path, $name that of the goal with this name. Give a goal several paths: the next is tried when the one before "
    "fails. `check` is an expression over `result`, the value of the path's last call, such as len(result) > 0; "
    "`criterion` says in words what a good result is; both may be empty."
)


class Refinement(msgspec.Struct, frozen=True):
    """What is to change; nothing, where all goes well."""

    changes: list[GoalChange] = []
    why: str = ""


class Gap(msgspec.Struct, frozen=True):
    """A goal that was not reached."""

    goal: str
    want: str
    reason: str
    """`blocked`: out of paths; `stopped`: out of steps; `dropped`: given up."""
    detail: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What became of a question."""

    text: str
    goals: list[GoalView]
    gaps: list[Gap]
    steps: int
    """Rounds: of models, and of calls that could be made side by side, five at most."""
    model_rounds: int
    calls: int
    refused: list[str] = []
    """Changes of the planner that changed nothing, with the reason."""


@ms.prompt(max_tokens=2048)
def plan_goals(question: str, tools: list[str], problems: list[str]) -> list[Goal]:
    """The goals whose results answer a question, with the ways to them."""
    listed, wrong = "\n".join(tools), "\n".join(f"- {problem}" for problem in problems)
    ms.chat(
        f"Split this question into 1 to 5 goals that can be pursued side by side. {_PATHS}\nTools:\n{listed}\n"
        + (f"Your last plan could not be used:\n{wrong}\n" if wrong else "")
        + f"Question: {question}"
    )


@ms.prompt(max_tokens=2048)
def refine(view: str) -> Refinement:
    """Changes of the goals and paths that are left."""
    ms.chat(
        f"{view}\n\nWhat should change? Add paths to blocked goals, drop what is not needed any more, add goals "
        f"that the question needs. No changes where all goes well. {_PATHS}"
    )


@ms.prompt()
def is_reached(want: str, criterion: str, result: Any) -> bool:
    """Whether a result is what was wanted."""
    ms.chat(f"Wanted: {want}\nIt is good if: {criterion}\nThis came: {in_words(result)}\nIs it good?")


@ms.prompt(max_tokens=1024)
def answer_with(view: str) -> str:
    """The answer from what is known."""
    ms.chat(f"{view}\n\nAnswer the question from this, and say what could not be found out. There are no more rounds.")


@ms.prompt(max_tokens=1024)
def summarise(earlier: str, actions: list[str], max_chars: int) -> str:
    """One text of a summary and what came after it."""
    listed = "\n".join(f"- {action}" for action in actions)
    ms.chat(
        f"Summarise in at most {max_chars} characters what was found and what failed; keep names and numbers.\n"
        f"Before:\n{earlier or 'nothing'}\nThen:\n{listed}"
    )


async def flash_searcher(
    question: str,
    *,
    tools: Sequence[Task[..., Any]],
    planner: Task[..., list[Goal]] = plan_goals,
    refiner: Task[..., Refinement] | None = refine,
    judge: Judge = is_reached,
    answerer: Task[..., str] = answer_with,
    summariser: Task[..., str] | None = None,
    models: Sequence[str] = (),
    max_steps: int = MAX_STEPS,
    refine_every: int = REFINE_EVERY,
    refine_on_failed_path: bool = False,
    context_chars: int = CAP_CHARS,
    recent: int = RECENT,
) -> Answer:
    """Answer a question by goals with fallbacks; use it in an async workflow.

    Args:
        planner, refiner, answerer, summariser: tasks or prompts with the parameters of those above; without a refiner
            the first plan stays, without a summariser the lines that say most are the summary.
        judge: a task or prompt of (want, criterion, result), or a function of (goal, result); the default is asked
            about goals with a criterion, another one about all.
        refine_on_failed_path: ask the refiner not only when a goal is out of paths.
        context_chars: of what prompts are shown, whatever has happened; about four a token.
    Raises:
        GraphError: limits that make no sense.
        TaskError: the planner or the answerer failed. A refiner that fails changes nothing.
    """
    if max_steps < 3 or refine_every < 1 or context_chars < MIN_CONTEXT_CHARS:
        raise GraphError(
            f"flash_searcher needs max_steps of at least 3 (plan, act, answer), refine_every of 1 and context_chars of "
            f"{MIN_CONTEXT_CHARS}; got {max_steps}, {refine_every}, {context_chars}"
        )
    plan = LivePlan(tools)
    known = [signature(offer) for offer in offers(plan.tools)]
    head = "\n".join([f"Question: {question}", "Tools:", *known])
    summariser = asked_of(summariser, models)
    memory = Summary(head, cap_chars=context_chars, recent=recent, summariser=summariser)
    judge_of = asked_of(judge, models)
    goals = Goals(plan, judge=judge_of, judge_all=judge is not is_reached)
    search = _Search(plan, goals, memory, max_steps, refine_every, refine_on_failed_path)
    await search.begin(asked_of(planner, models), question, known)
    await search.go_on(asked_of(refiner, models))
    text = await asked_of(answerer, models)(await search.view())
    search.model_rounds += 1
    return search.answer(text)


async def pursue(goal: str, *, tools: Sequence[Task[..., Any]], models: Sequence[str]) -> Answer:
    """`flash_searcher` for the command line."""
    return await flash_searcher(goal, tools=tools, models=models)


class _Search:
    """One question on its way."""

    def __init__(
        self, plan: LivePlan, goals: Goals, memory: Summary, max_steps: int, every: int, on_failed_path: bool
    ) -> None:
        bodies = here("flash_searcher").builder
        assert isinstance(bodies, LiveBodies), "a plan is in a live body"
        self._bodies, self._plan, self._goals, self._memory = bodies, plan, goals, memory
        self._max_steps, self._every, self._on_failed_path = max_steps, every, on_failed_path
        self.model_rounds = 0
        """Without those of the summariser."""
        self.refused: list[str] = []
        self._to_tell: list[str] = []
        self._told = self._refined_at = self._surprises = self._refused_in_a_row = 0
        self._is_due = False
        self._thinking: asyncio.Task[Refinement | str] | None = None
        self._asked: ms.Ref[Refinement] | None = None
        self._seen = 0

    @property
    def _models(self) -> int:
        return self.model_rounds + self._memory.model_calls

    @property
    def _steps(self) -> int:
        return self._models + self._goals.rounds

    def _reserved(self) -> int:
        """Model rounds that are sure to come: the answer, and summaries for it and for a refiner about to be asked."""
        summaries = 1 + (self._thinking is not None and self._asked is None)
        return 1 + self._memory.has_summariser * summaries

    async def begin(self, planner: Task[..., list[Goal]], question: str, known: list[str]) -> None:
        """The first plan: the planner is told once what is wrong with it; then what is right of it is taken."""
        problems: list[str] = []
        drafted: list[Goal] = []
        for _ in range(ASKED_AGAIN + 1):
            drafted = await planner(question, known, problems)
            self.model_rounds += 1
            verdict = await self._goals.edit([AddGoal(goal) for goal in drafted], author="planner")
            if verdict:
                return
            problems = [f"{verdict.reason}: {verdict.detail}"]
            self.refused += problems
            if self._models + 3 > self._max_steps:
                break
        fitting = [AddGoal(goal) for goal in usable(drafted, self._plan.tools)]
        await self._goals.edit(fitting, author="planner", why="what could be used of the plan")

    async def go_on(self, refiner: Task[..., Refinement] | None) -> None:
        """Until every goal is resolved, or there are no more steps."""
        goals = self._goals
        try:
            while True:
                goals.max_rounds = self._max_steps - self._models - self._reserved()
                await goals.advance()
                self._note()
                if self._thinking is not None and self._thinking.done():
                    await self._take(self._thinking)
                elif self._thinking is None and refiner is not None and self._should_ask():
                    self._seen, self.model_rounds = goals.revision, self.model_rounds + 1
                    self._thinking = asyncio.get_running_loop().create_task(self._think(refiner))
                elif goals.are_over and (self._thinking is None or not goals.has_blocked):
                    return
                else:
                    await self._plan.news()
        finally:
            self._stop_thinking()

    async def _think(self, refiner: Task[..., Refinement]) -> Refinement | str:
        """What the refiner says, or why it could not. Goals go on meanwhile."""
        try:
            self._asked = refiner(await self.view())
            return await self._asked
        except TaskError as error:
            return f"refiner_failed: {error}"
        finally:
            self._plan.ring()

    def _stop_thinking(self) -> None:
        if self._thinking is None:
            return
        self._thinking.cancel()
        if self._asked is not None and self._bodies.finished(self._asked._task) is None:
            self._bodies.watch(self._asked._task, self._look_at)
            self._bodies.cancel_ref(self._asked)

    def _look_at(self, _: object) -> None:
        """That nobody wanted its answer any more is nobody's fault."""
        assert self._asked is not None
        self._bodies.look_at(self._asked)

    def _note(self) -> None:
        """Actions since the last look; whether they are a reason to refine."""
        goals = self._goals
        for action in goals.actions[self._told :]:
            self._memory.note(str(action))
        self._told = len(goals.actions)
        surprises = goals.blocked_goals + (goals.failed_paths if self._on_failed_path else 0)
        self._is_due |= surprises > self._surprises
        self._surprises = surprises
        self._is_due |= self._told - self._refined_at >= self._every and not goals.are_over

    def _should_ask(self) -> bool:
        """Whether a refinement is due, and another round, one of calls and the answer can still be had."""
        rounds = self._reserved() + self._memory.has_summariser + 2
        return (
            self._is_due
            and (not self._goals.are_over or self._goals.has_blocked)
            and self._steps + rounds <= self._max_steps
        )

    async def view(self) -> str:
        """What a model is shown now."""
        self._is_due, self._refined_at = False, self._told
        board = [_line(view) for view in self._goals.views()]
        board += [f"Your change was refused: {each}" for each in self._to_tell]
        self._to_tell = []
        return await self._memory.view(board)

    async def _take(self, thinking: asyncio.Task[Refinement | str]) -> None:
        answer, self._thinking, self._asked = thinking.result(), None, None
        if isinstance(answer, str):
            self.refused.append(answer)
            return
        if not answer.changes:
            return
        verdict = await self._goals.edit(answer.changes, author="refiner", why=answer.why, seen=self._seen)
        if verdict:
            self._refused_in_a_row = 0
            return
        self._to_tell.append(f"{verdict.reason}: {verdict.detail}")
        self.refused += self._to_tell[-1:]
        self._refused_in_a_row += 1
        self._is_due = self._refused_in_a_row <= ASKED_AGAIN

    def answer(self, text: str) -> Answer:
        """All that is known at the end."""
        views = self._goals.views()
        gaps = [Gap(view.name, view.want, view.status, _why(view)) for view in views if view.status != COMPLETED]
        return Answer(text, views, gaps, self._steps, self._models, self._goals.calls, self.refused)


def _line(view: GoalView) -> str:
    """A goal on the board."""
    line = f"- {view.name} [{view.status}] {view.want}"
    if view.status == COMPLETED:
        return f"{line} = {in_words(view.result)}"
    paths = [f"path {n} ({path.status}): {' ; '.join(path.calls)}" for n, path in enumerate(view.paths, 1)]
    whys = [f"path {n}: {path.why}" for n, path in enumerate(view.paths, 1) if path.why]
    return " | ".join([line, *whys, *paths])


def _why(view: GoalView) -> str:
    return "; ".join([view.why, *(path.why for path in view.paths if path.why)]).strip("; ")
