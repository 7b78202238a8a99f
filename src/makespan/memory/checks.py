"""What a memory refuses, each with one sentence that says what to do."""

from __future__ import annotations

from typing import Any

from makespan.errors import suggestion
from makespan.memory.state import Mark, Memory, Reason, RevisionRefused, Slot, to_text, total_bytes


def known(memory: Memory, name: str) -> Slot:
    """The slot of a name. Raises RevisionRefused: `unknown`."""
    slot = memory.slots.get(name)
    if slot is None:
        raise RevisionRefused(f"there is no slot {name!r}{what_became_of(memory, name)}", reason="unknown", slot=name)
    return slot


def what_became_of(memory: Memory, name: str) -> str:
    """The end of a sentence about a slot that is not there."""
    if name not in memory.gone:
        return suggestion(name, memory.slots)
    successor = memory.gone[name]
    return f"; {successor!r} took its place" if successor in memory.slots else "; it was removed"


def known_mark(memory: Memory, label: str) -> Mark:
    """The mark of a name. Raises RevisionRefused: `no mark`."""
    found = memory.marks.get(label)
    if found is None:
        there = suggestion(label, memory.marks) or f"; there are {', '.join(map(repr, memory.marks)) or 'none'}"
        raise RevisionRefused(f"there is no mark {label!r}{there}", reason="no mark", slot=label)
    return found


def named(memory: Memory, name: str) -> str:
    """A name without the blanks around it. Raises RevisionRefused: `name`."""
    return _text(memory, name, "slot")


def check_label(memory: Memory, label: str) -> str:
    """A mark's name without the blanks around it. Raises RevisionRefused: `name`, `limit`."""
    label = _text(memory, label, "mark")
    if label not in memory.marks and len(memory.marks) >= memory.limits.marks:
        raise over(memory, "marks", len(memory.marks) + 1, label, "`unmark` one")
    return label


def _text(memory: Memory, name: Any, what: str) -> str:
    stripped = name.strip() if isinstance(name, str) else ""
    if not stripped or len(stripped) > memory.limits.name_chars or not stripped.isprintable():
        raise RevisionRefused(
            f"{name!r} cannot name a {what}: it is one line of 1 to {memory.limits.name_chars} characters",
            reason="name",
            slot=str(name),
        )
    return stripped


def check_value(memory: Memory, name: str, value: Any) -> str:
    """A value as it is kept. Raises RevisionRefused: `value`, `limit`."""
    try:
        text = to_text(value)
    except RevisionRefused as error:
        raise RevisionRefused(f"{name!r}: {error}", reason=error.reason, slot=name) from None
    size = len(text.encode())
    if size > memory.limits.value_bytes:
        raise over(memory, "value_bytes", size, name, "keep it as a file or in a store, and its address here")
    check_total(memory, size)
    return text


def check_total(memory: Memory, added: int = 0) -> None:
    """A memory may hold so much. Raises RevisionRefused: `limit`."""
    whole = total_bytes(memory) + added
    if whole > memory.limits.total_bytes:
        raise over(memory, "total_bytes", whole, "", "remove slots or marks")


def check_room(memory: Memory, parent: str) -> None:
    """One more slot below `parent`. Raises RevisionRefused: `limit`, `unknown`."""
    if len(memory.slots) >= memory.limits.slots:
        raise over(memory, "slots", len(memory.slots) + 1, "", "remove some")
    _check_depth(memory, path(memory, parent), parent)


def check_tree(memory: Memory, name: str, parent: str) -> None:
    """A slot may have this parent. Raises RevisionRefused: `cycle`, `unknown`, `limit`."""
    above = path(memory, parent)
    if name in above:
        raise RevisionRefused(
            f"{name!r} cannot be below {parent!r}, which is below it: {' > '.join((*above, name))}",
            reason="cycle",
            slot=name,
        )
    _check_depth(memory, (*above, *[""] * _height(memory, name)), name)


def _height(memory: Memory, name: str) -> int:
    """Slots on the longest way down from a slot, itself not counted."""
    below = [len(way) for way in (path(memory, other) for other in memory.slots) if name in way]
    return max(below) - len(path(memory, name))


def _check_depth(memory: Memory, above: tuple[str, ...], name: str) -> None:
    if len(above) >= memory.limits.depth:
        raise over(memory, "depth", len(above) + 1, name, "put it higher up")


def path(memory: Memory, name: str) -> tuple[str, ...]:
    """The slots from the root down to this one, itself included; empty for the empty name.

    Raises:
        RevisionRefused: `unknown`.
    """
    found: list[str] = []
    while name:
        found.append(name)
        name = known(memory, name).parent
    return tuple(reversed(found))


def path_between(memory: Memory, start: str, end: str) -> tuple[str, ...]:
    """A way from one slot to another along what each is computed from, both included; empty if there is none."""
    came: dict[str, str] = {start: ""}
    waiting = [start]
    while waiting:
        name = waiting.pop(0)
        if name == end:
            return _walked(came, end)
        for need in memory.slots[name].needs.values():
            if need not in came:
                came[need] = name
                waiting.append(need)
    return ()


def _walked(came: dict[str, str], end: str) -> tuple[str, ...]:
    found = [end]
    while came[found[-1]]:
        found.append(came[found[-1]])
    return tuple(reversed(found))


def refused_cycle(name: str, way: tuple[str, ...]) -> RevisionRefused:
    """The refusal of a slot that would be computed from itself, with the way around."""
    reason: Reason = "cycle"
    return RevisionRefused(f"{name!r} would be computed from itself: {' from '.join(way)}", reason=reason, slot=name)


def over(memory: Memory, limit: str, used: int, name: str, instead: str) -> RevisionRefused:
    """The refusal of what goes over a limit, with what to do instead of raising it."""
    where = f"{name!r}: " if name else ""
    allowed = getattr(memory.limits, limit)
    return RevisionRefused(
        f"{where}{used} {limit} where {allowed} are possible; {instead}, or raise `{limit}` in Memory(limits=...)",
        reason="limit",
        slot=name,
    )
