"""Plans as programs: what statements ask for, read and never run."""

from typing import Any

import pytest

from makespan.planners.formats.program import ProgramReader
from makespan.planners.formats.program_values import MAX_UNROLLED
from makespan.planners.steps import Reference, Spot, Text
from tests.planners.formats.reading import call, joins, problems, read, steps, unrepaired

R = Reference


def found_in(text: str) -> list[Any]:
    return read(ProgramReader(), [text])


def test_a_statement_is_found_as_soon_as_the_next_one_begins() -> None:
    reader = ProgramReader()

    assert reader.feed('a = search("x")\n') == []
    assert [step.name for step in steps(reader.feed("b = g(\n"))] == ["a"]
    assert reader.feed("    a,\n)\n\n") == []
    assert [call(step) for step in steps(reader.feed("return b\n"))] == [("b", "g", (R("a"),), {})]
    assert [each.args for each in joins(reader.close())] == [(R("b"),)]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("a", R("a")),
        ("a.x", R("a", ("x",))),
        ("a['x'][0].y", R("a", ("x", 0, "y"))),
        ("f'of {a} and {a.x}'", Text(("of ", R("a"), " and ", R("a", ("x",))))),
        ("f'{a}'", Text((R("a"),))),
        ("f'{n} of {{it}}'", "3 of {it}"),
        ("'of ' + a + '!'", Text(("of ", R("a"), "!"))),
        ("str(a)", Text((R("a"),))),
        ("[a, {'k': a}, (1, -2.5)]", [R("a"), {"k": R("a")}, [1, -2.5]]),
        ("[x for x in names]", ["p", "q"]),
        ("{x: i for i, x in enumerate(names)}", {"p": 0, "q": 1}),
        ("[[x, y] for x in names for y in range(2)]", [["p", 0], ["p", 1], ["q", 0], ["q", 1]]),
        ("[*names, names[-1]]", ["p", "q", "q"]),
        ("{**{'k': 1}, 'l': 2}", {"k": 1, "l": 2}),
        ("'$1 of ${a}'", "$1 of ${a}"),
        ("None, True, null"[:10], None),
    ],
)
def test_values_of_arguments(written: str, value: Any) -> None:
    found = found_in(f"a = f()\nn = 3\nnames = ['p', 'q']\nb = g({written})\nh(n, names, b)\n")

    made = steps(found)[1].args[0]
    assert made == value
    assert problems(found) == []


def test_nested_calls_are_steps_of_their_own() -> None:
    found = found_in('a = add(search("x")["m"], search("y").m)\n')

    assert [call(step) for step in steps(found)] == [
        ("search_1", "search", ("x",), {}),
        ("search_2", "search", ("y",), {}),
        ("a", "add", (R("search_1", ("m",)), R("search_2", ("m",))), {}),
    ]


def test_gathered_and_awaited_calls_are_calls() -> None:
    found = found_in(
        "import asyncio\n"
        "a, b = await asyncio.gather(search('x'), asyncio.create_task(search('y')))\n"
        "c = await asyncio.gather(*[look(x) for x in [a, b]])\n"
        "d = await join_up(c)\n"
    )

    assert [call(step) for step in steps(found)] == [
        ("search_1", "search", ("x",), {}),
        ("search_2", "search", ("y",), {}),
        ("look_1", "look", (R("search_1"),), {}),
        ("look_2", "look", (R("search_2"),), {}),
        ("d", "join_up", ([R("look_1"), R("look_2")],), {}),
    ]
    assert unrepaired(found) == []


def test_a_result_is_taken_apart_by_index() -> None:
    found = found_in("(a, b), c = f()\ng(a, b, c)\n")

    assert steps(found)[1].args == (R("f_1", (0, 0)), R("f_1", (0, 1)), R("f_1", (1,)))


def test_loops_over_known_values_are_unrolled() -> None:
    found = found_in(
        "out = []\nkept = {}\n"
        "for i, (name, size) in enumerate([('p', 1), ('q', 2)]):\n"
        "    got = look(name, n=size)\n    out.append(got)\n    kept[name] = got.x\n"
        "for name, one in kept.items():\n    out += [check(one, name)]\n"
        "return out\n"
    )

    assert [call(step) for step in steps(found)] == [
        ("got", "look", ("p",), {"n": 1}),
        ("got_2", "look", ("q",), {"n": 2}),
        ("check_1", "check", (R("got", ("x",)), "p"), {}),
        ("check_2", "check", (R("got_2", ("x",)), "q"), {}),
    ]
    assert joins(found)[0].args == ([R("got"), R("got_2"), R("check_1"), R("check_2")],)


def test_a_name_given_again_is_another_step() -> None:
    found = found_in("a = f(1)\na = g(a)\na = h(a)\n")

    assert [call(step) for step in steps(found)] == [
        ("a", "f", (1,), {}),
        ("a_2", "g", (R("a"),), {}),
        ("a_3", "h", (R("a_2"),), {}),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "async def main():\n    a = f(1)\n    return a\n\nasyncio.run(main())\n",
        "def main():\n    a = f(1)\n    return a\n\nif __name__ == '__main__':\n    main()\nreturn a\n",
        "def plan():\n    a = f(1)\n    return a\n",
        "a = f(1)\na\n",
        "a = f(1)\nprint(a)",
        "Here is the plan:\n```python\na = f(1)\nfinish(a)\n```",
    ],
)
def test_the_last_value_is_the_answer_of_the_plan(text: str) -> None:
    found = found_in(text)

    assert [call(step) for step in steps(found)] == [("a", "f", (1,), {})]
    assert [each.args for each in joins(found)] == [(R("a"),)]
    assert unrepaired(found) == []


