"""A simulated run as a run of the store: `show`, `logs` and `trace` work on it, nothing else may."""

from __future__ import annotations

import msgspec

from makespan.errors import UsageError
from makespan.ports import Owner
from makespan.sim.simulation import SIMULATED, Outcome
from makespan.store_port import Journal, TurnRecord
from makespan.traces.summary import summarise

LEASE_NS = 60 * 10**9


def is_simulated(workflow: str) -> bool:
    """Whether a stored run of this name was simulated."""
    return workflow.startswith(SIMULATED)


def save(journal: Journal, outcome: Outcome, owner: Owner, wall_ns: int) -> str:
    """Write a run that was simulated with `keep_journal` into a store; its id.

    Raises:
        UsageError: the id is taken, or the run never ends.
    """
    started = outcome.state.started
    assert started is not None
    assert outcome.journal, "simulate with keep_journal"
    if outcome.status == "running":
        raise UsageError("the run in the middle never ends: it waits for what nobody sends; there is nothing to keep")
    lease = journal.create(started.run_id, started.workflow, started.target, owner, wall_ns, LEASE_NS)
    if lease is None:
        raise UsageError(f"there is a run with the id {started.run_id!r} already")
    last = len(outcome.journal) - 1
    turns = [
        TurnRecord(
            lease,
            body,
            blobs,
            status=outcome.status if place == last else None,
            summary=msgspec.json.encode(summarise(outcome.state)) if place == last else None,
            wall_ns=wall_ns,
        )
        for place, (body, blobs) in enumerate(zip(outcome.journal, outcome.blobs, strict=True))
    ]
    journal.append(turns)
    journal.release(lease)
    return started.run_id
