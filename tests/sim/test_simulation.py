"""A simulated run takes the time that its drawn durations imply, and is a journal like any other."""

from __future__ import annotations

import random

import pytest

from makespan.authoring.trace import trace
from makespan.machine.facts import Limits, decode_facts
from makespan.machine.opening import opening
from makespan.machine.state import State
from makespan.profiles.distributions import Constant, LogNormal
from makespan.profiles.profile import ModeProfile, Profile
from makespan.sim.simulation import Simulation, drawn_from, header
from tests.machine.test_virtual_clock import list_schedule, longest_path, random_needs, workflow_of

PROFILE = Profile(default=ModeProfile(LogNormal(1_000_000_000, 1.0)))


def simulation(call: object, seed: int = 0, **options: object) -> Simulation:
    """Of a workflow's call, with log-normal durations."""
    template = trace(call._unbound).template  # type: ignore[attr-defined]
    limits = options.pop("limits", Limits())
    return Simulation(
        header(template.root, seed=seed, limits=limits),
        opening(template.nodes, template.scopes),
        drawn_from(PROFILE, seed),
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("slots", [256, 1, 2, 5])
def test_a_simulated_dag_takes_exactly_the_time_of_a_list_schedule(slots: int) -> None:
    for seed in range(50):
        needs = random_needs(random.Random(seed))
        sim = simulation(workflow_of(needs)(), seed, limits=Limits(running=slots))

        outcome = sim.run()

        takes = {start.label or start.task: 0 for start in sim.starts}
        assert len(takes) == len(needs)
        ends = {start.task: drawn_from(PROFILE, seed)(start).takes_ns for start in sim.starts}
        durations = [ends[number] for number in sorted(ends)]
        expected = longest_path(needs, durations) if slots == 256 else list_schedule(needs, durations, slots)
        assert outcome.succeeded
        assert outcome.makespan_ns == expected, f"seed {seed}"


def test_the_same_seed_gives_the_same_journal_and_folds_to_the_same_state() -> None:
    needs = random_needs(random.Random(3))
    one = simulation(workflow_of(needs)(), 3, keep_journal=True).run()
    two = simulation(workflow_of(needs)(), 3, keep_journal=True).run()
    folded = State(one.state.load)
    for body in one.journal:
        for fact in decode_facts(body):
            folded.apply(fact)

    assert one.journal == two.journal
    assert (folded.status, folded.at) == ("succeeded", one.makespan_ns)


def test_another_seed_is_another_world() -> None:
    needs = random_needs(random.Random(3))
    assert (
        simulation(workflow_of(needs)(), 1).run().makespan_ns != simulation(workflow_of(needs)(), 2).run().makespan_ns
    )


@pytest.mark.parametrize("known", [Constant(5), LogNormal(1_000, 0.8)])
def test_the_mean_of_draws_is_the_mean_of_the_distribution(known: Constant | LogNormal) -> None:
    count = 20_000
    mean = sum(known.quantile((i + 0.5) / count) for i in range(count)) / count
    assert mean == pytest.approx(known.mean, rel=0.002)
