"""Trace → DAG: which calls of a serial run needed which, and what could have run side by side.

    1 search(K2)           8611            1 ─▶ 2 ─┐
    2 feet(8611)          28251    ──▶             ├▶ 5         5 rounds become 3
    3 search(Everest)      8849            3 ─▶ 4 ─┘
    4 feet(8849)          29032
    5 difference(28251, 29032)

A call needs another if what it was given came from the other's result; `sources` says how that is found. Effects order
what values do not: calls that may write keep their order. Invariant: an edge points to a call that had ended before
its user did, so the graph is acyclic and the trace is one of its orders.
Source: Zhu et al., "Divide-Then-Aggregate: An Efficient Tool Learning Method via Parallel Tool Invocation" (arXiv
2501.12432), where a strong model decides which calls are independent; here data flow does, with its evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from makespan.errors import GraphError, suggestion
from makespan.passes.occurrences import Path
from makespan.passes.sources import Sources
from makespan.passes.uses import Call, Doubt, Orders, Use

MAX_TOKENS = 2_000_000
"""Words and numbers of all results of a trace: about 15 s and 1 GB."""


class Dataflow(msgspec.Struct, frozen=True):
    """The plan behind a trace. Failed calls are not part of it."""

    calls: tuple[Call, ...]
    arguments: dict[str, dict[str, Any]]
    """By call: its arguments, with `Taken` and `Joined` where results stand."""
    needs: dict[str, tuple[str, ...]]
    """By call: the calls it waits for, in the order of the trace."""
    uses: tuple[Use, ...]
    doubts: tuple[Doubt, ...]
    made_up: tuple[tuple[str, Path, str], ...]
    """Names and numbers that the caller brought in: call, place in its arguments, text. A value that was computed from
    results by the caller itself shows up here; the plan keeps it as it was."""
    levels: tuple[tuple[str, ...], ...]
    """Calls that can run side by side, one level after the other."""
    failed: tuple[str, ...] = ()
    serial_ns: int = 0
    """What all calls took together."""
    parallel_ns: int = 0
    """What they would take side by side: the longest chain."""

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Every (needed, needing) pair."""
        return tuple((needed, name) for name, all_needed in self.needs.items() for needed in all_needed)


def recovered(
    calls: Sequence[Call],
    given: Iterable[Any] = (),
    *,
    orders: Orders = "writes",
    rounded: bool = False,
    cautious: bool = False,
    max_tokens: int = MAX_TOKENS,
) -> Dataflow:
    """The data dependencies of a serial trace.

    Args:
        calls: in the order in which they were asked for.
        given: what the run was given: texts and JSON-like values. What stands there needs no producer.
        orders: which calls keep their order although no value passes between them.
        rounded: whether a number may also come from one that rounds to it.
        cautious: whether a call also waits for the sources that are only in doubt. Plain words left aside, an edge
            is then missed only if the caller computed the value itself.
        max_tokens: words and numbers of all results together.
    Raises:
        GraphError: two calls of one name, a known dependency on a call that is not there or had not ended, or results
            above `max_tokens`.
    Cost: linear in the size of arguments and results (tokens), plus for each stretch of an argument those that hold it;
        see `Occurrences`. No pair of calls is compared.
    """
    asked, ended = _places(calls)
    _check(calls, asked, ended)
    sources = Sources(calls, given, rounded=rounded, max_tokens=max_tokens)
    arguments = _asked_in_order(calls, asked, ended, sources)
    kept = [call for call in calls if call.ok]
    names = {call.name for call in kept}
    uses = [*sources.uses, *_known(calls), *_ordered(kept, _by_name(calls, asked), _by_name(calls, ended), orders)]
    uses = [use for use in uses if use.call in names and use.producer in names]
    doubts = [doubt for doubt in sources.doubts if doubt.call in names]
    doubts += _unordered(kept, orders)
    needs = _needs(kept, uses, doubts if cautious else [])
    levels = _levels(needs)
    return Dataflow(
        tuple(kept),
        {call.name: arguments[call.name] for call in kept},
        needs,
        tuple(uses),
        tuple(doubts),
        tuple(made for made in sources.made_up if made[0] in names),
        levels,
        tuple(call.name for call in calls if not call.ok),
        sum(call.took_ns for call in kept),
        _longest(kept, needs),
    )


def _places(calls: Sequence[Call]) -> tuple[list[int], list[int]]:
    """For each call: how many had ended when it was asked for, and its own place among the ends."""
    asked = [place if call.asked is None else call.asked for place, call in enumerate(calls)]
    ended = [place if call.ended is None else call.ended for place, call in enumerate(calls)]
    return asked, ended


def _by_name(calls: Sequence[Call], places: Sequence[int]) -> dict[str, int]:
    return {call.name: place for call, place in zip(calls, places, strict=True)}


