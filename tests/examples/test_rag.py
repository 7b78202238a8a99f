"""RAG with grading: only what is grounded is an answer; killed anywhere, it comes to the same one."""

from __future__ import annotations

import pytest

from examples import rag
from makespan.errors import TaskError
from makespan.models.scripted import Scripted, prompt_text
from makespan.ports import ModelRequest
from makespan.testing import running

NOTES = ["Refunds take five days.", "Parcels leave at noon."]
REWRITTEN = "When do refunds arrive?"


def careless(request: ModelRequest) -> str:
    """Makes a quote up at first, and copies one when it is asked in other words."""
    asked = prompt_text(request)
    if "in other words" in asked:
        return REWRITTEN
    quote = NOTES[0] if REWRITTEN in asked else "They are quick."
    return f'{{"quote": "{quote}", "text": "five days"}}'


def test_a_bad_answer_is_asked_for_in_other_words_and_survives_every_crash() -> None:
    found = running.run(
        rag.rag("How long do refunds take?"),
        fakes={rag.library: NOTES},
        models=Scripted(careless),
        crash_at="each",
    )

    assert found.output == rag.Answer("Refunds take five days.", "five days")


def test_the_model_sees_the_notes_that_fit_and_what_was_wrong() -> None:
    model = Scripted(careless)

    running.run(rag.rag("How long do refunds take?"), fakes={rag.library: NOTES}, models=model)

    asked, rewritten, again = [prompt_text(request) for request in model.calls]
    assert NOTES[0] in asked
    assert NOTES[1] not in asked
    assert "'They are quick.' stands in no note" in rewritten
    assert REWRITTEN in again


def test_no_answer_is_better_than_one_that_is_made_up() -> None:
    found = running.run(rag.rag("How long do refunds take?"), models=Scripted('{"quote": "soon", "text": "soon"}'))

    assert found.status == "failed"
    assert isinstance(found.error, TaskError)
    assert "no answer was grounded" in str(found.error)


@pytest.mark.parametrize(("question", "count"), [("refunds and parcels?", 2), ("Where is the toilet?", 0)])
def test_retrieval_gives_the_notes_that_share_a_word(question: str, count: int) -> None:
    assert len(rag.retrieve.fn(question, NOTES)) == count
