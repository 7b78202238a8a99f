"""Means, intervals and pass^k, compared with tables and with counting."""

from itertools import combinations
from random import Random

import pytest

from makespan.estimates import clustered_mean, pass_hat, t_quantile


@pytest.mark.parametrize(
    ("degrees", "table"), [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (1000, 1.962)]
)
def test_quantiles_are_those_of_the_printed_tables(degrees: int, table: float) -> None:
    assert t_quantile(0.975, degrees) == pytest.approx(table, rel=0.005)


def test_repeats_of_a_case_do_not_narrow_the_interval() -> None:
    once = clustered_mean({"a": [0.0], "b": [1.0], "c": [1.0]})
    often = clustered_mean({"a": [0.0] * 50, "b": [1.0] * 50, "c": [1.0] * 50})

    assert once == often


def test_a_single_case_has_no_interval() -> None:
    found = clustered_mean({"a": [0.0, 1.0]})

    assert (found.mean, found.low, found.high) == (0.5, None, None)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng, held, tries = Random(7), 0, 600
    for _ in range(tries):
        cases = {str(n): [rng.gauss(0.6, 0.2)] for n in range(12)}
        found = clustered_mean(cases)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.6 <= found.high

    assert 0.92 <= held / tries <= 0.98


def test_pass_hat_is_the_share_of_choices_that_all_pass() -> None:
    passed = {"a": [True, True, False, True], "b": [True] * 4, "c": [False, True, False, False]}

    def counted(k: int) -> float:
        shares = [[all(choice) for choice in combinations(case, k)] for case in passed.values()]
        return sum(sum(share) / len(share) for share in shares) / len(shares)

    assert pass_hat(passed) == pytest.approx([counted(k) for k in range(1, 5)])
