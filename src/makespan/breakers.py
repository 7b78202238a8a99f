"""Breakers: a model whose account or key was refused is left alone by all runs of the store for a while.

    refused ─▶ open ──(a while)──▶ half open: one attempt tries ──▶ closed, or open for twice as long

The run that met the refusal pauses (`machine.budget.refused`); attempts of others wait in line at the broker, or go on
with the next model of their list. Kept as records of the store, so other processes see them at their next look.
"""

from __future__ import annotations

import msgspec

from makespan.errors import JournalError, ProviderError
from makespan.logs import logger
from makespan.machine.broker import Broker
from makespan.machine.budget import REFUSALS
from makespan.ports import World
from makespan.store_port import Entry, Journal

KIND = "breaker"
LOG = logger("makespan.breakers")


class Tripped(msgspec.Struct, frozen=True):
    """A breaker as a record of the store."""

    until_ns: int
    """Wall clock from which one attempt may try."""
    trips: int
    why: str
    kind: str = "quota"


class Breakers:
    """The breakers of one open engine: `ports.Breaker` for task code."""

    def __init__(self, broker: Broker, journal: Journal, world: World) -> None:
        self._broker, self._journal, self._world = broker, journal, world
        self._kinds: dict[str, str] = {}

    def refusal(self, model: str) -> ProviderError | None:
        """Why a model is not to be called now; None where it may be."""
        gate = self._broker.tripped(model)
        if gate is None or gate.until <= self._world.wall_ns():
            return None
        return ProviderError(
            f"model {model!r} is not called until its account answers again: {gate.why}",
            kind=self._kinds.get(model, "quota"),
            retryable=False,
        )

    def note(self, model: str, error: ProviderError | None) -> None:
        """How a call of a model ended."""
        if error is None:
            if self._broker.has_tripped and self._broker.mend(model):
                self._write(model, None)
        elif error.kind in REFUSALS:
            gate = self._broker.trip(model, self._world.wall_ns(), str(error))
            self._kinds[model] = error.kind
            self._write(model, Tripped(gate.until, gate.trips, gate.why, error.kind))

    def load(self) -> None:
        """Take over what other processes of the store have noted."""
        found = {entry.key: msgspec.json.decode(entry.body, type=Tripped) for entry in self._entries()}
        for model, tripped in found.items():
            self._kinds[model] = tripped.kind
            self._broker.know_gate(model, tripped.until_ns, tripped.trips, tripped.why)
        for model in self._broker.gates():
            if model not in found:
                self._broker.mend(model)

    def reset(self) -> None:
        """A person has looked into it: everything may be tried at once."""
        for model in list(self._broker.gates()):
            self._broker.mend(model)
        for entry in self._entries():
            self._write(entry.key, None)

    def _entries(self) -> list[Entry]:
        return self._journal.entries(KIND)

    def _write(self, model: str, tripped: Tripped | None) -> None:
        """A record that cannot be written costs others a call, and no more."""
        try:
            known = self._journal.entry(KIND, model)
            body = None if tripped is None else msgspec.json.encode(tripped)
            if known is not None or body is not None:
                self._journal.write_entry(KIND, model, body, 0 if known is None else known.version)
        except JournalError as error:
            LOG.warning("the breaker of model %r is not known to other processes: %s", model, error)
