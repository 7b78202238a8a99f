"""A thousand random histories: staleness is reachability, folding is the whole truth, marks bring everything back."""

from __future__ import annotations

import contextlib
from random import Random
from typing import Any

import msgspec
import pytest

from makespan.authoring.task import HOOKS
from makespan.memory import revising
from makespan.memory.asking import Known, ask
from makespan.memory.events import Events, MemoryEvent
from makespan.memory.fold import fold
from makespan.memory.staleness import basis_of, dependants, in_order, stale
from makespan.memory.state import Memory, RevisionRefused

HISTORIES = 1_000
STEPS = 30
NAMES = [f"s{number}" for number in range(9)]
LABELS = ["m0", "m1", "m2"]


class History:
    """A memory under random changes, with a log of all it ever held."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.memory = Memory()
        self.events: list[MemoryEvent] = []
        self.values: dict[tuple[int, int], Any] = {}
        """(slot, version) → value, of every version that there ever was."""
        self.held: dict[str, Any] = {}
        """What everything was at each mark."""
        for name in NAMES[:5]:
            self.take(revising.set_slot(self.memory, name, self.rng.randrange(3)))

    def step(self) -> None:
        """One random change, which may be refused."""
        act = self.rng.choice([self.put, self.put, self.change, self.compute, self.compute, self.refresh, self.refresh])
        if self.rng.random() < 0.2:
            act = self.rng.choice([self.back, self.mark, self.go_back, self.replace, self.rename, self.remove])
        with contextlib.suppress(RevisionRefused):
            self.take(act())

    def take(self, events: Events) -> None:
        self.memory = fold(self.memory, events)
        self.events += events
        for slot in self.memory.slots.values():
            for version in slot.versions:
                known = self.values.setdefault((slot.number, version.number), version.text)
                assert known == version.text, "a version was altered"

    # ---- the changes

    def put(self) -> Events:
        return revising.set_slot(self.memory, self.rng.choice(NAMES), self.rng.randrange(3))

    def change(self) -> Events:
        return revising.change(self.memory, self.rng.choice(NAMES), self.rng.randrange(3))

    def compute(self) -> Events:
        name = self.rng.choice(NAMES)
        needs = self.rng.sample(NAMES, self.rng.randint(1, 3))
        rule = self.rng.choice(["least", "most"])
        wanted = {f"p{place}": need for place, need in enumerate(needs)}
        closure = self.closure()
        wrong = {"cycle" for need in needs if need == name or (name, need) in closure}
        wrong |= {"unknown" for need in needs if need not in self.memory.slots}
        if not wrong:
            return revising.compute(self.memory, name, rule, wanted)
        with pytest.raises(RevisionRefused) as refused:
            revising.compute(self.memory, name, rule, wanted)
        assert refused.value.reason in wrong
        return ()

    def refresh(self) -> Events:
        """Compute one stale slot, if what it needs stands."""
        old = stale(self.memory)
        ready = [name for name in self.memory.slots if name in old and self.is_ready(name, old)]
        if not ready:
            return ()
        name = self.rng.choice(ready)
        basis = basis_of(self.memory, name)
        assert basis is not None
        remembered = revising.recall(self.memory, name)
        computed = revising.computed(self.memory, name, self.made(name), basis)
        after = fold(self.memory, remembered or computed)
        assert after.slots[name].current.value == self.made(name)  # type: ignore[union-attr]  # it was just written
        return remembered or computed

    def back(self) -> Events:
        to = self.rng.choice([None, *LABELS])
        return revising.back(self.memory, self.rng.choice(NAMES), to)

    def mark(self) -> Events:
        label = self.rng.choice(LABELS)
        self.held[label] = self.picture()
        return revising.mark(self.memory, label)

    def go_back(self) -> Events:
        label = self.rng.choice(LABELS)
        events = revising.go_back(self.memory, label)
        assert picture(fold(self.memory, events)) == self.held[label]
        return events

    def replace(self) -> Events:
        old, new = self.rng.sample(NAMES, 2)
        return revising.replace(self.memory, old, new)

    def rename(self) -> Events:
        return revising.rename(self.memory, *self.rng.sample(NAMES, 2))

    def remove(self) -> Events:
        return revising.remove(self.memory, self.rng.choice(NAMES))

    # ---- what is true of it, found out slowly

    def made(self, name: str) -> int:
        slot = self.memory.slots[name]
        given = [self.now(need) for need in slot.needs.values()]
        return min(given) if slot.rule == "least" else max(given)

    def now(self, name: str) -> int:
        found = ask(self.memory, name)
        assert isinstance(found, Known)
        assert type(found.value) is int
        return found.value

    def is_ready(self, name: str, old: frozenset[str]) -> bool:
        needs = self.memory.slots[name].needs.values()
        return all(need not in old and self.memory.slots[need].current is not None for need in needs)

    def closure(self) -> set[tuple[str, str]]:
        """Warshall: all pairs (a, b) where b is computed from a, directly or through others."""
        names = list(self.memory.slots)
        pairs = {(need, slot.name) for slot in self.memory.slots.values() for need in slot.needs.values()}
        for middle in names:
            for start in names:
                if (start, middle) in pairs:
                    pairs |= {(start, end) for end in names if (middle, end) in pairs}
        return pairs

    def obviously_stale(self) -> set[str]:
        """Slots whose value was not made from what is there now, and all that can be reached from them."""
        wrong = {name for name in self.memory.slots if self.is_wrong(name)}
        return wrong | {end for start, end in self.closure() if start in wrong}

    def is_wrong(self, name: str) -> bool:
        slot = self.memory.slots[name]
        if not slot.rule:
            return False
        version = slot.current
        if version is None or version.basis.rule != slot.rule or version.basis.sources.keys() != slot.needs.keys():
            return True
        for parameter, need in slot.needs.items():
            source, current = version.basis.sources[parameter], self.memory.slots[need].current
            if current is None or self.values[source.slot_number, source.version] != current.text:
                return True
        return False

    def picture(self) -> Any:
        return picture(self.memory)


def picture(memory: Memory) -> Any:
    """Everything of a memory but its history."""
    slots = {
        name: (slot.current.text if slot.current else None, slot.rule, slot.needs, slot.parent, slot.number)
        for name, slot in memory.slots.items()
    }
    return slots, stale(memory)


@pytest.mark.slow
def test_what_is_stale_is_what_can_be_reached_from_a_change() -> None:
    found = 0
    for seed in range(HISTORIES):
        history = History(seed)
        for _ in range(STEPS):
            history.step()
            assert stale(history.memory) == history.obviously_stale(), f"history {seed}"
            found += bool(history.obviously_stale())

    assert found > HISTORIES  # the histories are worth something


@pytest.mark.slow
def test_events_alone_make_the_memory_and_it_survives_its_encoding() -> None:
    codec = HOOKS.codec(Memory)
    events_codec = HOOKS.codec(list[MemoryEvent])
    for seed in range(HISTORIES):
        history = History(seed)
        for _ in range(STEPS):
            history.step()

        told = events_codec.decode(events_codec.encode(history.events))

        assert fold(Memory(), told) == history.memory
        assert codec.decode(codec.encode(history.memory)) == history.memory
        assert msgspec.json.decode(msgspec.json.encode(history.memory), type=Memory) == history.memory


@pytest.mark.slow
def test_a_change_of_a_fresh_memory_marks_exactly_the_dependants_and_an_equal_one_nothing() -> None:
    for seed in range(HISTORIES):
        history = History(seed)
        for _ in range(STEPS):
            history.step()
        for name in in_order(history.memory.slots):
            if history.memory.slots[name].current is None and not history.memory.slots[name].rule:
                history.take(revising.set_slot(history.memory, name, 0))
        while stale(history.memory):
            history.take(history.refresh())
        plain = [name for name, slot in history.memory.slots.items() if not slot.rule]
        name = history.rng.choice(plain)

        assert revising.change(history.memory, name, history.now(name)) == ()
        history.take(revising.change(history.memory, name, 7))

        assert stale(history.memory) == {end for start, end in history.closure() if start == name}
        assert stale(history.memory) == dependants(history.memory, name)
