"""The simulator's laws: ties, common random numbers, limits at every instant, and journals like any other."""

from __future__ import annotations

import random
from typing import Any

import pytest

import makespan as ms
from makespan.authoring.trace import trace
from makespan.graph.node import Declaration
from makespan.machine.broker import Broker
from makespan.machine.facts import AttemptStarted, Limits, TaskSucceeded, decode_facts
from makespan.machine.observations import Choice, PlanView, StartAttempt
from makespan.machine.records import TaskState
from makespan.machine.resources import Rate
from makespan.machine.state import State
from makespan.policies.named import NAMES, policy
from makespan.profiles.distributions import Constant, LogNormal
from makespan.profiles.profile import Drawn, ModeProfile, Profile
from makespan.sim.simulation import Simulation, WorstCase, drawn_from, header
from makespan.traces.spans import spans_of
from makespan.traces.summary import summarise
from tests.machine.driver import SECOND
from tests.machine.test_virtual_clock import random_needs, workflow_of

WILD = Profile(default=ModeProfile(LogNormal(SECOND, 1.0), LogNormal(1_000_000, 0.5), 0.9))


@ms.task(retries=2)
def step(n: int) -> int:
    return n


@ms.task(needs={"gpu": 1}, retries=2)
def on_gpu(n: int) -> int:
    return n


@ms.task(needs={"calls": 1}, retries=2)
def calls(n: int) -> int:
    return n


@ms.prompt(models=["fast", "main"])
def say(n: int) -> str:
    ms.chat(f"{n}")


def wide(task: Any, count: int) -> Any:
    @ms.workflow(key="wide")
    def made() -> list[Any]:
        return ms.gather(*[task(n) for n in range(count)])

    return made()


def simulated(call: Any, profile: Profile = WILD, seed: int = 0, **options: Any) -> Simulation:
    template = trace(call._unbound).template
    fields = {name: options.pop(name) for name in ("budget", "deadline_ns", "limits") if name in options}
    attempts = options.pop("attempts", None) or drawn_from(profile, seed)
    start = header(template.root, seed=seed, **fields)
    return Simulation(start, template.opening, attempts, **options)


def facts_of(sim: Simulation) -> list[Any]:
    return [fact for body in sim.journal for fact in decode_facts(body)]


def most_at_once(intervals: list[tuple[int, int]]) -> int:
    """How many half-open intervals share a moment."""
    return max(sum(start <= at < end for start, end in intervals) for at, _ in intervals)


def attempts_of(sim: Simulation) -> list[tuple[int, int]]:
    """When each attempt began and ended, in nanoseconds."""
    spans = spans_of(facts_of(sim), State(sim.state.load))
    return [(round(s.start_s * 1e9), round((s.end_s or 0) * 1e9)) for s in spans if s.kind == "call"]


# ---------------------------------------------------------------- ties and chance


def test_what_ends_at_the_same_moment_is_one_turn_in_the_order_of_its_starts() -> None:
    sim = simulated(wide(step, 5), attempts=lambda _: Drawn(SECOND), keep_journal=True)
    sim.run()

    ends = [[f.task for f in decode_facts(body) if type(f) is TaskSucceeded] for body in sim.journal]
    assert [numbers[:5] for numbers in ends if numbers] == [[0, 1, 2, 3, 4]]


def test_a_result_at_the_very_deadline_has_made_it() -> None:
    on_time = simulated(wide(step, 1), attempts=lambda _: Drawn(SECOND), deadline_ns=SECOND).run()
    late = simulated(wide(step, 1), attempts=lambda _: Drawn(SECOND + 1), deadline_ns=SECOND).run()

    assert (on_time.status, on_time.makespan_ns) == ("succeeded", SECOND)
    assert (late.status, late.reason, late.makespan_ns) == ("paused", "deadline", SECOND)


