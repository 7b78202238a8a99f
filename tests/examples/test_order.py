"""An order that is paid, cancelled or forgotten: the same branch, and one parcel at most, wherever it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from examples import order
from makespan.testing import running

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("inbox", "end"),
    [
        ({"paid": order.Paid(20)}, "o1 is on its way, 20.00 USD paid"),
        ({"cancel": order.Cancel("too slow")}, "o1 was cancelled: too slow"),
        ({}, "o1 has expired"),
    ],
)
def test_each_branch_survives_every_crash(inbox: dict[str, Any], end: str) -> None:
    assert running.run(order.order("o1"), inbox=inbox, crash_at="each").output == end


def test_three_reminders_are_a_day_apart() -> None:
    days: list[int] = []

    done = running.run(order.order("o1"), fakes={order.remind: lambda _, day: days.append(day)})

    assert days == [1, 2, 3]
    assert done.makespan_s == pytest.approx(3 * order.DAY_S)


@pytest.mark.slow
def test_the_command_line_pays_it_from_another_process(tmp_path: Path) -> None:
    makespan = [sys.executable, "-m", "makespan.cli.main"]
    world: dict[str, Any] = {
        "cwd": ROOT,
        "env": {**os.environ, "MAKESPAN_STORE": str(tmp_path / "store")},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    with subprocess.Popen(
        [*makespan, "run", "examples/order.py", "-i", "order_id=o1", "--id", "o1"], **world
    ) as waiting:
        assert waiting.stderr is not None
        seen = next(line for line in waiting.stderr if "makespan send o1 paid" in line)

        sent = subprocess.run([*makespan, "send", "o1", "paid", '{"usd": 20}'], **world, timeout=60)
        out, _ = waiting.communicate(timeout=60)

    assert "waits for makespan send o1 paid VALUE" in seen
    assert sent.stderr.strip() == "sent 'paid' to run o1"
    assert out.strip() == "o1 is on its way, 20.00 USD paid"
