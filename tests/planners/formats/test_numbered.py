"""Plans of numbered calls: what each line becomes, and what is repaired in it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makespan.planners.formats.numbered import NumberedReader
from makespan.planners.steps import Join, Problem, Reference, Spot, Step, Text
from tests.planners.formats.reading import call, joins, problems, read, steps, unrepaired

R = Reference


def found_in(text: str) -> list[Any]:
    return read(NumberedReader(), [text])


def only(line: str, before: str = "") -> Step:
    """The last step of a text, which must have been found without an unrepaired problem."""
    found = found_in(before + line)
    assert unrepaired(found) == []
    return steps(found)[-1]


THREE_SLIPS = """Thought: I need both heights first.
1. search("height of Everest"
2. search("height of K2")
3. search("height of Kangchenjunga"
4. math("${1} - ${2}")
Thought: the third belongs to it
5. math("$4 / ${3}"
6. math("round($5)")
7. report("a", $6)
8. join()<END_OF_PLAN>
"""


def test_three_lines_of_eight_without_a_parenthesis_are_repaired_where_they_stand() -> None:
    found = found_in(THREE_SLIPS)

    assert [step.name for step in steps(found)] == ["1", "2", "3", "4", "5", "6", "7"]
    assert [(each.spot.line, each.repaired) for each in problems(found)] == [(2, True), (4, True), (7, True)]
    assert all("parenthesis is missing" in each.message for each in problems(found))
    assert steps(found)[4].args == (Text((R("4"), " / ", R("3"))),)
    assert steps(found)[4].why == "the third belongs to it"
    assert joins(found) == [Join(Spot(10, 1))]


def test_a_step_is_found_as_soon_as_its_line_ends() -> None:
    reader = NumberedReader()

    assert reader.feed('1. search("a")') == []
    assert [step.name for step in steps(reader.feed("\n2. sea"))] == ["1"]
    assert [step.name for step in steps(reader.feed('rch("b"\n'))] == []
    assert [step.name for step in steps(reader.feed("3. math("))] == ["2"], "closed once the next step begins"


@pytest.mark.parametrize(
    ("written", "args", "kwargs"),
    [
        ("'a', \"b\"", ("a", "b"), {}),
        ("1, -2, 3.5, 1e3, 1_000", (1, -2, 3.5, 1000.0, 1000), {}),
        ("True, true, False, false, None, null", (True, True, False, False, None, None), {}),
        ("[1, [2, {'a': [3]}], (4, 5)]", ([1, [2, {"a": [3]}], [4, 5]],), {}),
        ("q='x', n = 2, f={\"a\": None}", (), {"q": "x", "n": 2, "f": {"a": None}}),
        ("{'a': 1, 'b': \"c\",}, [1,],", ({"a": 1, "b": "c"}, [1]), {}),
        (r"'it\'s', \"a\nb\", 'é 😀'".replace('\\"', '"'), ("it's", "a\nb", "é 😀"), {}),
        ("'1,000', \"(a), [b]\"", ("1,000", "(a), [b]"), {}),
        ('"""say "hi" to it"""', ('say "hi" to it',), {}),
        (r"r'\d+'", (r"\d+",), {}),
        ("", (), {}),
    ],
)
def test_arguments_in_the_ways_of_python_and_json(written: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    found = found_in(f"1. f({written})")

    assert problems(found) == []
    assert call(steps(found)[0]) == ("1", "f", args, kwargs)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("$1", R("1")),
        ("${1}", R("1")),
        ("$1.field", R("1", ("field",))),
        ("$1[0]", R("1", (0,))),
        ("${1.rows[2]['a b']}.x", R("1", ("rows", 2, "a b", "x"))),
        ('"$1"', R("1")),
        ('"${1}0"', Text((R("1"), "0"))),
        ('"$1 and $10"', Text((R("1"), " and ", R("10")))),
        ('"$10"', R("10")),
        ('"$1."', Text((R("1"), "."))),
        ('"a $1.x, $1[0]"', Text(("a ", R("1", ("x",)), ", ", R("1", (0,))))),
        ('"$$1 is not ${1}"', Text(("$1 is not ", R("1")))),
        ('"$$1"', "$1"),
        ('"$HOME/x $ 5 $"', "$HOME/x $ 5 $"),
        ("[$1, {'a': $10}]", [R("1"), {"a": R("10")}]),
        ("$7", R("7")),
        ('"${7}"', R("7")),
        ('"sum of " + $1 + "!"', Text(("sum of ", R("1"), "!"))),
    ],
)
def test_references_are_exact_tokens(written: str, value: Any) -> None:
    found = found_in(f"1. f()\n10. f()\n2. g({written})")

    assert problems(found) == []
    assert steps(found)[-1].args == (value,)


@pytest.mark.parametrize("price", ["$100", "$1.50", "$1,200", "$1M", "$2"])
def test_a_price_stays_text_and_is_reported(price: str) -> None:
    found = found_in(f'1. f()\n2. g("{price} for $1")\n3. h()')

    assert steps(found)[1].args == (Text((f"{price} for ", R("1"))),)
    assert [(each.text, each.repaired) for each in problems(found)] == [(price, True)]


@pytest.mark.parametrize(
    ("line", "expected", "says"),
    [
        ('2. g("a"', ("2", "g", ("a",), {}), "parenthesis"),
        ('2. g("a)', ("2", "g", ("a",), {}), "closing quote"),
        ('2. g("sin(a)', ("2", "g", ("sin(a)",), {}), "closing quote"),
        ("2. g([1, 2)", ("2", "g", ([1, 2],), {}), "']'"),
        ('2. g({"a": [1)', ("2", "g", ({"a": [1]},), {}), "']'"),
        ("2. g('Newton's laws', 3)", ("2", "g", ("Newton's laws", 3), {}), "backslash"),
        ('2. g("the "best" one")', ("2", "g", ('the "best" one',), {}), "backslash"),
        ("2. g(“a”, ‘b’)", ("2", "g", ("a", "b"), {}), "typographic"),
        ("2. g(height of K2, 5)", ("2", "g", ("height of K2", 5), {}), "without quotes"),
        ("2. g(1,000)", ("2", "g", ("1,000",), {}), "commas"),
        ("2. g($1 / 2)", ("2", "g", (Text((R("1"), " / 2")),), {}), "without quotes"),
        ('2. g("a" "b")', ("2", "g", ('a" "b',), {}), "backslash"),
        ("2. g('a' 5)", ("2", "g", ("a' 5",), {}), "closing quote"),
        ('2. g("q": "a")', ("2", "g", (), {"q": "a"}), "name of an argument"),
        ('2. g(q: "a")', ("2", "g", (), {"q": "a"}), "named with"),
        ('2. g("a") and then rest', ("2", "g", ("a",), {}), "behind the call"),
        ('g("a")', ("2", "g", ("a",), {}), "without a number"),
        ('x = g("a")', ("2", "g", ("a",), {}), "without a number"),
        ('1. g("a")', ("1_2", "g", ("a",), {}), "stated before"),
    ],
)
def test_a_slip_is_repaired_and_reported(line: str, expected: tuple[Any, ...], says: str) -> None:
    found = found_in("1. f()\n" + line)

    assert call(steps(found)[-1]) == expected
    assert unrepaired(found) == []
    assert any(says in each.message for each in problems(found))


@pytest.mark.parametrize(
    "line",
    [
        '2. g("a")',
        '2) g("a")',
        "(2) g('a')",
        '2: g("a")',
        '$2 = g("a")',
        '${2} = g("a")',
        'Step 2: g("a")',
        '- 2. g("a")',
        '* **2.** g("a")',
        '**2. g("a")**',
        '2. `g("a")`',
        '> 2. g("a");',
        '### 2. g("a")',
        '02. g("a")',
        '2. Action: g("a")',
        '  2.g("a")',
        '2 g("a")',
    ],
)
def test_ornaments_around_a_step_are_no_problem(line: str) -> None:
    found = found_in("1. f()\n" + line + "\n")

    assert problems(found) == []
    assert call(steps(found)[-1]) == ("2", "g", ("a",), {})


def test_tool_names_are_left_as_they_are_written() -> None:
    assert only('1. Web Search("a")').tool == "Web Search"
    assert only("1. web.Search-it()").tool == "web.Search-it"


def test_a_number_stated_again_means_the_later_step_from_there_on() -> None:
    found = found_in('1. f("a")\n1. f("b")\n2. g($1, "${1}")\n1. f("c")\n3. g($1)')

    assert [call(step) for step in steps(found)] == [
        ("1", "f", ("a",), {}),
        ("1_2", "f", ("b",), {}),
        ("2", "g", (R("1_2"), R("1_2")), {}),
        ("1_3", "f", ("c",), {}),
        ("3", "g", (R("1_3"),), {}),
    ]


def test_a_line_said_twice_is_one_step() -> None:
    found = found_in('1. f("a")\n1. f("a")\n')

    assert len(steps(found)) == 1
    assert "said twice" in problems(found)[0].message


def test_a_call_may_take_several_lines() -> None:
    found = found_in('1. write(\n  "a\nThis is 1. a list\n\n2. not a step",\n  [1,\n   2]\n)\n2. g($1)')

    assert problems(found) == []
    assert steps(found)[0].args == ("a\nThis is 1. a list\n\n2. not a step", [1, 2])
    assert steps(found)[1].spot == Spot(9, 1)


def test_a_call_that_is_never_closed_ends_with_its_line_and_eats_nothing() -> None:
    found = found_in('1. f("a"\nwhat comes next\n2. g("b)\nfurther words\n3. h()')

    assert [call(step) for step in steps(found)] == [
        ("1", "f", ("a",), {}),
        ("2", "g", ("b",), {}),
        ("3", "h", (), {}),
    ]
    assert [step.why for step in steps(found)] == ["", "what comes next", "further words"]


def test_several_calls_on_one_line_are_several_steps() -> None:
    found = found_in("1. f(1) 2. g($1), 3) join()")

    assert [call(step) for step in steps(found)] == [("1", "f", (1,), {}), ("2", "g", (R("1"),), {})]
    assert len(joins(found)) == 1
    assert problems(found) == []


@pytest.mark.parametrize(
    "end", ["3. join()", "join()", "3. finish", "<END_OF_PLAN>", "3. Join()<END_OF_PLAN>", "END_OF_PLAN"]
)
def test_a_plan_ends_once(end: str) -> None:
    found = found_in(f"1. f()\nThought: done\n{end}\n")

    assert [each.why for each in joins(found)] == ["done"]
    assert problems(found) == []


def test_a_join_has_the_arguments_it_is_given() -> None:
    assert joins(found_in('1. f()\n2. finish($1, "ok")'))[0].args == (R("1"), "ok")


def test_what_comes_after_the_end_is_reported() -> None:
    found = found_in("1. f()\n2. join()\n3. g()\nbye")

    assert [(each.text, each.repaired) for each in problems(found)] == [("3. g()", False), ("bye", True)]
    assert len(steps(found)) == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("2. find the height of K2", "without a call"),
        ('2. add(search("a"), 1)', "a call stands inside a call"),
        ("2. g(" + "[" * 100, "MAX_DEPTH"),
    ],
)
def test_what_cannot_be_repaired_is_quoted(line: str, says: str) -> None:
    found = found_in("1. f()\n" + line)

    (problem,) = unrepaired(found)
    assert says in problem.message
    assert (problem.text, problem.spot) == (line, Spot(2, 1))


def test_thoughts_go_to_the_next_step() -> None:
    found = found_in("Here is my plan.\n\n**Thought:** one\nand more\n1. f()\nReason 2: two\n2. g()\n")

    assert [step.why for step in steps(found)] == ["Here is my plan.\none\nand more", "two"]
    assert problems(found) == []


names = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True).filter(lambda name: name not in ("join", "finish"))
plain = st.text(st.characters(exclude_categories=["C"], exclude_characters="$\\"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.tuples(names, st.lists(values, max_size=3), st.dictionaries(names, values, max_size=2)), max_size=5))
def test_every_python_literal_is_read_as_it_is(calls: list[tuple[str, list[Any], dict[str, Any]]]) -> None:
    lines = []
    for number, (tool, args, kwargs) in enumerate(calls, 1):
        written = [repr(each) for each in args] + [f"{key}={value!r}" for key, value in kwargs.items()]
        lines.append(f"{number}. {tool}({', '.join(written)})\n")

    found = found_in("".join(lines))

    assert [(step.tool, list(step.args), step.kwargs) for step in steps(found)] == calls
    assert not any(isinstance(each, Problem) for each in found)
