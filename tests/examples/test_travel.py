"""The saga: everything or nothing, at whatever point the process is killed; what was booked is undone exactly once."""

from __future__ import annotations

import pytest

from examples import travel
from makespan.testing import running

MOST_COMMITS = 25
"""A point after the last commit is an uncut run."""


class Office(travel.Agency):
    """An agency of a test: declines what it is told to, and counts what really happened."""

    def __init__(self, declines: str = "") -> None:
        super().__init__()
        self._declines = declines
        self.bookings: list[str] = []
        self.undone: list[str] = []

    def book(self, what: str, key: str) -> str:
        if what.startswith(self._declines or "-"):
            raise travel.PaymentDeclined(what)
        if key not in self.booked:
            self.bookings.append(what)
        return super().book(what, key)

    def cancel(self, reference: str) -> None:
        if reference in self.booked:
            self.undone.append(self.booked[reference])
        super().cancel(reference)


def test_a_trip_that_can_be_paid_is_booked_and_stays_booked() -> None:
    office = Office()

    done = running.run(travel.travel("Lisbon"), fakes={travel.agency: lambda: office})

    assert sorted(office.booked.values()) == ["car for Lisbon", "flight for Lisbon", "hotel for Lisbon"]
    assert sorted(done.output) == sorted(office.booked)
    assert office.undone == []


@pytest.mark.parametrize("declined", ["flight", "hotel", "car"])
@pytest.mark.parametrize("point", range(MOST_COMMITS))
def test_what_was_booked_before_a_decline_is_undone_exactly_once_wherever_it_is_killed(
    declined: str, point: int
) -> None:
    office = Office(declined)

    done = running.run(travel.travel("Lisbon"), fakes={travel.agency: lambda: office}, crash_at=point + 1, seed=point)

    assert done.output == []
    assert office.booked == {}
    assert sorted(office.undone) == sorted(office.bookings)
    assert len(set(office.bookings)) == len(office.bookings) == 2


@pytest.mark.parametrize("trip", ["Lisbon", "Moon"])
def test_the_end_is_the_same_killed_before_or_after_any_commit(trip: str) -> None:
    done = running.run(travel.travel(trip), fakes={travel.agency: travel.Agency()}, crash_at="each")

    assert len(done.output) == (3 if trip == "Lisbon" else 0)
