"""Time on the virtual clock: the machine waits for nothing but sources and slots."""

from __future__ import annotations

import random
from heapq import heappop, heappush

import pytest

import makespan as ms
from makespan.machine.facts import Limits
from makespan.machine.observations import StartAttempt
from makespan.values import untyped
from tests.machine.driver import Act, Script, run

TASKS = 24


@ms.task
def step(number: int, needs: list[int]) -> int:
    return number


def random_needs(chance: random.Random) -> list[list[int]]:
    """For each of 24 tasks, up to four earlier ones."""
    return [sorted(chance.sample(range(n), min(n, chance.choice([0, 1, 1, 2, 3, 4])))) for n in range(TASKS)]


def workflow_of(needs: list[list[int]]) -> ms.Workflow[[], list[int]]:
    """A plain workflow with these edges."""

    @ms.workflow(key="shape")
    def made() -> list[int]:
        refs: list[ms.Ref[int]] = []
        for number, needed in enumerate(needs):
            refs.append(step(number, [refs[each] for each in needed]))
        return ms.gather(*refs)

    return made


def log_normal(chance: random.Random) -> list[int]:
    return [round(chance.lognormvariate(0.0, 1.0) * 1e9) for _ in range(TASKS)]


def script_of(durations: list[int]) -> Script:
    def script(command: StartAttempt) -> Act:
        return Act(takes_ns=durations[untyped(command.args)["number"]])

    return script


def longest_path(needs: list[list[int]], durations: list[int]) -> int:
    ends: list[int] = []
    for number, needed in enumerate(needs):
        ends.append(durations[number] + max((ends[each] for each in needed), default=0))
    return max(ends)


def list_schedule(needs: list[list[int]], durations: list[int], slots: int) -> int:
    """First come, first served on `slots` machines; tasks that become ready together start in their order."""
    unmet = [len(needed) for needed in needs]
    ready = [number for number in range(TASKS) if not unmet[number]]
    running: list[tuple[int, int]] = []
    now = 0
    while ready or running:
        while ready and len(running) < slots:
            number = ready.pop(0)
            heappush(running, (now + durations[number], number))
        now, ended = heappop(running)
        for number, needed in enumerate(needs):
            if ended in needed:
                unmet[number] -= 1
                if not unmet[number]:
                    ready.append(number)
    return now


def test_200_random_dags_take_exactly_their_longest_path_when_slots_are_plenty() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        needs, durations = random_needs(chance), log_normal(chance)

        life = run(workflow_of(needs)(), script_of(durations))

        assert life.status == "succeeded"
        assert life.state.at == longest_path(needs, durations), f"seed {seed}"


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_200_random_dags_take_exactly_the_time_of_a_list_schedule_when_slots_are_few(slots: int) -> None:
    for seed in range(200):
        chance = random.Random(seed)
        needs, durations = random_needs(chance), log_normal(chance)

        life = run(workflow_of(needs)(), script_of(durations), limits=Limits(running=slots))

        assert life.state.at == list_schedule(needs, durations, slots), f"seed {seed}"
