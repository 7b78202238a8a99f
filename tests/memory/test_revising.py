"""What a memory refuses, how far it goes back, what it keeps, and how much it holds."""

from __future__ import annotations

from typing import Any

import pytest

from makespan.memory import revising
from makespan.memory.asking import Gap, Known, ask
from makespan.memory.differences import differences
from makespan.memory.events import Confirmed, Events, Written
from makespan.memory.fold import fold
from makespan.memory.staleness import basis_of, stale
from makespan.memory.state import Author, Limits, Memory, RevisionRefused

ADA = Author("ada", "turn-1")


def made(*changes: Any, limits: Limits | None = None) -> Memory:
    """A memory by changes: functions of it that give events."""
    memory = Memory(limits=limits or Limits())
    for change in changes:
        memory = fold(memory, change(memory))
    return memory


def put(name: str, value: Any, parent: str | None = None) -> Any:
    return lambda memory: revising.set_slot(memory, name, value, parent=parent, by=ADA)


def rule(name: str, *needs: str) -> Any:
    return lambda memory: revising.compute(memory, name, "add", dict(zip("abc", needs, strict=False)))


def result(name: str, value: Any) -> Any:
    def events(memory: Memory) -> Events:
        basis = basis_of(memory, name)
        assert basis is not None
        return revising.computed(memory, name, value, basis, by=Author("task add"))

    return events


def value(memory: Memory, name: str) -> Any:
    found = ask(memory, name)
    assert isinstance(found, Known), found
    return found.value


TRIP = (put("people", 3), put("price", 120), rule("total", "people", "price"), result("total", 123))
CHAIN = (*TRIP, put("tip", 7), rule("sum", "total", "tip"), result("sum", 130))


# ---------------------------------------------------------------- provenance, staleness


def test_a_version_knows_who_wrote_it_in_which_turn_and_from_what() -> None:
    memory = made(*TRIP)

    price, total = memory.slots["price"].current, memory.slots["total"].current

    assert price is not None
    assert total is not None
    assert (price.author, price.basis.sources) == (ADA, {})
    assert (total.author.who, total.basis.rule) == ("task add", "add")
    assert {name: (source.slot, source.version) for name, source in total.basis.sources.items()} == {
        "a": ("people", memory.slots["people"].versions[0].number),
        "b": ("price", price.number),
    }


def test_a_value_computed_again_as_before_makes_its_dependants_fresh_without_computing_them() -> None:
    memory = made(*CHAIN, put("people", 4), put("price", 119))
    assert stale(memory) == {"total", "sum"}

    events = result("total", 123)(memory)

    assert [type(event) for event in events] == [Confirmed]
    assert stale(fold(memory, events)) == frozenset()


def test_a_kept_version_from_the_same_contents_is_recalled_instead_of_computed() -> None:
    memory = made(*TRIP, put("price", 200), result("total", 203), put("price", 120))
    assert stale(memory) == {"total"}

    events = revising.recall(memory, "total")

    assert [type(event) for event in events] == [Written]
    assert value(fold(memory, events), "total") == 123


def test_a_result_that_comes_late_does_not_displace_one_that_stands() -> None:
    before = made(*TRIP, put("price", 200))
    late = basis_of(before, "total")
    memory = made(*TRIP, put("price", 200), put("price", 300), result("total", 303))
    assert late is not None

    assert revising.computed(memory, "total", 203, late) == ()


def test_a_result_of_a_rule_that_was_given_up_meanwhile_is_dropped() -> None:
    memory = made(*TRIP, put("price", 200))
    late = basis_of(memory, "total")
    assert late is not None
    memory = fold(memory, revising.release(memory, "total"))

    assert revising.computed(memory, "total", 203, late) == ()
    assert value(memory, "total") == 123


def test_one_and_one_point_zero_are_different_contents_and_the_order_of_keys_is_none() -> None:
    memory = made(put("a", 1), put("b", {"x": 1, "y": 2}))

    assert revising.change(memory, "a", 1.0) != ()
    assert revising.change(memory, "b", {"y": 2, "x": 1}) == ()


