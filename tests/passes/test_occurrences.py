"""The index of earlier texts says exactly what looking through all of them says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makespan.passes.occurrences import MOST_WHOLES, Occurrences, tokens

LETTERS = st.lists(st.sampled_from("abc"), min_size=1, max_size=8)
SPANS = [(start, end) for start in range(8) for end in range(start + 1, 9)]


@given(st.lists(st.tuples(st.integers(0, 2), LETTERS), max_size=6), LETTERS, st.sampled_from(["abc", "ab"]))
def test_stretches_and_their_holders_are_those_of_a_plain_search(
    said: list[tuple[int, list[str]]], asked: list[str], vocabulary: str
) -> None:
    said = sorted(said, key=lambda one: one[0])
    index = Occurrences(frozenset(vocabulary))
    for owner, words in said:
        index.add(owner, (), " ".join(words), tokens(" ".join(words)))
    text = tokens(" ".join(asked))
    held = {span: holders_of(asked[slice(*span)], said, vocabulary) for span in SPANS if span[1] <= len(asked)}
    there = {span for span, owners in held.items() if owners}
    longest = [a for a in sorted(there) if not any(b != a and b[0] <= a[0] and a[1] <= b[1] for b in there)]

    assert all([each.owner for each in index.holders(text[slice(*span)])] == held[span] for span in held)
    assert [(each.start, each.end) for each in index.longest(text)] == longest
    assert {(each.start, each.end) for each in index.wholes(text)} == {
        span for span in there if any(words == asked[slice(*span)] for _, words in said)
    }


def holders_of(wanted: list[str], said: list[tuple[int, list[str]]], vocabulary: str) -> list[int]:
    if not set(wanted) <= set(vocabulary):
        return []
    size = len(wanted)
    found = [
        owner for owner, words in said if any(words[at : at + size] == wanted for at in range(len(words) - size + 1))
    ]
    return list(dict.fromkeys(found))


def test_of_whole_texts_that_end_together_the_longest_few_are_told() -> None:
    index = Occurrences(frozenset("a"))
    for size in range(1, 30):
        index.add(size, (), "a", tokens("a " * size))

    found = [each for each in index.wholes(tokens("a " * 29)) if each.end == 29]

    assert [each.end - each.start for each in found] == list(range(29, 29 - MOST_WHOLES, -1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,234 1234 1234.0 1234.00 1.234e3", ["1234"] * 5),
        ("8,611m 12% $1,234,567.50.", ["8611", "m", "12", "%", "$", "1234567.5", "."]),
        ("1.5.3 007 v2 48f3a", ["1", ".", "5.3", "007", "v2", "48f3a"]),
        ("123456789012345678901234567890.10", ["123456789012345678901234567890.1"]),
        ("1e999 0.0", [f"1{'0' * 999}", "0"]),
        ("größer, no?", ["größer", ",", "no", "?"]),
    ],
)
def test_numbers_are_tokens_by_value_and_digits_inside_of_words_are_none(text: str, said: list[str]) -> None:
    assert [token.text for token in tokens(text)] == said
