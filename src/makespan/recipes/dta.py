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
from makespan.codec import Outcome
from makespan.graph.node import Effect
from makespan.planners.live import LivePlan
from makespan.planners.saved import shown
from makespan.planners.schema import offers, signature
from makespan.planners.steps import Join

MAX_ROUNDS = 6
"""Rounds of one question; the last one has to finish."""
MAX_WIDTH = 8
"""Calls of one round; those beyond it are not made, and the model is told."""
RESULT_CHARS = 2_000
"""Characters of one result that the model is shown."""


class Call(msgspec.Struct, frozen=True):
    """One call, as the next round is told of it."""

    step: str
    call: str
    status: str
    """succeeded, failed, skipped, or missing: it had not ended when the round's time was up."""
    said: str
    """The result, or what went wrong."""


class Answer(msgspec.Struct, frozen=True):
    """What the rounds came to."""

    text: str
    rounds: int
    calls: tuple[Call, ...]

    @property
    def missing(self) -> tuple[Call, ...]:
        """Calls without a result."""
        return tuple(call for call in self.calls if call.status != "succeeded")


@ms.prompt(max_tokens=1024)
def divide(question: str, tools: list[str], calls: list[Call], problems: list[str], last: bool) -> AsyncIterator[str]:
    """The calls of the next round, or the answer."""
    known = "\n".join(f"{call.step}. {call.call} -> {call.status}: {call.said}" for call in calls) or "nothing yet"
    wrong = "".join(f"\n- {problem}" for problem in problems)
    ms.chat(
        f"Question: {question}\n\nWhat is known:\n{known}\n"
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
        planner: a task or prompt with the parameters of `divide`, which writes numbered calls or `finish(answer)`.
        wait_for: results after which the next round begins; all of the round by default.
        straggler_s: seconds after which a round no longer waits, from the end of its plan. What has not ended is
            reported as missing; it is cancelled where it may be repeated, and left alone where not.
    Raises:
        Fatal: the last round did not finish.
    """
    plan, problems = LivePlan(tools, max_steps=0), list[str]()
    ask = planner.options(models=models) if models and planner.takes_models else planner
    known = [signature(offer) for offer in offers(plan.tools)]
    for number in range(1, max_rounds + 1):
        plan.max_steps = len(plan.steps) + max_width
        text = ask(question, known, _calls(plan), problems, number == max_rounds)
        got = await plan.ingest(text, author=f"round {number}")
        if got.join is not None and got.join.args:
            return Answer(_answer(got.join), number, tuple(_calls(plan)))
        problems = [str(problem) for problem in got.problems if not problem.repaired]
        await _round(plan, got.steps, wait_for, straggler_s)
    raise ms.Fatal(f"no answer within max_rounds={max_rounds}; what is known: {_calls(plan)}")


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


def _calls(plan: LivePlan) -> list[Call]:
    return [Call(name, shown(planned.step), *_said(planned.outcome)) for name, planned in plan.steps.items()]


def _said(outcome: Outcome[Any] | None) -> tuple[str, str]:
    if outcome is None or outcome.status == "cancelled":
        return "missing", "it took too long"
    if outcome.failure is not None:
        return outcome.status, f"{outcome.failure.type}: {outcome.failure.message}"
    value = outcome.result
    text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=repr).decode()
    return outcome.status, text if len(text) <= RESULT_CHARS else text[: RESULT_CHARS - 1] + "…"


def _answer(join: Join) -> str:
    first = join.args[0]
    return first if isinstance(first, str) else str(first)
