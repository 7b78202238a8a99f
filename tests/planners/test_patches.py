"""Patches: the words of people and models become changes; what cannot be read says where."""

from __future__ import annotations

from typing import Any

import pytest

from makespan.planners.changes import Add, Drop, Refused, Replace
from makespan.planners.patches import MAX_EDITS, Answer, Said, changes_in, changes_of, edits_of
from makespan.planners.saved import saved_step, written
from makespan.planners.steps import Argument, Reference, Step, Text


def known(name: str) -> str | None:
    return name if name in ("1", "2", "look up", "city") else None


def argument(said: Any) -> Argument:
    (change,) = changes_of([{"add": {"name": "new", "tool": "t", "args": [said]}}], known)
    assert isinstance(change, Add)
    return change.step.args[0]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("${1}", Reference("1")),
        ("$1", Reference("1")),
        ("${city.name}", Reference("city", ("name",))),
        ("${1}[0].x", Reference("1", (0, "x"))),
        ("${look up}", Reference("look up")),
        ("of ${1} and $city", Text(("of ", Reference("1"), " and ", Reference("city")))),
        ("$10 and $1.50", "$10 and $1.50"),
        ("$${1}", "${1}"),
        ("$nobody said", "$nobody said"),
        ({"$ref": "1"}, Reference("1")),
        ({"$ref": "city", "path": ["a", 0]}, Reference("city", ("a", 0))),
        ({"deep": ["${2}", 5, None]}, {"deep": [Reference("2"), 5, None]}),
    ],
)
def test_references_stand_in_arguments(said: Any, meant: Argument) -> None:
    assert argument(said) == meant


@pytest.mark.parametrize(
    "argument_",
    [
        Reference("1", ("a", 0, "b c")),
        Text(("cost ", Reference("1"), " of ${x} for $20")),
        {"a": [Reference("city"), "plain", "$1 and ${2}", 1.5, True, None]},
        "a$b $ $$",
    ],
)
def test_what_is_written_is_read_as_it_was(argument_: Argument) -> None:
    assert argument(written(argument_)) == argument_


def test_a_step_is_written_in_the_words_of_patches() -> None:
    step = Step("a", "t", (), {"x": Reference("1")}, ("2",), {"gpu": 1})

    assert changes_of([{"add": saved_step(step)}], known) == [Add(step)]


@pytest.mark.parametrize(
    "plain",
    [
        [{"add": {"name": "a", "tool": "t"}}, {"replace": 2, "with": {"tool": "t", "after": "a"}}, {"drop": [1]}],
        {
            "edits": [
                {"op": "add", "name": "a", "tool": "t"},
                {"op": "replace", "name": "2", "tool": "t", "after": ["$a"]},
                {"op": "drop", "name": "1"},
            ]
        },
        {"add": {"id": "a", "function": "t"}, "replace": {"2": {"tool": "t", "depends_on": ["a"]}}, "drop": "1"},
    ],
)
def test_three_ways_to_say_the_same(plain: Any) -> None:
    changes = changes_of(edits_of(plain), known)

    assert changes == [Add(Step("a", "t")), Replace("2", Step("2", "t", after=("a",))), Drop("1")]


def test_a_new_step_may_be_referred_to_before_it_is_said() -> None:
    changes = changes_of([{"replace": "1", "with": {"tool": "t", "args": ["x $new"]}}, *_new("new")], known)

    assert changes[0] == Replace("1", Step("1", "t", (Text(("x ", Reference("new"))),)))


def _new(name: str) -> list[dict[str, Any]]:
    return [{"add": {"name": name, "tool": "t"}}]


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ([{"frob": 1}], "edits[0]: a change says one of add, drop and replace; it has frob"),
        ([{"drop": 1, "add": {}}], "one of add, drop and replace"),
        ([*_new("a"), {"drop": None}], "edits[1].drop: the name of a step stands here, not nothing"),
        ([{"add": {"tool": "t"}}], "edits[0].add: a new step needs a `name:`"),
        ([{"add": {"name": "a"}}], "edits[0].add: a step needs a `tool:`"),
        ([{"add": {"name": "a", "tool": "t", "agrs": 1}}], "'agrs' is no part of a step; did you mean 'args'?"),
        ([{"add": {"name": "a", "tool": "t", "function": "u"}}], "'function' says again"),
        ([{"add": {"name": "a", "tool": "t", "needs": {"gpu": "one"}}}], "edits[0].add.needs"),
        (
            [{"add": {"name": "a", "tool": "t", "args": {"x": "is ${nobody}"}}}],
            "edits[0].add.args.x: ${nobody} is no step",
        ),
        ([{"add": {"name": "a", "tool": "t", "args": [{"$ref": "1", "pth": 1}]}}], "did you mean 'path'?"),
        ([{"replace": "1"}], "needs `with:`"),
        ([{"replace": "1", "with": "t"}], "edits[0].with: a step is"),
        ([{"op": "move", "name": "1"}], "edits[0].op: 'move'"),
        (5, "a patch is a list of changes, not 5"),
        ({"edits": 5}, "edits: a list of changes stands here"),
        ({"replace": ["1"]}, "replace: names with their new steps"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(plain: Any, said: str) -> None:
    with pytest.raises(Refused) as refused:
        changes_of(edits_of(plain), known)

    assert refused.value.reason == "unreadable"
    assert said in str(refused.value)


def test_a_patch_has_a_limit() -> None:
    with pytest.raises(Refused, match="MAX_EDITS"):
        edits_of([{"drop": "1"}] * (MAX_EDITS + 1))


@pytest.mark.parametrize(
    "answer",
    [
        '[{"drop": "1"}]',
        'The first is not needed any more:\n```json\n{"edits": [{"op": "drop", "name": "1",},], }\n```\nThat is all.',
        "{'drop': ['1']}",
        Answer([Said("drop", "1")]),
        [Drop("1")],
        [{"drop": 1}],
    ],
)
def test_models_may_say_it_in_many_ways(answer: Any) -> None:
    assert changes_in(answer, known)[0] == [Drop("1")]


@pytest.mark.parametrize("answer", [None, "", "[]", "{}", "No changes.", "none", "No edits are needed now.", Answer()])
def test_nothing_is_an_answer_too(answer: Any) -> None:
    assert changes_in(answer, known) == ([], "")


@pytest.mark.parametrize("answer", ["Let me think about it.", "I would drop step 1", 7])
def test_an_answer_without_edits_in_it_is_refused(answer: Any) -> None:
    with pytest.raises(Refused, match=r"cannot be read|not 7"):
        changes_in(answer, known)


def test_the_reason_of_an_answer_goes_with_it() -> None:
    assert changes_in({"edits": [{"drop": "1"}], "why": "it is late"}, known) == ([Drop("1")], "it is late")
