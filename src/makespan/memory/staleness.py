"""What no longer stands in a memory, and what computing it again starts from.

A computed slot is *stale* when its value was not computed from what its dependencies are now: the rule or a content
differs, or a dependency is itself stale. Contents are compared, not versions, so

    price 100 → 120              total and everything behind it is stale, and nothing else
    price 120 → 120              nothing is written, nothing is stale
    total computed again, 360    equal to before: what was computed from total is fresh again, without doing it again
    price 120 → 100              back to what total was computed from: nothing is stale

Staleness is a function of the memory, never a mark that could be forgotten. Cost of each function: O(slots + needs).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from makespan.memory.state import Basis, Memory, Slot, Source, Version


def stale(memory: Memory) -> frozenset[str]:
    """The computed slots whose value does not stand; one that was never computed is one of them."""
    found: set[str] = set()
    for name in in_order(memory.slots):
        slot = memory.slots[name]
        if slot.is_computed and not _stands(memory, slot, found):
            found.add(name)
    return frozenset(found)


def _stands(memory: Memory, slot: Slot, stale_ones: set[str]) -> bool:
    if slot.current is None or not stale_ones.isdisjoint(slot.needs.values()):
        return False
    basis = basis_of(memory, slot.name)
    return basis is not None and basis.contents == slot.current.basis.contents


def basis_of(memory: Memory, name: str) -> Basis | None:
    """What a computed slot would be computed from now; None while a dependency has no value."""
    slot = memory.slots[name]
    sources: dict[str, Source] = {}
    for parameter, need in slot.needs.items():
        needed = memory.slots[need]
        if needed.current is None:
            return None
        sources[parameter] = Source(need, needed.number, needed.current.number, needed.current.digest)
    return Basis(slot.rule, sources)


def recalled(memory: Memory, name: str) -> Version | None:
    """The latest kept version that was computed by the same rule from the same contents: no need to compute it."""
    basis = basis_of(memory, name)
    if basis is None:
        return None
    kept = (version for version in reversed(memory.slots[name].versions) if version.text)
    return next((version for version in kept if version.basis.contents == basis.contents), None)


def dependants(memory: Memory, name: str) -> frozenset[str]:
    """The slots that are computed from this one, directly or through others."""
    return reachable(name, readers(memory.slots))


def ancestors(memory: Memory, name: str) -> frozenset[str]:
    """The slots that this one is computed from, directly or through others."""
    return reachable(name, {slot.name: slot.needs.values() for slot in memory.slots.values()})


def readers(slots: Mapping[str, Slot]) -> dict[str, list[str]]:
    """For each slot those that are computed from it directly, in the order of the memory."""
    found: dict[str, list[str]] = {name: [] for name in slots}
    for slot in slots.values():
        for need in dict.fromkeys(slot.needs.values()):
            found[need].append(slot.name)
    return found


def reachable(start: str, edges: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Everything one comes to from `start`, which is in it only if there is a way back."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for name in edges.get(waiting.pop(), ()):
            if name not in found:
                found.add(name)
                waiting.append(name)
    return frozenset(found)


def in_order(slots: Mapping[str, Slot]) -> list[str]:
    """All slots, each after those it is computed from; else in the order of the memory."""
    missing = {name: len(set(slot.needs.values())) for name, slot in slots.items()}
    behind = readers(slots)
    ordered = [name for name, count in missing.items() if count == 0]
    for name in ordered:  # grows while it is walked
        for reader in behind[name]:
            missing[reader] -= 1
            if missing[reader] == 0:
                ordered.append(reader)
    return ordered
