"""Records that belong to no run, and the list of runs that have not ended: the same in every kind of store."""

import pytest

from makespan.ports import Owner
from makespan.store_port import Entry, Journal, TurnRecord
from tests.journal.stores import Store

OWNER = Owner("boot", 1, 1)


def test_of_two_writers_of_one_record_the_second_learns_of_the_first(store: Store) -> None:
    one, other = store(), store()

    assert one.write_entry("mark", "a", b"1", 0)
    assert not other.write_entry("mark", "a", b"2", 0)
    assert other.write_entry("mark", "a", b"2", 1)
    assert not one.write_entry("mark", "a", b"3", 1)
    assert one.entry("mark", "a") == other.entry("mark", "a") == Entry("mark", "a", b"2", 2)


def test_a_record_is_removed_by_who_knows_its_version(journal: Journal) -> None:
    journal.write_entry("mark", "a", b"1", 0)

    assert not journal.write_entry("mark", "a", None, 7)
    assert journal.write_entry("mark", "a", None, 1)
    assert not journal.write_entry("mark", "a", None, 1)
    assert journal.entry("mark", "a") is None


def test_records_are_listed_by_kind_in_order_of_their_keys(journal: Journal) -> None:
    for kind, key in (("mark", "b"), ("owed", "x"), ("mark", "a")):
        journal.write_entry(kind, key, b"", 0)

    assert [entry.key for entry in journal.entries("mark")] == ["a", "b"]
    assert journal.entries("none") == []


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_runs_that_have_not_ended_are_listed_oldest_first_by_workflow(journal: Journal, status: str) -> None:
    leases = {}
    for run_id, workflow in (("b", "w"), ("a", "w"), ("c", "other"), ("d", "w")):
        leases[run_id] = journal.create(run_id, workflow, "", OWNER, 0, 10**9)
    ended, paused = leases["a"], leases["d"]
    assert ended is not None
    assert paused is not None
    journal.append([TurnRecord(ended, b"", status=status), TurnRecord(paused, b"", status="paused")])

    assert [(row.run_id, row.status) for row in journal.unfinished("w")] == [("b", "running"), ("d", "paused")]
    assert journal.unfinished("none") == []
