"""Problems that get harder by levels and can always be solved: level k has exactly k precedence edges, none redundant.

    hidden witness: every task placed on the resources ──▶ edges, windows, downtime and exclusive pairs that it obeys

First a schedule is drawn and kept secret; then constraints are drawn from it, so that each problem has at least this
solution. Downtime (a renewable), windows (a task) and exclusive pairs (as many as a quarter of the tasks are
tried) each come with the probability `CHANCE`. The makespan may be `SLACK` longer than the witness's.
Source: Jain and Wetter, "R-ConstraintBench: Evaluating LLMs on NP-Complete Scheduling" (2025); the witness, the
windows around it and their widths are our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Flag, auto

import msgspec

from makespan.draws import Stream
from makespan.errors import UsageError
from makespan.policies.prepared import Prepared
from makespan.policies.problem import Downtime, Edge, PlanTask, Problem, Renewable, Schedule, TaskMode, ends, makespan
from makespan.policies.schedule_generation import serial

LEVELS = (10, 25, 50, 75, 100)
TASKS = 60
RENEWABLES = 3
CHANCE = 0.75
SLACK = 0.1
LONGEST = 10
LAYERS = 10
"""Layers the tasks are sorted into by the witness's starts; an edge goes from a layer to a later one."""


class Kinds(Flag):
    """Which constraints there are besides precedence and capacity."""

    NONE = 0
    DOWNTIME = auto()
    WINDOWS = auto()
    EXCLUSIVE = auto()
    ALL = DOWNTIME | WINDOWS | EXCLUSIVE


class Witnessed(msgspec.Struct, frozen=True):
    """A problem and a schedule that proves it solvable; whoever is tested must not see the witness."""

    problem: Problem
    witness: Schedule


def ramp_problem(seed: int, level: int, kinds: Kinds = Kinds.ALL, tasks: int = TASKS) -> Witnessed:
    """The problem of this seed at this level.

    Raises:
        UsageError: the witness has no room for so many non-redundant edges; use more tasks or a lower level.
    """
    draws = Stream(seed, "ramp", level, int(kinds.value))
    bare = _bare(draws, kinds, tasks)
    ranks = [draws.unit() for _ in range(tasks)]
    witness = serial(Prepared(bare), ranks)
    assert isinstance(witness, Schedule)
    end = ends(bare, witness)
    span = makespan(bare, witness)
    problem = msgspec.structs.replace(
        bare,
        tasks=tuple(
            _windowed(draws, task, start, stop) if kinds & Kinds.WINDOWS and draws.happens(CHANCE) else task
            for task, start, stop in zip(bare.tasks, witness.starts, end, strict=True)
        ),
        edges=tuple(_edges(draws, level, witness.starts, end)),
        exclusive=tuple(_exclusive(draws, witness.starts, end)) if kinds & Kinds.EXCLUSIVE else (),
        horizon=span + round(SLACK * span),
    )
    return Witnessed(problem, witness)


def _bare(draws: Stream, kinds: Kinds, count: int) -> Problem:
    """Tasks and renewables, with downtime in the time that the tasks will take."""
    capacities = [draws.between(8, 14) for _ in range(RENEWABLES)]
    tasks = []
    for number in range(count):
        demands = tuple(draws.between(1, 5) if draws.happens(0.6) else 0 for _ in capacities)
        tasks.append(PlanTask(f"t{number}", (TaskMode(draws.between(1, LONGEST), demands),)))
    busy = [
        sum(task.modes[0].duration * task.modes[0].demands[at] for task in tasks) // capacity
        for at, capacity in enumerate(capacities)
    ]
    renewables = tuple(
        Renewable(f"r{at}", capacity, _downtime(draws, busy[at]) if kinds & Kinds.DOWNTIME else ())
        for at, capacity in enumerate(capacities)
    )
    return Problem(tuple(tasks), renewables)


def _downtime(draws: Stream, busy: int) -> tuple[Downtime, ...]:
    """Up to three intervals, each there with `CHANCE`, one in each third of the time that the work takes."""
    third = max(1, busy // 3)
    starts = [part * third + draws.between(1, third) for part in range(3) if draws.happens(CHANCE)]
    return tuple(Downtime(start, start + draws.between(2, 6)) for start in starts)


def _windowed(draws: Stream, task: PlanTask, start: int, end: int) -> PlanTask:
    """A window around the witness's place, up to two long tasks wider on each side."""
    before, after = draws.between(0, 2 * LONGEST), draws.between(0, 2 * LONGEST)
    return msgspec.structs.replace(task, release=max(0, start - before), due=end + after)


def _edges(draws: Stream, level: int, starts: Sequence[int], end: Sequence[int]) -> list[Edge]:
    """Exactly `level` edges, from one layer to a later one; each is the only path between its ends.

    Short ones are tried first: they leave room for more.
    """
    order = sorted(range(len(starts)), key=lambda task: (starts[task], task))
    layer = {task: place * LAYERS // len(order) for place, task in enumerate(order)}
    pairs = [(a, b) for a in order for b in order if layer[a] < layer[b] and end[a] <= starts[b]]
    draws.shuffle(pairs)
    after = [1 << task for task in range(len(starts))]
    before = [1 << task for task in range(len(starts))]
    kept: list[tuple[int, int]] = []
    for a, b in sorted(pairs, key=lambda pair: layer[pair[1]] - layer[pair[0]] > 2):
        if len(kept) == level:
            break
        if _is_redundant(kept, before, after, a, b):
            continue
        kept.append((a, b))
        for task in _bits(before[a]):
            after[task] |= after[b]
        for task in _bits(after[b]):
            before[task] |= before[a]
    if len(kept) < level:
        raise UsageError(
            f"{len(starts)} tasks have room for {len(kept)} non-redundant edges, not {level}; use more tasks"
        )
    return [Edge(a, b) for a, b in kept]


def _is_redundant(kept: Sequence[tuple[int, int]], before: list[int], after: list[int], a: int, b: int) -> bool:
    """Whether a path joins the ends already, or the new edge would give one to the ends of an edge that is kept."""
    if after[a] >> b & 1:
        return True
    return any(before[a] >> first & 1 and after[b] >> second & 1 for first, second in kept)


def _bits(tasks: int) -> list[int]:
    return [task for task in range(tasks.bit_length()) if tasks >> task & 1]


def _exclusive(draws: Stream, starts: Sequence[int], end: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs that the witness runs one after the other although they are near each other."""
    near = [
        (a, b)
        for a in range(len(starts))
        for b in range(a + 1, len(starts))
        if (end[a] <= starts[b] or end[b] <= starts[a]) and abs(starts[a] - starts[b]) <= 2 * LONGEST
    ]
    draws.shuffle(near)
    return sorted(pair for pair in near[: len(starts) // 4] if draws.happens(CHANCE))
