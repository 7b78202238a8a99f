"""Divide-Then-Aggregate: rounds of calls that run side by side, with a barrier at the end of each if you want one.

    round 1: model ──▶ search, search, search ──▶ results ──▶ round 2: model ──▶ … ──▶ finish(answer)

Source: "Divide-Then-Aggregate: An Efficient Tool Learning Method via Parallel Tool Invocation" (2025), from its
description. Parts: a live plan, whose steps of one round start while the model still writes them. What differs: the
barrier can be a quorum, a straggler is reported as missing when the round's time is up, what comes late is in the next
round, and a call that was made before is not made again.
Measured by `pytest tests/recipes/test_dta.py`. Serial runs become rounds by `makespan trace RUN --dag`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

import makespan as ms
from makespan.authoring.task import Task
from makespan.graph.node import Effect
from makespan.planners.asking import asked_of
from makespan.planners.known import Known, gaps, known
from makespan.planners.live import LivePlan
from makespan.planners.schema import offers, signature
from makespan.planners.steps import Join, references
from makespan.planners.tools import fill, text

MAX_ROUNDS = 6
"""Rounds of one question; the last one has to finish."""
MAX_WIDTH = 8
"""Calls of one round; those beyond it are not made, and the model is told."""


class Answer(msgspec.Struct, frozen=True):
    """What the rounds came to."""

    text: str
    rounds: int
    calls: tuple[Known, ...]

    @property
    def missing(self) -> tuple[Known, ...]:
        """Calls without a result."""
        return gaps(self.calls)


@ms.prompt(max_tokens=1024)
def divide(question: str, tools: list[str], calls: list[Known], problems: list[str], last: bool) -> AsyncIterator[str]:
    """The calls of the next round, or the answer."""
    so_far = "\n".join(map(str, calls)) or "nothing yet"
    wrong = "".join(f"\n- {problem}" for problem in problems)
    ms.chat(
        f"Question: {question}\n\nWhat is known:\n{so_far}\n"
        + (f"Calls that could not be made:{wrong}\n" if wrong else "")
        + (
            'There are no more rounds. Answer now, as one line: finish("answer")'
            if last
            else "Write all calls that can be made now, side by side, one a line: 1. tool(argument). "
            'When you know enough, write one line instead: finish("answer")\nTools:\n' + "\n".join(tools)
        )
    )


async def dta(
    question: str,
    *,
    tools: Sequence[Task[..., Any]],
    planner: Task[..., list[str]] = divide,
    models: Sequence[str] = (),
    max_rounds: int = MAX_ROUNDS,
    max_width: int = MAX_WIDTH,
    wait_for: int | None = None,
    straggler_s: float | None = None,
) -> Answer:
    """Answer a question in rounds of parallel calls; use it in an async workflow.

    Args:
        planner: a task or prompt with the parameters of `divide`, which writes numbered calls or `finish(answer)`; an
            answer may use results, as `finish("it is ${1}")`. In the last round no calls are made.
        wait_for: results after which the next round begins; all of the round by default.
        straggler_s: seconds after which a round no longer waits, from the end of its plan. What has not ended is
            reported as missing; it is cancelled where it may be repeated, and left alone where not.
    Raises:
        Fatal: the last round did not finish.
    """
    plan, problems = LivePlan(tools, max_steps=0), list[str]()
    ask = asked_of(planner, models)
    offered = [signature(offer) for offer in offers(plan.tools)]
    for number in range(1, max_rounds + 1):
        is_last = number == max_rounds
        plan.max_steps = len(plan.steps) + (0 if is_last else max_width)  # nobody would see what the last calls gave
        writing = ask(question, offered, known(plan), problems, is_last)
        got = await plan.ingest(writing, author=f"round {number}")
        problems = [str(problem) for problem in got.problems if not problem.repaired]
        if got.join is not None and got.join.args:
            used = [reference.step for reference in references(got.join.args[0])]
            await _round(plan, [name for name in used if name in plan.steps], None, straggler_s)
            wrong = [name for name in used if name not in plan.steps or not plan.steps[name].outcome]
            if not wrong:
                return Answer(await _answer(plan, got.join), number, tuple(known(plan)))
            problems.append(f"the answer uses step {wrong[0]}, which has no result")
        elif not got.steps and not problems:
            problems = ["there was neither a call of a tool nor an answer"]
        await _round(plan, got.steps, wait_for, straggler_s)
    raise ms.Fatal(f"no answer within max_rounds={max_rounds}; what is known: {'; '.join(map(str, known(plan)))}")


async def pursue(goal: str, *, tools: Sequence[Task[..., Any]], models: Sequence[str]) -> Answer:
    """`dta` for the command line."""
    return await dta(goal, tools=tools, models=models)


async def _round(plan: LivePlan, steps: Sequence[str], wait_for: int | None, straggler_s: float | None) -> None:
    """Until all steps of the round, or so many of them, have ended, or its time is up."""
    wanted = len(steps) if wait_for is None else min(wait_for, len(steps))
    try:
        async with asyncio.timeout(straggler_s):
            while len(steps) - len(_open(plan, steps)) < wanted:
                await plan.completions()
    except TimeoutError:
        for name in _open(plan, steps):
            planned = plan.steps[name]
            task = plan.tools.task(plan.tools.named(planned.step.tool))
            if task.declaration.options.effect != Effect.IRREVERSIBLE:
                ms.cancel(planned.ref)


def _open(plan: LivePlan, steps: Sequence[str]) -> list[str]:
    still = set(plan.open_steps())
    return [name for name in steps if name in still]


async def _answer(plan: LivePlan, join: Join) -> str:
    """The answer as text, with the results that it refers to."""
    said = join.args[0]
    answer: str = await text([fill(said, plan.refs)]) if references(said) else text.fn([said])
    return answer
