"""Many simulated runs: what is assumed, what is drawn, and how policies are compared."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise
from typing import Any

import pytest

import makespan as ms
from makespan.errors import UsageError
from makespan.forecast.grid import completion_grid, read_size
from makespan.forecast.report import median_run, report, times_and_costs
from makespan.forecast.sampling import Forecaster, Sample, Setting, path_shares
from makespan.forecast.saved import save
from makespan.forecast.subject import of_call, of_workflow
from makespan.journal.memory import MemoryJournal
from makespan.machine.facts import Limits, decode_facts
from makespan.machine.state import State
from makespan.ports import Owner
from makespan.profiles.distributions import Constant, LogNormal, empirical
from makespan.profiles.form import profile_of
from makespan.profiles.profile import ModeProfile, Profile
from makespan.traces.spans import spans_of
from makespan.traces.summary import summarise
from tests.machine.driver import SECOND


@dataclasses.dataclass
class Grade:
    ok: bool
    score: float = 0.0


@ms.task
def search(q: str) -> list[str]:
    raise AssertionError("nothing runs in a simulation")


@ms.task
def untyped(q: str) -> Any:
    raise AssertionError("nothing runs in a simulation")


@ms.task
def read(text: str) -> str:
    raise AssertionError("nothing runs in a simulation")


@ms.task
def grade(text: str) -> Grade:
    raise AssertionError("nothing runs in a simulation")


@ms.task(cache_s=60, effect="pure")
def kept(text: str) -> str:
    raise AssertionError("nothing runs in a simulation")


@ms.task(approve=True)
def send(text: str) -> str:
    raise AssertionError("nothing runs in a simulation")


@ms.prompt(models=["fast"])
def say(text: str) -> str:
    ms.chat(text)


@ms.prompt(models=["fast"], tools=[search])
def agent(text: str) -> Grade:
    ms.chat(text)


@ms.workflow
def over(q: str) -> list[str]:
    return ms.map(read, search(q))


@ms.workflow
def branches(q: str) -> str | int | None:
    return ms.when(untyped(q), lambda: read(q), lambda: kept(q), test="value.missing > 3")


@ms.workflow
async def loops(q: str) -> int:
    for count in range(1, 20):
        if (await grade(q)).ok:
            return count
        q = await read(q)
    raise ms.Fatal("never good enough")


@ms.workflow
async def outside(q: str) -> bool:
    await send(q)
    text = await ms.receive("go", str)
    return await ms.ask(f"really {text}?")


@ms.workflow
async def asks_an_agent(q: str) -> bool:
    return (await agent(q)).ok


@ms.workflow
def speaks(q: str) -> list[str]:
    return ms.gather(say(q), say("b"), say("c"), say("d"))


def forecaster(workflow: Any, said: dict[str, Any] | Profile, **setting: Any) -> Forecaster:
    """Of a workflow without inputs; `said` is a profile as people write one."""
    profile = said if isinstance(said, Profile) else profile_of(said, "p")
    chosen = Setting(**setting)
    return Forecaster(of_workflow(workflow, {}, items=chosen.items), profile, chosen)


ONE = {"p50_s": 1}


# ---------------------------------------------------------------- what stands in


def test_a_map_over_what_stands_in_has_so_many_items_as_the_profile_or_the_caller_says() -> None:
    default, given = forecaster(over, {}), forecaster(over, {}, items=7)
    known = forecaster(over, {"search": {"p50_s": 1, "items": 5}})

    assert [each.sample("fifo", 0).attempts for each in (default, given, known)] == [4, 8, 6]
    assert any("search: lists that stand in have 7 items" in line for line in report(given, of(given)).assumed)
    assert not any("lists that stand in" in line for line in report(known, of(known)).assumed)


def of(each: Forecaster, runs: int = 3) -> dict[str, list[Sample]]:
    return {"fifo": each.samples("fifo", runs)}


def test_widths_are_drawn_from_what_was_seen() -> None:
    profile = Profile(widths={"search": empirical([1, 9])})
    attempts = {sample.attempts for sample in forecaster(over, profile).samples("fifo", 30)}

    assert attempts == {2, 10}


def test_a_guard_that_stumbles_over_a_stand_in_counts_as_true_and_its_opposite_as_false() -> None:
    each = forecaster(branches, {})
    sample = each.sample("fifo", 0)

    assert sample.succeeded
    assert sample.path == ("untyped", "read")
    assert any("counts as true" in line for line in report(each, of(each)).assumed)


@pytest.mark.slow
def test_recorded_results_decide_guards_and_loops() -> None:
    half = {"grade": {"p50_s": 1, "results": [{"ok": True}, {"ok": False}]}, "read": ONE}
    counts = [sample.attempts for sample in forecaster(loops, half).samples("fifo", 400)]
    rounds = [(count + 1) / 2 for count in counts]  # a grade each, and a read between them

    assert sum(rounds) / len(rounds) == pytest.approx(2.0, abs=0.2)
    assert max(rounds) > 4


def test_a_recorded_result_that_no_longer_fits_is_not_used() -> None:
    each = forecaster(loops, {"grade": {"p50_s": 1, "results": ["good"]}})

    assert each.sample("fifo", 0).succeeded
    assert "grade" in each.assumed.stood_in


def test_an_agent_answers_at_once_where_nothing_is_known_of_it() -> None:
    sample = forecaster(asks_an_agent, {}).sample("fifo", 0)

    assert (sample.status, sample.path) == ("succeeded", ("agent turn",))


def test_messages_answers_and_approvals_come_after_the_time_they_usually_take() -> None:
    said = {"approval of send": {"p50_s": 5}, "receive go": {"p50_s": 7}, "ask": {"p50_s": 11}, "send": ONE}
    each = forecaster(outside, said)
    sample = each.sample("fifo", 0)

    assert (sample.status, sample.makespan_ns) == ("succeeded", 24 * SECOND)
    assert not each.assumed.unknown


def test_an_approval_may_be_refused() -> None:
    said = {"approval of send": {"p50_s": 5, "success": 0.5}}
    ends = {sample.status for sample in forecaster(outside, said).samples("fifo", 20)}

    assert ends == {"succeeded", "failed"}


def test_what_was_assumed_is_said() -> None:
    each = forecaster(over, {"read": ONE})
    samples = of(each)
    assumed = report(each, samples).assumed

    assert 'input q: "text" stands in; give it with -i q=…' in assumed
    assert "search: the profile knows nothing of it, so 1 s, no cost, 100% success" in assumed
    assert 'search: no recorded result, ["text","text","text"] stands in' in assumed
    assert not any(line.startswith("read: the profile") for line in assumed)


def test_the_cache_is_not_simulated_and_that_is_said() -> None:
    @ms.workflow
    def twice(q: str) -> str:
        return kept(kept(q))

    each = forecaster(twice, {})
    assert "kept: simulated without the cache" in report(each, of(each)).assumed


# ---------------------------------------------------------------- figures


WILD = Profile({"say": {"fast": ModeProfile(LogNormal(SECOND, 0.8), LogNormal(10**7, 0.5), 0.9)}})


def test_the_same_seed_is_the_same_sample_and_the_next_another_one() -> None:
    one, two = forecaster(speaks, WILD, seed=5), forecaster(speaks, WILD, seed=6)

    assert one.samples("fifo", 3)[1:] == two.samples("fifo", 2)
    assert one.sample("fifo", 5) != one.sample("fifo", 6)


def test_chances_have_wilson_intervals_and_limits_are_kept() -> None:
    each = forecaster(speaks, WILD, deadline_ns=2 * SECOND, budget=10**8)
    answer = report(each, {"fifo": each.samples("fifo", 200)})
    (policy,) = answer.policies

    assert policy.within_deadline is not None
    assert policy.within_both is not None
    assert policy.within_deadline.low < policy.within_deadline.share < policy.within_deadline.high
    assert policy.within_both.share <= policy.within_deadline.share <= policy.succeeded.share
    assert sum(policy.ends.values()) == 200
    assert set(policy.ends) >= {"succeeded", "paused (deadline)"}
    assert (policy.cost_usd.p99 or 0) <= 0.1


def test_policies_are_compared_in_the_same_worlds() -> None:
    """One long task that comes last in the code: critical path first is better in every world."""

    @ms.workflow
    def uneven(q: str) -> list[str]:
        return ms.gather(*[read(str(n)) for n in range(4)], kept(q))

    said = {"read": {"p50_s": 1, "p95_s": 1.2}, "kept": {"p50_s": 4, "p95_s": 4.2}}
    each = forecaster(uneven, said, limits=Limits(running=2))
    answer = report(each, {name: each.samples(name, 100) for name in ("fifo", "critical-path")})
    (comparison,) = answer.comparisons

    assert (comparison.policy, comparison.against) == ("critical-path", "fifo")
    assert comparison.makespan_s is not None
    assert comparison.makespan_s.high < 0
    assert (comparison.makespan_s.better, comparison.makespan_s.seeds) == (1.0, 100)
    assert comparison.cost_usd is not None
    assert comparison.cost_usd.mean == 0


def test_common_random_numbers_narrow_the_interval_of_a_difference() -> None:
    @ms.workflow
    def uneven(q: str) -> list[str]:
        return ms.gather(*[read(str(n)) for n in range(4)], kept(q))

    said = {"read": {"p50_s": 1, "p95_s": 2}, "kept": {"p50_s": 4, "p95_s": 8}}
    each = forecaster(uneven, said, limits=Limits(running=2))
    fifo, other = each.samples("fifo", 200), each.samples("critical-path", 200)
    difference = report(each, {"fifo": fifo, "critical-path": other}).comparisons[0].makespan_s
    assert difference is not None

    spread = [math.sqrt(variance([s.makespan_ns / 1e9 for s in samples])) for samples in (fifo, other)]
    apart = 1.96 * math.hypot(*spread) / math.sqrt(200)
    assert (difference.high - difference.low) / 2 < apart / 2


def variance(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def test_a_run_that_fails_takes_for_ever() -> None:
    each = forecaster(speaks, {"say": {"p50_s": 1, "usd": 0.01, "success": 0.0}})
    samples = each.samples("fifo", 5)
    answer = report(each, {"fifo": samples}).policies[0]

    assert times_and_costs(samples) == ([math.inf] * 5, [math.inf] * 5)
    assert answer.makespan_s.p50 is None
    assert (answer.cost_usd.mean or 0) > 0  # it was paid all the same
    assert list(answer.errors) == ["task say failed: makespan.sim.Failed: the simulated attempt failed"]


def test_the_critical_path_names_its_tasks_by_how_often_they_are_on_it() -> None:
    samples = [Sample(0, "succeeded", "", "", 1, 0, 0, 1, path) for path in (("a", "b"), ("a",), ("c",), ("a",))]

    assert path_shares(samples) == [("a", 0.75), ("b", 0.25), ("c", 0.25)]


def test_an_unknown_policy_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="no policy is called 'fastest'"):
        forecaster(speaks, {}).samples("fastest", 1)


# ---------------------------------------------------------------- the grid


@pytest.mark.slow
def test_a_grid_is_monotone_and_complete_where_there_is_plenty() -> None:
    each = forecaster(speaks, WILD)
    grid = completion_grid(each, "fifo", 300, 5, 6)

    assert (len(grid.budgets_usd), len(grid.deadlines_s)) == (5, 6)
    for row in grid.probability:
        assert list(row) == sorted(row)
    for column in range(6):
        shares = [row[column] for row in grid.probability]
        errors = [row[column] for row in grid.error]
        assert all(
            later >= earlier - 2 * math.hypot(*pair)
            for (earlier, later), pair in zip(pairwise(shares), pairwise(errors), strict=True)
        )
    free = sum(sample.succeeded for sample in each.samples("fifo", 300)) / 300
    assert grid.probability[0][0] < 0.1 < 0.95 < grid.probability[-1][-1] <= free


@pytest.mark.slow
def test_cutting_at_a_deadline_is_the_same_as_running_with_it() -> None:
    each = forecaster(speaks, WILD)
    grid = completion_grid(each, "fifo", 100, 2, 3)
    for row, budget in zip(grid.probability, grid.budgets_usd, strict=True):
        for share, deadline in zip(row, grid.deadlines_s, strict=True):
            limits = {"budget": round(budget * 1e9), "deadline_ns": round(deadline * 1e9)}
            samples = forecaster(speaks, WILD, **limits).samples("fifo", 100)
            assert share == sum(sample.succeeded for sample in samples) / 100


def test_a_policy_that_looks_at_the_deadline_is_simulated_with_each() -> None:
    grid = completion_grid(forecaster(speaks, WILD), "least-slack", 40, 2, 2)

    assert grid.probability[-1][-1] > 0.4


@pytest.mark.parametrize("text", ["6", "0x4", "6x", "axb", "6x51"])
def test_a_grid_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="BUDGETSxDEADLINES"):
        read_size(text)


def test_a_grid_needs_money_and_success() -> None:
    with pytest.raises(UsageError, match="costs money"):
        completion_grid(forecaster(over, {}), "fifo", 5, 2, 2)
    with pytest.raises(UsageError, match="no run succeeds"):
        completion_grid(forecaster(speaks, {"say": {"usd": 1, "success": 0}}), "fifo", 5, 2, 2)


# ---------------------------------------------------------------- kept runs


def test_a_kept_run_is_a_run_of_the_store_with_the_figures_of_its_sample() -> None:
    each = forecaster(speaks, WILD, started_wall_ns=10**18)
    middle = median_run(each.samples("fifo", 51))
    journal = MemoryJournal()
    outcome = each.outcome("fifo", middle.seed, keep_journal=True, run_id="sim-1")
    save(journal, outcome, Owner("here", 1, 1), 10**18)

    row = journal.run("sim-1")
    state = State(journal.blob)
    spans = spans_of((fact for body in journal.read("sim-1") for fact in decode_facts(body)), state)
    assert row is not None
    assert (row.status, row.workflow, row.owner) == ("succeeded", "simulated:speaks", None)
    assert (state.at, state.cost) == (middle.makespan_ns, middle.cost)
    assert summarise(state).cost_usd == middle.cost / 1e9
    assert len([span for span in spans if span.kind == "call"]) == middle.attempts
    with pytest.raises(UsageError, match="'sim-1'"):
        save(journal, outcome, Owner("here", 1, 1), 10**18)


def test_the_run_in_the_middle_is_the_median_of_those_that_succeeded() -> None:
    samples = [Sample(seed, "succeeded", "", "", time, 0, 0, 1) for seed, time in enumerate([5, 1, 9, 3, 7])]
    failed = [Sample(9, "failed", "", "E", 2, 0, 0, 1)]

    assert median_run([*samples, *failed]).makespan_ns == 5
    assert median_run(failed).seed == 9


def test_fixed_durations_give_exactly_the_longest_path() -> None:
    subject = of_call(over("q"))
    profile = Profile({"search": {"": ModeProfile(Constant(2 * SECOND))}}, ModeProfile(Constant(3 * SECOND)))

    assert Forecaster(subject, profile).sample("fifo", 0).makespan_ns == 5 * SECOND


# ---------------------------------------------------------------- modes, hedges, planners


@ms.prompt(models=["fast", "main"])
def judge(text: str) -> str:
    ms.chat(text)


@ms.workflow
def judged(q: str) -> list[str]:
    return ms.gather(judge(q), judge("b"))


TWO_MODES = {"judge": {"fast": {"p50_s": 1, "usd": 0.01, "success": 0.3}, "main": {"p50_s": 3, "usd": 0.05}}}


def test_modes_are_those_that_were_chosen() -> None:
    first, chosen = forecaster(judged, TWO_MODES), forecaster(judged, TWO_MODES, modes=(("judge", "main"),))

    assert chosen.sample("fifo", 0).makespan_ns == 3 * SECOND
    assert chosen.sample("fifo", 0).cost == 10**8
    assert first.sample("fifo", 0).cost % 10**8  # attempts in the first mode


def test_a_hedge_knows_durations_from_the_profile() -> None:
    @ms.task(hedge=0.9)
    def slow(n: int) -> int:
        raise AssertionError("nothing runs in a simulation")

    @ms.workflow
    def hedged() -> int:
        return slow(1)

    tail = {"slow": {"samples_s": [1.0] * 19 + [100.0], "usd": 0.01}}
    samples = forecaster(hedged, tail).samples("fifo", 400)

    assert max(sample.makespan_ns for sample in samples) <= 101 * SECOND
    late = [sample for sample in samples if sample.attempts == 2]
    assert 5 < len(late) < 40
    assert all(sample.waste for sample in late)
    assert sum(sample.makespan_ns == 2 * SECOND for sample in late) > len(late) / 2


def test_a_planner_is_compared_like_a_policy() -> None:
    planner = pytest.importorskip("makespan.policies.portfolio.planner")
    profile = profile_of(TWO_MODES, "p")
    each = Forecaster(
        of_workflow(judged, {}, items=3),
        profile,
        Setting(deadline_ns=4 * SECOND, budget=3 * 10**8),
        planners={"portfolio": lambda: planner.PortfolioPlanner(profile, worlds=256)},
    )
    answer = report(each, {name: each.samples(name, 20) for name in ("fifo", "portfolio")})

    assert answer.policies[1].succeeded.share == 1.0 > answer.policies[0].succeeded.share
    assert answer.comparisons[0].success.better > answer.comparisons[0].success.worse == 0.0
