"""How much of an agent's conversation a turn is shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from makespan.authoring.history import DROPPED, SHORT_CHARACTERS, bounded
from makespan.ports import Message, ToolCall

OPENING = (Message.system("Be brief."), Message.user("q" * 200))


def exchange(number: int, *sizes: int) -> tuple[Message, ...]:
    calls = tuple(ToolCall(f"{number}-{place}", "look", "{}") for place in range(len(sizes)))
    results = [Message.tool(call.id, "r" * size) for call, size in zip(calls, sizes, strict=True)]
    return (Message.assistant(f"turn {number}", calls), *results)


def size(messages: tuple[Message, ...]) -> int:
    return sum(len(m.text) + sum(len(c.name) + len(c.arguments) for c in m.tool_calls) for m in messages)


def test_what_fits_is_shown_as_it_is() -> None:
    then = (*exchange(1, 100), *exchange(2, 100))

    assert bounded(OPENING, then, 1000) == (*OPENING, *then)


def test_the_oldest_results_are_shortened_first() -> None:
    then = (*exchange(1, 3000), *exchange(2, 3000), *exchange(3, 3000))

    shown = bounded(OPENING, then, 7500)

    sizes = [len(message.text) for message in shown if message.role == "tool"]
    assert sizes[0] < SHORT_CHARACTERS + 100
    assert sizes[1:] == [3000, 3000]
    assert "2600 more characters were left out" in shown[3].text


def test_then_the_oldest_exchanges_go_calls_and_results_together() -> None:
    then = tuple(message for number in range(10) for message in exchange(number, 1000))

    shown = bounded(OPENING, then, 3000)

    assert shown[:3] == (*OPENING, Message.user(DROPPED))
    assert [message.text for message in shown if message.role == "assistant"] == [
        "turn 6",
        "turn 7",
        "turn 8",
        "turn 9",
    ]


def test_results_of_the_latest_exchange_share_the_room_and_small_ones_stay_whole() -> None:
    shown = bounded(OPENING, exchange(1, 50, 9000, 8000), 5000)

    small, *large = [message for message in shown if message.role == "tool"]
    assert len(small.text) == 50
    assert all(2000 < len(message.text) < 2500 for message in large)


@given(st.lists(st.lists(st.integers(0, 5000), min_size=1, max_size=4), min_size=1, max_size=8), st.integers(1, 30_000))
def test_calls_keep_their_results_the_opening_stays_and_the_limit_holds(rows: list[list[int]], limit: int) -> None:
    then = tuple(message for number, sizes in enumerate(rows) for message in exchange(number, *sizes))

    shown = bounded(OPENING, then, limit)

    assert shown[:2] == OPENING
    asked = [call.id for message in shown for call in message.tool_calls]
    answered = [message.call_id for message in shown if message.role == "tool"]
    assert asked == answered
    assert asked[-len(rows[-1]) :] == [call.id for call in then[-len(rows[-1]) - 1].tool_calls]
    floor = size(OPENING) + len(DROPPED) + len(rows[-1]) * (SHORT_CHARACTERS + 80) + 20
    assert size(shown) <= max(limit + len(DROPPED) + 4 * 60, floor)
