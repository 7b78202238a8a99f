"""ParallelQA offline: plans, joiner, the serial agent and the judge."""

import pytest

from bench.plans.facts import mentions, query
from bench.plans.parallelqa import (
    Item,
    MissingResultError,
    Verdict,
    filled,
    items,
    join,
    judge,
    plan_text,
    react,
    rounds,
    score,
    solve,
)
from bench.plans.questions import Call, read
from makespan.planners.formats.numbered import NumberedReader
from makespan.planners.steps import Join, Step, depends_on

QUESTION = "If K2 grew by 10% and Mount Elbert grew by 5%, what would be the ratio of their heights?"


@pytest.fixture(scope="module")
def asked() -> list[Item]:
    found = items()
    if not found:
        pytest.skip("no ParallelQA: put parallelqa_dataset.json in llmcompiler below MAKESPAN_DATA, or ../shared/data")
    return found


def test_all_questions_are_answered_right_with_one_search_an_entity_and_fewer_rounds(asked: list[Item]) -> None:
    found = score(asked)

    print(found._replace(verdicts={}))
    assert len(asked) == 113
    assert found.count(Verdict.WRONG) == 0
    assert found.count(Verdict.EXACT) >= 105
    assert (found.entities, found.repeated) == (56, 0)
    assert found.rounds.planned <= 0.7 * found.rounds.serial
    assert found.rounds.searches_at_once <= 0.7 * found.rounds.serial_searches


def test_each_entity_of_a_question_is_searched_for_exactly_once(asked: list[Item]) -> None:
    for item in asked:
        named = {query(each.entity) for each in mentions(item.question)}
        searched = [call.argument for call in read(item.question).calls if call.tool == "search"]
        assert sorted(searched) == sorted(named), item.question


def test_our_reader_of_plans_finds_the_calls_and_their_needs_in_every_plan(asked: list[Item]) -> None:
    for item in asked:
        reading = read(item.question)
        reader = NumberedReader()
        found = [*reader.feed(plan_text(reading)), *reader.close()]
        steps = [each for each in found if isinstance(each, Step)]
        assert isinstance(found[-1], Join)
        assert len(found) == len(steps) + 1, "nothing to repair or report"
        assert [(step.name, step.tool) for step in steps] == [(str(call.number), call.tool) for call in reading.calls]
        for step, call in zip(steps, reading.calls, strict=True):
            assert depends_on(step) == tuple(map(str, call.needs))


def test_the_serial_agent_makes_one_call_a_round_and_then_answers() -> None:
    reading = read(QUESTION)

    assert react(reading, []) == Call(1, "search", "K2 height")
    assert react(reading, [8611.0]) == Call(2, "math", "8611.0 * 1.1")
    assert react(reading, [8611.0, 9472.1, 4401.0, 4621.05, 2.0498]) == "2.0498"
    assert rounds(reading) == (6, 3, 4, 2, 2)


def test_a_tenth_result_is_not_a_first_one_with_a_zero() -> None:
    assert filled("$10 + ${1} - $1", {"1": 5, "10": 7}) == "7 + 5 - 5"


def test_the_joiner_names_the_results_it_lacks() -> None:
    which = read("If K2 grew by 10% and Mount Elbert grew by 5%, which would be taller?")

    assert join(which, {"2": 9472.1, "4": 4621.0}) == "K2"
    with pytest.raises(MissingResultError) as caught:
        join(which, {"2": 9472.1, "4": "the tool failed"})
    assert caught.value.missing == ("4",)


def test_an_answer_follows_from_what_the_tools_say() -> None:
    reading = read("If K2 grew by 10% and Mount Elbert grew by 5%, which would be taller?")

    def swapped(expression: str) -> float:
        return -float(expression.split(" * ")[0])

    tools = {"search": lambda query: 10.0 if "K2" in query else 9.0, "math": swapped}
    assert solve(reading, tools) == "Mount Elbert"


@pytest.mark.parametrize(
    ("answer", "expected", "verdict"),
    [
        ("the Motherland calls", "Motherland Calls", Verdict.EXACT),
        ("K2", "Aconcagua", Verdict.WRONG),
        ("40.9717", "40.9", Verdict.EXACT),
        ("41", "40.9", Verdict.NEAR),
        ("104736200", "104736200", Verdict.EXACT),
        ("104736201", "104736200", Verdict.NEAR),
        ("22.1", "20", Verdict.WRONG),
        ("K2", "20", Verdict.WRONG),
    ],
)
def test_an_answer_is_judged_by_the_digits_stated(answer: str, expected: str, verdict: Verdict) -> None:
    assert judge(answer, expected) is verdict
