"""Who changed a run's graph, when, why, and what became of it: edits as people read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from makespan.machine import facts as f
from makespan.machine.state import State
from makespan.traces.words import name_of

OWN = "makespan."
"""Begins the keys of tasks that the engine adds itself: texts put together."""
MOST_NAMES = 6
"""Tasks that one line names."""


class EditEntry(msgspec.Struct):
    """One edit: applied, or refused with a reason."""

    at_s: float
    author: str
    status: str
    """`applied` or `refused`."""
    reason: str = ""
    detail: str = ""
    why: str = ""
    request: str = ""
    """Id under which it was asked for from outside."""
    added: list[str] = []
    removed: list[str] = []
    rewired: list[str] = []


class EditLog:
    """Collects the edits of a run, fact by fact. Cost: O(1) a fact."""

    def __init__(self) -> None:
        self.entries: list[EditEntry] = []
        self._open: EditEntry | None = None
        self._left = 0

    def take(self, fact: f.Fact, state: State) -> None:
        """The next fact, which has been applied to the state."""
        match fact:
            case f.EditApplied():
                self._begin(
                    EditEntry(fact.at / 1e9, fact.author, "applied", "", "", fact.why, fact.request, [], [], [])
                )
                self._left = fact.tasks
            case f.EditRefused():
                entry = EditEntry(
                    fact.at / 1e9, fact.author, "refused", fact.reason, fact.detail, fact.why, fact.request
                )
                self._begin(entry)
                self._open = None
            case _ if self._open is not None:
                self._change(self._open, fact, state)

    def heard(self, facts: Iterable[f.Fact], state: State) -> Iterator[f.Fact]:
        """The facts, which whoever reads them applies to the state; this log hears of each once that is done."""
        for fact in facts:
            yield fact
            self.take(fact, state)

    def _begin(self, entry: EditEntry) -> None:
        self.entries.append(entry)
        self._open = entry

    def _change(self, entry: EditEntry, fact: f.Fact, state: State) -> None:
        match fact:
            case f.TaskAdded() if self._left:
                self._left -= 1
                entry.added.append(name_of(state.tasks[-1]))
            case f.TaskRemoved():
                entry.removed.append(name_of(state.tasks[fact.task]))
            case f.TaskRewired():
                entry.rewired.append(name_of(state.tasks[fact.task]))
            case f.DeclarationAdded() | f.ScopeAdded() | f.TaskCancelled():
                pass
            case _:
                self._open = None


def edit_line(entry: EditEntry) -> str:
    """One edit in one line: who, what, why."""
    who = entry.author or "the workflow"
    why = f": {entry.why}" if entry.why else ""
    if entry.status == "refused":
        return f"{who}, refused ({entry.reason}): {entry.detail}{why and f' (wanted{why})'}"
    parts = [_names("+", entry.added), _names("−", entry.removed), _names("rewired ", entry.rewired)]
    return f"{who}  {' '.join(part for part in parts if part) or 'nothing changed'}{why}"


def _names(sign: str, names: list[str]) -> str:
    counts = list(Counter(name for name in names if not name.startswith(OWN)).items())
    if not counts:
        return ""
    said = ", ".join(f"{name} × {count}" if count > 1 else name for name, count in counts[:MOST_NAMES])
    return f"{sign}{said}{', …' if len(counts) > MOST_NAMES else ''}"


def notable(entries: list[EditEntry], most: int) -> tuple[list[EditEntry], str]:
    """The edits worth a line, newest last, and what is said of the others: steps that a planner adds come by dozens."""
    worth = [entry for entry in entries if entry.status == "refused" or entry.removed or entry.rewired or entry.request]
    others = Counter(entry.author or "the workflow" for entry in entries if entry.status == "applied")
    refused = sum(entry.status == "refused" for entry in entries)
    by = ", ".join(f"{count} by {author}" for author, count in others.items())
    return worth[-most:], f"{by or 'none'} applied, {refused} refused"