def test_a_value_given_out_or_taken_in_is_nobodys_to_change() -> None:
    mine = ["Ada"]
    memory = made(put("guests", mine))
    mine.append("Bob")
    value(memory, "guests").append("Cleo")

    assert value(memory, "guests") == ["Ada"]


# ---------------------------------------------------------------- the way back


def test_going_back_is_a_new_version_and_the_later_ones_are_kept() -> None:
    memory = made(put("a", 1), put("a", 2))
    first, second = memory.slots["a"].versions

    memory = fold(memory, revising.back(memory, "a", first.number, by=ADA))

    assert [(each.value, each.restores) for each in memory.slots["a"].versions] == [(1, 0), (2, 0), (1, first.number)]
    assert value(fold(memory, revising.back(memory, "a", second.number)), "a") == 2


def test_a_step_back_after_going_to_a_mark_takes_that_back() -> None:
    memory = made(put("a", 1), lambda m: revising.mark(m, "one"), put("a", 2), put("a", 3))
    memory = fold(memory, revising.back(memory, "a", "one"))

    assert value(fold(memory, revising.back(memory, "a")), "a") == 3


def test_a_step_back_from_a_rule_gives_the_value_that_was_there() -> None:
    memory = made(put("a", 1), put("b", 2), put("total", 50), rule("total", "a", "b"))

    memory = fold(memory, revising.back(memory, "total"))

    assert value(memory, "total") == 50
    assert not memory.slots["total"].is_computed


def test_a_slot_goes_back_to_its_rule_under_the_names_its_needs_have_now() -> None:
    memory = made(*TRIP, lambda m: revising.mark(m, "old"), lambda m: revising.rename(m, "price", "fare"))
    memory = fold(memory, revising.release(memory, "total"))
    memory = fold(memory, revising.change(memory, "total", 1))

    memory = fold(memory, revising.back(memory, "total", "old"))

    assert memory.slots["total"].needs == {"a": "people", "b": "fare"}
    assert value(memory, "total") == 123


def test_going_back_with_everything_restores_names_tree_and_rules_and_knows_who_did() -> None:
    memory = made(put("trip", None), *TRIP, lambda m: revising.mark(m, "before"))
    then = dict(memory.slots)
    memory = fold(memory, revising.replace(memory, "price", "fare", 1))
    memory = fold(memory, revising.set_slot(memory, "total", parent="trip"))
    memory = fold(memory, revising.release(memory, "total"))
    memory = fold(memory, revising.change(memory, "total", 9))

    memory = fold(memory, revising.go_back(memory, "before", by=Author("bob")))

    assert {name: (s.parent, s.rule, s.needs) for name, s in memory.slots.items()} == {
        name: (s.parent, s.rule, s.needs) for name, s in then.items()
    }
    assert (value(memory, "price"), value(memory, "total")) == (120, 123)
    assert memory.slots["total"].versions[-1].author == Author("bob")


def test_marks_hold_versions_that_are_kept_nowhere_else() -> None:
    changes = [put("a", n) for n in range(50)]
    memory = made(put("a", -1), lambda m: revising.mark(m, "first"), *changes, limits=Limits(versions=3))

    assert [version.value for version in memory.slots["a"].versions] == [47, 48, 49]
    assert value(fold(memory, revising.back(memory, "a", "first")), "a") == -1


