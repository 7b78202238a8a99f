"""ParallelQA's questions through the recipes: one scripted reader plans, searches in blocks, or goes call by call.

Scripted are the models (a rule reads the question) and the facts (a table of our own); real are the engine, the plans
as text, the tools' arithmetic and the data set's questions and answers, which stay outside of the project.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import makespan as ms
from bench.measure import Figures
from bench.plans import arithmetic, facts
from bench.plans.parallelqa import MissingResultError, Verdict, items, join, judge, plan_text
from bench.plans.parallelqa import react as next_move
from bench.plans.questions import Call, read
from bench.table_row import Row
from makespan.planners.known import Known
from makespan.recipes import llmcompiler as compiling
from makespan.recipes.dta import Answer
from makespan.recipes.parallel_search import Found, parallel_search
from makespan.recipes.react import react
from makespan.testing import running

ROUNDS_AT_MOST = 0.7
"""Of the model calls that one call at a time takes."""
QUICK = 12
SEARCHES: Counter[str] = Counter()
"""Searches that were made, by query."""
LOST: set[str] = set()
"""Queries that fail."""


@ms.task(effect="idempotent", executor="inline")
def search(query: str) -> float | str:
    """A figure of an entity."""
    SEARCHES[query] += 1
    if query in LOST:
        raise LookupError(f"{query}: the page is gone")
    return facts.search(query)


@ms.task(effect="pure", executor="inline")
def math(expression: str) -> float:
    """A sum."""
    return arithmetic.math(expression)


@ms.task
async def plan(
    question: str, tools: list[str], calls: list[Known], why: str, problems: list[str]
) -> AsyncIterator[str]:
    """The scripted planner."""
    for line in plan_text(read(question)).splitlines(keepends=True):
        yield line


@ms.task(effect="pure", executor="inline")
def joined(question: str, calls: list[Known], problems: list[str], last: bool) -> compiling.Verdict:
    """The scripted joiner."""
    return compiling.Verdict(answer=_joined(question, calls))


@ms.task
async def think(
    question: str, tools: list[str], calls: list[Known], problems: list[str], last: bool
) -> AsyncIterator[str]:
    """The scripted agent that makes one call at a time."""
    move = next_move(read(question), [_value(call.said) for call in calls])
    yield f'{len(calls) + 1}. {move.tool}("{move.argument}")\n' if isinstance(move, Call) else f'finish("{move}")\n'


@ms.task(effect="pure", executor="inline")
def decompose(question: str, transcript: str, last: bool) -> str:
    """The scripted reader that searches for everything at once and does the sums itself."""
    reading = read(question)
    if not transcript:
        queries = [call.argument for call in reading.calls if call.tool == "search"]
        return f"<search>{' ## '.join(queries)}</search>"
    observed: list[object] = []
    found = dict(line.split(": ", 1) for line in transcript.split("<information>")[1].split("<")[0].splitlines())
    while isinstance(move := next_move(reading, observed), Call):
        said = found[move.argument.casefold()] if move.tool == "search" else str(arithmetic.math(move.argument))
        observed.append(_value(said))
    return f"<answer>{move}</answer>"


def _value(said: str) -> float | str:
    try:
        return float(said)
    except ValueError:
        return said


def _joined(question: str, calls: list[Known]) -> str:
    try:
        return join(read(question), {call.step: _value(call.said) for call in calls if call.status == "succeeded"})
    except MissingResultError as gap:
        return f"unknown without {', '.join(gap.missing)}"


@ms.workflow
async def by_plan(question: str) -> compiling.Compiled:
    """LLMCompiler."""
    return await compiling.llmcompiler(question, tools=[search, math], planner=plan, joiner=joined)


@ms.workflow
async def one_by_one(question: str) -> Answer:
    """ReAct."""
    return await react(question, tools=[search, math], planner=think, max_turns=40)


@ms.workflow
async def by_blocks(question: str) -> Found:
    """ParallelSearch."""
    return await parallel_search(question, search=search, reader=decompose, max_queries=32)


def _planned(question: str) -> tuple[str, int]:
    done = running.run(by_plan(question)).output
    return done.answer, 2 * done.rounds  # the planner and the joiner


def _serial(question: str) -> tuple[str, int]:
    done = running.run(one_by_one(question)).output
    return done.text, done.rounds


def _in_blocks(question: str) -> tuple[str, int]:
    done = running.run(by_blocks(question)).output
    return done.text, done.rounds


BY: dict[str, Callable[[str], tuple[str, int]]] = {"plan": _planned, "serial": _serial, "blocks": _in_blocks}
"""Way → the answer to a question, and the model calls it took."""


def questions(quick: bool) -> Figures:
    """All questions by three recipes; none where the data set is not here."""
    asked = items()[: QUICK if quick else None]
    wrong, rounds, repeated = Counter[str](), Counter[str](), 0
    for item in asked:
        wanted = len({call.argument for call in read(item.question).calls if call.tool == "search"})
        for name, answered in BY.items():
            SEARCHES.clear()
            answer, taken = answered(item.question)
            rounds[name] += taken
            wrong[name] += judge(answer, item.answer) is Verdict.WRONG
            repeated += sum(SEARCHES.values()) != wanted
    return {
        "questions": len(asked),
        **{f"right_{name}": len(asked) - wrong[name] for name in BY},
        **{f"rounds_{name}": rounds[name] for name in BY},
        "repeated": repeated,
        "gaps_left": _gaps(asked[0].question) if asked else 0.0,
    }


def _gaps(question: str) -> float:
    """Results that are lost beside the one query that fails; 0 is right."""
    queries = [call.argument for call in read(question).calls if call.tool == "search"]
    LOST.add(queries[0])
    try:
        found = running.run(only_search(queries)).output
    finally:
        LOST.clear()
    return float(
        len(queries) - 1 - sum(query.status == "succeeded" for query in found.queries) + len(found.missing) - 1
    )


@ms.workflow
async def only_search(queries: list[str]) -> Found:
    """One block of queries, and no sums."""

    @ms.task(effect="pure", executor="inline", key="block")
    def block(question: str, transcript: str, last: bool) -> str:
        return "<answer>seen</answer>" if transcript else f"<search>{question}</search>"

    return await parallel_search(" ## ".join(queries), search=search, reader=block)


CASES: dict[str, Callable[[bool], Figures]] = {"plans-parallelqa": questions}


def rows(results: Mapping[str, Figures]) -> Iterator[Row]:
    """The table's rows for which there are figures."""
    seen = results.get("plans-parallelqa")
    if seen is None or not seen["questions"]:
        return
    asked, serial = seen["questions"], seen["rounds_serial"]
    for name, recipe in (("plan", "llmcompiler"), ("blocks", "parallel_search")):
        share = seen[f"rounds_{name}"] / serial
        yield Row(
            f"ParallelQA offline by {recipe}, answers right by the data set's own rule",
            f"all, model rounds ≤ {ROUNDS_AT_MOST} × serial",
            f"one call at a time: {seen['right_serial']:.0f} right, {serial:.0f} rounds",
            f"{seen[f'right_{name}']:.0f} of {asked:.0f}, {seen[f'rounds_{name}']:.0f} rounds",
            f"{share:.2f} ×",
            seen[f"right_{name}"] == asked and share <= ROUNDS_AT_MOST,
        )
    yield Row(
        "one search for each distinct entity; one of n failing leaves n - 1 and one typed gap",
        "0 exceptions",
        "",
        f"{seen['repeated']:.0f} repeated, {seen['gaps_left']:.0f} lost",
        passed=not seen["repeated"] and not seen["gaps_left"],
    )
