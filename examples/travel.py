"""A saga: book everything or nothing. What was booked before a payment is declined is undone, the last booking first.

Also when the process is killed in between; a booking whose outcome nobody knows pauses the run for a decision.

    makespan run examples/travel.py -i trip=Lisbon             makespan run examples/travel.py -i trip=Moon
"""

import makespan as ms


class PaymentDeclined(Exception):
    """The bank said no."""


class Agency:
    """Stands for the bookings of others; a key that it has seen before is the same booking."""

    def __init__(self) -> None:
        self.booked: dict[str, str] = {}

    def book(self, what: str, key: str) -> str:
        if what == "car for Moon":
            raise PaymentDeclined("no cars there")
        self.booked[key] = what
        return key

    def cancel(self, reference: str) -> None:
        self.booked.pop(reference, None)


@ms.provide
def agency() -> Agency:
    return Agency()


@ms.task
def cancel_booking(reference: str, agency: Agency = ms.use(agency)) -> None:
    agency.cancel(reference)


@ms.task(effect="irreversible", undo=cancel_booking, raises=(PaymentDeclined,))
def book(what: str, trip: str, agency: Agency = ms.use(agency)) -> str:
    return agency.book(f"{what} for {trip}", ms.context().idempotency_key)


@ms.workflow
async def travel(trip: str) -> list[str]:
    try:
        async with ms.scope("booking", undo=True):
            return list(await ms.gather(*[book(what, trip) for what in ("flight", "hotel", "car")]))
    except PaymentDeclined:
        return []
