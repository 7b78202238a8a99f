"""Planners measured offline: a module a topic, with `CASES` (name → figures) and `rows` (figures → table).

Beside them what they share: questions, facts, tools and example plans, which need nothing of the engine.
"""

from collections.abc import Callable, Iterator, Mapping
from types import ModuleType

from bench.measure import Figures
from bench.plans import answers, flash_searcher, llmcompiler, roma
from bench.table_row import Row

TOPICS: tuple[ModuleType, ...] = (llmcompiler, answers, flash_searcher, roma)

CASES: dict[str, Callable[[bool], Figures]] = {name: case for topic in TOPICS for name, case in topic.CASES.items()}


def rows(results: Mapping[str, Figures]) -> Iterator[Row]:
    """Every row that the results have figures for."""
    for topic in TOPICS:
        yield from topic.rows(results)
