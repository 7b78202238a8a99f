"""`context`: what a model must see of a memory to work at one slot, instead of the whole conversation.

    trip: Rome in May                       the way from the root
      hotel = 3 nights
        total = 360 (stale: price changed)  the active slot
    total is computed by multiply from:
      people = 3
      price = 120

It grows with the depth of the tree and the needs of one slot, never with the number of turns. Invariant: what it
measures is at most the cap; values are cut first, then what is far from the slot is left out, and each cut is shown.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from makespan.memory.asking import changed
from makespan.memory.checks import known, path
from makespan.memory.staleness import stale
from makespan.memory.state import Memory, RevisionRefused, Slot

Measure = Callable[[str], int]
"""A text's size in tokens."""

EXCERPTS = (100_000, 2_000, 500, 200, 80, 30, 0)
"""Characters of each value that are shown, tried in this order until the whole fits."""

CAUSES = 3
"""Changed slots that a stale one names."""


class _Line(msgspec.Struct, frozen=True):
    """One slot of the view."""

    slot: Slot
    indent: int
    note: str


def context(memory: Memory, active: str, cap_tokens: int, measure: Measure) -> str:
    """The way from the root to a slot and what the slot is computed from, with values and what is stale.

    Args:
        active: the slot in question; empty gives an empty text.
        cap_tokens: tokens at most, above 0.
        measure: tokens of a text.
    Raises:
        RevisionRefused: `unknown`; `limit`: not even the slot's name fits.
    """
    if not active:
        return ""
    slot, old = known(memory, active), stale(memory)
    above = [_line(memory, name, depth, old) for depth, name in enumerate(path(memory, active))]
    needs = [_line(memory, name, 1, old) for name in dict.fromkeys(slot.needs.values())]
    for excerpt in EXCERPTS:
        text = _shown(slot, above, needs, 0, 0, excerpt)
        if measure(text) <= cap_tokens:
            return text
    for left_out in range(1, len(above) + len(needs)):
        ancestors_out = min(left_out, len(above) - 1)
        text = _shown(slot, above, needs, ancestors_out, left_out - ancestors_out, 0)
        if measure(text) <= cap_tokens:
            return text
    alone = _text(above[-1], 0)
    if measure(alone) <= cap_tokens:
        return alone
    raise RevisionRefused(
        f"cap_tokens={cap_tokens} has no room for the name of {active!r}: {measure(alone)} tokens",
        reason="limit",
        slot=active,
    )


def _line(memory: Memory, name: str, indent: int, old: frozenset[str]) -> _Line:
    slot = memory.slots[name]
    if name not in old:
        return _Line(slot, indent, "")
    if slot.current is None:
        return _Line(slot, indent, " (not computed yet)")
    causes = changed(memory, name)
    more = f" and {len(causes) - CAUSES} more" if len(causes) > CAUSES else ""
    return _Line(slot, indent, f" (stale: {', '.join(causes[:CAUSES]) or 'its rule'}{more} changed)")


def _shown(slot: Slot, above: list[_Line], needs: list[_Line], no_above: int, no_needs: int, excerpt: int) -> str:
    """The text without the first so many of `above`, and without the last so many of `needs`."""
    lines = [f"({no_above} slots above are not shown)"] if no_above else []
    lines += [_text(line, excerpt) for line in above[no_above:]]
    if slot.is_computed:
        lines.append(f"{slot.name} is computed by {slot.rule} from:")
        lines += [_text(line, excerpt) for line in needs[: len(needs) - no_needs]]
        lines += [f"  ({no_needs} more)"] if no_needs else []
    return "\n".join(lines)


def _text(line: _Line, excerpt: int) -> str:
    head = f"{'  ' * line.indent}{line.slot.name}"
    current = line.slot.current
    if current is None:
        return f"{head}{line.note}"
    return f"{head} = {shortened(current.text, excerpt)}{line.note}"


def shortened(text: str, characters: int) -> str:
    """The text, or its beginning and how much is missing."""
    left = len(text) - characters
    return text if left <= 0 else f"{text[:characters]}… ({left} more characters)"