def _check(calls: Sequence[Call], asked: Sequence[int], ended: Sequence[int]) -> None:
    known = _by_name(calls, ended)
    if len(known) < len(calls):
        twice = next(call.name for place, call in enumerate(calls) if known[call.name] != ended[place])
        raise GraphError(f"two calls of the trace are named {twice!r}; give each a name of its own")
    for place, call in enumerate(calls):
        if ended[place] < asked[place]:
            raise GraphError(f"call {call.name!r} of the trace ended before it was asked for; check asked= and ended=")
        for each in call.known:
            if each.producer not in known:
                close = suggestion(each.producer, known)
                raise GraphError(f"call {call.name!r} depends on {each.producer!r}, which is not in the trace{close}")
            if known[each.producer] >= ended[place]:
                raise GraphError(f"call {call.name!r} depends on {each.producer!r}, which had not ended before it")


def _asked_in_order(
    calls: Sequence[Call], asked: Sequence[int], ended: Sequence[int], sources: Sources
) -> dict[str, dict[str, Any]]:
    """Each call's arguments, looked for among the results that had come by then."""
    ends = sorted(range(len(calls)), key=lambda place: ended[place])
    arguments: dict[str, dict[str, Any]] = {}
    learnt = 0
    for place in sorted(range(len(calls)), key=lambda place: asked[place]):
        while learnt < len(ends) and ended[ends[learnt]] < asked[place]:
            sources.learn(ends[learnt])
            learnt += 1
        arguments[calls[place].name] = sources.ask(place)
    return arguments


def _known(calls: Sequence[Call]) -> list[Use]:
    return [
        Use(call.name, each.producer, "known", each.at, path=each.path, replaced=bool(each.at))
        for call in calls
        for each in call.known
    ]


def _may_write(call: Call) -> bool:
    return call.effect in ("irreversible", "")


def _ordered(calls: Sequence[Call], asked: dict[str, int], ended: dict[str, int], orders: Orders) -> list[Use]:
    """Calls that keep their order because of what they do to the world; those that overlapped had none."""
    found: list[Use] = []
    if orders == "none":
        return found
    write: Call | None = None
    reads: list[Call] = []
    for call in calls:
        before: list[Call] = []
        if _may_write(call):
            before = [*reads, *([] if write is None else [write])]
            write, reads = call, []
        elif call.effect == "idempotent" and orders == "all":
            before = [] if write is None else [write]
            reads.append(call)
        found += [Use(call.name, each.name, "order") for each in before if ended[each.name] < asked[call.name]]
    return found


def _unordered(calls: Sequence[Call], orders: Orders) -> list[Doubt]:
    """What might see an earlier write, and does not wait for it."""
    found: list[Doubt] = []
    write: Call | None = None
    for call in calls:
        if _may_write(call):
            write = call
        elif write is not None and call.effect == "idempotent" and orders != "all":
            found.append(Doubt(call.name, (), "", "effect", candidates=(write.name,)))
    return found


def _needs(calls: Sequence[Call], uses: Iterable[Use], doubts: Iterable[Doubt]) -> dict[str, tuple[str, ...]]:
    place = {call.name: index for index, call in enumerate(calls)}
    needed: dict[str, set[str]] = {call.name: set() for call in calls}
    for use in uses:
        needed[use.call].add(use.producer)
    for doubt in doubts:
        if doubt.kind != "words":
            needed[doubt.call].update(name for name in doubt.candidates if name in place)
    return {name: tuple(sorted(each, key=place.__getitem__)) for name, each in needed.items()}


def _levels(needs: dict[str, tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    level: dict[str, int] = {}
    for name in _in_order(needs):
        level[name] = max((level[each] + 1 for each in needs[name]), default=0)
    rows: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for name in needs:
        rows[level[name]].append(name)
    return tuple(map(tuple, rows))


def _in_order(needs: dict[str, tuple[str, ...]]) -> list[str]:
    """The calls, each behind those it needs."""
    order: list[str] = []
    left = {name: len(each) for name, each in needs.items()}
    users: dict[str, list[str]] = {name: [] for name in needs}
    for name, each in needs.items():
        for needed in each:
            users[needed].append(name)
    ready = [name for name, count in left.items() if not count]
    while ready:
        name = ready.pop()
        order.append(name)
        for user in users[name]:
            left[user] -= 1
            if not left[user]:
                ready.append(user)
    assert len(order) == len(needs), "a call needs one that ended later"
    return order


def _longest(calls: Sequence[Call], needs: dict[str, tuple[str, ...]]) -> int:
    took = {call.name: call.took_ns for call in calls}
    done: dict[str, int] = {}
    for name in _in_order(needs):
        done[name] = took[name] + max((done[each] for each in needs[name]), default=0)
    return max(done.values(), default=0)
