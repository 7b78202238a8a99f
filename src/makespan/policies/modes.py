"""Which way to do each task so that consumables last: one by one while placing, or all at once before.

    all fastest ──over a total?──▶ swap the mode that saves most for the least extra time, until every total holds

For one consumable this finds modes whenever there are any; for several it may fail where a choice exists (that
question is NP-hard: Kolisch and Drexl, "Local search for nonpreemptive multi-mode resource-constrained project
scheduling", 1997), and `exact.solve` decides it.
"""

from __future__ import annotations

from collections.abc import Sequence

from makespan.policies.prepared import Prepared


class Purse:
    """What is left of the consumables while tasks are placed one by one, the least needs of the rest set aside."""

    __slots__ = ("_consumption", "_least", "_spare")

    def __init__(self, prepared: Prepared) -> None:
        self._consumption = consumption_of(prepared)
        self._least = [[min(column) for column in zip(*modes, strict=True)] for modes in self._consumption]
        self._spare = [consumable.total for consumable in prepared.problem.consumables]
        for least in self._least:
            self._spare = [spare - need for spare, need in zip(self._spare, least, strict=True)]

    def affordable(self, task: int) -> list[int]:
        """Modes of a task, not yet paid, that leave the others their least."""
        room = [spare + need for spare, need in zip(self._spare, self._least[task], strict=True)]
        return [mode for mode, used in enumerate(self._consumption[task]) if _within(used, room)]

    def pay(self, task: int, mode: int) -> None:
        """Take what a task consumes."""
        used, least = self._consumption[task][mode], self._least[task]
        self._spare = [spare + need - paid for spare, need, paid in zip(self._spare, least, used, strict=True)]


def fitting_modes(prepared: Prepared) -> tuple[int, ...] | None:
    """A mode for each task that fits the calendars and, together, the totals; None if none were found.

    Cost: O(swaps x tasks x modes x consumables), with at most tasks x modes swaps.
    """
    usable = [_usable(prepared, task) for task in range(len(prepared.order))]
    if not all(usable):
        return None
    consumption = consumption_of(prepared)
    chosen = [min(modes, key=prepared.durations[task].__getitem__) for task, modes in enumerate(usable)]
    totals = [consumable.total for consumable in prepared.problem.consumables]
    while True:
        used = [sum(column) for column in zip(*(consumption[t][m] for t, m in enumerate(chosen)), strict=True)]
        over = [max(0, spent - total) for spent, total in zip(used, totals, strict=False)]
        if not any(over):
            return tuple(chosen)
        swap = _best_swap(prepared, consumption, usable, chosen, over)
        if swap is None:
            return None
        chosen[swap[0]] = swap[1]


def consumption_of(prepared: Prepared) -> list[list[tuple[int, ...]]]:
    """What each mode of each task consumes, an entry for every consumable."""
    count = len(prepared.problem.consumables)
    return [
        [mode.consumption + (0,) * (count - len(mode.consumption)) for mode in task.modes]
        for task in prepared.problem.tasks
    ]


def _usable(prepared: Prepared, task: int) -> list[int]:
    """Modes that fit the empty timetable at some time."""
    pairs = zip(prepared.demands[task], prepared.durations[task], strict=True)
    release = prepared.problem.tasks[task].release
    return [
        mode
        for mode, (demand, duration) in enumerate(pairs)
        if prepared.calendar.earliest(demand, duration, release) is not None
    ]


def _best_swap(
    prepared: Prepared,
    consumption: list[list[tuple[int, ...]]],
    usable: list[list[int]],
    chosen: list[int],
    over: list[int],
) -> tuple[int, int] | None:
    """The task and mode that save most of what is over for each unit of extra time."""
    best: tuple[float, int, int] | None = None
    for task, modes in enumerate(usable):
        before, span = consumption[task][chosen[task]], prepared.durations[task][chosen[task]]
        for mode in modes:
            after = consumption[task][mode]
            saved = sum(min(old - new, need) / need for old, new, need in zip(before, after, over, strict=True) if need)
            gain = saved / (1 + max(0, prepared.durations[task][mode] - span))
            if saved > 0 and (best is None or gain > best[0]):
                best = (gain, task, mode)
    return None if best is None else best[1:]


def _within(used: Sequence[int], room: Sequence[int]) -> bool:
    return all(amount <= limit for amount, limit in zip(used, room, strict=True))
