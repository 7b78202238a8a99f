"""Schedules of the critical-path policy beside what no schedule can beat, simulated and for real."""

from __future__ import annotations

import pytest

from bench.scheduling.instances import Instance, random_instance, recorded
from bench.scheduling.playing import play, simulate

RECORDED = recorded()
NOT_HERE = "no recorded workflows: put them in wfinstances below MAKESPAN_DATA, or below ../shared/data"
TRIES = 3
"""Runs against the wall clock of a machine that others use too: the best of them counts."""


def test_critical_path_is_within_5_percent_of_the_bound_where_there_is_work_enough() -> None:
    for seed in range(2):
        graph = random_instance(seed, size=1_000)

        ours, fifo = (simulate(graph, name, 8).makespan_ns for name in ("critical-path", "fifo"))

        assert ours <= 1.05 * graph.bound_ns(8)
        assert fifo > ours


@pytest.mark.skipif(not RECORDED, reason=NOT_HERE)
@pytest.mark.parametrize("slots", [2, 8, 32])
@pytest.mark.parametrize("graph", RECORDED, ids=[each.name for each in RECORDED])
def test_recorded_workflows_end_within_a_third_of_the_bound(graph: Instance, slots: int) -> None:
    assert simulate(graph, "critical-path", slots).makespan_ns <= 1.35 * graph.tight_bound_ns(slots)


def test_the_bound_knows_that_a_slot_takes_tasks_whole() -> None:
    five_on_two = Instance("rounds", ((),) * 5, (10, 10, 10, 10, 10))

    assert five_on_two.bound_ns(2) == 25
    assert five_on_two.tight_bound_ns(2) == 30


@pytest.mark.prove
@pytest.mark.skipif(not RECORDED, reason=NOT_HERE)
def test_a_recorded_workflow_for_real_takes_the_simulated_time_and_decides_as_the_simulator_does() -> None:
    graph = min(RECORDED, key=lambda each: len(each.needs))
    small = graph.scaled(3e9 / simulate(graph, "critical-path", 8).makespan_ns)
    simulated = simulate(small, "critical-path", 8)
    over = []

    for _ in range(TRIES):
        real = play(small, "critical-path", 8)
        replayed = simulate(small, "critical-path", 8, real.took_ns)
        over.append(real.makespan_ns / simulated.makespan_ns - 1)
        assert replayed.order == real.order, "the same decisions for the same durations, on every try"
        assert replayed.makespan_ns == real.makespan_ns

    assert min(over, key=abs) <= 0.05, over
