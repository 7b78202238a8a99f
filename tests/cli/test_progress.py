"""What is shown while a run goes on: counts, times, and nothing harmful."""

from __future__ import annotations

from io import StringIO
from typing import cast

import pytest
from rich.console import Console

from makespan.cli.live import LiveProgress, footer
from makespan.cli.progress import PlainProgress
from makespan.cli.text import clean, duration, money, one_line
from makespan.cli.view import View
from makespan.graph.node import Declaration
from makespan.handle import Run
from makespan.machine.facts import (
    ApprovalAsked,
    AttemptStarted,
    DeclarationAdded,
    Fact,
    Limits,
    RunStarted,
    ScopeAdded,
    TaskAdded,
    TaskSucceeded,
)
from makespan.machine.state import State


class FakeRun:
    """As much of a Run as a display looks at."""

    def __init__(self, state: State) -> None:
        self.id, self.state = "r-1", state
        self.watchers: list[object] = []

    def watch(self, watcher: object) -> None:
        self.watchers.append(watcher)


def state_of(*facts: Fact) -> State:
    state = State()
    for fact in facts:
        state.apply(fact)
    return state


def begun(budget: int | None = None) -> State:
    return state_of(
        RunStarted("r-1", "study [b]", b"root", b"\x80", 0, 1, Limits(), budget),
        DeclarationAdded(Declaration("search")),
        DeclarationAdded(Declaration("\x1b[31mevil[/]")),
        *(TaskAdded(0, 0, bytes([n]) * 16) for n in range(30)),
        TaskAdded(1, 0, b"e" * 16),
    )


def apply(view: View, state: State, *facts: Fact) -> None:
    for fact in facts:
        state.apply(fact)
    view.take(facts, state)


def test_counts_follow_the_facts() -> None:
    state = begun()
    view = View(state, None)

    apply(view, state, AttemptStarted(0, 5), AttemptStarted(1, 6), TaskSucceeded(0, 9, b"\x01"))
    apply(view, state, ScopeAdded(b"s" * 16, 0, "inner", 9), TaskAdded(0, 1, b"n" * 16))

    assert view.counts() == {"pending": 30, "running": 1, "succeeded": 1}
    assert next((group.name, group.total, group.depth) for group in view.groups.values()) == ("search", 30, 0)
    assert len(view.groups) == 3


def test_counts_are_the_same_for_a_display_that_comes_late() -> None:
    state = begun()
    early = View(state, None)

    apply(early, state, AttemptStarted(0, 5), AttemptStarted(1, 6), TaskSucceeded(0, 9, b"\x01"))

    assert View(state, None).counts() == early.counts()


def test_money_left_is_what_is_neither_spent_nor_reserved() -> None:
    state = begun(budget=1_000_000_000)
    view = View(state, None)

    apply(view, state, AttemptStarted(0, 5, 300_000_000), AttemptStarted(1, 5, 200_000_000))
    apply(view, state, TaskSucceeded(0, 9, b"\x01", 100_000_000))

    assert view.money() == (0.1, 0.2, 0.7)
    assert "$0.10 spent · $0.20 reserved · $0.70 left · ETA unknown" in footer(view)


def test_the_time_left_comes_from_earlier_runs() -> None:
    state = begun()
    view = View(state, 10.0)
    apply(view, state, AttemptStarted(0, 4_000_000_000))
    early = view.eta()
    apply(view, state, TaskSucceeded(0, 14_000_000_000, b"\x01"))

    assert (early, view.eta()) == ("6 s", "longer than usual (10.0 s)")


def test_the_live_display_shows_groups_and_no_markup_of_users() -> None:
    console = Console(width=100, height=20, force_terminal=True, file=None, record=True)
    display = LiveProgress(console)
    state = begun()
    display._view, display._title = View(state, None), "study [b]"
    apply(display._view, state, AttemptStarted(0, 5))

    text = display.render().plain

    assert "study [b]" in text
    assert "search × 30  ◐ 1  ○ 29" in text
    assert "○ evil[/]" in text
    assert "\x1b" not in text


ASKS = "search waits for approval: makespan approve r-1 000000000000"


def asked() -> State:
    """A run whose first task waits for a person."""
    state = begun()
    state.apply(ApprovalAsked(0, 5))
    return state


def test_lines_say_once_what_to_type_for_what_waits(capsys: pytest.CaptureFixture[str]) -> None:
    state, display = asked(), PlainProgress()

    display.attach(cast("Run[object]", FakeRun(state)), None)  # it waits already
    display.take([ApprovalAsked(0, 5)], state)
    display.close()

    assert capsys.readouterr().err.count(ASKS) == 1


def test_the_live_display_says_once_what_to_type_for_what_waits() -> None:
    console = Console(width=100, height=20, file=StringIO(), record=True)
    state, display = begun(), LiveProgress(console)

    display.attach(cast("Run[object]", FakeRun(state)), None)
    state.apply(ApprovalAsked(0, 5))
    for _ in range(2):
        display._tell_waits([ApprovalAsked(0, 5)], state)
    display.close()

    assert console.export_text().count(ASKS) == 1


@pytest.mark.parametrize(
    ("harmful", "left"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("a\x08\x9bb\x7f", "ab"),
        ("safe\u202egnp.exe", "safegnp.exe"),
        ("tab\tand\nline", "tab\tand\nline"),
    ],
)
def test_control_characters_are_taken_out(harmful: str, left: str) -> None:
    assert clean(harmful) == left


def test_long_texts_are_cut_to_one_line() -> None:
    assert one_line("a\nb  c" * 100, 10) == "a b ca b …"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0003, "0.3 ms"), (0.12, "120 ms"), (12.34, "12.3 s"), (185, "3 m 05 s"), (7380, "2 h 03 m"), (None, "unknown")],
)
def test_durations_have_the_unit_that_fits(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [(0.0, "$0.00"), (0.0012, "$0.0012"), (0.1, "$0.10"), (3e-8, "$0.00000003"), (2.5, "$2.50"), (None, "unknown")],
)
def test_money_has_as_many_places_as_matter(usd: float | None, text: str) -> None:
    assert money(usd) == text