@pytest.mark.parametrize("name", NAMES[1:])
def test_another_policy_changes_nobodys_luck(name: str) -> None:
    seen: list[dict[tuple[bytes, int], Drawn]] = []
    for chosen in (None, policy(name if name != "noisy" else "noisy:shortest", profile=WILD)):
        drawn = drawn_from(WILD, 7)
        log: dict[tuple[bytes, int], Drawn] = {}
        seen.append(log)

        def attempt(command: StartAttempt, log: Any = log, drawn: Any = drawn) -> Drawn:
            return log.setdefault((command.id, command.attempt), drawn(command))

        call = workflow_of(random_needs(random.Random(3)))()
        simulated(call, attempts=attempt, policy=chosen, limits=Limits(running=2)).run()

    both = seen[0].keys() & seen[1].keys()
    assert len(both) >= 10
    assert all(seen[0][which] == seen[1][which] for which in both)


def test_draws_of_different_tasks_attempts_and_seeds_differ() -> None:
    sim = simulated(wide(step, 20))
    starts = sim.starts
    durations = {drawn_from(WILD, seed)(start).takes_ns for start in starts for seed in (0, 1)}

    assert len(durations) == 40


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize("seed", range(10))
def test_a_pool_is_never_overdrawn_and_never_left_idle(seed: int) -> None:
    sim = simulated(wide(on_gpu, 12), seed=seed, broker=Broker({"gpu": 3}), keep_journal=True)
    sim.run()

    assert most_at_once(attempts_of(sim)) == 3


@pytest.mark.parametrize("seed", range(10))
def test_a_rate_holds_in_every_window(seed: int) -> None:
    rate = Rate(3, 2 * SECOND)
    sim = simulated(wide(calls, 12), seed=seed, broker=Broker(rates={"calls": rate}), keep_journal=True)
    outcome = sim.run()

    starts = sorted(start for start, _ in attempts_of(sim))
    assert len(starts) >= 12 or not outcome.succeeded
    assert all(starts[i + rate.count] - starts[i] >= rate.window_ns for i in range(len(starts) - rate.count))


@pytest.mark.parametrize("running", [1, 2, 5])
def test_no_more_attempts_run_than_are_allowed(running: int) -> None:
    sim = simulated(wide(step, 12), limits=Limits(running=running), keep_journal=True)
    sim.run()

    assert most_at_once(attempts_of(sim)) == running


def test_money_is_reserved_before_it_is_spent_and_the_run_pauses_when_there_is_none_left() -> None:
    profile = Profile({"say": {"fast": ModeProfile(Constant(SECOND), Constant(10))}})
    sim = simulated(wide(say, 6), profile, pricing=WorstCase(profile), budget=45, keep_journal=True)
    outcome = sim.run()

    state = State(sim.state.load)
    for fact in facts_of(sim):
        state.apply(fact)
        assert state.scopes[0].committed + state.scopes[0].reserved <= 45
    assert (outcome.status, outcome.reason, outcome.cost) == ("paused", "budget", 40)


@pytest.mark.parametrize("seed", range(20))
def test_no_run_costs_more_than_its_budget_when_attempts_cost_at_most_what_was_reserved(seed: int) -> None:
    profile = Profile({"say": {"fast": ModeProfile(LogNormal(SECOND, 1.0), LogNormal(1_000, 1.0), 0.7)}})
    budget = 20_000
    outcome = simulated(wide(say, 12), profile, seed, pricing=WorstCase(profile), budget=budget).run()

    assert outcome.cost <= budget


# ---------------------------------------------------------------- samples, hedges, planners


class Always:
    """A planner: every prompt in this mode, with so many samples."""

    def __init__(self, mode: str, samples: int = 1) -> None:
        self.mode, self.samples = mode, samples
        self.asked: list[str] = []

    def wants(self, declaration: Declaration) -> bool:
        return len(declaration.options.models) > 1

    def choose(self, view: PlanView) -> list[Choice]:
        asked = [task for task in view.tasks if task.is_asked]
        self.asked += [task.key for task in asked]
        return [Choice(task.number, self.mode, self.samples) for task in asked]


