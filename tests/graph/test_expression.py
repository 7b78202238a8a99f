import random
from contextlib import suppress
from typing import Any

import pytest

from makespan.errors import GraphError
from makespan.graph.expression import parse
from makespan.graph.terms import GuardError

VALUES: dict[str, Any] = {
    "s0": {
        "ok": True,
        "name": "ann",
        "score": 0.75,
        "items": [{"id": 7}, {"id": 8}],
        "none": None,
        "empty": [],
    },
    "s1": 3,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("s1", 3),
        ("-2.5e1", -25.0),
        (r"'it\'s \"so\" \u00e9\n'", 'it\'s "so" é\n'),
        ("true and True and not false", True),
        ("null == None", True),
        ("s0.name", "ann"),
        ("s0['name']", "ann"),
        ("s0.items[-1].id", 8),
        ("s0.items[0]['id']", 7),
        ("1 < s1 <= 3", True),
        ("1 < s1 < 3", False),
        ("s0.score >= 0.5 and s0.ok", True),
        ("s0.name == 'ann' or s0.nothing", True),
        ("not s0.ok and s0.nothing", False),
        ("not s0.empty", True),
        ("s0.none == 3", False),
        ("s0.none != null", False),
        ("len(s0.items) == 2", True),
        ("len('abc')", 3),
        ("s0.name in ['bob', 'ann']", True),
        ("s0.name not in ['bob', 1]", True),
        ("'nn' in s0.name", True),
        ("'ok' in s0", True),
        ("true in [1]", False),
        ("(s1 == 3) == true", True),
        ("1 == 1.0", True),
        ("[] == []", True),
    ],
)
def test_an_expression_means_what_python_would_mean_on_plain_data(text: str, value: Any) -> None:
    assert parse(text).evaluate(VALUES) == value


@pytest.mark.parametrize(
    "text",
    [
        "s1 == '3'",
        "s1 == true",
        "s1 < '3'",
        "null < 1",
        "s0 < s0",
        "s0.items < s0.items",
        "s0 in 3",
        "3 in 'abc'",
    ],
)
def test_unlike_things_are_refused_instead_of_being_silently_unequal(text: str) -> None:
    with pytest.raises(GuardError):
        parse(text).evaluate(VALUES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s0.nam", "did you mean 'name'"),
        ("s0.items[2]", "index 2 is outside a list of 2"),
        ("s0.items.id", "whole number as index"),
        ("s0.items[true]", "whole number as index"),
        ("s1.real", "no field text 'real' in number 3"),
        ("s0[true]", "no field"),
        ("s2", "no value for 's2'"),
        ("len(s1)", "len\\(\\) takes text, a list or a dict"),
    ],
)
def test_missing_data_is_a_guard_error_that_says_what_is_missing(text: str, said: str) -> None:
    with pytest.raises(GuardError, match=said):
        parse(text).evaluate(VALUES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s0 = 3", "column 4 .* write == to compare"),
        ("s0 && s1", "column 4 .* write `and`"),
        ("s0.__class__", "column 4 .* two underscores"),
        ("__import__", "column 1 .* two underscores"),
        ("open('x')", "column 1 .* `len` is the only function"),
        ("s1 + 1", "column 4 .* pure task"),
        ("-s1", "no arithmetic"),
        ("'abc", "no closing quote"),
        ("(s1", "expected '\\)', found 'the end'"),
        ("s0 s1", "column 4 .* after a whole expression"),
        ("", "found the end"),
        ("s0.", "name of a field"),
        ("1e999", "too large"),
        ("'\\x'", "unknown escape"),
        ("s1 is 3", "after a whole expression"),
        ("lambda", "unknown name 'lambda'"),
        ("s3 == 1", "unknown name 's3' .known: s0, s1"),
    ],
)
def test_what_is_not_in_the_language_is_refused_with_its_column(text: str, said: str) -> None:
    with pytest.raises(GraphError, match=said):
        parse(text, ["s0", "s1"])


def test_length_and_nesting_are_bounded() -> None:
    for text in ("1" * 501, "(" * 40 + "1" + ")" * 40, "not " * 40 + "true", "[" * 40 + "]" * 40):
        with pytest.raises(GraphError):
            parse(text)

    long_chain = "s0" + ".a" * 200
    with pytest.raises(GuardError):
        parse(long_chain).evaluate(VALUES)


def test_python_attributes_are_out_of_reach() -> None:
    class Secret:
        key = "k"

    for text in ("s0.key", "s0['key']", "s0['__class__']", "len(s0)", "s0 < 1"):
        with pytest.raises(GuardError):
            parse(text).evaluate({"s0": Secret()})


def test_an_expression_knows_its_names_and_is_a_value() -> None:
    first, second = parse("s0.ok and s1 > len(s2)"), parse("s0.ok and s1 > len(s2)")

    assert first.names == {"s0", "s1", "s2"}
    assert first == second
    assert hash(first) == hash(second)


def test_truth_is_that_of_plain_data() -> None:
    for text in ("null", "false", "0", "0.0", "''", "[]"):
        assert not parse(text).holds({})
    for text in ("true", "-1", "'0'", "[0]"):
        assert parse(text).holds({})


def test_a_missing_field_is_reported_fast_in_a_huge_dict() -> None:
    huge = {f"field_number_{place}": place for place in range(100_000)}

    with pytest.raises(GuardError, match="dict of 100000"):
        parse("s0.field_number_x").evaluate({"s0": huge})


def test_data_nested_too_deep_to_compare_is_a_guard_error() -> None:
    deep: list[Any] = []
    other: list[Any] = []
    for _ in range(100_000):
        deep, other = [deep], [other]

    with pytest.raises(GuardError, match="too deep"):
        parse("s0 == s1").evaluate({"s0": deep, "s1": other})

    for chain in (deep, other):
        while chain:  # taken apart by hand: freeing it at once would recurse
            chain[:] = chain[0]


@pytest.mark.slow
def test_adversarial_texts_raise_nothing_but_graph_errors() -> None:
    rng = random.Random(2)
    pieces = [
        *"()[]{}.,'\"\\=!<>+-*/%&|^~@#$?:;_ \t\n\0é٣²",
        *(
            "s0",
            "s1",
            "x",
            "and",
            "or",
            "not",
            "in",
            "len",
            "true",
            "null",
            "None",
            "1",
            "0.5",
            "1e9",
            "-3",
            "9" * 50,
        ),
        *(
            "==",
            "!=",
            "<=",
            "not in",
            "'a'",
            '"b"',
            "__class__",
            ".items",
            "[0]",
            "[-1]",
            "lambda",
            "\\u0041",
            "('",
        ),
    ]
    for _ in range(10_000):
        text = "".join(rng.choice(pieces) + rng.choice(["", " "]) for _ in range(rng.randint(0, 25)))
        with suppress(GraphError):
            parse(text).evaluate(VALUES)
