"""ParallelQA without a model: scripted planner, tools, joiner, the serial agent, and the judge.

The data set of LLMCompiler (113 questions, MIT) stays outside of the project: `MAKESPAN_DATA` names the folder of data
sets, `../shared/data` without it; `llmcompiler/parallelqa_dataset.json` in it is read.
Source: Kim et al., "An LLM Compiler for Parallel Function Calling" (2024); the reader and the figures are ours.
"""

import json
import os
import re
import string
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from bench.plans.arithmetic import math
from bench.plans.facts import search
from bench.plans.questions import Call, Number, Reading, read

NEAR = 0.1
"""The margin within which the data set's own evaluation takes a number for right."""

TOOLS: dict[str, Callable[[str], float | str]] = {"search": search, "math": math}
"""Tool → function of its one argument, a text."""

_REFERENCE = re.compile(r"\$(?:\{(\d+)\}|(\d+))")


class MissingResultError(LookupError):
    """The joiner lacks results that its answer is made of."""

    def __init__(self, question: str, missing: tuple[str, ...]) -> None:
        super().__init__(f"no answer without the results of {', '.join(missing)}; plan them again, for: {question}")
        self.question, self.missing = question, missing


class Rounds(NamedTuple):
    """Model calls to answer one question."""

    serial: int
    """One tool call a round, then the answer."""
    serial_searches: int
    """One search a round, then the answer, which does the sums."""
    waves: int
    """All calls that are ready in one round, then the answer."""
    searches_at_once: int
    """All searches in one round, then the answer, which does the sums."""
    planned: int
    """The plan, then the answer."""


class Item(NamedTuple):
    """One question of the data set."""

    id: str
    question: str
    answer: str


class Verdict(Enum):
    """How an answer compares with the data set's."""

    EXACT = "exact"
    """The same name, or a number less than one of the last digit written away: rounded, cut off, rounded up."""
    NEAR = "near"
    """Right only by the 10 % of the data set's own evaluation."""
    WRONG = "wrong"


# ---------------------------------------------------------------- planner, joiner, serial agent


def plan_text(reading: Reading) -> str:
    """The plan as a model would write it: numbered calls, one a line, and the join."""
    lines = [f'{call.number}. {call.tool}("{call.argument}")' for call in reading.calls]
    return "\n".join([*lines, f"{len(lines) + 1}. join()"]) + "\n"


def plan(question: str) -> str:
    """The scripted planner: a question in, a plan out. Raises UnreadableError."""
    return plan_text(read(question))


def join(reading: Reading, results: Mapping[str, object]) -> str:
    """The scripted joiner: the final answer from the results by step name (`"1"`, `"2"`, …).

    Raises:
        MissingResultError: a result that the answer is made of is not there.
    """
    needed = (reading.rule.call,) if isinstance(reading.rule, Number) else tuple(reading.rule.calls.values())
    missing = tuple(str(number) for number in needed if not isinstance(results.get(str(number)), int | float))
    if missing:
        raise MissingResultError(reading.question, missing)
    values = {number: float(str(results[str(number)])) for number in needed}
    if isinstance(reading.rule, Number):
        return written(values[reading.rule.call])
    pick = max if reading.rule.largest else min
    return pick(reading.rule.calls.items(), key=lambda named: values[named[1]])[0]


def written(value: float) -> str:
    """A number without exponent, with at most six decimals and none that say nothing."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def filled(argument: str, results: Mapping[str, object]) -> str:
    """An argument with the results in place of its references. Raises KeyError for a result that is not there."""
    return _REFERENCE.sub(lambda found: str(results[found.group(1) or found.group(2)]), argument)


def react(reading: Reading, observed: Sequence[object]) -> Call | str:
    """The serial agent's next move after what it has seen: one call with values filled in, or the answer."""
    results = {str(number): value for number, value in enumerate(observed, start=1)}
    if len(observed) >= len(reading.calls):
        return join(reading, results)
    call = reading.calls[len(observed)]
    return call._replace(argument=filled(call.argument, results))


def solve(reading: Reading, tools: Mapping[str, Callable[[str], object]] = TOOLS) -> str:
    """The answer, call by call: what any engine must come to."""
    observed: list[object] = []
    while isinstance(move := react(reading, observed), Call):
        observed.append(tools[move.tool](move.argument))
    return move


def rounds(reading: Reading) -> Rounds:
    """How many model calls a question takes, by the ways of asking. Cost: linear in the plan."""
    level: dict[int, int] = {}
    for call in reading.calls:
        level[call.number] = 1 + max((level[needed] for needed in call.needs), default=0)
    searches = sum(call.tool == "search" for call in reading.calls)
    return Rounds(len(reading.calls) + 1, searches + 1, max(level.values()) + 1, 2, 2)


# ---------------------------------------------------------------- data set and judge


def folder() -> Path:
    """Where LLMCompiler's data are, if they are anywhere."""
    data = os.environ.get("MAKESPAN_DATA")
    project = Path(__file__).resolve().parents[2]
    return (Path(data) if data else project.parent / "shared" / "data") / "llmcompiler"


def items() -> list[Item]:
    """The questions of the data set; none where it is not here."""
    path = folder() / "parallelqa_dataset.json"
    if not path.is_file():
        return []
    return [Item(each["id"], each["question"], each["answer"]) for each in json.loads(path.read_text())]


def judge(answer: str, expected: str) -> Verdict:
    """Compare an answer with the data set's, by the digits that it states and by its own evaluation's margin."""
    wanted = _number(expected)
    if wanted is None:
        return Verdict.EXACT if _plain(answer) == _plain(expected) else Verdict.WRONG
    given = _number(answer)
    if given is None:
        return Verdict.WRONG
    if abs(given - wanted) < 10.0 ** -len(expected.partition(".")[2]):
        return Verdict.EXACT
    return Verdict.NEAR if wanted * (1 - NEAR) < given < wanted * (1 + NEAR) else Verdict.WRONG


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _plain(text: str) -> str:
    """A name without case, articles and punctuation."""
    letters = "".join(letter for letter in text.casefold() if letter not in string.punctuation)
    return " ".join(word for word in letters.split() if word not in ("a", "an", "the"))


class Score(NamedTuple):
    """The scripted planner over a set of questions."""

    verdicts: dict[str, Verdict]
    """Question id → verdict."""
    misses: tuple[tuple[Item, str], ...]
    """What is not exact, with our answer."""
    entities: int
    """Distinct ones, over all questions."""
    searches: int
    repeated: int
    """Searches that their plan had made before."""
    calls: int
    rounds: Rounds
    """Summed."""

    def count(self, verdict: Verdict) -> int:
        """Questions with a verdict."""
        return sum(each is verdict for each in self.verdicts.values())


def score(asked: Sequence[Item]) -> Score:
    """Plan, run, join and judge each question, one call at a time."""
    readings = [read(item.question) for item in asked]
    answers = [solve(reading) for reading in readings]
    verdicts = {item.id: judge(answer, item.answer) for item, answer in zip(asked, answers, strict=True)}
    searched = [[call.argument for call in reading.calls if call.tool == "search"] for reading in readings]
    summed = Rounds(*(sum(column) for column in zip(*map(rounds, readings), strict=True)))
    return Score(
        verdicts,
        tuple(pair for pair in zip(asked, answers, strict=True) if verdicts[pair[0].id] is not Verdict.EXACT),
        len({entity for entities in searched for entity in entities}),
        sum(map(len, searched)),
        sum(len(entities) - len(set(entities)) for entities in searched),
        sum(len(reading.calls) for reading in readings),
        summed,
    )