def test_a_planner_chooses_mode_and_samples_and_the_losers_are_waste() -> None:
    times = {1: 5 * SECOND, 2: 2 * SECOND, 3: 9 * SECOND}

    def attempt(command: StartAttempt) -> Drawn:
        assert command.mode == "main"
        return Drawn(times[command.attempt], 100)

    sim = simulated(wide(say, 1), attempts=attempt, planner=Always("main", 3), keep_journal=True)
    outcome = sim.run()

    assert (outcome.makespan_ns, outcome.cost, outcome.waste) == (2 * SECOND, 300, 200)
    assert [f.mode for f in facts_of(sim) if type(f) is AttemptStarted] == ["main"] * 3


def test_a_stopped_attempt_is_billed_for_the_time_it_ran_where_that_is_how_it_is() -> None:
    def attempt(command: StartAttempt) -> Drawn:
        return Drawn(command.attempt * 2 * SECOND, 100)

    outcome = simulated(wide(say, 1), attempts=attempt, planner=Always("fast", 2), billed="elapsed").run()

    assert (outcome.cost, outcome.waste) == (150, 50)


def test_a_hedge_starts_when_the_first_attempt_has_passed_its_quantile() -> None:
    @ms.task(hedge=0.9)
    def slow(n: int) -> int:
        return n

    class Known:
        def quantile_ns(self, key: str, mode: str, q: float) -> int:
            return 3 * SECOND

    def attempt(command: StartAttempt) -> Drawn:
        return Drawn(20 * SECOND if command.attempt == 1 else SECOND, 10)

    outcome = simulated(wide(slow, 1), attempts=attempt, estimates=Known()).run()

    assert (outcome.makespan_ns, outcome.cost, outcome.waste) == (4 * SECOND, 20, 10)


def test_a_planner_is_asked_about_tasks_with_several_models_only() -> None:
    planner = Always("fast")

    @ms.workflow
    def both() -> str:
        return say(step(1))

    simulated(both(), Profile(), planner=planner).run()

    assert planner.asked == ["say"]


# ---------------------------------------------------------------- policies and journals


class Backwards:
    """A policy: the last task first."""

    name, epoch = "backwards", 0

    def rank(self, state: State, task: TaskState) -> int:
        return -task.number


def test_a_policy_decides_what_starts_first() -> None:
    sim = simulated(wide(step, 4), Profile(), policy=Backwards(), limits=Limits(running=1))
    sim.run()

    assert [start.task for start in sim.starts] == [3, 2, 1, 0]


@pytest.mark.parametrize("seed", range(10))
def test_a_simulated_journal_folds_to_what_the_outcome_says(seed: int) -> None:
    call = workflow_of(random_needs(random.Random(seed)))()
    outcome = simulated(call, seed=seed, limits=Limits(running=3), keep_journal=True, billed="elapsed").run()
    blobs = {digest: body for turn in outcome.blobs for digest, body in turn}
    state = State(blobs.__getitem__)
    spans = spans_of((fact for body in outcome.journal for fact in decode_facts(body)), state)
    summary = summarise(state)

    assert (state.status, state.reason) == (outcome.status, outcome.reason)
    assert (state.at, state.cost, state.late_cost) == (outcome.makespan_ns, outcome.cost, outcome.waste)
    assert summary.cost_usd == outcome.cost / 1e9
    assert sum(round(span.cost_usd * 1e9) for span in spans) == outcome.cost
    if outcome.succeeded:
        assert max(span.end_s or 0 for span in spans) == outcome.makespan_ns / 1e9


def test_the_declared_budget_of_a_task_is_its_worst_case() -> None:
    worst = WorstCase(Profile({"a": {"": ModeProfile(cost=LogNormal(100, 1.0))}}))

    assert worst.worst_case(Declaration("a"), b"") == LogNormal(100, 1.0).most
    capped = say.options(budget_usd=0.5).declaration
    assert worst.worst_case(capped, b"") == 500_000_000