def test_comments_and_words_around_are_thoughts() -> None:
    found = found_in("Sure, the plan:\n```python\n# one\na = f()  # two\n# three\nb = g(a)\n```\nDone.")

    assert [step.why for step in steps(found)] == ["Sure, the plan:\none\ntwo", "three"]
    assert [(each.text, each.repaired) for each in problems(found)] == [("Done.", True)]


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("b = f('x'", "closing bracket"),
        ("b = f('x)", "closing quote"),
        ("b = f(“x”)", "typographic"),
        ("b = f('x']", "closing"),
    ],
)
def test_a_slip_is_repaired_and_reported(statement: str, says: str) -> None:
    found = found_in(f"a = g()\n{statement}\nc = h(a)\n")

    if "]" not in statement:
        assert [call(step) for step in steps(found)][1:] == [("b", "f", ("x",), {}), ("c", "h", (R("a"),), {})]
        assert [(each.spot, each.repaired) for each in problems(found)] == [(Spot(2, 1), True)]
        assert says in problems(found)[0].message
    else:
        assert [each.text for each in unrepaired(found)] == [statement]
        assert steps(found)[-1].name == "c"


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("if a > 3:\n    f(1)", "cannot branch"),
        ("while True:\n    f(1)", "unknown number of rounds"),
        ("for x in a:\n    f(x)", "known now"),
        ("b = [f(x) for x in a.rows]", "known now"),
        ("b = [f(x) for x in [1, 2] if x]", "no conditions"),
        ("b = f(a + 1)", "cannot compute"),
        ("b = f(a > 1)", "cannot compute"),
        ("b = f(f'{a:.2f}')", "cannot format"),
        ("b = f(nobody)", "'nobody' is no name"),
        ("b = a.lower()", "cannot call 'lower'"),
        ("try:\n    f(1)\nexcept E:\n    f(2)", "`try` cannot be part"),
        ("class A:\n    pass", "`class` cannot be part"),
        ("def k(x):\n    return f(x)", "no parameters"),
        ("b = lambda: f(1)", "`lambda`"),
        ("with f() as b:\n    pass", "`with`"),
        ("b = f(lambda: 1)", "`lambda`"),
        ("b = f(1e999)", "no value of JSON"),
        ("b = f(b'x')", "no value of JSON"),
        ("b, *c = f(1)", "take a result apart"),
        ("b = [1, 2][5]", "no such item"),
        ("b = f({a: 1})", "key of a dict"),
        ("import os; os.system(nobody)", "is no name"),
        (f"for x in range({MAX_UNROLLED + 1}):\n    f(x)", "MAX_UNROLLED"),
        ("for x in range(40):\n    for y in range(40):\n        f(x)", "MAX_UNROLLED"),
        ("this is no python", "this is no Python"),
        ("b = f(" + "[" * 95 + "]" * 95 + ")", "MAX_NESTED"),
        ("b = f(" + "-" * 3000 + "1)", "o"),
    ],
)
def test_what_no_plan_can_hold_is_quoted_with_what_is_possible_and_leaves_no_step(statement: str, says: str) -> None:
    found = found_in(f"a = g()\n{statement}\nc = h(a)\n")

    (problem,) = unrepaired(found)
    assert says in problem.message
    assert 2 <= problem.spot.line <= 4
    assert [step.name for step in steps(found)] == ["a", "c"]


def test_a_statement_that_fails_takes_back_the_names_it_gave() -> None:
    found = found_in("a = f(1)\nfor x in [1, 2]:\n    a = g(a)\n    b = h(nobody)\nc = k(a)\n")

    assert [call(step) for step in steps(found)] == [("a", "f", (1,), {}), ("c", "k", (R("a"),), {})]


def test_doubling_values_are_stopped() -> None:
    text = "a = ['x', 'y']\n" + "a = [a, a]\n" * 30 + "s = 'x'\n" + "s = s + s\n" * 60

    found = found_in(text)

    assert any("MAX_VALUE_PARTS" in each.message for each in unrepaired(found))


def test_values_that_nothing_uses_are_reported() -> None:
    found = found_in("note = 'remember'\na = f()\n")

    assert [(each.text, each.repaired) for each in problems(found)] == [("note = 'remember'", True)]


def test_what_comes_after_the_end_is_reported() -> None:
    found = found_in("a = f()\nreturn a\nb = g(a)\n")

    assert [step.name for step in steps(found)] == ["a"]
    assert [each.text for each in unrepaired(found)] == ["b = g(a)"]


def test_places_count_letters_not_bytes() -> None:
    found = found_in('é = "ü"\nä = f("ö", g(é))\n')

    assert [step.spot for step in steps(found)] == [Spot(2, 12), Spot(2, 5)]


def test_backslashes_that_mean_nothing_are_no_warning() -> None:
    assert steps(found_in('f("\\d+")\n'))[0].args == ("\\d+",)
