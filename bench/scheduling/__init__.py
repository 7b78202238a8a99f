"""Scheduling and allocation measured: a module a topic, with `CASES` (name → figures) and `rows` (figures → table).

A case's name begins with the topic: `python -m bench --case rcpsp` runs all of them.
"""

from collections.abc import Callable, Iterator, Mapping
from types import ModuleType

from bench.measure import Figures
from bench.scheduling import compile as compiling
from bench.scheduling import hedging, mcpp, ranking, rcpsp
from bench.table_row import Row

TOPICS: tuple[ModuleType, ...] = (hedging, ranking, rcpsp, compiling, mcpp)

CASES: dict[str, Callable[[bool], Figures]] = {name: case for topic in TOPICS for name, case in topic.CASES.items()}
LIMITS_S: dict[str, float] = {
    name: limit_s for topic in TOPICS for name, limit_s in getattr(topic, "LIMITS_S", {}).items()
}
"""The cases of a topic's own `LIMITS_S`, if it has one: how long each may take instead of `measure.CHILD_LIMIT_S`."""


def rows(results: Mapping[str, Figures]) -> Iterator[Row]:
    """Every row that the results have figures for."""
    for topic in TOPICS:
        yield from topic.rows(results)
