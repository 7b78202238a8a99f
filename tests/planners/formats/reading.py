"""Ways to read a planner's text, and texts to read."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from hypothesis import strategies as st

from makespan.planners.steps import Found, Join, PlanReader, Problem, Step

SPICE = (
    *"\"'()[]{},:=+$#/\\`*-_.<> \n\t“”‘’«",
    *("$1", "${1}", "$$1", "$10", "1. ", "2) ", "$3 = ", "\n", '"""', "```json\n", "```\n", "//", "/*", "*/"),
    *("search(", "join()", "Thought: ", "<END_OF_PLAN>", '"tool": ', '{"tool": "f", "args": {}}', '"tasks": [', "[{"),
    *(
        "x = ",
        "for x in [1, 2]:\n",
        "    ",
        "await ",
        "return ",
        "f'{x}'",
        "def f():\n",
        "True",
        "null",
        "1,000",
        "é",
        "😀",
    ),
)
"""Pieces that mean something to one reader or another."""

texts = st.lists(st.one_of(st.sampled_from(SPICE), st.text(max_size=6), st.sampled_from(["abc", "n7", "x"]))).map(
    "".join
)
cuts = st.lists(st.integers(0, 400))


def read(reader: PlanReader, pieces: Iterable[str]) -> list[Found]:
    """Everything a reader finds in a text that comes in pieces."""
    found = [each for piece in pieces for each in reader.feed(piece)]
    return found + reader.close()


def cut(text: str, places: Iterable[int]) -> list[str]:
    """A text in pieces."""
    ends = sorted({place % (len(text) + 1) for place in places})
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


def steps(found: Iterable[Found]) -> list[Step]:
    return [each for each in found if isinstance(each, Step)]


def problems(found: Iterable[Found]) -> list[Problem]:
    return [each for each in found if isinstance(each, Problem)]


def unrepaired(found: Iterable[Found]) -> list[Problem]:
    return [each for each in problems(found) if not each.repaired]


def joins(found: Iterable[Found]) -> list[Join]:
    return [each for each in found if isinstance(each, Join)]


def call(step: Step) -> tuple[Any, ...]:
    """What a step calls, in short."""
    return (step.name, step.tool, step.args, step.kwargs)


def told(found: Iterable[Found]) -> str:
    """All that finds say, to look for words in."""
    return "\n".join(_words(msgspec.to_builtins(each)) for each in found)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {_words(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_words(inner) for inner in value)
    return str(value)


def words_of(text: str) -> set[str]:
    """Words that are long enough to be told from what readers say themselves."""
    return set(re.findall(r"w[0-9]{3}z", text))


def never_lost(make: Callable[[], PlanReader], text: str) -> set[str]:
    """Words of a text that no find has."""
    said = told(read(make(), [text]))
    return {word for word in words_of(text) if word not in said}
