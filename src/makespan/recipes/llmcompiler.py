"""LLMCompiler: a planner writes all calls with the results they need, they run while it writes, a joiner judges.

    planner ═1. search("a")═▶ ┌ search ┐
            ═2. search("b")═▶ ├ search ┤─▶ math ─▶ joiner ─▶ answer
            ═3. math($1,$2)═▶ └────────┘             └─ again, because … ─▶ planner, next round

Source: Kim et al., "An LLM Compiler for Parallel Function Calling" (2024), arXiv 2312.04511. Parts: a live plan, into
which the planner's text is read line by line. What differs: a task starts in the turn that makes it ready, not with the
planner's next line; a tool that raises is a typed failure that others do not wait for; `$1` is never a part of `$10`;
nothing that has a result is called again in a later round; the joiner may add calls itself, and may be asked as soon as
something fails.
Measured by `python -m bench --case plans-llmcompiler` and `pytest tests/recipes/test_llmcompiler.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Literal

import msgspec

import makespan as ms
from makespan.authoring.ref import Ref
from makespan.authoring.task import Task
from makespan.planners.asking import by_model
from makespan.planners.changes import Drop
from makespan.planners.known import Known, gaps, known
from makespan.planners.live import LivePlan
from makespan.planners.schema import offers, signature
from makespan.planners.tools import Tools

MAX_ROUNDS = 3
"""Plans of one question; after the last one the joiner has to answer."""


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a joiner says of a wave of results: the answer, or what is still missing."""

    answer: str | None = None
    again: str = ""
    """Why another plan is needed; the planner is told."""
    add: list[str] = []
    """Calls to make next, as numbered lines, instead of asking the planner."""
    drop: list[str] = []
    """Steps that have not started and are not wanted any more."""


class Compiled(msgspec.Struct, frozen=True):
    """The answer, and how it came about."""

    answer: str
    rounds: int
    calls: tuple[Known, ...]
    problems: tuple[str, ...] = ()
    """What of the plans could not be carried out, or only after a repair."""

    @property
    def missing(self) -> tuple[Known, ...]:
        """Calls without a result."""
        return gaps(self.calls)


@ms.prompt(max_tokens=1024)
def write(question: str, tools: list[str], calls: list[Known], why: str) -> AsyncIterator[str]:
    """The calls that answer a question, as numbered lines."""
    so_far = "Calls made so far, which you can use as $1, $2 and so on, and must not repeat:\n" + "\n".join(
        map(str, calls)
    )
    ms.chat(
        "Plan calls of tools that together answer a question. One call a line: 1. tool(argument, $1). `$1` stands for "
        "the result of call 1, `${1}` inside a text. Calls that do not need each other run at the same time. Make as "
        "few calls as you can, go on with the next free number, end with a line that says join().\nTools:\n"
        + "\n".join(tools)
        + f"\n\nQuestion: {question}"
        + (f"\n{so_far}\nAnother plan is needed: {why}" if calls else "")
    )


@ms.prompt(max_tokens=512)
def judge(question: str, calls: list[Known], last: bool) -> Verdict:
    """Whether the results answer the question."""
    rule = (
        "There are no more calls: give the best answer there is."
        if last
        else "Give `answer` if they do; else leave it out and say in `again` what is missing."
    )
    results = "\n".join(map(str, calls))
    ms.chat(f"Question: {question}\n\nCalls and their results:\n{results}\n\nDo they answer the question? {rule}")


async def llmcompiler(
    question: str,
    *,
    tools: Sequence[Task[..., Any]],
    planner: Task[..., list[str]] | Callable[..., Ref[list[str]]] = write,
    joiner: Task[..., Verdict] = judge,
    models: Sequence[str] = (),
    max_rounds: int = MAX_ROUNDS,
    judge_on: Literal["all", "failure"] = "all",
    format: str = "numbered",
) -> Compiled:
    """Answer a question by plans whose calls run side by side; use it in an async workflow.

    Args:
        planner: a task, a prompt or a function that calls one, with the parameters of `write`; its text is read as it
            comes. `planners.asking.by_model` makes one for small models.
        joiner: a task or prompt with the parameters of `judge`.
        judge_on: when the joiner is asked: when all calls have ended, or as soon as one fails; then the others go on.
    Raises:
        Fatal: the joiner gave no answer after the last round.
    """
    if models:
        planner = planner.options(models=models) if isinstance(planner, Task) and planner.takes_models else planner
        joiner = joiner.options(models=models) if joiner.takes_models else joiner
    plan, why, added = LivePlan(tools), "", list[str]()
    offered = [signature(offer) for offer in offers(plan.tools)]
    for number in range(1, max_rounds + 1):
        if added:
            await plan.ingest("\n".join(added), format="numbered", author="joiner")
        else:
            await plan.ingest(planner(question, offered, known(plan), why), format=format)
        await _wave(plan, judge_on)
        verdict: Verdict = await joiner(question, known(plan), number == max_rounds)
        if verdict.answer is not None:
            return Compiled(verdict.answer, number, tuple(known(plan)), tuple(map(str, plan.problems)))
        why, added = verdict.again, verdict.add
        wanted = [Drop(name) for name in verdict.drop if name in plan.steps]
        if wanted:
            await plan.edit(wanted, author="joiner", why=verdict.again)
    raise ms.Fatal(f"no answer within max_rounds={max_rounds}; the joiner's last word: {why or added or 'none'}")


async def _wave(plan: LivePlan, judge_on: Literal["all", "failure"]) -> None:
    """Until all calls have ended, or one has failed."""
    while ended := await plan.completions():
        if judge_on == "failure" and not all(plan.steps[name].outcome for name in ended if name in plan.steps):
            return


async def pursue(
    goal: str, *, tools: Sequence[Task[..., Any]], models: Sequence[str] = (), format: str = "auto"
) -> Compiled:
    """For the command line: small models are asked for the plan under a schema."""
    planner = by_model(Tools("llmcompiler", tools), format, models)
    joiner = judge.options(models=models) if models else judge
    return await llmcompiler(goal, tools=tools, planner=planner, joiner=joiner, format="auto")


def draft(goal: str, *, tools: Tools, models: Sequence[str] = (), format: str = "auto") -> Ref[list[str]]:
    """The call that writes its first plan."""
    return by_model(tools, format, models)(goal, [], [], "")
