"""Putting something into a run's inbox from the command line, and saying what becomes of it."""

from __future__ import annotations

import time
import uuid
from typing import Any

import click
import msgspec

from makespan.cli.failures import say
from makespan.cli.stored import configured_store, find_run, is_owned, must_open
from makespan.errors import UsageError
from makespan.inbox import post_request
from makespan.machine.facts import MessageReceived, MessageRefused, decode_facts
from makespan.store_port import Journal
from makespan.stores import open_journal

WAIT_S = 5.0
"""How long the owner may take to say whether it fits."""
LOOK_EVERY_S = 0.02


class Posted(msgspec.Struct, frozen=True):
    """What became of a message: in the inbox, and whether a live process took it out."""

    run_id: str
    message_id: str
    is_new: bool
    state: str
    """taken (a live owner has it), waiting (nobody drives the run), refused."""
    reason: str = ""

    def tell(self, done: str, as_json: bool) -> int:
        """Print it. Raises UsageError when it was refused."""
        if self.state == "refused":
            raise UsageError(f"run {self.run_id} refused it: {self.reason}")
        if as_json:
            click.echo(msgspec.json.encode(self).decode())
        elif not self.is_new:
            say(f"run {self.run_id} had this message ({self.message_id}) already")
        elif self.state == "waiting":
            say(f"{done}; nobody drives run {self.run_id} now: `makespan resume {self.run_id}` takes it")
        else:
            say(f"{done} to run {self.run_id}")
        return 0


def read_value(text: str) -> Any:
    """A value from JSON. Raises UsageError saying how to send text."""
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError as error:
        raise UsageError(f"{text!r} is not JSON ({error}); quote it as JSON, or give --text") from None


def ask_run(said: str, kind: str, body: dict[str, Any], message_id: str | None, store: str | None) -> Posted:
    """Put a request into a run's inbox; when a process drives the run, wait until it has looked at it."""
    name = configured_store(store)
    must_open(name).close()
    journal = open_journal(name)
    try:
        row = find_run(journal, said)
        id = message_id or uuid.uuid4().hex
        is_new = post_request(journal, row.run_id, kind, body, id, time.time_ns())
        if not is_new:
            return Posted(row.run_id, id, is_new, "taken")
        return _watched(journal, row.run_id, id)
    finally:
        journal.close()


def _watched(journal: Journal, run_id: str, id: str) -> Posted:
    """Look whether the owner takes the request out of the inbox, and whether it refuses it."""
    give_up_at = time.monotonic() + WAIT_S
    while time.monotonic() < give_up_at:
        row = journal.run(run_id)
        if not journal.requests([run_id]):  # also when the run has ended with it
            reason = _refusal(journal, run_id, id)
            return Posted(run_id, id, True, "refused" if reason else "taken", reason)
        if row is None or not is_owned(row):
            break
        time.sleep(LOOK_EVERY_S)
    return Posted(run_id, id, True, "waiting")


def _refusal(journal: Journal, run_id: str, id: str) -> str:
    """Why the message with this id was refused; empty when it was not."""
    ids: list[str] = []
    for turn in journal.read(run_id):
        for fact in decode_facts(turn):
            if isinstance(fact, MessageReceived):
                ids.append(fact.message_id)
            elif isinstance(fact, MessageRefused) and ids[fact.message] == id:
                return fact.reason
    return ""
