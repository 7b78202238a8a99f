"""The view of a memory: the way to a slot and what it is computed from, and never more than its cap."""

from __future__ import annotations

from random import Random

import pytest

from makespan.memory import revising
from makespan.memory.fold import fold
from makespan.memory.staleness import basis_of
from makespan.memory.state import Memory, RevisionRefused
from makespan.memory.view import context


def trip() -> Memory:
    memory = Memory()
    memory = fold(memory, revising.set_slot(memory, "trip", "Rome in May"))
    memory = fold(memory, revising.set_slot(memory, "costs", parent="trip"))
    for name, value in (("people", 3), ("price", 120), ("weather", "rain")):
        memory = fold(memory, revising.set_slot(memory, name, value, parent="trip"))
    memory = fold(memory, revising.compute(memory, "total", "multiply", ["people", "price"], parent="costs"))
    basis = basis_of(memory, "total")
    assert basis is not None
    memory = fold(memory, revising.computed(memory, "total", 360, basis))
    return fold(memory, revising.change(memory, "price", 130))


def test_it_shows_the_way_from_the_root_and_what_the_slot_needs_and_nothing_else() -> None:
    assert context(trip(), "total", 1_000, len) == (
        'trip = "Rome in May"\n'
        "  costs\n"
        "    total = 360 (stale: price changed)\n"
        "total is computed by multiply from:\n"
        "  people = 3\n"
        "  price = 130"
    )


def test_without_a_slot_there_is_nothing_to_show() -> None:
    assert context(Memory(), "", 10, len) == ""


def test_values_are_cut_before_slots_are_left_out_and_both_are_said() -> None:
    memory = fold(trip(), revising.change(trip(), "trip", "x" * 500))

    cut, short = context(memory, "total", 300, len), context(memory, "total", 150, len)

    assert "more characters)" in cut
    assert "people" in cut
    assert "slots above are not shown" in short


@pytest.mark.parametrize("seed", range(50))
def test_it_never_measures_more_than_its_cap(seed: int) -> None:
    rng, memory = Random(seed), Memory()
    names = [f"slot {number} {'n' * rng.randrange(1, 40)}" for number in range(30)]
    for place, name in enumerate(names):
        parent = rng.choice(names[:place][-25:]) if place and rng.random() < 0.8 else ""
        memory = fold(memory, revising.set_slot(memory, name, "v" * rng.randrange(400), parent=parent))
    memory = fold(memory, revising.compute(memory, "end", "rule", rng.sample(names, 20), parent=names[-1]))

    for cap in range(120, 3_000, 60):
        text = context(memory, "end", cap, len)
        assert len(text) <= cap
        assert "end" in text


def test_a_cap_without_room_for_a_name_is_refused() -> None:
    with pytest.raises(RevisionRefused, match="cap_tokens=3"):
        context(trip(), "total", 3, len)
