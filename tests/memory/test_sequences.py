"""Forty revision sequences end as an obvious memory ends, and as the sequence itself says."""

from __future__ import annotations

import pytest

from makespan.memory.asking import Gap, ask
from makespan.memory.fold import fold
from makespan.memory.intents import Check, Intent, events_of, read_lines
from makespan.memory.revising import computed, recall
from makespan.memory.staleness import ancestors, basis_of, in_order, stale
from makespan.memory.state import Author, Memory, RevisionRefused
from tests.memory.oracle import NOTHING, Oracle, Refused
from tests.memory.sequences import RULES, SEQUENCES, Sequence

PARAMETERS = {name: list(rule.__code__.co_varnames[: rule.__code__.co_argcount]) for name, rule in RULES.items()}


def intents(script: str) -> list[Intent]:
    read = read_lines(script)
    assert read.unread == ""
    return read.revisions


def known(memory: Memory, name: str) -> tuple[Memory, object]:
    """A slot's value, once everything it needs that is stale is computed; a gap by its reason."""
    for each in in_order(memory.slots):
        if each in ancestors(memory, name) | {name} and each in stale(memory):
            memory = refreshed(memory, each)
    found = ask(memory, name)
    return memory, f"?{found.reason}" if isinstance(found, Gap) else found.value


def refreshed(memory: Memory, name: str) -> Memory:
    basis = basis_of(memory, name)
    if basis is None or name not in stale(memory):
        return memory
    events = recall(memory, name)
    if not events:
        slot = memory.slots[name]
        given = {parameter: ask(memory, need) for parameter, need in slot.needs.items()}
        values = {parameter: found.value for parameter, found in given.items() if not isinstance(found, Gap)}
        events = computed(memory, name, RULES[slot.rule](**values), basis)
    return fold(memory, events)


def play(sequence: Sequence) -> tuple[Memory, list[object]]:
    memory, asked = Memory(), []
    for intent in intents(sequence.script):
        if isinstance(intent, Check):
            memory, answer = known(memory, intent.slot)
            asked.append(answer)
            continue
        try:
            memory = fold(memory, events_of(memory, intent, PARAMETERS, Author("a test")))
        except RevisionRefused:
            continue
    return memory, asked


def test_there_are_forty_of_them_each_with_another_title() -> None:
    assert len({sequence.title for sequence in SEQUENCES}) == 40


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda sequence: sequence.title)
def test_a_sequence_is_answered_and_ends_as_it_says(sequence: Sequence) -> None:
    memory, asked = play(sequence)

    assert asked == sequence.asked
    assert stale(memory) == sequence.stale
    ends = {name: known(memory, name)[1] for name in memory.slots}
    assert {name: None if end == "?unset" else end for name, end in ends.items()} == sequence.final


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda sequence: sequence.title)
def test_a_sequence_ends_as_the_obvious_memory_ends(sequence: Sequence) -> None:
    oracle, answers = Oracle(), []
    for intent in intents(sequence.script):
        try:
            answer = oracle.do(intent)
        except Refused:
            continue
        if isinstance(intent, Check):
            answers.append(answer)

    memory, asked = play(sequence)

    gaps = [NOTHING if isinstance(answer, str) and answer.startswith("?") else answer for answer in asked]
    assert gaps == answers
    ends = {name: known(memory, name)[1] for name in memory.slots}
    theirs = {name: "?unset" if oracle.value(name) is NOTHING else oracle.value(name) for name in oracle.entries}
    assert ends == theirs
