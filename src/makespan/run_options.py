"""The options of starting a run and of going on with one: keyword arguments of `Engine.start`, `ms.run` and others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, TypedDict

from makespan.handle import Answer
from makespan.machine.facts import Limits


class RunOptions(TypedDict, total=False):
    """The options of one run."""

    budget_usd: float
    deadline_s: float
    id: str
    sync: Literal["normal", "full"]
    seed: int
    limits: Limits
    target: str
    session: str
    """Runs of one session work one at a time, in the whole store, and share the slots of `ms.state`."""
    busy: Literal["queue", "reject", "cancel"]
    """While the session has another run: wait in line, raise SessionBusy, or end those before and then begin."""
    scheduled_at: datetime
    """The moment that `ms.context().scheduled_at` gives, as if a schedule had started the run: for backfills."""


class ResumeOptions(TypedDict, total=False):
    """The options of going on with a run."""

    budget_usd: float
    deadline_s: float
    on_change: Literal["stop", "allow", "rerun"]
    """What a resumed body may do otherwise than before. stop: nothing that costs money; allow: that too; rerun: also
    do finished tasks again whose code has changed, and what was made from them. Irreversible tasks always ask."""
    retry: bool | Sequence[str]
    """Do again what failed (True), or these tasks (ids or keys): also in a run that has ended."""
    decisions: Mapping[bytes, Answer]
    """`retry`, `run`, `skip` or `("happened", value)` by task id, for tasks whose outcome is unknown or that
    diverged."""
    cancel: bool
    """Cancel it: only what must be undone before is done."""
