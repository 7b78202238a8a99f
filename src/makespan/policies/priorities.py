"""Static rules: which task goes first, known before anything runs. A rule ranks each task; the lowest goes first.

Which when: `latest_finish` where resources are scarce and there is one mode (the best single rule on PSPLIB);
`upward_rank` where modes differ; `critical_path` where resources are plenty; `earliest_deadline` and `least_slack`
where windows are tight; `as_given` is first in, first out.
Sources: Kolisch, "Efficient priority rules for the resource-constrained project scheduling problem" (1996);
Topcuoglu, Hariri and Wu, "Performance-effective and low-complexity task scheduling for heterogeneous computing"
(2002) for the upward rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import fmean

from makespan.policies.prepared import NEVER, Prepared, lower_bound_of

Rule = Callable[[Prepared], list[float]]


def as_given(prepared: Prepared) -> list[float]:
    """The order in which the tasks stand."""
    return list(map(float, range(len(prepared.order))))


def critical_path(prepared: Prepared) -> list[float]:
    """The longest chain to the end first (bottom level), with the least duration of each task."""
    return [-level for level in prepared.bottom_levels(_least(prepared))]


def upward_rank(prepared: Prepared) -> list[float]:
    """The same with the mean duration over the modes: the order of HEFT."""
    return [-level for level in prepared.bottom_levels([fmean(spans) for spans in prepared.durations])]


def latest_finish(prepared: Prepared) -> list[float]:
    """The task first that has to be over first, by due dates and by what follows it; of equal ones the longest.

    Ties are frequent and matter: broken by the latest start the serial schedules of J30 are half a per cent shorter.
    """
    ends, spans = _latest_ends(prepared), _least(prepared)
    keys = [(end, end - span) for end, span in zip(ends, spans, strict=True)]
    places = {key: float(place) for place, key in enumerate(sorted(set(keys)))}
    return [places[key] for key in keys]


def latest_start(prepared: Prepared) -> list[float]:
    """The task first that has to be started first."""
    return [float(end - span) for end, span in zip(_latest_ends(prepared), _least(prepared), strict=True)]


def least_slack(prepared: Prepared) -> list[float]:
    """The task first with the least room between its earliest and its latest start."""
    heads = prepared.earliest_starts() or [task.release for task in prepared.problem.tasks]
    return [latest - head for latest, head in zip(latest_start(prepared), heads, strict=True)]


def earliest_deadline(prepared: Prepared) -> list[float]:
    """The task first with the earliest due date of its own; without one it comes last."""
    return [float(limit) for limit in prepared.limit]


def most_successors(prepared: Prepared) -> list[float]:
    """The task first that most others wait for, directly or not."""
    after: list[int] = [0] * len(prepared.order)
    for task in reversed(prepared.order):
        for successor, _ in prepared.successors[task]:
            after[task] |= after[successor] | 1 << successor
    return [-float(tasks.bit_count()) for tasks in after]


def greatest_work(prepared: Prepared) -> list[float]:
    """The task first that has the most to do in itself and in those that wait for it directly (GRPW)."""
    spans = _least(prepared)
    return [
        -float(span + sum(spans[after] for after, _ in prepared.successors[task])) for task, span in enumerate(spans)
    ]


RULES: Mapping[str, Rule] = {
    "latest-finish": latest_finish,
    "latest-start": latest_start,
    "critical-path": critical_path,
    "upward-rank": upward_rank,
    "most-successors": most_successors,
    "greatest-work": greatest_work,
    "least-slack": least_slack,
    "earliest-deadline": earliest_deadline,
    "as-given": as_given,
}
"""By name; those that are good most often stand first."""


def _least(prepared: Prepared) -> list[int]:
    return [min(spans) for spans in prepared.durations]


def _latest_ends(prepared: Prepared) -> list[int]:
    """Latest ends against the horizon; without one against the lower bound: due dates beyond it hardly press."""
    end = prepared.problem.horizon
    if end is None:
        end = lower_bound_of(prepared)
    if end is None:
        return prepared.limit
    latest = prepared.latest_ends(end)
    return prepared.latest_ends(NEVER) or prepared.limit if latest is None else latest
