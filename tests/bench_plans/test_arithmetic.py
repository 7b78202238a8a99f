"""The calculator of the plans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plans.arithmetic import MAX_EXPRESSION_CHARS, math

halves = st.integers(-2_000, 2_000).map(lambda number: number / 2)


@given(halves, halves, halves)
def test_signs_and_precedence_are_those_of_arithmetic(a: float, b: float, c: float) -> None:
    assert math(f"{a} - {b} * -({c} + 1)") == a - b * -(c + 1)
    assert math(f"max({a}, {b}) - min({a}, {b})") == math(f"abs({a} - {b})") == abs(a - b)
    assert math(f"mean({a}, {b}, {c})") == pytest.approx((a + b + c) / 3)


def test_a_single_value_is_its_own_maximum_and_mean() -> None:
    assert math("max(3) + min(3) + mean(3)") == 9


def test_a_figure_is_read_out_of_a_text_by_its_unit() -> None:
    assert math("figure('30029572 people, 695662 km2', 'km2') / 2") == 347_831
    with pytest.raises(ValueError, match="no figure in km"):
        math("figure('30029572 people, 695662 km2', 'km')")


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1 +",
        "__import__('os')",
        "().__class__",
        "2 ** 99999999",
        "max()",
        "abs(1, 2)",
        "max(1, key=abs)",
        "True",
        "'a' * 9",
        "1 if 1 else 2",
        "1e308 * 10",
        "$1 * 2",
        "1 / (2 - 2)",
        "1 + " * MAX_EXPRESSION_CHARS + "1",
    ],
)
def test_what_is_not_arithmetic_is_refused(expression: str) -> None:
    with pytest.raises(ValueError):
        math(expression)
