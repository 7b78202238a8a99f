"""A stored run as a graph: simulated with its own durations it takes as long as it did, with others what they imply."""

from __future__ import annotations

from typing import Any

import makespan as ms
from makespan.forecast.subject import of_run
from makespan.graph.check import check
from makespan.machine.observations import StartAttempt
from makespan.machine.state import State
from makespan.profiles.profile import Drawn
from makespan.sim.realised import realised_graph
from makespan.sim.simulation import Outcome, Simulation, header
from tests.machine.driver import SECOND, Act, Life, by_key, error, run


@ms.task
def load(n: int) -> list[int]:
    return list(range(n))


@ms.task(retries=2)
def work(n: int) -> int:
    return n


@ms.task
def big(n: int) -> bool:
    return n > 2


@ms.task
def slow(n: int) -> int:
    return n


@ms.task
def quick(n: int) -> int:
    return -n


@ms.workflow
def several(n: int) -> list[int]:
    return ms.map(work, load(n))


@ms.workflow
def guarded(n: int) -> int | None:
    return ms.when(big(n), lambda: slow(n), lambda: quick(n))


@ms.workflow
def race(n: int) -> int:
    return work(ms.first(slow(n), quick(n)))


@ms.workflow
async def child(n: int) -> int:
    return await work(n) + await work(n + 100)


@ms.workflow
async def parent(n: int) -> int:
    await ms.sleep(5)
    return sum([await child(each) for each in range(n)]) + await ms.receive("go", int)


@ms.workflow
async def survives(n: int) -> int:
    found = await ms.outcome(slow(n))
    return await quick(n) if not found else 0


def again(state: State, takes: dict[str, int], ok: dict[str, bool] | None = None) -> Outcome:
    """The run's graph with seconds by task key; what is not named takes no time."""
    subject = of_run(state)

    def attempt(command: StartAttempt) -> Drawn:
        key = command.declaration.key
        return Drawn(takes.get(key, 0) * SECOND, ok=(ok or {}).get(key, True))

    return Simulation(header(subject.root), subject.opening, attempt, outside=True).run()


def keys(outcome: Outcome) -> list[str]:
    return sorted(task.declaration.key for task in outcome.state.tasks if task.attempt)


def graph_of(life: Life) -> Any:
    nodes, scopes = realised_graph(life.state)
    check(nodes, scopes)
    return nodes


def test_a_map_waits_for_all_the_items_it_had() -> None:
    outcome = again(run(several(4)).state, {"load": 2, "work": 3})

    assert keys(outcome) == ["load", *["work"] * 4]
    assert (outcome.status, outcome.makespan_ns) == ("succeeded", 5 * SECOND)


def test_what_a_guard_skipped_is_left_out() -> None:
    assert keys(again(run(guarded(3)).state, {})) == ["big", "slow"]
    assert keys(again(run(guarded(1)).state, {})) == ["big", "quick"]


def test_a_race_is_a_race_again() -> None:
    life = run(race(1), by_key(slow=Act(9 * SECOND), quick=Act(SECOND)))

    slow_wins = again(life.state, {"slow": 1, "quick": 4, "work": 1})
    quick_wins = again(life.state, {"slow": 9, "quick": 2, "work": 1})

    assert (slow_wins.makespan_ns, quick_wins.makespan_ns) == (2 * SECOND, 3 * SECOND)


def test_what_a_body_asked_for_comes_after_what_it_had_waited_for() -> None:
    from makespan.machine.observations import Sent

    life = Life(parent(3)).run(until=20 * SECOND)
    life.observe(Sent(life.now, "go", b"\x07", "m")).run()
    graph_of(life)

    outcome = again(life.state, {"work": 2, "receive go": 4})

    assert outcome.makespan_ns == (5 + 3 * 2 * 2 + 4) * SECOND


def test_failures_are_drawn_anew_and_retried_as_the_task_says() -> None:
    life = run(several(1), by_key(work=[Act(SECOND, error("E")), Act(SECOND)]))

    fine, failing = again(life.state, {"work": 1}), again(life.state, {"work": 1}, {"work": False})

    assert (fine.status, fine.makespan_ns) == ("succeeded", SECOND)
    assert failing.status == "failed"
    assert len([task for task in failing.state.tasks if task.attempt == 3]) == 1


def test_a_failure_that_the_run_survived_is_survived() -> None:
    life = run(survives(1), by_key(slow=Act(SECOND, error("E"))))

    outcome = again(life.state, {"slow": 2, "quick": 3}, {"slow": False})

    assert (outcome.status, outcome.makespan_ns) == ("succeeded", 5 * SECOND)


def test_a_run_that_was_cut_is_simulated_as_far_as_it_got() -> None:
    life = Life(several(3), by_key(load=Act(SECOND), work=Act(SECOND))).run(turns=2)

    outcome = again(life.state, {"load": 1, "work": 1})

    assert outcome.status == "succeeded"


def test_every_graph_of_a_run_is_a_graph() -> None:
    for life in (run(several(3)), run(guarded(3)), run(race(1)), run(survives(1))):
        assert graph_of(life)
