"""How a plan may change, by names: what planners, editors and people say before it is an edit of the graph."""

from __future__ import annotations

import msgspec

from makespan.planners.steps import Step


class Add(msgspec.Struct, frozen=True, tag=True):
    """A new step."""

    step: Step


class Drop(msgspec.Struct, frozen=True, tag=True):
    """A step away, before it starts. What depends on it must go or be replaced in the same edit."""

    name: str


class Replace(msgspec.Struct, frozen=True, tag=True):
    """Another step in the place of one that has not started; what depended on that reads the new one."""

    name: str
    step: Step


PlanChange = Add | Drop | Replace


class EditVerdict(msgspec.Struct, frozen=True):
    """What became of an edit. Truthy when it was applied; a refused one has changed nothing."""

    reason: str = ""
    """`unfit`, `stale`, `limit`, `already_started`, `cycle`, `dangling`, `unknown_task`, …; empty when applied."""
    detail: str = ""
    added: tuple[str, ...] = ()
    """Names of the steps that are in the plan since."""

    def __bool__(self) -> bool:
        return not self.reason


class Refused(Exception):
    """An edit that makes no sense before it is one."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
