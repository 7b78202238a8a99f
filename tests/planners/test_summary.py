"""A view of a long history never outgrows its cap."""

from __future__ import annotations

import random

import pytest

import makespan as ms
from makespan.errors import TaskError
from makespan.planners.summary import MIN_CHARS, Summary, cut, shared, telling
from makespan.testing import running

ASKED: list[tuple[str, list[str], int]] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    ASKED.clear()


@ms.task(retries=0)
async def wordy(earlier: str, actions: list[str], max_chars: int) -> str:
    ASKED.append((earlier, actions, max_chars))
    if len(ASKED) == 3:
        raise ValueError("no")
    return f"summary {len(ASKED)} " + "x" * 10 * max_chars


@ms.workflow
async def views(seed: int, is_summed: bool, cap: int) -> list[str]:
    rng = random.Random(seed)
    summary = Summary("Question: q", cap_chars=cap, recent=3, summariser=wordy if is_summed else None)
    seen = []
    for number in range(20):
        for _ in range(rng.randrange(6)):
            summary.note(f"action {number} " + "word " * rng.randrange(2_000))
        seen.append(await summary.view(["g" * rng.randrange(5_000) for _ in range(rng.randrange(60))]))
    return seen


@pytest.mark.parametrize("is_summed", [True, False])
def test_whatever_a_summariser_returns_the_view_stays_below_its_cap(is_summed: bool) -> None:
    for seed in range(5):
        ASKED.clear()
        seen = running.run(views(seed, is_summed, 1_500)).output
        assert max(map(len, seen)) <= 1_500
        assert all(text.startswith("Question: q\nGoals:") for text in seen)
        assert all(len(earlier) + sum(map(len, actions)) <= 1_500 for earlier, actions, _ in ASKED)


@ms.workflow
async def told(lines: int, is_summed: bool) -> list[str]:
    summary = Summary(recent=2, summariser=wordy if is_summed else None)
    seen = []
    for number in range(lines):
        summary.note(f"action {number}")
        seen.append(await summary.view(["a goal"]))
    return seen


def test_the_last_actions_are_shown_as_they_were_and_the_older_ones_in_short() -> None:
    *_, fourth, last = running.run(told(6, False)).output

    assert "Last actions:\naction 4\naction 5" in last
    assert "Earlier, in short:\naction 0\naction 1\naction 2\naction 3" in last
    assert "action 5" not in fourth


def test_a_summariser_is_given_its_last_summary_and_what_came_since() -> None:
    running.run(told(4, True))

    assert [actions for _, actions, _ in ASKED] == [["action 0"], ["action 1"]]
    assert ASKED[1][0].startswith("summary 1 x")


def test_a_summariser_that_fails_is_replaced_by_the_lines_that_say_most() -> None:
    *_, last = running.run(told(5, True)).output

    assert len(ASKED) == 3
    assert "action 2" in last


def test_lines_with_rare_words_are_kept_and_lines_like_all_others_go() -> None:
    lines = (
        ["nothing was found on this page"] * 20
        + ["Ulm has 126000 inhabitants"]
        + ["nothing was found on this page"] * 20
    )

    assert "Ulm has 126000 inhabitants" in telling(lines, 80)
    assert len(telling(lines, 80)) <= 80
    assert len(telling(["x" * 500], 80)) == 80


def test_short_lines_leave_their_room_to_long_ones() -> None:
    assert shared(["ab", "c" * 100], 60) == ["ab", cut("c" * 100, 56)]
    assert shared([], 60) == []
    many = shared([f"{n}" * 50 for n in range(100)], 400)
    assert sum(map(len, many)) + len(many) <= 400
    assert any("more" in line for line in many)


@ms.workflow
async def too_small(head: int, cap: int) -> str:
    return await Summary("h" * head, cap_chars=cap).view([])


def test_a_head_that_leaves_no_room_is_refused_with_what_to_do() -> None:
    with pytest.raises(TaskError, match="raise the cap, or offer fewer tools"):
        _ = running.run(too_small(2_000, 3_000)).output
    with pytest.raises(TaskError, match=f"at least {MIN_CHARS}"):
        _ = running.run(too_small(0, 10)).output
