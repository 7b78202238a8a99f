"""ParallelSearch: a model asks for several searches at once, sees all they found, and asks on or answers.

    <search>depth of A ## depth of B</search> ─▶ A, B side by side ─▶ <information>…</information> ─▶ <answer>A</answer>

Source: "ParallelSearch: Train your LLMs to Decompose Query and Search Sub-queries in Parallel" (2025), from its
description. Parts: a live plan; a block of queries is one edit. What differs: a query that fails is a typed gap beside
what the others found; a query made before, in other spacing or case too, is not made again; an answer
behind a search, as if the model had seen what that finds, does not count; no trained model is needed.
Measured by `python -m bench --case plans-parallelqa` and `pytest tests/recipes/test_parallel_search.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

import makespan as ms
from makespan.authoring.task import Task
from makespan.errors import GraphError
from makespan.planners.asking import asked_of
from makespan.planners.changes import Add
from makespan.planners.known import Known, gaps, known
from makespan.planners.live import LivePlan
from makespan.planners.steps import Step

MAX_ROUNDS = 4
"""Model calls of one question; the last one has to answer."""
MAX_QUERIES = 8
"""Queries of one block; those beyond it are not made, and the model is told."""
RESULT_CHARS = 1_000
"""Characters of one result that the model is shown."""
_SEARCH = re.compile(r"<search>(.*?)(?:</search>|\Z)", re.S)
_ANSWER = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.S)


class Found(msgspec.Struct, frozen=True):
    """The answer, and what was searched for it."""

    text: str
    rounds: int
    queries: tuple[Known, ...]

    @property
    def missing(self) -> tuple[Known, ...]:
        """Queries without a result."""
        return gaps(self.queries)


@ms.prompt(max_tokens=512)
def decompose(question: str, transcript: str, last: bool) -> str:
    """The next searches, or the answer, in tags."""
    ms.chat(
        "Answer the question. Think first inside <think> and </think>. "
        + (
            "You cannot search any more. "
            if last
            else "To look things up write <search>one query ## another query</search>: all queries that do not need "
            "each other's results in one block, separated by ##. You will see what they found. "
        )
        + f"When you know it, write <answer>the answer</answer>.\nQuestion: {question}\n{transcript}"
    )


async def parallel_search(
    question: str,
    *,
    search: Task[..., Any],
    reader: Task[..., str] = decompose,
    models: Sequence[str] = (),
    max_rounds: int = MAX_ROUNDS,
    max_queries: int = MAX_QUERIES,
) -> Found:
    """Answer a question by blocks of parallel searches; use it in an async workflow.

    Args:
        search: a task of one query.
        reader: a task or prompt with the parameters of `decompose`; gives text with tags.
    Raises:
        Fatal: no answer in the last round.
        GraphError: `search` needs more than one argument.
    """
    ask = asked_of(reader, models)
    plan, transcript, said = LivePlan([search]), "", ""
    names: dict[str, str] = {}
    for number in range(1, max_rounds + 1):
        said = await ask(question, transcript, number == max_rounds)
        answer, block = _ANSWER.search(said), _SEARCH.search(said)
        if answer is not None and (block is None or answer.start() < block.start() or number == max_rounds):
            return Found(answer[1].strip(), number, tuple(known(plan, RESULT_CHARS)))
        if block is not None:
            said = said[: block.end()]  # what a model says it found there is made up
        queries = [] if block is None else [query.strip() for query in block[1].split("##") if query.strip()]
        wanted = list(dict.fromkeys(map(_same, queries)))
        new = [query for query in wanted if query not in names][:max_queries]
        await _search(plan, {str(len(names) + place): _written(query, queries) for place, query in enumerate(new, 1)})
        names |= {query: str(len(names) + place) for place, query in enumerate(new, 1)}
        transcript += f"{said.strip()}\n{_information(plan, names, wanted)}\n"
    raise ms.Fatal(f"no answer within max_rounds={max_rounds}; the last words: {said[-200:]!r}")


async def _search(plan: LivePlan, queries: dict[str, str]) -> None:
    """One edit for all new queries, and until they have ended."""
    if not queries:
        return
    (tool,) = plan.tools.names
    verdict = await plan.edit([Add(Step(name, tool, (query,))) for name, query in queries.items()], author="reader")
    if not verdict:
        raise GraphError(f"parallel_search: {verdict.detail}")
    await plan.settled()


def _information(plan: LivePlan, names: dict[str, str], wanted: list[str]) -> str:
    """What the queries of a block found, the ones made before too."""
    if not wanted:
        return "<information>That was neither a search nor an answer: use the tags.</information>"
    results = {each.step: each for each in known(plan, RESULT_CHARS)}
    lines = [
        f"{query}: {results[names[query]].said}" if query in names else f"{query}: not made, too many in one block"
        for query in wanted
    ]
    return "<information>" + "\n".join(lines) + "</information>"


def _same(query: str) -> str:
    """A query as it is compared with others."""
    return " ".join(query.casefold().split())


def _written(wanted: str, queries: list[str]) -> str:
    """A query as the model wrote it first."""
    return next(query for query in queries if _same(query) == wanted)
