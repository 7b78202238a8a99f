"""Edits by people on their way into a run: from plain values to what the run's owner hears, and back to a verdict.

Run.edit, makespan edit ─▶ request in the store ─▶ owner ─┬─ a message for the live plan, whose body applies it
                                                         └─ an edit of the graph, where no body has a plan
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.task import HOOKS, Task
from makespan.graph.edit import Batch
from makespan.machine import expecting
from makespan.machine.items import EDITS
from makespan.machine.machine import Machine
from makespan.machine.observations import EditAsked, Observation, Sent
from makespan.planners.changes import Add, Drop, EditVerdict, Refused, Replace
from makespan.planners.graph_patches import graph_edit
from makespan.planners.patches import UNREADABLE, Patch, edits_of
from makespan.planners.saved import saved_step
from makespan.planners.tools import text
from makespan.traces.updates import Update

BUILT_IN: tuple[Task[..., Any], ...] = (text,)
"""Tasks that every run has, whatever its code."""
NOT_TAKEN = "not_taken"
"""Why an edit changed nothing that nobody looked at: the run ended or paused before."""


def said_edits(edit: Sequence[Any] | Mapping[str, Any]) -> Any:
    """Changes as plain values, those that are typed too."""
    if isinstance(edit, Mapping):
        return dict(edit)
    return [_said(each) for each in edit]


def _said(change: Any) -> Any:
    match change:
        case Add():
            return {"add": saved_step(change.step), "why": change.step.why}
        case Drop():
            return {"drop": change.name}
        case Replace():
            return {"replace": change.name, "with": saved_step(change.step), "why": change.step.why}
        case _:
            return msgspec.to_builtins(change, enc_hook=HOOKS.encode)


def asked_edit(
    said: Any, at: int, machine: Machine, bodies: LiveBodies, beside: Iterable[Task[..., Any]]
) -> Observation:
    """A request for an edit as the run's owner hears it. One that makes no sense becomes a refusal on record."""
    fields: dict[str, Any] = said if isinstance(said, dict) else {}
    author, why, request = (str(fields.get(name, "")) for name in ("author", "why", "id"))
    try:
        edits = fields.get("edits")
        listed = edits if isinstance(edits, list) else edits_of(edits)
        patch = msgspec.convert({**fields, "edits": listed, "request": request}, Patch)
        plan = _plan(fields.get("plan"), machine)
        if plan is not None:
            return Sent(at, EDITS + plan, msgspec.msgpack.encode(patch), request, author)
        return EditAsked(at, graph_edit(patch, machine.state, bodies, beside), author, why, request)
    except msgspec.ValidationError as error:
        reason, detail = UNREADABLE, f"the request for an edit cannot be read: {error}"
    except Refused as refusal:
        reason, detail = refusal.reason, str(refusal)
    return EditAsked(at, Batch(()), author, why, request, reason, detail)


def _plan(wanted: Any, machine: Machine) -> str | None:
    """The plan that is meant, None for the run's graph. Raises Refused where it is not clear."""
    plans = [name.removeprefix(EDITS) for name in expecting.names(machine) if name.startswith(EDITS)]
    if wanted is False or (wanted is None and not plans):
        return None
    if wanted is None and len(plans) == 1:
        return plans[0]
    if wanted in plans:
        return str(wanted)
    there = f"its plans are {', '.join(plans)}" if plans else "no body of it has a plan now"
    if wanted is None:
        raise Refused("ambiguous", f"which plan? say `plan:`; {there}")
    raise Refused("unknown_plan", f"the run has no plan {wanted!r} now; {there}")


class AskedEdit:
    """An edit that is asked for; `await` gives its verdict."""

    def __init__(self, updates: Callable[..., AsyncIterator[Update]], request: str) -> None:
        self.request = request
        """Its id."""
        self._updates = updates

    def __await__(self) -> Generator[Any, None, EditVerdict]:
        return self.verdict().__await__()

    async def verdict(self) -> EditVerdict:
        """What became of it, once that is in the journal; `not_taken` where the run ended or paused before."""
        async for update in self._updates(only=["edit", "message"]):
            value = update.value if isinstance(update.value, dict) else {}
            if update.kind == "edit" and value.get("request") == self.request:
                if update.status == "applied":
                    return EditVerdict()
                return EditVerdict(value.get("reason", ""), value.get("detail", ""))
            if update.kind == "message" and update.status == "refused" and value.get("id") == self.request:
                return EditVerdict("unreadable", update.error or "")
        return EditVerdict(NOT_TAKEN, "the run ended or paused before it was looked at")
