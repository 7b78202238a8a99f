"""Makespans of a graph with drawn times, many worlds at once: completion = longest path, while slots are plenty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from makespan.policies.portfolio.attempts import Floats

Sources = Sequence[Sequence[int]]
"""For every task the tasks it waits for, all before it."""


def makespans(takes: Floats, sources: Sources) -> Floats:
    """When the last task ends.

    Args:
        takes: [tasks, ...], one world a column.
        sources: as many rows.
    Returns:
        The shape of `takes` without its first axis.
    Cost: a few numpy calls an edge; 10,000 worlds of 50 tasks take about 10 ms.
    """
    import numpy as np

    finish = np.array(takes, copy=True)
    for task, needed in enumerate(sources):
        if needed:
            finish[task] += finish[needed[0]] if len(needed) == 1 else finish[list(needed)].max(axis=0)
    last: Floats = finish.max(axis=0)
    return last


def tails(takes: Floats, sources: Sources) -> Floats:
    """For every task, the longest path behind it: what follows its end. Same shapes and cost as `makespans`."""
    import numpy as np

    behind = np.zeros_like(takes)
    for task in range(len(sources) - 1, -1, -1):
        if sources[task]:
            whole = takes[task] + behind[task]
            for needed in sources[task]:
                np.maximum(behind[needed], whole, out=behind[needed])
    return behind
