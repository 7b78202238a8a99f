"""Checks that models write: read and walked, never run."""

from __future__ import annotations

from typing import Any

import pytest

from makespan.planners.goal_checks import MAX_CHARS, Expression, Unreadable

PAGE = {"title": "Tin", "prices": [3, 4, 5], "found": True}


@pytest.mark.parametrize(
    ("text", "result", "holds"),
    [
        ("result", "", False),
        ("result", "x", True),
        ("len(result) > 3", "abcd", True),
        ("len(result) > 3", "abc", False),
        ("result.found and 'in' in lower(result.title)", PAGE, True),
        ("result.prices[0] < result.prices[-1] <= 5", PAGE, True),
        ("result['prices'][1:] == [4, 5]", PAGE, True),
        ("max(result.prices) * 2 - 1 == 9", PAGE, True),
        ("result is None or not result", None, True),
        ("'a' if result else ''", 0, False),
        ("any([result == 'x', startswith(result, 'y')])", "yes", True),
        ("result not in ('a', 'b')", "c", True),
    ],
)
def test_an_expression_is_judged_over_plain_values(text: str, result: Any, holds: bool) -> None:
    assert Expression(text).holds(result) is holds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "result >",
        "import os",
        "__import__('os')",
        "result.title.lower()",
        "open('x')",
        "[x for x in result]",
        "(lambda: 1)()",
        "f'{result}'",
        "2 ** 100",
        "result if (y := 3) else 1",
        "max(result, key=len)",
        "x" * (MAX_CHARS + 1),
        "(" * 300 + ")" * 300,
    ],
)
def test_what_a_check_may_not_hold_is_said_when_it_is_read(text: str) -> None:
    with pytest.raises(Unreadable):
        Expression(text)


@pytest.mark.parametrize(
    "text", ["result.title", "result + 1", "'a' * 1000000000", "'%9d' % 1", "result[0]", "max()", "1 / 0"]
)
def test_a_check_that_does_not_fit_its_result_says_so(text: str) -> None:
    with pytest.raises(Unreadable):
        Expression(text).holds({})
