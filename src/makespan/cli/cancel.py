"""`makespan cancel RUN`: through its owner's inbox while one lives, directly otherwise."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import click

from makespan.cli.options import DURATION, json_option, store_option

if TYPE_CHECKING:
    from makespan.machine.state import State
    from makespan.store_port import Journal, RunRow

WAIT_S = 30.0
LOOK_EVERY_S = 0.02
LEASE_NS = 10_000_000_000
AUTHOR = "the command line"


@click.command("cancel", short_help="Cancel a run for good.")
@click.argument("run_id", metavar="RUN")
@click.option("--wait", "wait_s", type=DURATION, default=WAIT_S, help="How long to wait for it.", show_default=True)
@store_option
@json_option
def command(run_id: str, wait_s: float, store: str | None, as_json: bool) -> int:
    """Cancel RUN for good: what runs is told to stop, nothing starts any more."""
    from makespan.cli.stored import configured_store, find_run, is_owned, must_open
    from makespan.errors import UsageError
    from makespan.store_port import FINAL
    from makespan.stores import open_journal

    name = configured_store(store)
    must_open(name).close()
    journal = open_journal(name)
    try:
        row = find_run(journal, run_id)
        if row.status in FINAL and row.status != "cancelled":
            raise UsageError(f"run {row.run_id} has {row.status} already; there is nothing to cancel")
        if row.status != "cancelled":
            if is_owned(row):
                _ask_owner(journal, row, wait_s)
            else:
                _cancel_here(journal, row)
    finally:
        journal.close()
    _tell(row.run_id, as_json)
    return 0


def _tell(run_id: str, as_json: bool) -> None:
    from makespan.cli.failures import say

    if as_json:
        import msgspec

        click.echo(msgspec.json.encode({"run_id": run_id, "status": "cancelled"}).decode())
    else:
        say(f"run {run_id} cancelled")


def _ask_owner(journal: Journal, row: RunRow, wait_s: float) -> None:
    """Ask, then wait until the run's row says that it ended. An owner that dies meanwhile is no obstacle."""
    from makespan.cli.stored import is_owned
    from makespan.errors import JournalError, UsageError
    from makespan.store_port import FINAL

    body = b'{"author":"the command line"}'
    journal.ask(row.run_id, "cancel", body, uuid.uuid4().hex, time.time_ns())
    give_up_at = time.monotonic() + wait_s
    while time.monotonic() < give_up_at:
        now = journal.run(row.run_id)
        assert now is not None, "runs are never deleted"
        if now.status == "cancelled":
            return
        if now.status in FINAL:
            raise UsageError(f"run {row.run_id} {now.status} before it could be cancelled")
        if not is_owned(now):
            _cancel_here(journal, now)
            return
        time.sleep(LOOK_EVERY_S)
    pid = row.owner.pid if row.owner else "?"
    raise JournalError(
        f"run {row.run_id} was asked to cancel and has not within {wait_s:g} s; its process {pid} may hang: "
        "end it and cancel again"
    )


def _refuse_what_is_to_undo(state: State) -> None:
    """Undoing needs the workflow's code, which this command does not load."""
    from makespan.errors import UsageError
    from makespan.machine.compensation import owes
    from makespan.traces.words import name_of, short_id

    owed = owes(state)
    if owed:
        names = ", ".join(f"{name_of(task)} ({short_id(task)})" for task in owed[:6])
        raise UsageError(
            f"run {state.run_id} cannot just be cancelled: {names} must be undone or settled before; "
            f"do that with: makespan resume {state.run_id} --cancel"
        )


def _cancel_here(journal: Journal, row: RunRow) -> None:
    """Take the run, which nobody drives, write its cancellation, give it back."""
    import msgspec

    from makespan.cli.stored import fold, is_owned
    from makespan.machine.facts import encode_facts
    from makespan.machine.machine import Machine
    from makespan.runtime.process_identity import this_process
    from makespan.store_port import TurnRecord
    from makespan.traces.summary import summarise

    wall_ns = time.time_ns()
    lease = journal.acquire(
        row.run_id, this_process(), wall_ns, LEASE_NS, may_replace=lambda found: not is_owned(found)
    )
    try:
        state = fold(journal, row.run_id)
        _refuse_what_is_to_undo(state)
        turn = Machine(state).cancel_at_rest(wall_ns - row.started_wall_ns, AUTHOR)
        summary: Any = msgspec.json.encode(summarise(state))
        journal.append(
            [
                TurnRecord(
                    lease,
                    encode_facts(turn.facts),
                    turn.blobs,
                    sync=True,
                    status=state.status,
                    summary=summary,
                    wall_ns=wall_ns,
                )
            ]
        )
    finally:
        journal.release(lease)
