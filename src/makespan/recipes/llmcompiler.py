"""LLMCompiler: a planner writes all calls with the results they need, they run while it writes, a joiner judges.

    planner ═1. search("a")═▶ ┌ search ┐
            ═2. search("b")═▶ ├ search ┤─▶ math ─▶ joiner ─▶ answer
            ═3. math($1,$2)═▶ └────────┘             └─ again, because … ─▶ planner, next round

Source: Kim et al., "An LLM Compiler for Parallel Function Calling" (2024), arXiv 2312.04511. Parts: a live plan, into
which the planner's text is read line by line. What differs: a task starts in the turn that makes it ready, not with the
planner's next line; a tool that raises is a typed failure that others do not wait for; `$1` is never a part of `$10`;
nothing that has a result is called again in a later round; the joiner may add, replace and drop calls itself, may be
asked as soon as something fails, and is told what of a plan or of its own wishes could not be carried out.
Measured by `python -m bench --case plans-llmcompiler` and `pytest tests/recipes/test_llmcompiler.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import Any, Literal

import msgspec

import makespan as ms
from makespan.authoring.ref import Ref
from makespan.authoring.task import Task
from makespan.planners.asking import asked_of, by_model
from makespan.planners.changes import Drop, Replace
from makespan.planners.formats.choose import reader_for
from makespan.planners.known import Known, gaps, known
from makespan.planners.live import LivePlan
from makespan.planners.reading import Ingested
from makespan.planners.schema import offers, signature
from makespan.planners.steps import Step
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
    replace: list[str] = []
    """Calls in the place of steps that have not started, as lines with the numbers of those."""
    drop: list[str] = []
    """Steps that have not started and are not wanted any more."""


class Compiled(msgspec.Struct, frozen=True):
    """The answer, and how it came about."""

    answer: str
    rounds: int
    calls: tuple[Known, ...]
    problems: tuple[str, ...] = ()
    """What of the plans and of the joiner's wishes could not be carried out, or only after a repair."""

    @property
    def missing(self) -> tuple[Known, ...]:
        """Calls without a result."""
        return gaps(self.calls)


@ms.prompt(max_tokens=1024)
def write(question: str, tools: list[str], calls: list[Known], why: str, problems: list[str]) -> AsyncIterator[str]:
    """The calls that answer a question, as numbered lines."""
    so_far = "Calls made so far, which you can use as $1, $2 and so on, and must not repeat:\n" + "\n".join(
        map(str, calls)
    )
    again = (f"\n{so_far}" if calls else "") + (f"\nAnother plan is needed: {why}" if why else "")
    ms.chat(
        "Plan calls of tools that together answer a question. One call a line: 1. tool(argument, $1). `$1` stands for "
        "the result of call 1, `${1}` inside a text. Calls that do not need each other run at the same time. Make as "
        "few calls as you can, go on with the next free number, end with a line that says join().\nTools:\n"
        + "\n".join(tools)
        + f"\n\nQuestion: {question}{again}{_not_done(problems)}"
    )


@ms.prompt(max_tokens=512)
def judge(question: str, calls: list[Known], problems: list[str], last: bool) -> Verdict:
    """Whether the results answer the question."""
    rule = (
        "There are no more calls: give the best answer there is."
        if last
        else "Give `answer` if they do; else leave it out and say in `again` what is missing."
    )
    results = "\n".join(map(str, calls))
    ms.chat(
        f"Question: {question}\n\nCalls and their results:\n{results}{_not_done(problems)}\n\n"
        f"Do they answer the question? {rule}"
    )


def _not_done(problems: Sequence[str]) -> str:
    return "\nWhat could not be done:" + "".join(f"\n- {problem}" for problem in problems) if problems else ""


async def llmcompiler(
    question: str,
    *,
    tools: Sequence[Task[..., Any]],
    planner: Task[..., list[str]] | Callable[..., Ref[list[str]] | Awaitable[str] | str] = write,
    joiner: Task[..., Verdict] | Callable[..., Awaitable[Verdict] | Verdict] = judge,
    models: Sequence[str] = (),
    max_rounds: int = MAX_ROUNDS,
    judge_on: Literal["all", "failure"] = "all",
    format: str = "numbered",
) -> Compiled:
    """Answer a question by plans whose calls run side by side; use it in an async workflow.

    Args:
        planner: a task or prompt with the parameters of `write`, whose text is read as it comes; or a plain function
            with them, which gives the text or calls such a task. `planners.asking.by_model` makes one for small models.
        joiner: a task, a prompt or a plain function with the parameters of `judge`. A plain function is a part of the
            workflow's body: it is called again when the run is resumed, so it must say the same of the same.
        judge_on: when the joiner is asked: when all calls have ended, or as soon as one fails; then the others go on.
    Raises:
        Fatal: the joiner gave no answer after the last round.
    """
    planner, joiner = asked_of(planner, models), asked_of(joiner, models)
    plan, verdict, problems = LivePlan(tools), Verdict(), list[str]()
    refused, wishes = list[str](), list[str]()
    offered = [signature(offer) for offer in offers(plan.tools)]
    for number in range(1, max_rounds + 1):
        got = Ingested((), (), None)
        if verdict.add:
            got = await plan.ingest("\n".join(verdict.add), author="joiner")
        elif verdict.again or not (verdict.replace or verdict.drop):
            text = planner(question, offered, known(plan), verdict.again, problems)
            got = await plan.ingest(text if isinstance(text, Ref) else await _said(text), format=format)
        await _wave(plan, judge_on)
        problems = [*refused, *(str(problem) for problem in got.problems if not (problem.repaired and got.steps))]
        verdict = await _said(joiner(question, known(plan), problems, number == max_rounds))
        if verdict.answer is not None:
            return Compiled(verdict.answer, number, tuple(known(plan)), (*map(str, plan.problems), *wishes))
        refused = await _change(plan, verdict)
        problems, wishes = problems + refused, wishes + refused
    last = verdict.again or verdict.add or verdict.replace or "none"
    raise ms.Fatal(f"no answer within max_rounds={max_rounds}; the joiner's last word: {last}")


async def _said(value: Any) -> Any:
    """What a task, an async function or a plain one says."""
    return await value if isawaitable(value) else value


async def _change(plan: LivePlan, verdict: Verdict) -> list[str]:
    """Replace and drop what a joiner wants, in one edit; what could not be done, and why."""
    changes: list[Drop | Replace] = [Drop(name) for name in verdict.drop]
    problems = list[str]()
    for line in verdict.replace:
        reader = reader_for("numbered")
        steps = [found for found in (*reader.feed(line), *reader.close()) if isinstance(found, Step)]
        changes += [Replace(step.name, step) for step in steps]
        if not steps:
            problems.append(f"replace {line!r}: it is no call behind the number of a step")
    if changes:
        edit = await plan.edit(changes, author="joiner", why=verdict.again)
        if not edit:
            wanted = ", ".join(f"{type(change).__name__.lower()} {change.name}" for change in changes)
            problems.append(f"{wanted}: {edit.detail or edit.reason}")
    return problems


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
    return await llmcompiler(goal, tools=tools, planner=planner, models=models, format="auto")


def draft(goal: str, *, tools: Tools, models: Sequence[str] = (), format: str = "auto") -> Ref[list[str]]:
    """The call that writes its first plan."""
    return by_model(tools, format, models)(goal, [], [], "", [])
