"""The front of what nobody beats, and its table."""

from __future__ import annotations

import random

import pytest

from makespan.traces.pareto import ParetoPoint, front, pareto_lines


def beats(one: ParetoPoint, other: ParetoPoint) -> bool:
    as_good = one.latency_s <= other.latency_s and one.cost_usd <= other.cost_usd and one.success >= other.success
    return as_good and (one.latency_s, one.cost_usd, one.success) != (other.latency_s, other.cost_usd, other.success)


@pytest.mark.parametrize("seed", range(30))
def test_the_front_is_what_nobody_beats_and_of_equal_ones_the_first(seed: int) -> None:
    chance = random.Random(seed)
    few = chance.choice([4, 12, 1000])
    choices = [
        ParetoPoint(str(i), chance.randint(1, few), chance.randint(0, few), chance.randint(0, few) / few)
        for i in range(150)
    ]

    unbeaten = [i for i, one in enumerate(choices) if not any(beats(other, one) for other in choices)]
    firsts = {(c.latency_s, c.cost_usd, c.success): i for i, c in reversed(list(enumerate(choices))) if i in unbeaten}

    assert sorted(front(choices)) == sorted(firsts.values())


def test_the_table_has_the_front_by_latency_and_marks_the_choice() -> None:
    choices = [
        ParetoPoint("large", 3.0, 0.02, 0.95),
        ParetoPoint("small", 1.2, 0.002, 0.8),
        ParetoPoint("bad", 4.0, 0.03, 0.5),
        ParetoPoint("small x 3", 1.4, 0.006, 0.93, chosen=True),
    ]

    lines = pareto_lines(choices)

    assert [line[:11].rstrip() for line in lines[1:4]] == ["● small", "★ small x 3", "● large"]
    assert lines[2].split()[-5:] == ["1.4", "s", "$0.006", "93.0", "%"]
    assert lines[4] == "3 of 4 on the front (●), ★ chosen"


def test_a_choice_that_is_beaten_is_shown_and_said_to_be() -> None:
    lines = pareto_lines([ParetoPoint("good", 1, 1), ParetoPoint("bad", 2, 2, chosen=True)])

    assert lines[2].startswith("★ bad")
    assert lines[2].endswith("not on the front")


def test_a_long_front_is_shown_at_even_distances_with_its_ends_and_the_choice() -> None:
    choices = [ParetoPoint(f"c{i}", float(i + 1), 1000.0 - i, chosen=i == 334) for i in range(1000)]

    lines = pareto_lines(choices, rows=10)

    shown = [line.split()[1] for line in lines[1:-2]]
    assert shown[0] == "c0"
    assert shown[-1] == "c999"
    assert "c334" in shown
    assert lines[-2] == "… 989 more on the front are not shown"


def test_nothing_to_choose_from_is_said() -> None:
    assert pareto_lines([]) == ["there is nothing to choose from"]
