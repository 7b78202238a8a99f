"""ReAct: think, make one call, look at the result, think again. The baseline that the other recipes are measured by.

Source: Yao et al., "ReAct: Synergizing Reasoning and Acting in Language Models" (2022), arXiv 2210.03629. Parts: rounds
of `recipes.dta` that are one call wide. For an agent of your own, `@ms.prompt(tools=...)` has typed answers and checks.
Measured by `python -m bench --case plans-parallelqa`, as what serial costs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import makespan as ms
from makespan.authoring.task import Task
from makespan.planners.known import Known
from makespan.recipes.dta import Answer, dta

MAX_TURNS = 12
"""Model calls of one question; the last one has to answer."""


@ms.prompt(max_tokens=512)
def think(question: str, tools: list[str], calls: list[Known], problems: list[str], last: bool) -> AsyncIterator[str]:
    """The next call, or the answer."""
    seen = "\n".join(map(str, calls)) or "nothing yet"
    wrong = "".join(f"\nThat call could not be made: {problem}" for problem in problems)
    ms.chat(
        f"Question: {question}\n\nWhat you have seen:\n{seen}{wrong}\n\n"
        + (
            'You cannot make more calls. Answer as one line: finish("answer")'
            if last
            else "Write one line that begins with Thought: and then one call, 1. tool(argument), or, when you know the "
            'answer, finish("answer").\nTools:\n' + "\n".join(tools)
        )
    )


async def react(
    question: str,
    *,
    tools: Sequence[Task[..., Any]],
    planner: Task[..., list[str]] = think,
    models: Sequence[str] = (),
    max_turns: int = MAX_TURNS,
) -> Answer:
    """Answer a question one call at a time; use it in an async workflow.

    Args:
        planner: a task or prompt with the parameters of `think`. Of several calls in one turn the first is made.
    Raises:
        Fatal: no answer in the last turn.
    """
    return await dta(question, tools=tools, planner=planner, models=models, max_rounds=max_turns, max_width=1)


async def pursue(goal: str, *, tools: Sequence[Task[..., Any]], models: Sequence[str]) -> Answer:
    """`react` for the command line."""
    return await react(goal, tools=tools, models=models)
