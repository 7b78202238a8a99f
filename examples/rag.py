"""Answers from notes, graded, and asked again in other words while the grade is bad.

The notes are injected (a test gives others), retrieval is cached for an hour, the answer streams. The grade is code,
not a model: the quote must stand in a note, word for word.

    makespan run examples/rag.py -i question="How long do refunds take?"
"""

from dataclasses import dataclass

import makespan as ms


@dataclass(frozen=True)
class Answer:
    quote: str
    text: str


@ms.provide
def library() -> list[str]:
    return ["Refunds take five working days.", "Parcels leave at noon.", "A password is reset under Settings."]


@ms.task(effect="pure", cache_s=3600)
def retrieve(question: str, notes: list[str] = ms.use(library)) -> list[str]:
    asked = {word for word in question.lower().strip("?").split() if len(word) > 3}
    return [note for note in notes if any(word in note.lower() for word in asked)]


@ms.prompt(stream=True, max_tokens=80)
def answer(question: str, notes: list[str]) -> Answer:
    ms.chat("\n".join(notes), f"Question: {question}", system="Answer from the notes; copy one of them as the quote.")


@ms.task(effect="pure")
def grade(found: Answer, notes: list[str]) -> str:
    return "" if found.quote and any(found.quote in note for note in notes) else f"{found.quote!r} stands in no note"


@ms.prompt(max_tokens=40)
def rewrite(question: str, problem: str) -> str:
    """Ask this in other words, in one short question: {question} (The last answer was bad: {problem})"""
    ms.chat()


@ms.workflow
async def rag(question: str) -> Answer:
    for _ in range(3):
        notes = retrieve(question)
        found = answer(question, notes)
        if not (problem := await grade(found, notes)):
            return await found
        question = await rewrite(question, problem)
    raise ms.Fatal("no answer was grounded in the notes")
