"""Suites: what is measured, what counts, what reaches the prompts inside, and a crash in the middle."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

import makespan as ms
from makespan.evals import Case, Report, suite
from makespan.journal.memory import MemoryJournal
from makespan.models.prices import Price
from makespan.models.scripted import Scripted
from makespan.testing.world import SimulatedWorld


@dataclass(frozen=True)
class Answer:
    text: str


@ms.prompt(models=["small"])
def reply(q: str) -> str:
    ms.chat(q)


@ms.prompt(models=["small"])
def second(q: str) -> str:
    ms.chat(f"second {q}")


@ms.task
def answer(text: str) -> Answer:
    return Answer(text)


@ms.workflow
async def inner(q: str) -> str:
    return await second(q)


@ms.workflow
async def rag(q: str) -> Answer:
    return await answer(await reply(await inner(q)))


@ms.workflow
def plain(q: str) -> Answer:
    return answer(reply(second(q)))


@ms.workflow
async def picky(q: str) -> Answer:
    return await answer(await reply.options(models=["small"])(q))


@ms.task
async def shout(q: str) -> Answer:
    if q == "bad":
        raise ValueError("no such word")
    return Answer(q.upper())


def exact(out: Answer, case: Case) -> float:
    return float(out.text == case.target)


def short(out: Answer, case: Case) -> bool:
    return len(out.text) < 4


@ms.task
async def judge(out: Answer, case: Case) -> float:
    return 0.25 if case.target == out.text else 0.75


CASES = [Case("one", "ONE", id="1"), Case("three", "x", id="3"), Case("bad", "BAD", id="b")]


def evaluated(call: ms.Ref[Report], **models: Any) -> Report:
    async def main() -> Report:
        prices = {name: Price(1_000, 0, 0) for name in ("small", "large")}
        async with ms.Engine("memory", models=models, prices=prices) as engine:
            return (await engine.start(call)).output

    return asyncio.run(main())


def test_every_case_variant_and_repeat_is_a_trial_and_failures_count_as_nothing() -> None:
    report = ms.run(suite(shout, CASES, [exact, short, judge], repeats=2), store="memory").output

    assert [(trial.case, trial.repeat) for trial in report.trials] == [(c, r) for c in "13b" for r in (0, 1)]
    (variant,) = report.variants
    means = {name: estimate.mean for name, estimate in variant.scores.items()}
    assert means == pytest.approx({"exact": 1 / 3, "short": 1 / 3, "judge": (0.25 + 0.75) / 3})
    assert (variant.trials, variant.failed) == (6, 2)
    bad = report.trials[-1]
    assert "no such word" in bad.error
    assert (bad.output, report.trials[0].output) == (None, {"text": "ONE"})
    assert variant.pass_hat == [0.0, 0.0]
    assert suite_passes(0.25) == pytest.approx([1 / 3, 1 / 3])


def suite_passes(passing: float) -> list[float]:
    report = ms.run(suite(shout, CASES, [exact, judge], repeats=2, passing=passing), store="memory").output
    return report.variants[0].pass_hat


@pytest.mark.parametrize("subject", [rag, plain, reply], ids=lambda task: task.key)
def test_models_of_the_grid_reach_every_prompt_inside(subject: Any) -> None:
    small, large = Scripted("s", name="small"), Scripted("l", name="large")

    def said(out: Any, case: Case) -> float:
        return float((out if isinstance(out, str) else out.text) == "l")

    report = evaluated(
        suite(subject, CASES[:2], [said], grid={"models": [["small"], ["large"]]}), small=small, large=large
    )

    assert [variant.scores["said"].mean for variant in report.variants] == [0.0, 1.0]
    assert len(small.calls) == len(large.calls) == (2 if subject is reply else 4)
    assert [variant.cost_usd > 0 for variant in report.variants] == [True, True]
    assert sum(trial.cost_usd for trial in report.trials) == sum(variant.cost_usd for variant in report.variants)


def test_models_given_at_the_call_stay() -> None:
    small, large = Scripted("s", name="small"), Scripted("l", name="large")

    evaluated(suite(picky, CASES[:1], [exact], grid={"models": [["large"]]}), small=small, large=large)

    assert (len(small.calls), len(large.calls)) == (1, 0)


def test_a_scorer_that_fails_is_a_problem_of_its_trial_and_counts_as_nothing() -> None:
    def broken(out: Answer, case: Case) -> float:
        if case.id == "1":
            raise KeyError("reference")
        return float("nan")

    report = ms.run(suite(shout, CASES[:2], [broken, exact]), store="memory").output

    assert [list(trial.problems) for trial in report.trials] == [["broken"], ["broken"]]
    assert [trial.scores["broken"] for trial in report.trials] == [0.0, 0.0]
    assert report.trials[0].scores["exact"] == 1.0


def test_a_suite_goes_on_after_a_crash_without_doing_a_finished_trial_again() -> None:
    ran: list[str] = []

    @ms.task(key="counted", effect="pure")
    async def counted(q: str) -> Answer:
        await asyncio.sleep(10)
        ran.append(q)
        return Answer(q)

    def make() -> ms.Ref[Report]:
        cases = [Case(str(n), str(n), id=str(n)) for n in range(6)]
        return suite(counted, cases, [exact], limit=2)

    journal = MemoryJournal()

    def task_of(call: Any) -> Any:
        return call._unbound.task

    with SimulatedWorld(3) as world:
        doomed = world.process("doomed")

        async def first_life() -> None:
            async with ms.Engine("memory", world=doomed, journal=journal) as engine:
                await engine.start(make(), id="suite")

        async def story() -> Report:
            doomed.spawn(first_life(), "doomed")
            await asyncio.sleep(25)
            doomed.kill()
            async with ms.Engine("memory", world=world, journal=journal) as engine:
                result = await engine.resume("suite", task_of(make()))
                assert isinstance(result.output, Report)
                return result.output

        report = world.run_until(story())

    assert sorted(ran) == [str(n) for n in range(6)]
    assert report.variants[0].scores["exact"].mean == 1.0
    assert all(trial.duration_s >= 10 for trial in report.trials)


def test_a_suite_may_be_a_part_of_a_workflow() -> None:
    @ms.workflow
    async def nightly() -> float:
        report = await suite(shout, CASES, [exact])
        return report.variants[0].scores["exact"].mean

    assert ms.run(nightly(), store="memory").output == pytest.approx(1 / 3)


def test_a_report_is_a_table_and_json() -> None:
    report = ms.run(ms.evals.suite(shout, CASES, [exact], grid={"priority": [1, 2]}, repeats=2), store="memory").output

    lines = report.table().splitlines()
    assert lines[0].split() == ["VARIANT", "exact", "PASS^1", "PASS^2", "FAILED", "USD", "SECONDS"]
    assert [line.split()[0] for line in lines[1:]] == ["priority=1", "priority=2"]
    assert msgspec.json.decode(report.to_json(), type=Report) == report


def two(q: str, style: str) -> Answer:
    return Answer(q + style)


@pytest.mark.parametrize("given", [{"q": "a", "style": "b"}, ("a", "b")])
def test_several_parameters_are_given_by_name_or_in_order(given: Any) -> None:
    report = ms.run(suite(ms.task(two), [Case(given, "ab")], [exact]), store="memory").output

    assert report.variants[0].scores["exact"].mean == 1.0


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (([], [exact]), {}, "cases: none"),
        (([Case("a"), Case("a")], [exact]), {}, "two cases have the id"),
        (([Case("a")], []), {}, "scorers: none"),
        (([Case("a")], [exact, exact]), {}, "a name of its own"),
        (([Case("a")], [lambda out, case: 1.0]), {}, "no named function"),
        (([Case("a")], [shout]), {}, r"is a task of \(output, case\)"),
        (([Case("a")], [exact]), {"grid": {"modles": [["a"]]}}, "no option is called 'modles'"),
        (([Case("a")], [exact]), {"grid": {"models": [["a"]]}}, "means nothing to the task shout"),
        (([Case("a")], [exact]), {"grid": {"priority": 3}}, "list of the values"),
        (([Case("a")], [exact]), {"grid": {"reply.models": [["a"]]}}, "an option of the whole subject"),
        (([Case("a")], [exact]), {"repeats": 0}, "both are at least 1"),
        (([Case("a")], [exact]), {"repeats": 10**6}, "at most 100000"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_runs(arguments: Any, options: Any, said: str) -> None:
    with pytest.raises(ms.GraphError, match=said):
        suite(shout, *arguments, **options)


def test_an_input_that_does_not_fit_several_parameters_is_refused() -> None:
    with pytest.raises(ms.GraphError, match="the subject takes q, style"):
        suite(ms.task(two), [Case("a")], [exact])
