"""Every place where a run of live bodies can be cut, and what must be the same after it goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from makespan.authoring.task import Task
from makespan.graph.node import Kind
from makespan.machine.facts import (
    AttemptFailed,
    AttemptInterrupted,
    AttemptStarted,
    Fact,
    MapExpanded,
    ScopeAdded,
    TaskCancelled,
    TaskSucceeded,
)
from makespan.machine.state import State
from tests.property.live_world import Life, reruns

Turns = list[list[Fact]]
ENDS = (TaskSucceeded, AttemptFailed, AttemptInterrupted, TaskCancelled)


def cuts(turns: Turns) -> Iterator[tuple[int, Turns]]:
    """After every fact of a run but the last turn's: how many turns are whole, and what the journal holds.

    The journal commits turns, so only cuts between turns happen. Inside a turn, facts that are one decision
    stay together: a failed attempt and what follows from it, all that one cancellation ends, a started
    workflow and its scope, a map and its items.
    """
    for whole in range(1, len(turns)):
        yield whole, turns[:whole]
        if whole < len(turns) - 1:
            for place in range(1, len(turns[whole])):
                if _may_part(turns[whole], place):
                    yield whole, [*turns[:whole], turns[whole][:place]]


def _may_part(turn: Sequence[Fact], place: int) -> bool:
    before, after = turn[place - 1], turn[place]
    if isinstance(before, AttemptFailed) or isinstance(after, TaskCancelled):
        return False
    if isinstance(after, ScopeAdded) and after.owner >= 0:
        return False
    return not any(isinstance(fact, MapExpanded) for fact in turn[place:])


def problems(whole: Life, code: Task[..., Any], cut: tuple[int, Turns], seed: int, *, racing: bool) -> list[str]:
    """What is wrong when the run goes on after the cut with other durations (and after a second cut)."""
    turns, prefix = cut
    life = Life.resumed(prefix, code, seed, batches=seed % 3 == 0)
    found = ["another order of requests" for _ in _strayed(whole, turns, life)]
    if seed % 4 == 0:
        found += ["finished task run again" for _ in reruns(prefix, life.run(Random(seed).randrange(6)))]
        if life.state.status == "running":
            prefix = [*prefix, *life.turns]
            life = Life.resumed(prefix, code, seed + 1)
    life.run()
    found += ["finished task run again" for _ in reruns(prefix, life)]
    if not racing:
        found += ["another output"] * (life.output != whole.output)
        found += ["another graph"] * (life.graph_digest != whole.graph_digest)
        found += ["another cost"] * (life.accepted_cost != whole.accepted_cost)
    return found


def _strayed(whole: Life, turns: int, life: Life) -> list[bytes]:
    """Bodies whose requests differ from those they had made when the cut came."""
    before = whole.asked_by_body(whole.asked_after[turns - 1])
    return [
        scope
        for scope, asked in life.asked_by_body().items()
        if asked[: len(before.get(scope, ()))] != before.get(scope, [])
    ]


def attempts_without_one_end(state: State, turns: Turns) -> list[tuple[int, int]]:
    """(task, number of ends) of every attempt of a call that did not end exactly once."""
    facts = [fact for facts in turns for fact in facts]
    running: dict[int, int] = {}
    wrong: list[tuple[int, int]] = []
    for fact in facts:
        if isinstance(fact, AttemptStarted) and state.tasks[fact.task].kind == Kind.CALL:
            if fact.task in running:
                wrong.append((fact.task, running[fact.task]))
            running[fact.task] = 0
        elif isinstance(fact, ENDS) and fact.task in running:
            running[fact.task] += 1
        for task in [task for task, ends in running.items() if ends]:
            wrong += [(task, running[task])] * (running[task] != 1)
            del running[task]
    return wrong + list(running.items())
