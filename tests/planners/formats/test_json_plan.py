"""Plans as JSON tasks: which fields mean what, what is found when, and what is repaired."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makespan.planners.formats.json_plan import JsonReader
from makespan.planners.steps import Reference, Spot, Text
from tests.planners.formats.reading import call, joins, problems, read, steps, unrepaired

R = Reference
TWO = [{"name": "a", "tool": "f", "args": {"q": "x"}}, {"name": "b", "tool": "g", "args": ["$a"]}]
TWO_CALLS = [("a", "f", (), {"q": "x"}), ("b", "g", (R("a"),), {})]


def found_in(text: str) -> list[Any]:
    return read(JsonReader(), [text])


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(TWO),
        json.dumps(TWO, indent=2),
        json.dumps({"tasks": TWO}),
        json.dumps({"plan": {"steps": TWO}}),
        "```json\n" + json.dumps(TWO) + "\n```",
        "[" + json.dumps(TWO) + "]",
        "[ // first\n" + json.dumps(TWO)[1:],
    ],
)
def test_a_list_of_tasks_however_it_is_wrapped(text: str) -> None:
    found = found_in(text)

    assert [call(step) for step in steps(found)] == TWO_CALLS
    assert problems(found) == []
    assert len(joins(found)) == 1


def test_one_object_a_line_has_no_end() -> None:
    found = found_in("\n".join(json.dumps(task) for task in TWO))

    assert [call(step) for step in steps(found)] == TWO_CALLS
    assert [*problems(found), *joins(found)] == []


def test_a_task_is_found_as_soon_as_its_object_closes() -> None:
    reader = JsonReader()
    first, second = (json.dumps(task) for task in TWO)

    assert reader.feed('Here: {"tasks": [' + first[:-1]) == []
    assert [step.name for step in steps(reader.feed("}"))] == ["a"]
    assert [step.name for step in steps(reader.feed(", " + second))] == ["b"]
    assert len(joins(reader.feed("]"))) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[{"name": "a", "tool": "f", "args": {"q": "x",},}, {"name": "b", "tool": "g", "args": ["$a",]},]', ""),
        ("[{'name': 'a', 'tool': 'f', 'args': {'q': 'x'}}, {'name': 'b', 'tool': 'g', 'args': ['$a']}]", ""),
        ('[{name: "a", tool: "f", args: {q: "x"}}, {name: "b", tool: "g", args: ["$a"]}]', ""),
        ('[{"name": "a", "tool": "f", "args": {"q": "x"}}\n{"name": "b", "tool": "g", "args": ["$a"]}]', ""),
        ('[{"name": "a" "tool": "f", "args": {"q": "x"}}, {"name": "b", "tool": "g", "args": ["$a"]}]', "backslash"),
        ('[{"name": "a"\n"tool": "f" "args": {"q": "x"}}, {"name": "b", "tool": "g", "args": ["$a"]}]', "backslash"),
        ('[{"name": "a"\n"tool": "f"\n"args": {"q": "x"}}, {"name": "b", "tool": "g", "args": ["$a"]}]', "comma"),
        ('[{“name”: “a”, “tool”: “f”, “args”: {“q”: “x”}}, {"name": "b", "tool": "g", "args": ["$a"]}]', "typographic"),
        (
            '[{"name": "a", "tool": "f", "args": {"q": "x"}, {"name": "b", "tool": "g", "args": ["$a"]}]',
            "'}' is missing",
        ),
        (
            '[{"name": "a", "tool": "f", "args": {"q": "x"}}, {"name": "b", "tool": "g", "args": ["$a"]]',
            "'}' is missing",
        ),
        (
            '[{"name": "a", "tool": "f", "args": {"q": x}}, {"name": "b", "tool": "g", "args": ["$a"]}]',
            "without quotes",
        ),
        (
            '[{"name": "a", "tool": "f", "args": {"q" = "x"}}, {"name": "b", "tool": "g", "args": ["$a"]}]',
            "followed by",
        ),
    ],
)
def test_a_slip_is_repaired_and_reported(text: str, says: str) -> None:
    found = found_in(text)

    if "backslash" not in says:
        assert [call(step) for step in steps(found)] == TWO_CALLS
    assert any(says in each.message for each in problems(found)) or not says
    assert len(joins(found)) == 1


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"id": 3, "tool": "f", "arguments": {"x": True}}, ("3", "f", (), {"x": True})),
        ({"task_id": "t", "function": "f", "params": [1, None]}, ("t", "f", (1, None), {})),
        ({"step": 1, "action": "f", "action_input": "words"}, ("1", "f", ("words",), {})),
        ({"name": "f", "arguments": {"x": 1.5}}, ("1", "f", (), {"x": 1.5})),
        ({"id": "c", "function": {"name": "f", "arguments": '{"x": [1]}'}}, ("c", "f", (), {"x": [1]})),
        ({"tool": "f", "x": 1, "y": "z"}, ("1", "f", (), {"x": 1, "y": "z"})),
        ({"Task ID": "t", "Tool Name": "f", "args": {}}, ("t", "f", (), {})),
        ({"tool": "f"}, ("1", "f", (), {})),
    ],
)
def test_fields_go_by_many_names(task: dict[str, Any], expected: tuple[Any, ...]) -> None:
    found = found_in(json.dumps([task]))

    assert [call(step) for step in steps(found)] == [expected]
    assert problems(found) == []


@pytest.mark.parametrize("key", ["depends_on", "dependencies", "after", "requires"])
@pytest.mark.parametrize("value", [["a", "b"], ["$a", "${b}"], [{"name": "a"}, {"$ref": "b"}]])
def test_what_a_task_waits_for(key: str, value: list[Any]) -> None:
    found = found_in(json.dumps([{"name": "c", "tool": "f", key: value}]))

    assert steps(found)[0].after == ("a", "b")


def test_one_name_waits_for_one_and_none_for_none() -> None:
    found = found_in('[{"tool": "f", "after": "a"}, {"tool": "f", "after": 1}, {"tool": "f", "after": null}]')

    assert [step.after for step in steps(found)] == [("a",), ("1",), ()]


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"needs": {"truck": 2, "gpu": "1"}}, {"truck": 2, "gpu": 1}),
        ({"needs": {"truck": ["t1", "t2"]}}, {"truck": ("t1", "t2")}),
        ({"resources": ["gpu", "gpu", "db"]}, {"gpu": 2, "db": 1}),
        ({"resources": "gpu"}, {"gpu": 1}),
        ({"robots": {"type": "truck", "count": 2}}, {"truck": 2}),
        ({"robots": {"type": "truck", "ids": ["t1"]}}, {"truck": ("t1",)}),
        ({"robots": {"ids": ["t1", "t2"]}}, {"robots": ("t1", "t2")}),
        ({"robots": [{"type": "truck", "count": 2}, {"type": "excavator"}]}, {"truck": 2, "excavator": 1}),
        ({"robots": ["t1", "t2"]}, {"robots": ("t1", "t2")}),
        ({"robot_type": "truck", "robot_count": 3}, {"truck": 3}),
        ({"robot_ids": ["t1"]}, {"robots": ("t1",)}),
    ],
)
def test_units_of_pools_by_count_or_by_name(fields: dict[str, Any], needs: dict[str, Any]) -> None:
    found = found_in(json.dumps([{"tool": "f", "args": {}, **fields}]))

    assert steps(found)[0].needs == needs
    assert problems(found) == []


def test_a_robot_plan_with_the_function_as_an_object() -> None:
    plan = {
        "tasks": [
            {
                "task": "dig_1",
                "instruction_function": {
                    "name": "dig",
                    "robots": {"type": "excavator", "count": 2},
                    "dependencies": [],
                    "object_keywords": ["puddle1"],
                },
            },
            {"task": "dump_1", "instruction_function": {"name": "dump", "dependencies": ["dig_1"]}},
        ]
    }

    first, second = steps(found_in(json.dumps(plan)))

    assert call(first) == ("dig_1", "dig", (), {"object_keywords": ["puddle1"]})
    assert first.needs == {"excavator": 2}
    assert (second.tool, second.after) == ("dump", ("dig_1",))


@pytest.mark.parametrize(
    ("value", "read_as"),
    [
        ("$a", R("a")),
        ("${a}", R("a")),
        ("$a.x[0]", R("a", ("x", 0))),
        ("of $a and ${a.y}!", Text(("of ", R("a"), " and ", R("a", ("y",)), "!"))),
        ("$ab", R("ab")),
        ("$fetch-it and $1", Text((R("fetch-it"), " and ", R("1")))),
        ("$1.1", R("1.1")),
        ("$$a", "$a"),
        ({"$ref": "a"}, R("a")),
        ({"$ref": "a.x"}, R("a", ("x",))),
        ({"$ref": "a", "path": ["x", 0]}, R("a", ("x", 0))),
        ([{"k": "$a"}], [{"k": R("a")}]),
        ("$later", R("later")),
        ("${later}", R("later")),
    ],
)
def test_references_are_exact_tokens(value: Any, read_as: Any) -> None:
    before = [{"name": name, "tool": "f"} for name in ("a", "ab", "fetch-it", "fetch", "1", "1.1", "10")]

    found = found_in(json.dumps([*before, {"tool": "g", "args": {"v": value}}]))

    assert steps(found)[-1].kwargs == {"v": read_as}
    assert problems(found) == []


@pytest.mark.parametrize("kept", ["$100", "$b of it", "cost $1.50", "$10k"])
def test_what_names_no_step_stays_text_and_is_reported(kept: str) -> None:
    found = found_in(json.dumps([{"name": "a", "tool": "f"}, {"tool": "g", "args": [kept]}]))

    assert steps(found)[-1].args == (kept,)
    assert [each.repaired for each in problems(found)] == [True]


def test_a_task_may_refer_to_a_later_one_that_it_says_it_waits_for() -> None:
    found = found_in('[{"name": "b", "tool": "g", "args": ["of $a"], "depends_on": ["a"]}, {"name": "a", "tool": "f"}]')

    assert steps(found)[0].args == (Text(("of ", R("a"))),)


def test_a_name_stated_again_means_the_later_task_from_there_on() -> None:
    found = found_in(
        '[{"name": "a", "tool": "f", "args": [1]}, {"name": "a", "tool": "f", "args": [2]},'
        ' {"name": "a", "tool": "f", "args": [2]}, {"tool": "g", "args": ["$a"], "after": ["a"]}]'
    )

    assert [call(step) for step in steps(found)][1:] == [("a_2", "f", (2,), {}), ("4", "g", (R("a_2"),), {})]
    assert ["stated before" in each.message or "said twice" in each.message for each in problems(found)] == [True, True]


def test_every_name_of_a_task_means_it() -> None:
    found = found_in(
        '[{"id": 1, "name": "find", "tool": "f"}, {"tool": "g", "args": ["$find", "$1"], "after": ["find"]},'
        ' {"task": "Say what it is", "tool": "h"}]'
    )

    assert steps(found)[1].args == (R("1"), R("1"))
    assert steps(found)[1].after == ("1",)
    assert (steps(found)[2].name, steps(found)[2].why) == ("3", "Say what it is")


@pytest.mark.parametrize(
    ("cut_off", "repaired"),
    [
        ('{"name": "b", "tool": "g", "args": {"x": 1}', True),
        ('{"name": "b", "tool": "g", "args": {"x": 1},', True),
        ('{"name": "b", "tool": "g", "args": {"x": 1}, "why": "beca', True),
        ('{"name": "b", "tool": "g", "args": {"x": "1', False),
        ('{"name": "b", "tool": "g", "args": {"x": 1', False),
        ('{"name": "b", "tool": "g", "args": {"x": 1}, "depends_on": ["a"', False),
        ('{"name": "b", "tool": "g", "args": {"x": 1}, "depe', False),
        ('{"name": "b", "tool": "g"', False),
        ('{"name": "b", "to', False),
    ],
)
def test_a_last_task_that_is_cut_off_is_kept_only_when_what_it_does_is_known(cut_off: str, repaired: bool) -> None:
    found = found_in('[{"name": "a", "tool": "f", "args": {}}, ' + cut_off)

    assert [step.name for step in steps(found)] == (["a", "b"] if repaired else ["a"])
    assert len(unrepaired(found)) == (0 if repaired else 1)
    assert any(each.repaired for each in problems(found)) or unrepaired(found)[0].text == cut_off
    assert joins(found) == []


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ('{"name": 5, "args": {"x": 1}}', "names no tool"),
        ('{"tool": "f", "args": {}, "robots": {"type": "truck", "count": "all"}}', "neither a count"),
        ('{"tool": "f", "args": {}, "needs": {"truck": 0}}', "neither a count"),
        ('{"tool": "f", "args": {}, "needs": 3}', "names no resource"),
        ('{"tool": "f", "args": {}, "depends_on": [{}]}', "names no step"),
        ('"search for {it}"', "a task is an object"),
        ('{"tool": "f", "args": ' + "[" * 100 + "]" * 100 + "}", "MAX_DEPTH"),
    ],
)
def test_what_cannot_be_repaired_is_quoted_and_the_next_task_is_read(task: str, says: str) -> None:
    found = found_in('[{"name": "a", "tool": "f"}, ' + task + ', {"name": "b", "tool": "g", "args": {}}]')

    (problem,) = unrepaired(found)
    assert says in problem.message
    assert task in problem.text
    assert [step.name for step in steps(found)] == ["a", "b"]


def test_words_around_are_thoughts_or_reported() -> None:
    found = found_in(
        'Use {these} [two].\n{"thought": "first", "goal": "x", "tasks": '
        '[{"tool": "f"}, /* then */ {"tool": "g", "why": "y"}]}\n'
        "That is all."
    )

    assert [step.why for step in steps(found)] == ["Use\n{these}\n[two].\nfirst", "then\ny"]
    assert [(each.text, each.repaired) for each in problems(found)] == [('"goal": "x"', True), ("That is all.", True)]


def test_a_join_task_ends_the_plan() -> None:
    found = found_in('{"tool": "f"}\n{"tool": "join", "args": ["$1"]}\n{"tool": "g"}')

    assert joins(found)[0].args == (R("1"),)
    assert [each.text for each in unrepaired(found)] == ['{"tool": "g"}']


def test_an_empty_list_is_a_plan_of_nothing() -> None:
    assert len(joins(found_in(" [] "))) == 1
    assert problems(found_in("[]")) == []


def test_places_are_those_of_the_text() -> None:
    found = found_in('[\n  {"tool": "f",\n   "args": {"x": “é”}}]')

    assert (steps(found)[0].spot, problems(found)[0].spot) == (Spot(2, 3), Spot(3, 18))


plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="$"), max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(plain, values, max_size=3), min_size=1, max_size=5), st.booleans())
def test_correct_json_is_read_as_it_is(arguments: list[dict[str, Any]], is_ascii: bool) -> None:
    tasks = [{"tool": "f", "args": kwargs} for kwargs in arguments]

    found = found_in(json.dumps(tasks, ensure_ascii=is_ascii))

    assert [step.kwargs for step in steps(found)] == arguments
    assert problems(found) == []
