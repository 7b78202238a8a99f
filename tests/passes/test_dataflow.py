"""A serial trace gives back the dependencies it was made from, and says what could have been otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from makespan.errors import GraphError
from makespan.passes.dataflow import Dataflow, recovered
from makespan.passes.uses import Call, Effect, Joined, Known, Taken
from tests.passes.traces import SHAPES, Score, flattened, random_trace
from tests.prove import prove_count

SMALL = [0, 1, 2, 3, 7, "yes", "no", "ok", True, False, None, ""]


def pure(*said: tuple[dict[str, Any], Any]) -> list[Call]:
    return [
        Call(str(place), "tool", arguments, result, effect="pure") for place, (arguments, result) in enumerate(said, 1)
    ]


def second(result: Any, argument: Any, *given: Any, **options: Any) -> Dataflow:
    """Two calls: what one gave, and what the next was given."""
    return recovered(pure(({}, result), ({"x": argument}, None)), given, **options)


def reasons(flow: Dataflow) -> list[str]:
    return [doubt.kind for doubt in flow.doubts]


# ---------------------------------------------------------------- known truths


@pytest.mark.parametrize(("joined", "calls", "levels"), [(False, 38, 16), (True, 46, 24)])
def test_the_eight_published_plans_come_back_from_their_serial_traces(joined: bool, calls: int, levels: int) -> None:
    truths = [flattened(shape, seed, joined=joined) for seed, shape in enumerate(SHAPES)]

    flows = [recovered(truth.calls, truth.given) for truth in truths]

    assert [set(flow.edges) for flow in flows] == [truth.edges for truth in truths]
    assert sum(len(flow.calls) for flow in flows) == calls
    assert sum(len(flow.levels) for flow in flows) == levels


@pytest.mark.parametrize("seeds", [range(50), pytest.param(range(prove_count(1000)), marks=pytest.mark.prove)])
def test_every_edge_of_random_plans_with_distinct_values_is_found_and_no_other(seeds: range) -> None:
    score = Score()

    for seed in seeds:
        truth = random_trace(seed)
        score.count(recovered(truth.calls, truth.given), truth)

    assert (score.precision, score.recall) == (1.0, 1.0)
    assert score.true > len(seeds)


@pytest.mark.parametrize("seeds", [range(50), pytest.param(range(prove_count(1000)), marks=pytest.mark.prove)])
def test_with_equal_small_values_every_wrong_edge_has_a_doubt_and_caution_misses_none(seeds: range) -> None:
    plain, cautious = Score(), Score()

    for seed in seeds:
        truth = random_trace(seed, SMALL)
        plain.count(recovered(truth.calls, truth.given), truth)
        cautious.count(recovered(truth.calls, truth.given, cautious=True), truth)

    assert plain.silent == 0
    assert plain.right < plain.true, "small values are ambiguous, or this tests nothing"
    assert cautious.recall == 1.0


# ---------------------------------------------------------------- what is evidence


@pytest.mark.parametrize(
    ("result", "argument", "said"),
    [
        (48213, 48213, Taken("1")),
        (48213.0, 48213, Taken("1")),
        (-48213, -48213, Taken("1")),
        ("Ada Lovelace", "Ada Lovelace", Taken("1")),
        (["x91", {"id": "a-77"}], "a-77", Taken("1", (1, "id"))),
        ({"who": {"b": 2, "a": 1}}, {"a": 1, "b": 2}, Taken("1", ("who",))),
        ({"id": "a-77"}, {"deep": ["a-77", 4]}, {"deep": [Taken("1", ("id",)), 4]}),
        (48213, "48,213 + 1", Joined((Taken("1"), " + 1"))),
        (48213, "48213", Taken("1")),
        ("copper wire", "price of copper wire, per metre", Joined(("price of ", Taken("1"), ", per metre"))),
        ({"a": 55555, "b": 66666}, "55555/66666", Joined((Taken("1", ("a",)), "/", Taken("1", ("b",))))),
    ],
)
def test_a_result_or_a_part_of_it_stands_in_the_place_of_its_value(result: Any, argument: Any, said: Any) -> None:
    flow = second(result, argument)

    assert flow.arguments["2"] == {"x": said}
    assert flow.needs["2"] == ("1",)


@pytest.mark.parametrize(
    ("result", "argument"),
    [
        ("K2 is 8,611 metres high", 8611),
        ("K2 is 8,611 metres high", "8611 * 3.28"),
        ("directed by James Wan in 2013", "films of James Wan"),
        ("the main metal is copper", "copper"),
        ('{"user": "u_77a"}', "u_77a"),
    ],
)
def test_what_stands_inside_a_text_is_waited_for_and_kept_as_it_was(result: Any, argument: Any) -> None:
    flow = second(result, argument)

    assert flow.needs["2"] == ("1",)
    assert flow.arguments["2"] == {"x": argument}
    assert [(use.kind, use.replaced) for use in flow.uses] == [("quote", False)]
    assert "inexact" in reasons(flow)


def test_a_number_is_no_text_even_where_a_text_writes_it() -> None:
    flow = second("1,234,567", 1234567)

    assert (flow.needs["2"], flow.arguments["2"]) == (("1",), {"x": 1234567})
    assert [(use.kind, use.replaced) for use in flow.uses] == [("value", False)]


@pytest.mark.parametrize(
    ("result", "argument"),
    [
        ("the height of the tower", "the height of the bridge"),
        (1234, "1234567"),
        (1234, "v1234"),
        (48213, 48214),
        ("Ada", "Adam"),
        ("", ""),
        ([], []),
        (None, None),
        ("-", "well-known"),
        (True, 1),
        ({"ok": True}, True),
    ],
)
def test_what_only_looks_alike_is_no_dependency(result: Any, argument: Any) -> None:
    assert second(result, argument).needs["2"] == ()


def test_a_value_that_the_input_has_needs_no_producer() -> None:
    assert second(48213, 48213, {"order": 48213}).needs["2"] == ()
    assert second("K2 is 8,611 m", "height of K2", "How high is K2?").needs["2"] == ()
    assert second({"name": "Mount Fuji"}, "Mount Fuji", "Where is Mount Fuji?").needs["2"] == ()


def test_a_larger_match_is_not_given_away_for_the_part_that_the_input_has() -> None:
    flow = second("Fuji Electric", "shares of Fuji Electric", "Who is behind Fuji?")

    assert flow.arguments["2"] == {"x": Joined(("shares of ", Taken("1")))}


def test_a_larger_match_of_an_earlier_result_wins_over_a_later_smaller_one() -> None:
    calls = pure(({}, {"a": 11111, "b": 22222}), ({"k": "v"}, 22222), ({"x": {"a": 11111, "b": 22222}}, None))

    assert recovered(calls).arguments["3"] == {"x": Taken("1")}


def test_of_equal_values_the_latest_is_taken_and_the_others_are_told() -> None:
    flow = recovered(pure(({}, 48213), ({}, 48213), ({"x": 48213}, None)))

    assert flow.needs["3"] == ("2",)
    assert [(doubt.kind, doubt.chosen, doubt.candidates) for doubt in flow.doubts] == [("several", "2", ("1",))]
    assert [use.sure for use in flow.uses] == [False]


def test_the_echo_of_an_argument_is_no_source() -> None:
    flow = recovered(pure(({}, "u-4711"), ({"user": "u-4711"}, {"user": "u-4711", "n": 5}), ({"u": "u-4711"}, None)))

    assert flow.needs["3"] == ("1",)
    assert flow.doubts[-1].candidates == ("2",)


def test_small_numbers_that_the_caller_uses_itself_are_its_own() -> None:
    flow = recovered(pure(({"limit": 10}, {"count": 10}), ({"limit": 10}, None)))

    assert flow.needs["2"] == ()
    assert reasons(flow) == ["echo"]


def test_a_small_value_that_nothing_else_explains_is_taken_with_a_doubt() -> None:
    flow = second(3, 3)

    assert flow.needs["2"] == ("1",)
    assert reasons(flow) == ["common"]


def test_what_nothing_explains_is_reported_as_made_up() -> None:
    assert second("K2", "8611 of Babel").made_up == (("2", ("x",), "8611"), ("2", ("x",), "Babel"))


def test_plain_words_of_a_result_are_a_doubt_at_most() -> None:
    flow = second("much copper there", "price of copper today")

    assert (flow.needs["2"], reasons(flow)) == ((), ["words"])
    assert "'copper'" in str(flow.doubts[0])


def test_rounded_numbers_are_found_only_on_request() -> None:
    assert second(8611.27, 8611).needs["2"] == ()

    flow = second(8611.27, 8611, rounded=True)

    assert flow.needs["2"] == ("1",)
    assert [(use.kind, use.exact) for use in flow.uses] == [("rounded", False)]


def test_a_number_written_in_another_way_is_marked_as_not_exact() -> None:
    exact, grouped = second(48213, "48213 m").uses[0], second(48213, "48,213 m").uses[0]

    assert (exact.exact, grouped.exact) == (True, False)
    assert grouped.span == (0, 6)


# ---------------------------------------------------------------- order


def test_failed_calls_are_left_out_and_what_only_they_said_is_a_doubt() -> None:
    calls = pure(({}, "try u_77a"), ({"x": "u_77a"}, 5))

    flow = recovered([Call("1", "tool", {}, "try u_77a", ok=False, effect="pure"), calls[1]])

    assert (flow.failed, flow.levels, reasons(flow)) == (("1",), (("2",),), ["failed"])


def test_calls_that_overlapped_cannot_have_used_each_other() -> None:
    calls = [
        Call("1", "t", {}, 48213, effect="pure", asked=0, ended=0),
        Call("2", "t", {"x": 48213}, None, effect="pure", asked=0, ended=1),
    ]

    assert recovered(calls).levels == (("1", "2"),)


def test_a_known_dependency_needs_no_evidence() -> None:
    calls = [
        Call("1", "t", {}, {"n": 3}, effect="pure"),
        Call("2", "t", {"x": 3, "y": 1}, None, effect="pure", known=(Known("1", ("x",), ("n",)),)),
        Call("3", "t", {}, None, effect="pure", known=(Known("2"),)),
    ]

    flow = recovered(calls)

    assert flow.arguments["2"] == {"x": Taken("1", ("n",)), "y": 1}
    assert (flow.edges, flow.doubts) == ((("1", "2"), ("2", "3")), ())


def _effects(*effects: Effect) -> list[Call]:
    return [Call(str(place), "t", {}, effect=effect) for place, effect in enumerate(effects, 1)]


def test_calls_that_may_write_keep_their_order() -> None:
    calls = _effects("irreversible", "pure", "", "idempotent", "irreversible")

    assert recovered(calls).edges == (("1", "3"), ("3", "5"))
    assert recovered(calls, orders="none").edges == ()


def test_what_may_see_a_write_is_a_doubt_or_waits_for_it_on_request() -> None:
    calls = _effects("idempotent", "irreversible", "idempotent", "irreversible")

    assert [(doubt.call, doubt.kind) for doubt in recovered(calls).doubts] == [("3", "effect")]
    flow = recovered(calls, orders="all")
    assert flow.edges == (("1", "2"), ("2", "3"), ("2", "4"), ("3", "4"))
    assert flow.doubts == ()


def test_levels_and_the_longest_chain_follow_from_the_edges() -> None:
    calls = [Call(str(n), "t", {"x": x}, r, effect="pure", took_ns=t) for n, x, r, t in ROWS]

    flow = recovered(calls)

    assert flow.levels == (("1", "2"), ("3",), ("4",))
    assert (flow.serial_ns, flow.parallel_ns) == (100, 80)


ROWS = [(1, "a", 11111, 10), (2, "b", 22222, 20), (3, 11111, 33333, 30), (4, [22222, 33333], None, 40)]


def test_no_calls_are_a_plan_without_levels() -> None:
    assert recovered([]).levels == ()


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([Call("1", "t"), Call("1", "t")], "two calls of the trace are named '1'"),
        ([Call("one", "t", known=(Known("on"),))], "depends on 'on', which is not in the trace; did you mean 'one'"),
        ([Call("1", "t", known=(Known("2"),)), Call("2", "t")], "'1' depends on '2', which had not ended before it"),
        ([Call("1", "t", asked=3, ended=1)], "'1' of the trace ended before it was asked for"),
    ],
)
def test_traces_that_cannot_be_are_refused(calls: list[Call], said: str) -> None:
    with pytest.raises(GraphError, match=said):
        recovered(calls)


def test_results_above_the_limit_are_refused_with_what_to_do() -> None:
    with pytest.raises(GraphError, match=r"1,000 words and numbers, the limit is max_tokens=999: leave the largest"):
        second("word " * 1000, "x", max_tokens=999)
