"""The evaluation grid: every model with every case as often as asked, scored, and the better one told."""

from __future__ import annotations

from examples import evalgrid
from makespan.errors import ProviderError
from makespan.models.scripted import Scripted
from makespan.ports import Model
from makespan.testing import running

RIGHT = Scripted({"late": "delivery", "twice": "Billing.", "crashes": "software"}, name="right")
CHATTY = Scripted("It is about billing", name="chatty")


def models(one: Model, other: Model) -> dict[str, Model | str]:
    return {"embedded": one, "scripted": other}


def test_the_report_tells_the_better_model_by_each_score() -> None:
    report = running.run(evalgrid.evalgrid(2), models=models(RIGHT, CHATTY)).output

    better, worse = report.variants
    assert (better.variant, worse.variant) == ("models=embedded", "models=scripted")
    assert better.scores["exact"].mean == better.scores["brief"].mean == 1.0
    assert worse.scores["exact"].mean == worse.scores["brief"].mean == 0.0
    assert better.pass_hat == [1.0, 1.0]
    assert len(report.trials) == 2 * 3 * 2


def test_a_model_that_fails_counts_as_wrong_and_a_crash_changes_nothing() -> None:
    faults = {call: ProviderError("no", kind="refused", retryable=False) for call in range(1000)}
    broken = Scripted("", name="broken", faults=faults)

    report = running.run(evalgrid.evalgrid(1), models=models(RIGHT, broken), crash_at="each").output

    assert report.variants[1].failed == 3
    assert report.variants[1].scores["exact"].mean == 0.0
    assert report.variants[0].failed == 0
