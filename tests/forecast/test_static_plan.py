"""A plain workflow's schedule before it runs: within slots and pools, close to the bound, and followed when it runs."""

from __future__ import annotations

import random

import pytest

import makespan as ms
from makespan.authoring.trace import template_of, trace
from makespan.errors import UsageError
from makespan.forecast.static_plan import StaticPlan, static_plan
from makespan.machine.facts import Limits
from makespan.machine.opening import opening
from makespan.machine.resources import Pool
from makespan.policies.ranking import Planned
from makespan.profiles.distributions import Constant
from makespan.profiles.profile import ModeProfile, Profile
from makespan.sim.simulation import Simulation, drawn_from, header

SECOND = 1_000_000_000


@ms.task
def fetch(number: int) -> int:
    return number


@ms.task(needs={"gpu": 1})
def train(number: int, read: int) -> int:
    return number


@ms.workflow
def six() -> list[int]:
    return ms.gather(*[train(number, fetch(number)) for number in range(6)])


@ms.task
def listed(number: int) -> list[int]:
    return [number]


@ms.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@ms.task(models=["small", "large"])
def either(number: int) -> int:
    return number


@ms.workflow
def branching(number: int) -> int:
    return ms.when(
        either(number), lambda: fetch(number), lambda: total(ms.map(fetch, listed(number))), test="value > 1"
    )


def profile(**seconds: float) -> Profile:
    return Profile({key: {"": ModeProfile(Constant(round(s * SECOND)))} for key, s in seconds.items()})


def plan(workflow: ms.Workflow[..., object], known: Profile, running: int, **options: object) -> StaticPlan:
    pools = options.pop("pools", {"gpu": Pool(2)})
    return static_plan(template_of(workflow).graph, known, running=running, pools=pools, **options)  # type: ignore[arg-type]


def test_slots_pools_and_edges_are_kept_and_the_bound_is_met() -> None:
    found = plan(six, profile(fetch=2, train=5), 3)

    assert (found.makespan_ns, found.how, found.gap) == (17 * SECOND, "proved", 0.0)
    trains = [times for task, times in found.times.items() if found.names[task] == "train"]
    for moment in range(17):
        at = moment * SECOND
        assert sum(start <= at < end for start, end in trains) <= 2
        assert sum(start <= at < end for start, end in found.times.values()) <= 3
    assert sum(end - start for start, end in (found.times[task] for task in found.critical)) == found.makespan_ns


def test_a_closed_pool_is_planned_around() -> None:
    class Closed:
        def next(self, at: int) -> tuple[int, int] | None:
            return (3 * SECOND, 10 * SECOND) if at < 10 * SECOND else None

    found = plan(six, profile(fetch=2, train=5), 6, pools={"gpu": Pool(2, Closed())})

    starts = [times[0] for task, times in found.times.items() if found.names[task] == "train"]
    assert min(starts) == 10 * SECOND
    assert found.makespan_ns == 25 * SECOND


def test_a_named_unit_is_planned_once_at_a_time() -> None:
    @ms.workflow(key="named four")
    def named_four() -> list[int]:
        return ms.gather(*[fetch.options(needs={"gpu": ["left"]})(n) for n in range(3)], fetch(9))

    found = plan(named_four, profile(fetch=5), 6, pools={"gpu": Pool(2, names=("left", "right"))})

    assert found.makespan_ns == 15 * SECOND


def test_what_is_not_known_before_the_run_is_said() -> None:
    found = plan(branching, profile(fetch=1), 4)
    said = " ".join(found.notes)
    assert "nothing is known of either" in said
    assert "map" in said
    assert "as if it were taken" in said


def test_the_mode_that_was_chosen_is_planned_with() -> None:
    modes = {"small": ModeProfile(Constant(SECOND)), "large": ModeProfile(Constant(9 * SECOND))}
    quick = {"": ModeProfile(Constant(SECOND))}
    known = Profile(
        {"either": modes, "fetch": quick, **{key: {"": ModeProfile(Constant(0))} for key in ("total", "listed")}}
    )
    assert plan(branching, known, 4).makespan_ns == 2 * SECOND
    assert plan(branching, known, 4, modes={"either": "large"}).makespan_ns == 10 * SECOND


def test_more_units_than_a_pool_has_is_refused() -> None:
    with pytest.raises(UsageError, match="only 0"):
        plan(six, profile(fetch=1, train=1), 4, pools={"gpu": Pool(0)})


def test_a_run_that_follows_the_plan_takes_what_was_planned() -> None:
    chance = random.Random(5)
    durations = {number: chance.randrange(1, 30) * SECOND for number in range(30)}

    @ms.task
    def step(number: int, needs: list[int]) -> int:
        return number

    @ms.workflow(key="shape")
    def shape() -> list[int]:
        refs: list[ms.Ref[int]] = []
        for number in range(30):
            needs = chance.sample(refs, min(len(refs), chance.choice([0, 1, 2])))
            refs.append(step.options(key=f"step{number}")(number, needs))
        return ms.gather(*refs)

    template = trace(shape()._unbound).template  # type: ignore[attr-defined]
    known = profile(**{f"step{number}": durations[number] / SECOND for number in range(30)})
    found = static_plan(template.graph, known, running=4, pools={}, solve_s=10)
    starts = {bytes.fromhex(task): start for task, (start, _) in found.times.items()}

    def simulated(policy: Planned | None) -> int:
        start = header(template.root, limits=Limits(running=4))
        sim = Simulation(start, opening(template.nodes, template.scopes), drawn_from(known, 1), policy=policy)
        return sim.run().makespan_ns

    assert found.how == "proved"
    assert simulated(Planned(starts)) <= found.makespan_ns * 1.001
    assert simulated(None) >= found.makespan_ns * 0.999