def test_a_version_number_is_never_used_again() -> None:
    memory = made(put("a", 1))
    number = memory.slots["a"].versions[0].number
    memory = fold(memory, revising.remove(memory, "a"))

    memory = fold(memory, revising.set_slot(memory, "a", 1))

    assert memory.slots["a"].versions[0].number > number


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "reason", "says"),
    [
        (lambda m: revising.change(m, "pric", 1), "unknown", "did you mean 'price'"),
        (lambda m: revising.change(m, "total", 1), "computed", "change one of those"),
        (lambda m: revising.set_slot(m, "total", 1), "computed", "release 'total'"),
        (lambda m: revising.set_slot(m, "x", b"1"), "value", "bytes"),
        (lambda m: revising.set_slot(m, "x", [(1,)]), "value", "tuple"),
        (lambda m: revising.set_slot(m, "x", float("nan")), "value", "nan"),
        (lambda m: revising.set_slot(m, " ", 1), "name", "1 to 100 characters"),
        (lambda m: revising.set_slot(m, "a\nb", 1), "name", "one line"),
        (lambda m: revising.set_slot(m, "x", 1, parent="y"), "unknown", "'y'"),
        (lambda m: revising.compute(m, "people", "add", ["sum"]), "cycle", "people from sum from total from people"),
        (lambda m: revising.compute(m, "x", "add", ["x"]), "cycle", "x from x"),
        (lambda m: revising.replace(m, "people", "sum"), "cycle", "itself"),
        (lambda m: revising.remove(m, "people"), "needed", "needed by total"),
        (lambda m: revising.rename(m, "people", "price"), "exists", "replace"),
        (lambda m: revising.back(m, "people"), "no version", "no earlier version"),
        (lambda m: revising.back(m, "people", 999), "no version", "kept are"),
        (lambda m: revising.go_back(m, "noon"), "no mark", "there are none"),
        (lambda m: revising.unmark(m, "noon"), "no mark", "noon"),
    ],
)
def test_a_refusal_names_its_reason_and_what_to_do(change: Any, reason: str, says: str) -> None:
    memory = made(*CHAIN)

    with pytest.raises(RevisionRefused, match=says) as refused:
        change(memory)

    assert refused.value.reason == reason


def test_a_tree_has_no_cycle() -> None:
    memory = made(put("a", 1), put("b", 2, "a"), put("c", 3, "b"))

    with pytest.raises(RevisionRefused, match="below") as refused:
        revising.set_slot(memory, "a", parent="c")

    assert refused.value.reason == "cycle"


@pytest.mark.parametrize(
    ("limits", "change", "limit"),
    [
        (Limits(slots=4), put("one more", 1), "slots"),
        (Limits(value_bytes=10), put("people", "x" * 20), "value_bytes"),
        (Limits(total_bytes=20), put("people", "x" * 20), "total_bytes"),
        (Limits(total_bytes=11), lambda m: revising.mark(m, "a"), "total_bytes"),
        (Limits(needs=1), rule("people", "price", "total"), "needs"),
        (Limits(depth=2), put("low", 1, "middle"), "depth"),
        (Limits(marks=0), lambda m: revising.mark(m, "a"), "marks"),
        (Limits(name_chars=9), put("much too long", 1), "1 to 9"),
    ],
)
def test_every_limit_is_named_when_it_is_met(limits: Limits, change: Any, limit: str) -> None:
    memory = made(put("people", 3), put("price", 120), put("total", 5), put("middle", 1, "people"), limits=limits)

    with pytest.raises(RevisionRefused, match=limit):
        change(memory)


def test_a_gap_says_why() -> None:
    memory = made(*CHAIN, put("price", 1), put("gone", 1), lambda m: revising.remove(m, "gone"))
    memory = fold(memory, revising.set_slot(memory, "heading"))
    memory = fold(memory, revising.compute(memory, "later", "add", {"a": "heading"}))

    gaps = [ask(memory, name) for name in ("sum", "gone", "heading", "later", "tap")]

    assert [(gap.reason, gap.because) for gap in gaps if isinstance(gap, Gap)] == [
        ("stale", ("price",)),
        ("removed", ()),
        ("unset", ("heading",)),
        ("unset", ("heading",)),
        ("unknown", ()),
    ]
    assert next(gap.why for gap in gaps if isinstance(gap, Gap)) == "'sum' was 130 before price changed"


def test_differences_are_told_slot_by_slot() -> None:
    before = made(*TRIP, put("old", 1))
    after = made(*TRIP, put("old", 1), put("price", 90), rule("sum", "total"), put("new", None))
    after = fold(after, revising.remove(after, "old"))
    after = fold(after, revising.rename(after, "people", "persons"))
    after = fold(after, revising.mark(after, "noon"))

    assert differences(before, after) == [
        "persons (before: people)",
        "price = 90 (was 120)",
        "total is computed by add from persons, price",
        "sum is computed by add from total",
        "new = null",
        "old is gone",
        "marked 'noon'",
    ]
