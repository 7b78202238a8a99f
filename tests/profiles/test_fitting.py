"""A profile is what the journals say of attempts, and nothing that they do not."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

import makespan as ms
from makespan.errors import ErrorRecord
from makespan.graph.node import Declaration, Options
from makespan.machine.facts import (
    AttemptFailed,
    AttemptStarted,
    DeclarationAdded,
    Fact,
    LateResult,
    Limits,
    RunStarted,
    TaskAdded,
    TaskCancelled,
    TaskSucceeded,
)
from makespan.machine.observations import StartAttempt
from makespan.profiles.distributions import Empirical, LogNormal
from makespan.profiles.fitting import QUANTILES, ROWS_LIMIT, VALUE_BYTES, Fit, fitted, summary
from makespan.profiles.profile import read_profile, written
from tests.machine.driver import SECOND, Act, Life, by_key, error, run


@ms.task
def load(n: int) -> list[int]:
    return list(range(n))


@ms.task(retries=3)
def work(n: int) -> int:
    return n


@ms.task(approve=True)
def send(n: int) -> int:
    return n


@ms.workflow
def several(n: int) -> list[int]:
    return ms.map(work, load(n))


@ms.workflow
def approved(n: int) -> int:
    return send(work(n))


@ms.workflow
async def waits() -> int:
    return await work(await ms.receive("go", int))


def fit_of(*lives: Life) -> Fit:
    fit = Fit()
    for life in lives:
        fit.add(life.facts, life.blobs.__getitem__)
    return fit


def one_task(*facts: Fact, options: Options = Options()) -> Fit:  # noqa: B008
    """A fit of a run with one task, number 0."""
    fit = Fit()
    start: list[Fact] = [
        RunStarted("r", "w", b"t" * 16, b"\x80", 0, 0, Limits()),
        DeclarationAdded(Declaration("ask", options=options)),
        TaskAdded(0, 0, b"t" * 16, (b"\x80",)),
    ]
    fit.add([*start, *facts], {}.__getitem__)
    return fit


def only(fit: Fit, key: str = "ask", mode: str = "") -> Any:
    return fit.profile.tasks[key][mode]


def test_an_attempt_is_as_long_as_from_its_start_to_its_end_and_as_dear_as_it_was() -> None:
    life = run(several(3), by_key(load=Act(2 * SECOND, cost=5), work=Act(SECOND, cost=7)), limits=Limits(running=1))
    work_mode = only(fit_of(life), "work")

    assert work_mode.duration == Empirical((SECOND,) * 3)  # the second and third waited for room
    assert [row.cost for row in work_mode.seen] == [7, 7, 7]
    assert sorted(row.value for row in work_mode.seen) == [b"\x00", b"\x01", b"\x02"]
    assert only(fit_of(life), "load").duration == Empirical((2 * SECOND,))


def test_failed_attempts_count_as_attempts_of_their_own() -> None:
    life = run(approved(1), by_key(work=[Act(SECOND, error("E")), Act(3 * SECOND)]))
    mode = only(fit_of(life), "work")

    assert mode.success == 0.5
    assert mode.duration == Empirical((SECOND, 3 * SECOND))  # without the pause before the second
    assert {row.ok: row.value for row in mode.seen} == {False: None, True: b"\x01"}


def test_the_width_of_lists_is_remembered() -> None:
    lives = [run(several(3)), run(several(5))]

    assert fit_of(*lives).profile.widths["load"] == Empirical((3, 5))


def test_waits_for_people_and_messages_are_fitted_from_when_they_begin() -> None:
    life = run(approved(1))
    life.now = 9 * SECOND
    from makespan.machine.observations import Answered, Sent

    life.observe(Answered(life.now, life.task("send").spec.id, b"\xc3", "m")).run()
    waiting = run(waits())
    waiting.now = 4 * SECOND
    waiting.observe(Sent(waiting.now, "go", b"\x07", "m")).run()
    profile = fit_of(life, waiting).profile

    assert profile.tasks["approval of send"][""].duration == Empirical((8 * SECOND,))
    assert profile.tasks["receive go"][""].seen[0].value == b"\x07"
    assert profile.tasks["receive go"][""].duration == Empirical((4 * SECOND,))


def test_attempts_cut_by_a_crash_say_nothing() -> None:
    life = Life(approved(1), by_key(work=Act(10 * SECOND))).run(until=3 * SECOND)
    life.crash().resume()
    life.run(until=20 * SECOND)

    assert only(fit_of(life), "work").duration == Empirical((10 * SECOND,))


def test_a_cached_result_is_no_attempt() -> None:
    fit = one_task(AttemptStarted(0, 5), TaskSucceeded(0, 5, b"\x01", cached=True))

    assert fit.profile.tasks == {}


def test_a_late_result_makes_the_attempt_as_long_and_dear_as_it_really_was() -> None:
    timeout = ErrorRecord("TimeoutError", "too long", ("TimeoutError",))
    start = [AttemptStarted(0, 10), AttemptFailed(0, 30, timeout, 1, lingers=True)]
    heard_of = one_task(*start, LateResult(0, 90, b"\x07", cost=4, attempt=1))
    unheard_of = one_task(*start)

    assert [only(heard_of).seen[0], only(unheard_of).seen[0]] == [
        msgspec.structs.replace(only(heard_of).seen[0], takes_ns=80, cost=5, ok=True, value=b"\x07"),
        msgspec.structs.replace(only(heard_of).seen[0], takes_ns=20, cost=1, ok=False, value=None),
    ]


def test_an_attempt_that_lost_a_race_and_was_stopped_says_nothing() -> None:
    fit = one_task(
        AttemptStarted(0, 0),
        AttemptStarted(0, 50, beside=True),
        TaskSucceeded(0, 60, b"\x01", 3, attempt=2),
        LateResult(0, 60, cost=9, attempt=1),
    )

    assert [(row.takes_ns, row.cost) for row in only(fit).seen] == [(10, 3)]


def test_a_cancelled_attempt_says_nothing() -> None:
    assert one_task(AttemptStarted(0, 0), TaskCancelled(0, 5)).profile.tasks == {}


@pytest.mark.parametrize(
    ("started", "options", "mode"),
    [
        (AttemptStarted(0, 0, mode="fast"), Options(models=("slow", "fast"), priced=True), "fast"),
        (AttemptStarted(0, 0), Options(models=("slow",), priced=True), "slow"),
        (AttemptStarted(0, 0), Options(models=("slow", "fast"), priced=True), ""),
        (AttemptStarted(0, 0), Options(), ""),
    ],
)
def test_the_mode_is_the_chosen_one_or_the_only_model(started: AttemptStarted, options: Options, mode: str) -> None:
    fit = one_task(started, TaskSucceeded(0, 5, b"\x01"), options=options)

    assert list(fit.profile.tasks["ask"]) == [mode]


def test_large_results_are_left_out() -> None:
    value = msgspec.msgpack.encode("x" * VALUE_BYTES)
    fit = one_task(AttemptStarted(0, 0), TaskSucceeded(0, 5, value))

    assert only(fit).seen[0].value is None
    assert only(fit).seen[0].ok


def test_runs_in_any_order_give_the_same_profile_which_survives_its_file() -> None:
    chance = random.Random(1)

    def script(command: StartAttempt) -> Act:
        return Act(chance.randrange(1, 10**9), cost=chance.randrange(100))

    lives = [run(several(40), script, seed=seed) for seed in range(8)]
    for number, life in enumerate(lives):  # each with a run id of its own, as in a store
        started, *rest = life.facts
        life.journal = [msgspec.msgpack.encode([msgspec.structs.replace(started, run_id=f"r{number}"), *rest])]
    runs = [(life.facts, life.blobs.__getitem__) for life in lives]

    profile = fitted(runs)

    assert profile == fitted(runs[::-1])
    assert len(profile.tasks["work"][""].seen) == ROWS_LIMIT < 320
    assert read_profile(written(profile)) == profile
    assert profile.digest == read_profile(written(profile)).digest


def test_few_values_are_kept_and_many_become_a_log_normal_where_that_is_as_good() -> None:
    chance = random.Random(2)
    smooth = [round(chance.lognormvariate(20, 0.6)) for _ in range(2_000)]
    twofold = [round(chance.gauss(1e9, 1e7)) for _ in range(1_000)] + [9 * 10**9] * 1_000

    few, many, other = summary(smooth[:QUANTILES]), summary(smooth), summary(twofold)

    assert few == Empirical(tuple(sorted(smooth[:QUANTILES])))
    assert isinstance(many, LogNormal)
    assert many.quantile(0.9) == pytest.approx(sorted(smooth)[1800], rel=0.1)
    assert isinstance(other, Empirical)
    assert len(other.values) == QUANTILES
    assert (other.values[0], other.most) == (min(twofold), max(twofold))


def test_figures_are_those_of_all_attempts_not_only_of_the_rows_that_are_kept() -> None:
    durations = iter(range(1, 1001))
    life = run(several(400), lambda command: Act(next(durations) * 1_000, cost=2))
    figures = {each.key: each for each in fit_of(life).figures()}

    assert figures["work"].attempts == 400
    assert figures["work"].mean_cost == 2
    assert figures["work"].p50_ns < figures["work"].p95_ns <= 401_000
    assert figures["work"].success == 1.0
