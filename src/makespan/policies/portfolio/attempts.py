"""Attempts as arrays: how each one goes, and what comes of k of them beside each other, tried again until one succeeds.

    takes, cost, ok   [..., A]    attempts in the order in which they would start
    k = 4             ├─ try 1 ─┤├─ try 2 ─┤     a try ends with its first success, or with its last failure
                                                 failed tries wait, then the next one starts

Times are integer nanoseconds and money integer nano-USD, as in the machine, so that the same attempts give the very
same ends and costs. numpy is imported where it is used: whoever has no planner needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from makespan.errors import UsageError
from makespan.profiles.profile import Drawn, ModeProfile

if TYPE_CHECKING:
    import numpy as np

    Ints = np.ndarray[Any, np.dtype[np.int64]]
    Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
    Flags = np.ndarray[Any, np.dtype[np.bool_]]
    Grid = tuple[Ints, Ints, Flags | None]

Billed = Literal["full", "elapsed"]
"""What a stopped attempt costs: all of it, or its share of the time it ran."""
NEVER = 1 << 62
"""A time that does not come."""


def need_numpy() -> None:
    """Raises UsageError that says how to get numpy, where it is missing."""
    try:
        import numpy  # noqa: F401
    except ImportError:
        raise UsageError(
            "the portfolio planner needs numpy, which is not installed: pip install 'makespan[plan]'"
        ) from None


@dataclass(frozen=True, slots=True)
class Draws:
    """How attempts go. All arrays have the same shape; the last axis counts the attempts of one task."""

    takes: Ints
    cost: Ints
    ok: Flags


@dataclass(frozen=True, slots=True)
class Ends:
    """What became of tasks that were tried until they succeeded. Arrays of the draws' shape without its last axis."""

    takes: Ints
    """From the first start to the success, waits between tries not counted; NEVER where none succeeded."""
    cost: Ints
    """Of all attempts up to the success, or of all."""
    tries: Ints
    """Tries it took; 0 where none succeeded."""
    lasts: Ints
    """From the first start to the end of the last try, successful or not."""
    work: Ints
    """Attempt-nanoseconds: what it takes of the slots."""


def draws_of(drawn: Sequence[Sequence[Drawn]]) -> Draws:
    """Arrays of attempts that were drawn one by one: a row a task."""
    import numpy as np

    return Draws(
        np.array([[each.takes_ns for each in row] for row in drawn], np.int64),
        np.array([[each.cost for each in row] for row in drawn], np.int64),
        np.array([[each.ok for each in row] for row in drawn], bool),
    )


def ends(draws: Draws, samples: int, *, billed: Billed = "full", tries: int | None = None) -> Ends:
    """The first success of tries of so many samples.

    Args:
        samples: attempts beside each other. tries: at most so many, else as many as there are attempts for.
    Cost: a few passes over the draws.
    """
    import numpy as np

    count = draws.takes.shape[-1] // samples
    count = count if tries is None else min(count, tries)
    takes, cost, ok = (_in_tries(each, count, samples) for each in (draws.takes, draws.cost, draws.ok))
    succeeds = ok.any(axis=-1)
    won = np.where(ok, takes, NEVER).min(axis=-1)
    lasts = np.where(succeeds, won, takes.max(axis=-1))
    ran = np.minimum(takes, lasts[..., None])
    billed_each = cost if billed == "full" else share_of(cost, ran, takes)
    first = succeeds.argmax(axis=-1)
    is_done = succeeds.any(axis=-1)
    last = np.where(is_done, first, count - 1)
    return Ends(
        np.where(is_done, _up_to(lasts, last), NEVER),
        _up_to(billed_each.sum(axis=-1), last),
        np.where(is_done, first + 1, 0),
        _up_to(lasts, last),
        _up_to(ran.sum(axis=-1), last),
    )


def share_of(cost: Ints, ran: Ints, takes: Ints) -> Ints:
    """What attempts cost that are billed by the time they ran."""
    import numpy as np

    part = np.divide(ran, takes, out=np.ones(ran.shape), where=takes > 0)
    billed: Ints = np.rint(cost * part).astype(np.int64)
    return billed


def _in_tries(each: Any, count: int, samples: int) -> Any:
    return each[..., : count * samples].reshape((*each.shape[:-1], count, samples))


def _up_to(each: Ints, last: Any) -> Ints:
    """The sum of the last axis up to an index."""
    import numpy as np

    found: Ints = np.take_along_axis(each.cumsum(axis=-1), last[..., None], axis=-1)[..., 0]
    return found


def grid_of(known: ModeProfile, rows: int) -> Grid:
    """(takes, cost, ok) to draw from: a row is as likely as any other, sorted by time.

    Where attempts were seen, a row is one of them, and goes well as that did; else the quantiles of both distributions,
    each for itself, and `ok` is None.
    """
    import numpy as np

    if known.seen:
        seen = sorted(known.seen, key=lambda each: each.takes_ns)
        return (
            np.array([each.takes_ns for each in seen], np.int64),
            np.array([each.cost for each in seen], np.int64),
            np.array([each.ok for each in seen], bool),
        )
    points = [(row + 0.5) / rows for row in range(rows)]
    return (
        np.array([known.duration.quantile(q) for q in points], np.int64),
        np.array([known.cost.quantile(q) for q in points], np.int64),
        None,
    )


def drawn_by(uniform: Floats, known: ModeProfile, grid: Grid) -> Draws:
    """Attempts from uniform numbers of shape [3, ..., A]: which one, its price, its luck."""
    takes, cost, ok = grid
    which = (uniform[0] * len(takes)).astype("int64")
    if ok is not None:
        return Draws(takes[which], cost[which], ok[which])
    price = (uniform[1] * len(cost)).astype("int64")
    return Draws(takes[which], cost[price], uniform[2] < known.success)
