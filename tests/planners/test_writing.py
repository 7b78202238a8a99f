"""A written plan is read back as the steps it was written from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makespan.errors import GraphError
from makespan.planners.formats.json_plan import JsonReader
from makespan.planners.steps import Reference, Step, Text
from makespan.planners.writing import can_be_written, plan_text

KEYS = st.sampled_from(["a", "the key", "x-y", "é", "0", 0, -1, 12])
REFERENCES = st.builds(Reference, st.just("1"), st.lists(KEYS, max_size=3).map(tuple))
WORDS = st.sampled_from(
    ["of ", "$", "$1", "$10", "$1.50", "${1}", "$$1", "\\$1", "$x", "{1}", ".x", "[0]", '["k"]', ". ", "[a]", '"', "\n"]
)
LITERALS = st.lists(WORDS, max_size=4).map("".join)


def texts() -> st.SearchStrategy[Any]:
    """Texts in which strings and references alternate, one string at least, that can be written."""
    between = st.lists(st.tuples(WORDS, REFERENCES), min_size=1, max_size=3)
    made = st.builds(lambda pairs, end: Text((*(part for pair in pairs for part in pair), end)), between, WORDS)
    return made.filter(can_be_written)


ARGUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**9), 10**9), LITERALS, REFERENCES, texts()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["k", "k2"]), inner)),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["what", "of_it"]), ARGUMENTS), st.sampled_from([(), ("1",)]))
def test_what_is_written_is_read_back(arguments: dict[str, Any], after: tuple[str, ...]) -> None:
    steps = [Step("1", "search", kwargs={"query": "K2"}), Step("2", "math", kwargs=arguments, after=after)]

    reader = JsonReader()
    found = [*reader.feed(plan_text(steps)), *reader.close()]

    read = [each for each in found if isinstance(each, Step)]
    assert [(s.name, s.tool, s.kwargs, s.after) for s in read] == [(s.name, s.tool, s.kwargs, s.after) for s in steps]


@pytest.mark.parametrize(
    "argument",
    [
        Reference("the first"),
        Reference("1", ('a"b',)),
        Reference("1", (0,) * 21),
        Text(("$", Reference("1"))),
        Text(("C:\\", Reference("1"))),
        Text((Reference("1"), ".json")),
        Text((Reference("1"), "[0]")),
    ],
)
def test_what_no_text_can_say_is_refused(argument: Reference | Text) -> None:
    with pytest.raises(GraphError, match="cannot be written in a plan's text; give"):
        plan_text([Step("2", "math", kwargs={"x": argument})])
