"""Values above 64 KiB live beside the facts; nobody who passes them on notices."""

from __future__ import annotations

from pathlib import Path

import pytest

import makespan as ms
from makespan.values import BLOB_BYTES


@ms.task
async def page(size: int) -> str:
    return "x" * size


@ms.task
async def total(one: str, others: list[str]) -> int:
    return len(one) + sum(len(other) for other in others)


@ms.workflow
def plain(size: int) -> int:
    made = page(size)
    return total(made, [made, made])


@ms.workflow
async def live(size: int) -> str:
    made = await page(size)
    assert await total(made, [made]) == 2 * size
    return made


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory" if request.param == "memory" else str(tmp_path / "store")


def test_a_large_result_reaches_a_task_that_starts_in_the_same_turn(store: str) -> None:
    size = 2 * BLOB_BYTES

    assert ms.run(plain(size), store=store).output == 3 * size


def test_a_large_output_can_be_read_after_the_store_was_closed(store: str) -> None:
    size = 2 * BLOB_BYTES

    assert ms.run(live(size), store=store).output == "x" * size
