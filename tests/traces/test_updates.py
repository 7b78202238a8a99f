"""What facts tell a reader: which kinds, with which values, at which places."""

import msgspec
import pytest

from makespan.errors import ErrorRecord, UsageError
from makespan.graph.node import Declaration, Kind, Options, Wait
from makespan.machine import facts as f
from makespan.machine.state import State
from makespan.traces.updates import BEGIN, KINDS, Update, cursor_of, place_of, updates_of, wanted_kinds
from tests.traces.histories import ERROR, S, added, crashed, diamond, header, retried, task_id

_encode = msgspec.msgpack.encode


def told(facts: list[f.Fact], only: list[str] | None = None) -> list[Update]:
    """All updates of a history."""
    state, updates = State(), []
    for fact in facts:
        state.apply(fact)
        updates += updates_of(fact, state, wanted_kinds(only))
    return updates


def kinds(updates: list[Update]) -> list[str]:
    return [update.kind for update in updates]


def asking() -> list[f.Fact]:
    """A question for a person, an approval, and an answer."""
    question = Declaration("ask", Kind.SIGNAL, wait=Wait("", b'{"type":"boolean"}'))
    said = _encode({"question": "Refund 5 USD?", "about": {"order": 7}})
    return [
        *header(),
        f.DeclarationAdded(question),
        f.DeclarationAdded(Declaration("pay", options=Options(approve=True))),
        f.TaskAdded(3, 0, task_id(0), (said,), delay_ns=60 * S),
        f.TaskAdded(4, 0, task_id(1), (_encode({"usd": 5}),)),
        f.AttemptStarted(0, 2 * S),
        f.ApprovalAsked(1, 2 * S),
        f.MessageReceived(3 * S, f"answer:{task_id(0).hex()}", _encode(True), "m1", "ann"),
        f.MessageTaken(0, 3 * S, 0, _encode(True)),
        f.DecisionMade(1, 4 * S, "approve", "ann"),
    ]


def test_a_run_tells_what_starts_and_what_came_of_it() -> None:
    updates = told(diamond())

    assert kinds(updates) == [
        "run",
        *["started", "finished"],
        "started",
        "started",
        *["finished"] * 2,
        "started",
        "finished",
        "run",
    ]
    first = updates[2]
    assert (first.task, first.key, first.value, first.cost_usd, first.at_s) == (task_id(0).hex(), "plan", 1, 0.005, 2.0)
    assert (updates[-1].status, updates[-1].value, updates[-1].at_s) == ("succeeded", 1, 6.0)


def test_a_second_attempt_first_discards_what_the_first_one_showed() -> None:
    updates = told(retried())

    assert [(u.kind, u.attempt) for u in updates if u.task] == [
        ("started", 1),
        ("discard", 1),
        ("started", 2),
        ("finished", 2),
    ]


def test_an_attempt_that_a_crash_ended_is_discarded_when_it_starts_again() -> None:
    updates = told(crashed())

    first = [(u.kind, u.attempt or u.status) for u in updates if u.task == task_id(0).hex() or u.kind == "run"]
    assert first == [
        ("run", "started"),
        ("started", 1),
        ("run", "resumed"),
        ("interrupted", 1),
        ("discard", 1),
        ("started", 2),
        ("failed", 2),
        ("run", "interrupted"),
    ]


def test_a_retry_says_when_and_why() -> None:
    facts = [*retried()[:-2], f.RetryScheduled(0, 3 * S)]

    retry = told(facts)[-1]

    assert (retry.kind, retry.value, retry.error) == ("retry", {"in_s": 2.0}, "ValueError: no")


def test_a_question_shows_what_it_asks_and_the_schema_of_an_answer() -> None:
    updates = told(asking())

    question, approval = (u for u in updates if u.kind == "question")
    assert question.value == {
        "about": "answer",
        "arguments": {"question": "Refund 5 USD?", "about": {"order": 7}},
        "schema": {"type": "boolean"},
        "deadline_s": 62.0,
    }
    assert approval.value == {"about": "approval", "arguments": {"usd": 5}}
    assert kinds(updates)[-3:] == ["message", "finished", "decision"]
    assert updates[-2].value is True
    assert updates[-1].value == {"verdict": "approve", "author": "ann"}


def test_an_unknown_outcome_is_a_question_too() -> None:
    call = f.TaskAdded(0, 0, task_id(0), (b"\x80",))
    facts = [*header(), call, f.AttemptStarted(0, 0), f.AttemptUnknown(0, S, "the process ended")]

    question = told(facts)[-1]

    assert (question.kind, question.value["about"], question.error) == ("question", "outcome", "the process ended")


def test_joins_and_values_of_the_machine_say_nothing() -> None:
    facts = [
        *header(),
        f.DeclarationAdded(Declaration("pair", Kind.VALUE)),
        f.TaskAdded(3, 0, task_id(0), (b"\x01",)),
        f.TaskSucceeded(0, 0, b"\x01"),
    ]

    assert kinds(told(facts)) == ["run"]


def test_a_cached_result_says_so() -> None:
    facts = [*header(), added(0, 0), f.TaskSucceeded(0, S, b"\x05", cached=True)]

    assert (told(facts)[-1].kind, told(facts)[-1].value) == ("cached", 5)


def test_refused_edits_and_messages_say_why() -> None:
    facts = [
        *header(),
        f.EditRefused(S, "ann", "remove", "started", "it runs"),
        f.MessageReceived(S, "paid", b"\x01", "m", "bob"),
        f.MessageRefused(0, S, "Expected `str`, got `int`"),
    ]

    edit, message, refused = told(facts)[1:]

    assert (edit.status, edit.error) == ("refused", "started it runs")
    assert message.value == {"name": "paid", "id": "m", "author": "bob", "value": 1}
    assert (refused.kind, refused.status, refused.error) == ("message", "refused", "Expected `str`, got `int`")


def test_places_do_not_depend_on_what_is_wanted() -> None:
    everything, little = told(retried()), told(retried(), ["run"])

    assert kinds(everything) == kinds(little)
    assert [u.value for u in little if u.kind == "finished"] == [None]


def test_the_error_of_a_failed_run_is_told() -> None:
    facts = [*header(), added(0, 0), f.RunEnded(S, "failed", ErrorRecord("ValueError", "bad"))]

    assert (told(facts)[-1].status, told(facts)[-1].error) == ("failed", "ValueError: bad")
    assert ERROR.message == "no"


@pytest.mark.parametrize("place", [(0, 1, 0), (12, 0, 1), (3, 4, 0)])
def test_a_cursor_names_its_place(place: tuple[int, int, int]) -> None:
    assert place_of(cursor_of(place)) == place


def test_no_cursor_is_the_beginning() -> None:
    assert place_of(None) == place_of("") == BEGIN


@pytest.mark.parametrize("cursor", ["x", "1", "1.2.3.4", "-1.2", "1.²", "1." + "9" * 30])
def test_other_texts_are_no_cursors(cursor: str) -> None:
    with pytest.raises(UsageError, match="is no cursor"):
        place_of(cursor)


def test_chunks_bring_along_what_says_that_they_are_void() -> None:
    assert wanted_kinds(["chunk", "question"]) == {"chunk", "question", "discard", "lost"}
    assert wanted_kinds("run") == {"run"}
    assert wanted_kinds(None) == frozenset(KINDS)


def test_an_unknown_kind_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="did you mean 'chunk'"):
        wanted_kinds(["chunks"])
