"""Cross-validation: two slots, two trainings at once, never two on one slot; and the right rate wins."""

from __future__ import annotations

import asyncio

import pytest

import makespan as ms
from examples import crossval
from makespan.testing import running

RATES = [0.001, 0.01, 0.1]


def test_a_slot_is_never_shared_and_all_slots_are_used() -> None:
    busy: set[int] = set()
    most: list[int] = []

    async def training(fold: int, rate: float) -> float:
        (slot,) = ms.context().slots["gpu"]
        assert slot not in busy
        busy.add(slot)
        most.append(len(busy))
        await asyncio.sleep(60 + fold)
        busy.remove(slot)
        return abs(rate - 0.01)

    done = running.run(crossval.crossval(RATES), fakes={crossval.train: training}, engine={"pools": {"gpu": 2}})

    assert done.output == 0.01
    assert len(most) == 15
    assert max(most) == 2
    assert done.makespan_s < 8 * 64 + 1  # the longer of the two lines has eight


def test_a_crash_gives_the_slots_back() -> None:
    done = running.run(
        crossval.crossval(RATES),
        fakes={crossval.train: lambda fold, rate: rate},
        engine={"pools": {"gpu": 2}},
        crash_at="each",
    )

    assert done.output == 0.001


@pytest.mark.slow
def test_real_trainings_run_in_worker_processes_and_the_best_rate_is_found() -> None:
    async def main() -> ms.Result[float]:
        async with ms.Engine("memory", pools={"gpu": 2}) as engine:
            return await engine.start(crossval.crossval(RATES))

    assert asyncio.run(main()).output == 0.1
