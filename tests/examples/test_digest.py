"""Map-reduce over 500 documents: a few that fail are gaps, many are a failure; a crash changes nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from examples import digest
from makespan.errors import ProviderError
from makespan.models.scripted import Scripted, prompt_text
from makespan.ports import ModelRequest
from makespan.testing import running


def failing(every: int) -> Callable[[ModelRequest], str]:
    """Refuses to summarise every so many-th report."""

    def answer(request: ModelRequest) -> str:
        asked = prompt_text(request)
        report = re.match(r"Say it briefly: Report (\d+)", asked)
        if report is None:
            return f"{asked.count('short')} parts, {re.findall(r'[0-9]+ reports', asked)[0]} missing"
        if int(report[1]) % every == every // 2:
            raise ProviderError("it is not suitable", kind="refused", retryable=False)
        return f"short {report[1]}"

    return answer


def uneven(request: ModelRequest) -> float:
    """Seconds of an answer; no two reports beside each other take as long."""
    return 1 + sum(map(ord, prompt_text(request))) % 37 / 7


def test_one_in_a_hundred_that_fails_leaves_an_answer_with_its_gaps() -> None:
    model = Scripted(failing(100))

    done = running.run(digest.digest(500), models=model)

    assert "5 reports missing" in done.output
    assert len(done.gaps) == 5
    assert all("it is not suitable" in gap for gap in done.gaps)
    assert len(model.calls) == 501


def test_a_crash_in_the_middle_does_no_finished_summary_again() -> None:
    model = Scripted(failing(100), latency_s=uneven)

    done = running.run(digest.digest(500), models=model, crash_at=200)

    assert "5 reports missing" in done.output
    assert len(done.gaps) == 5
    assert 501 < len(model.calls) <= 501 + 50  # what was under way is asked again, and no more than the limit was


def test_at_most_fifty_are_summarised_at_once() -> None:
    running_now = [0, 0]

    async def slow(seconds: float) -> None:
        running_now[0] += 1
        running_now[1] = max(running_now)
        await asyncio.sleep(seconds)
        running_now[0] -= 1

    running.run(digest.digest(200), models=Scripted(failing(100), latency_s=1.0, sleep=slow))

    assert running_now[1] == 50


def test_a_fifth_that_fails_is_a_failure() -> None:
    done = running.run(digest.digest(100), models=Scripted(failing(5)))

    assert done.status == "failed"
    assert "only 80 of 100 documents could be read" in str(done.error)
