"""The broker: nobody overtakes, nobody starves, no pool or rate is ever passed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import makespan as ms
from makespan.machine.broker import Broker, Held, Rate
from tests.machine.driver import SECOND, Act, Life, by_key

GPU = (("gpu", 1),)


def holder(number: int, run: str = "r") -> tuple[str, int, int]:
    return (run, number, 1)


def test_who_asks_first_is_served_first() -> None:
    broker = Broker({"gpu": 1})
    assert broker.ask(holder(1), GPU, 0)
    assert not broker.ask(holder(2), GPU, 0)
    assert not broker.ask(holder(3), GPU, 0)

    broker.release(holder(1))

    assert broker.grants(0) == [holder(2)]
    assert broker.waiting == 1


def test_a_small_need_does_not_overtake_a_large_one_of_the_same_pool() -> None:
    broker = Broker({"gpu": 4})
    broker.ask(holder(1), (("gpu", 3),), 0)

    assert not broker.ask(holder(2), (("gpu", 4),), 0)
    assert not broker.ask(holder(3), GPU, 0)

    broker.release(holder(1))
    assert broker.grants(0) == [holder(2)]


def test_who_needs_something_else_passes_by() -> None:
    broker = Broker({"gpu": 1, "disk": 1})
    broker.ask(holder(1), GPU, 0)
    broker.ask(holder(2), GPU, 0)

    assert broker.ask(holder(3), (("disk", 1),), 0)


def test_asking_again_for_what_one_holds_is_granted() -> None:
    broker = Broker({"gpu": 1})
    broker.ask(holder(1), GPU, 0)

    assert broker.ask(holder(1), GPU, 0)
    assert broker.held() == {holder(1): GPU}


def test_who_leaves_the_line_lets_the_next_one_through() -> None:
    broker = Broker({"gpu": 2})
    broker.ask(holder(1), GPU, 0)
    broker.ask(holder(2), (("gpu", 2),), 0)
    broker.ask(holder(3), GPU, 0)

    broker.release(holder(2))

    assert broker.grants(0) == [holder(3)]


def test_a_rate_allows_so_many_in_any_window_to_the_nanosecond() -> None:
    broker = Broker(rates={"api": Rate(2, SECOND)})
    need = (("api", 1),)
    assert broker.ask(holder(1), need, 0)
    assert broker.ask(holder(2), need, SECOND // 2)
    assert not broker.ask(holder(3), need, SECOND - 1)

    assert broker.next_grant_at() == SECOND
    assert broker.grants(SECOND - 1) == []
    assert broker.grants(SECOND) == [holder(3)]


def test_a_release_gives_no_units_of_a_rate_back() -> None:
    broker = Broker(rates={"api": Rate(1, SECOND)})
    broker.ask(holder(1), (("api", 1),), 0)
    broker.release(holder(1))

    assert not broker.ask(holder(2), (("api", 1),), SECOND - 1)


def test_the_next_grant_of_a_large_need_is_when_enough_has_passed() -> None:
    broker = Broker(rates={"api": Rate(3, SECOND)})
    for number in range(3):
        broker.ask(holder(number), (("api", 1),), number * 100)

    broker.ask(holder(9), (("api", 2),), 300)

    assert broker.next_grant_at() == SECOND + 100
    assert broker.grants(SECOND + 100) == [holder(9)]


def test_who_waits_for_a_pool_only_is_not_promised_a_time() -> None:
    """A promise that has passed already would have the engine look again and again without a pause."""
    broker = Broker({"gpu": 1}, {"api": Rate(5, SECOND)})
    both = (("api", 1), ("gpu", 1))
    broker.ask(holder(1), both, 0)
    broker.ask(holder(2), (("gpu", 1), ("api", 1)), 0)

    assert broker.grants(9 * SECOND) == []
    assert broker.next_grant_at() is None


def test_what_a_dead_run_held_or_waited_for_comes_back() -> None:
    broker = Broker({"gpu": 1})
    broker.ask(holder(1, "dead"), GPU, 0)
    broker.ask(holder(2, "dead"), GPU, 0)
    broker.ask(holder(1, "alive"), GPU, 0)

    broker.release_run("dead")

    assert broker.grants(0) == [holder(1, "alive")]
    assert broker.waiting == 0


def test_what_other_processes_hold_counts() -> None:
    broker = Broker({"gpu": 2})
    broker.observe([Held("gpu", holder(1, "elsewhere"), 2, 0)])
    assert not broker.ask(holder(1), GPU, 0)

    broker.observe([Held("gpu", holder(1, "elsewhere"), 1, 0)])
    assert broker.grants(0) == [holder(1)]


@pytest.mark.parametrize(
    ("needs", "said"),
    [((("gpv", 1),), "did you mean 'gpu'"), ((("gpu", 3),), "which has only 2"), ((("gpu", 2),), None)],
)
def test_needs_that_can_never_be_met_are_named(needs: Any, said: str | None) -> None:
    problem = Broker({"gpu": 2}).problem(needs)

    assert problem is None if said is None else said in (problem or "")


# ---------------------------------------------------------------- with a run


@ms.task(needs={"gpu": 1})
def train(x: int) -> int:
    return x


@ms.task(needs={"gpv": 1})
def misspelt(x: int) -> int:
    return x


@ms.task(needs={"gpu": 1}, timeout_s=2, retries=1)
def hasty(x: int) -> int:
    return x


@ms.workflow
def training(x: int) -> list[int]:
    return ms.gather(*[train(n) for n in range(6)])


def test_tasks_wait_for_their_pool_in_their_order() -> None:
    life = Life(training(0), broker=Broker({"gpu": 2})).run()

    assert life.state.at == 3 * SECOND
    assert [command.args[-1] for command in life.starts] == list(range(6))


def test_a_need_nobody_can_meet_fails_its_task_with_a_suggestion() -> None:
    life = Life(misspelt(1), broker=Broker({"gpu": 2})).run()

    assert life.status == "failed"
    assert life.state.error is not None
    assert "did you mean 'gpu'" in life.state.error.message


def test_a_timed_out_attempt_holds_its_units_until_it_is_seen_to_end() -> None:
    stubborn = [Act(10 * SECOND, stubborn=True), Act()]

    life = Life(hasty(1), by_key(hasty=stubborn), broker=Broker({"gpu": 1})).run()

    assert life.status == "succeeded"
    assert life.starts[1].attempt == 2
    assert life.task("hasty").started_at == 10 * SECOND


def test_a_crashed_life_gives_its_units_back() -> None:
    broker = Broker({"gpu": 1})

    life = Life(training(0), broker=broker).run(until=SECOND).crash().resume().run()

    assert life.status == "succeeded"
    assert broker.held() == {}


# ---------------------------------------------------------------- laws


class BrokerLaws(RuleBasedStateMachine):
    """A plain model beside the broker: who asked when, who holds what, what was granted when."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = Broker({"gpu": 3, "disk": 2}, {"tokens": Rate(3, 100)})
        self.now = 0
        self.next = 0
        self.asked: list[tuple[Any, Any]] = []
        self.holding: dict[Any, Any] = {}
        self.spent: list[tuple[int, int]] = []

    def _granted(self, who: Any, needs: Any) -> None:
        self.asked = [(other, theirs) for other, theirs in self.asked if other != who]
        self.holding[who] = needs
        self.spent += [(self.now, units) for name, units in needs if name == "tokens"]

    def _no_one_was_overtaken(self, who: Any, needs: Any) -> None:
        names = {name for name, _ in needs}
        for other, theirs in self.asked:
            if other == who:
                break
            if other[0] != who[0]:
                continue  # between runs fairness decides, not who came first
            assert not names.intersection(name for name, _ in theirs), f"{who} overtook {other}"

    @rule(
        needs=st.dictionaries(st.sampled_from(["gpu", "disk", "tokens"]), st.integers(1, 2), min_size=1),
        run=st.sampled_from(["a", "b"]),
    )
    def ask(self, needs: dict[str, int], run: str) -> None:
        self.next += 1
        who, wanted = (run, self.next, 1), tuple(sorted(needs.items()))
        self.asked.append((who, wanted))
        if self.broker.ask(who, wanted, self.now):
            self._no_one_was_overtaken(who, wanted)
            self._granted(who, wanted)

    @rule(data=st.data())
    @precondition(lambda self: self.holding or self.asked)
    def release(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from([*self.holding, *[who for who, _ in self.asked]]))
        self.broker.release(who)
        self.holding.pop(who, None)
        self.asked = [(other, theirs) for other, theirs in self.asked if other != who]

    @rule(run=st.sampled_from(["a", "b"]))
    def a_run_dies(self, run: str) -> None:
        self.broker.release_run(run)
        self.holding = {who: needs for who, needs in self.holding.items() if who[0] != run}
        self.asked = [(who, needs) for who, needs in self.asked if who[0] != run]

    @rule(passed=st.integers(0, 120))
    def grant(self, passed: int) -> None:
        self.now += passed
        for who in self.broker.grants(self.now):
            needs = dict(self.asked)[who]
            self._no_one_was_overtaken(who, needs)
            self._granted(who, needs)
        due = self.broker.next_grant_at()
        assert due is None or due > self.now, "a time that has passed would be looked at for ever"

    @rule()
    def nobody_starves(self) -> None:
        """When all that is held comes back and windows pass, everyone in line is served."""
        for _ in range(len(self.asked) + 1):
            for who in list(self.holding):
                self.broker.release(who)
                del self.holding[who]
            self.grant(101)
        assert not self.asked

    @invariant()
    def no_pool_is_passed(self) -> None:
        for name, pool in self.broker.pools.items():
            assert sum(dict(needs).get(name, 0) for needs in self.holding.values()) <= pool.slots

    @invariant()
    def no_window_is_passed(self) -> None:
        for start, _ in self.spent:
            assert sum(units for at, units in self.spent if start <= at < start + 100) <= 3

    @invariant()
    def the_broker_knows_who_holds_what(self) -> None:
        assert self.broker.held() == self.holding
        assert self.broker.waiting == len(self.asked)


BrokerLaws.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestBrokerLaws = pytest.mark.slow(BrokerLaws.TestCase)
