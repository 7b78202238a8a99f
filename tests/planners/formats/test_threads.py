"""Text that forks and joins: what is told when, and that nothing of it is lost."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from makespan.planners.formats.threads import (
    MAX_FORKS_DEEP,
    Event,
    Fork,
    Joined,
    Outline,
    Parallel,
    Plain,
    ThreadEnded,
    ThreadReader,
    ThreadText,
    contents,
    parse,
)
from makespan.planners.steps import Problem
from tests.planners.formats.reading import cut, cuts

TAGS = ("Parallel", "Outlines", "Outline", "Thread")
TAG = re.compile(r"</?(?:parallel|outlines|outline|thread)>", re.IGNORECASE)


def events_of(*pieces: str, reader: ThreadReader | None = None) -> list[Event]:
    reader = reader or ThreadReader()
    return [each for piece in pieces for each in reader.feed(piece)] + reader.close()


def fork(*threads: str) -> str:
    outlines = "".join(f"<Outline>{n}: part {n}</Outline>\n" for n in range(1, len(threads) + 1))
    return (
        f"<Parallel>\n<Outlines>\n{outlines}</Outlines>\n"
        + "".join(f"<Thread>{thread}</Thread>\n" for thread in threads)
        + "</Parallel>"
    )


plain = st.text("ab \n<>/", max_size=8).filter(lambda text: not TAG.search(text))
nested = st.recursive(
    plain,
    lambda inner: st.tuples(plain, st.lists(inner, min_size=1, max_size=3), plain).map(
        lambda parts: parts[0] + " " + fork(*parts[1]) + " " + parts[2]
    ),
    max_leaves=8,
)
soup = st.lists(
    st.sampled_from(
        [f"<{end}{tag}>" for tag in TAGS for end in ("", "/")] + [fork("x"), "a", "b\n", " ", "<", "</Thr", "1:"]
    )
).map("".join)


def test_the_fork_is_told_when_its_outlines_are_complete() -> None:
    reader = ThreadReader()

    before = reader.feed("Think.\n<Parallel><Outlines><Outline>1: a</Outline><Outline> 2: b</Outline>")
    told = reader.feed("</Outlines>")

    assert before == [Plain("Think.\n")]
    assert [type(each) for each in told] == [Fork]
    assert isinstance(told[0], Fork)
    assert told[0].path == (1,)
    assert told[0].outlines == (Outline("1", "1: a"), Outline("2", " 2: b"))


def test_threads_and_their_own_forks_are_told_apart_by_their_paths() -> None:
    events = events_of(f"a{fork('x', 'y' + fork('z'))}b{fork('w')}")

    assert [(each.path, each.text) for each in events if isinstance(each, ThreadText)] == [
        ((1, 1), "x"),
        ((1, 2), "y"),
        ((1, 2, 1, 1), "z"),
        ((2, 1), "w"),
    ]
    assert [each.path for each in events if isinstance(each, Joined)] == [(1, 2, 1), (1,), (2,)]
    assert [each.text for each in events if isinstance(each, Plain)] == ["a", "b"]


def test_a_model_that_writes_one_thread_is_read_from_inside_of_it() -> None:
    reader = ThreadReader(path=(1, 2))

    events = events_of("2: so\n", "it is</Thr", "ead>", reader=reader)

    assert events == [ThreadText((1, 2), "2: so\n"), ThreadText((1, 2), "it is"), ThreadEnded((1, 2))]
    assert reader.has_ended


def test_the_content_is_what_the_threads_say_one_after_the_other() -> None:
    tree = parse(f"a {fork('x', 'y ' + fork('z'))} b")

    assert tree.content() == "a xy z b"
    assert tree.problems == ()
    (parallel,) = [part for part in tree.parts if isinstance(part, Parallel)]
    assert [thread.content() for thread in parallel.threads] == ["x", "y z"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a <Parallel><Outlines> ", "the text ends"),
        ("a <Parallel> words <Outlines></Outlines></Parallel> b", "text between"),
        ("a <Parallel><Outlines></Outlines></Parallel> b", "out of place"),
        ("a <Parallel><Thread>x</Thread></Parallel> b", "out of place"),
        ("a <Parallel><Outlines><Outline>1: x</Outline></Outlines></Parallel> b", "out of place"),
        ("a <Parallel><Outlines><Outline>1: x</Outline></Outlines><Thread>x</Parallel> b", "out of place"),
        ("a <Parallel><Outlines><Outline>1: x</Outline></Outlines><Thread>x</Thread> y </Parallel> b", "text between"),
        ("a </Parallel> b", "without a fork"),
        ("a <Outline>x</Outline> b", "without a fork"),
        ("<Parallel>" * (MAX_FORKS_DEEP + 2), "out of place"),
    ],
)
def test_malformed_nesting_is_plain_text_with_a_problem(text: str, says: str) -> None:
    tree = parse(text)

    assert says in tree.problems[0].message
    assert tree.parts == (text,)


def test_a_malformed_fork_in_a_thread_leaves_the_fork_around_it_whole() -> None:
    text = "a " + fork("x <Parallel><Thread>q</Thread></Parallel> y", "z") + " b"

    tree = parse(text)

    (parallel,) = [part for part in tree.parts if isinstance(part, Parallel)]
    assert [thread.content() for thread in parallel.threads] == ["x <Parallel><Thread>q</Thread></Parallel> y", "z"]
    assert len(tree.problems) == 1


def test_forks_are_nested_up_to_a_limit() -> None:
    text = "end"
    for _ in range(MAX_FORKS_DEEP + 2):
        text = fork("t " + text)

    tree = parse(text)

    assert tree.text() == text
    assert "MAX_FORKS_DEEP" in tree.problems[0].message


def test_a_missing_thread_is_reported_and_the_others_stay() -> None:
    tree = parse(fork("x", "y").replace("<Thread>y</Thread>\n", ""))

    assert [(each.message, each.repaired) for each in tree.problems] == [("2 outlines but 1 threads", True)]
    assert isinstance(tree.parts[0], Parallel)


def test_text_over_the_limit_is_passed_on_as_it_is() -> None:
    reader = ThreadReader(max_text_chars=20)
    text = "start\n" + fork("x") + "\nend"

    events = events_of(text[:15], text[15:30], text[30:], reader=reader)

    assert contents(events) == text
    assert any("MAX_TEXT_CHARS=20" in each.message for each in events if isinstance(each, Problem))
    assert reader.tree().text() == text


@given(text=nested)
def test_well_nested_text_is_reproduced_and_has_no_problems(text: str) -> None:
    tree = parse(text)

    assert tree.problems == ()
    assert tree.text() == text
    assert contents(events_of(text)) == TAG.sub("", text)


@settings(max_examples=400)
@given(text=soup)
def test_no_text_is_lost_however_the_tags_are_mixed(text: str) -> None:
    tree = parse(text)

    assert tree.text() == text
    assert TAG.sub("", contents(events_of(text))) == TAG.sub("", text)


@settings(max_examples=300)
@given(text=soup, places=cuts, limit=st.integers(1, 400))
def test_the_same_events_come_however_a_text_is_cut(text: str, places: list[int], limit: int) -> None:
    whole = events_of(text, reader=ThreadReader(max_text_chars=limit))

    assert events_of(*cut(text, places), reader=ThreadReader(max_text_chars=limit)) == whole
    assert events_of(*text, reader=ThreadReader(max_text_chars=limit)) == whole


@given(st.text())
def test_any_text_without_tags_is_itself(text: str) -> None:
    assert contents(events_of(text)) == text
