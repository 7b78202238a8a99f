"""Which ticks of a schedule start a run: the rules for missed ticks and for overlap, as one function.

    (mark, now] ──due──▶ missed= ──chosen──▶ overlap= ──▶ line ──▶ start

Every tick up to `mark` was decided once and for all, so a clock that is set back fires nothing again and a new rule
leaves the past alone. What was decided to run stands in `line` until its run exists: decided and started are two steps
with a crash in between, and the second may be done by anybody.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

MISFIRE_GRACE_NS = 60_000_000_000
"""A tick that is started so late is still on time."""
MISSED_LIMIT = 1_000
"""Most ticks that `missed="all"` makes up for after downtime: the latest ones."""
LINE_LIMIT = 1_000
"""Most ticks that wait for an earlier run to end; later ones are dropped."""


class ScheduleState(msgspec.Struct, frozen=True):
    """What a store knows about one schedule. Times are wall clock, nanoseconds."""

    seen_ns: int
    """When it was first seen: no tick before that ever counts."""
    mark_ns: int
    """Every tick up to here has been decided."""
    rule: str = ""
    line: tuple[int, ...] = ()
    """Ticks that shall run and have no run yet, in order."""


class Decision(msgspec.Struct, frozen=True):
    """What to store, and then to do."""

    state: ScheduleState
    start: tuple[int, ...] = ()
    cancel: bool = False
    """Whether the runs that are on shall be cancelled."""
    missed: tuple[int, ...] = ()
    """Ticks that do not run because nobody was there."""
    crowded: tuple[int, ...] = ()
    """Ticks that do not run because an earlier run is on."""


def wanted_ticks(missed: str) -> int:
    """How many of the latest due ticks `decide` needs to see."""
    return MISSED_LIMIT if missed == "all" else 2


def seen(state: ScheduleState | None, rule: str, now: int) -> ScheduleState:
    """The state of a schedule as a server starts: a new schedule, and a new rule, begin now."""
    if state is None:
        return ScheduleState(now, now, rule)
    if state.rule != rule:
        return msgspec.structs.replace(state, rule=rule, mark_ns=max(state.mark_ns, now))
    return state


def decide(state: ScheduleState, due: Sequence[int], now: int, *, missed: str, overlap: str, is_busy: bool) -> Decision:
    """What becomes of the due ticks.

    Args:
        state: its `line` without the ticks that have a run by now.
        due: the latest `wanted_ticks` in (mark, now], in order.
        is_busy: whether an earlier run of the schedule is on.
    """
    chosen = _chosen(due, now, missed)
    line, crowded = _line(state.line, chosen, overlap, is_busy)
    counted = set(chosen)
    mark = max(state.mark_ns, due[-1]) if due else state.mark_ns
    start = line if overlap == "allow" else () if is_busy else line[:1]
    return Decision(
        msgspec.structs.replace(state, mark_ns=mark, line=line),
        start,
        overlap == "cancel" and is_busy and bool(line),
        tuple(tick for tick in due if tick not in counted),
        crowded,
    )


def _chosen(due: Sequence[int], now: int, missed: str) -> tuple[int, ...]:
    """The due ticks that count. Only the latest can be on time."""
    if not due or missed == "all":
        return tuple(due)
    is_late = now - due[-1] > MISFIRE_GRACE_NS
    return () if missed == "skip" and is_late else (due[-1],)


def _line(
    waiting: tuple[int, ...], chosen: tuple[int, ...], overlap: str, is_busy: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Who waits now, and who is dropped."""
    everyone = (*waiting, *chosen)
    match overlap:
        case "skip":
            kept = 0 if is_busy or waiting else 1
            return (*waiting, *chosen[:kept]), chosen[kept:]
        case "cancel":
            return everyone[-1:], everyone[:-1]
        case _:
            return everyone[:LINE_LIMIT], everyone[LINE_LIMIT:]
