"""The obvious memory: plain values and rules in a dict, everything computed from scratch, whole copies as marks."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field
from typing import Any

from makespan.memory.intents import (
    EVERYTHING,
    PREVIOUS,
    Change,
    Check,
    Compute,
    Intent,
    MarkNow,
    Nothing,
    Remove,
    Replace,
    Rollback,
    SetSlot,
)
from tests.memory.sequences import RULES

NOTHING = object()


class Refused(Exception):
    """It cannot be done."""


@dataclass
class Entry:
    """One slot: its plain values, the last counts; or a rule with the names it takes."""

    id: int
    values: list[Any] = field(default_factory=list)
    rule: str = ""
    needs: list[str] = field(default_factory=list)


class Oracle:
    """Does what intents say, slowly."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.marks: dict[str, dict[str, Entry]] = {}
        self._ids = itertools.count()

    def do(self, intent: Intent) -> Any:
        """The answer of a question, else None. Raises Refused."""
        match intent:
            case SetSlot(name, value, _):
                self.entries.setdefault(name, Entry(next(self._ids)))
                if value is not None:
                    self._push(name, value)
            case Change(slot, value):
                self._there(slot)
                self._push(slot, value)
            case Compute(name, rule, needs):
                entry = self.entries.setdefault(name, Entry(next(self._ids)))
                entry.rule, entry.needs = rule, list(needs)
            case MarkNow(label):
                self.marks[label] = copy.deepcopy(self.entries)
            case Rollback(slot, to):
                self._back(slot, to)
            case Replace(slot, name, value):
                self._replace(slot, name, value)
            case Remove(slot):
                if any(slot in entry.needs for entry in self.entries.values()):
                    raise Refused
                del self.entries[self._there(slot)]
            case Check(slot):
                return self.value(slot) if slot in self.entries else NOTHING
            case Nothing():
                pass
        return None

    def value(self, name: str) -> Any:
        entry = self.entries[name]
        if not entry.rule:
            return entry.values[-1] if entry.values else NOTHING
        given = [self.value(need) for need in entry.needs]
        return NOTHING if NOTHING in given else RULES[entry.rule](*given)

    def _there(self, name: str) -> str:
        if name not in self.entries:
            raise Refused
        return name

    def _push(self, name: str, value: Any) -> None:
        entry = self.entries[name]
        if entry.rule:
            raise Refused
        if not entry.values or entry.values[-1] != value:
            entry.values.append(value)

    def _back(self, slot: str, to: str) -> None:
        if slot == EVERYTHING:
            self.entries = copy.deepcopy(self.marks[to])
            return
        entry = self.entries[slot]
        if to == PREVIOUS:
            entry.values.pop()
            return
        held = next(held for held in self.marks[to].values() if held.id == entry.id)
        entry.rule, entry.needs = held.rule, list(held.needs)
        entry.values += held.values[-1:]

    def _replace(self, old: str, new: str, value: Any) -> None:
        entry = self.entries.pop(self._there(old))
        self.entries.setdefault(new, entry)
        for reader in self.entries.values():
            reader.needs = [new if need == old else need for need in reader.needs]
        if value is not None:
            self._push(new, value)
