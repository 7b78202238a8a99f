"""What running code may ask about itself: `context()` in a task, and time and chance in a workflow's body."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Protocol

from makespan.authoring.place import InsideTask, current
from makespan.authoring.schedule import scheduled_moment
from makespan.errors import GraphError
from makespan.files import make_workdir
from makespan.logs import logger
from makespan.ports import AttemptInfo
from makespan.values import TaskId


class Context(Protocol):
    """About the running attempt (in a task) or the running body (in a workflow).

    In a body `now`, `random` and `uuid` are functions of the journal: the same on every life of the run.
    """

    @property
    def run_id(self) -> str: ...

    @property
    def task(self) -> str: ...

    @property
    def attempt(self) -> int: ...

    @property
    def mode(self) -> str:
        """Which of the task's `models` it is done with this time; "" in a body and for tasks without `models`."""
        ...

    @property
    def idempotency_key(self) -> str: ...

    @property
    def last_error(self) -> str: ...

    @property
    def remaining_s(self) -> float: ...

    @property
    def remaining_usd(self) -> float: ...

    @property
    def scheduled_at(self) -> datetime:
        """The moment for which a schedule started this run, in the schedule's zone; the same on every life of it.

        Raises GraphError in a run that no schedule started.
        """
        ...

    @property
    def workdir(self) -> Path: ...

    @property
    def slots(self) -> Mapping[str, tuple[int, ...]]: ...

    @property
    def units(self) -> Mapping[str, tuple[str, ...]]: ...

    @property
    def log(self) -> logging.Logger: ...

    @property
    def random(self) -> Random: ...

    def now(self) -> datetime: ...

    def uuid(self) -> uuid.UUID: ...


class TaskContext:
    """Context of an attempt."""

    def __init__(self, info: AttemptInfo, inside: InsideTask | None = None) -> None:
        self.info = info
        self._inside = inside or InsideTask(info.key, info)
        self.run_id = info.run_id
        self.task = info.key
        self.attempt = info.attempt
        self.last_error = info.last_error
        self.mode = info.models[0] if info.models else ""
        self.remaining_usd = info.reserved / 1e9
        self._random: Random | None = None

    @property
    def idempotency_key(self) -> str:
        """Give it to the outside service: the same for every attempt, also after a restart."""
        return self.info.idempotency_key

    @property
    def remaining_s(self) -> float:
        """Seconds to the run's deadline; infinite without one."""
        if self.info.deadline_ns is None:
            return float("inf")
        return (self.info.deadline_ns - time.time_ns()) / 1e9

    @property
    def scheduled_at(self) -> datetime:
        return scheduled_moment(self.info.scheduled_ns, self.info.zone, self.run_id)

    @property
    def workdir(self) -> Path:
        """An empty directory of this attempt alone, made at the first look and removed when the attempt has ended:
        what is to stay is returned as `ms.File(workdir / name)`. On the store's disk."""
        inside, info = self._inside, self.info
        if inside.workdir is None:
            attempt = f"{info.task_id.hex()[:16]}-{info.generation}-{info.attempt}"
            inside.workdir = make_workdir(info.files, info.run_id, attempt)
        return inside.workdir

    @property
    def slots(self) -> Mapping[str, tuple[int, ...]]:
        """Numbers, from 0, of the units of each pool that `needs=` asked for: `slots["gpu"][0]`. No two attempts have
        one at the same time, in whatever process. Pools whose units have names are not in it, but in `units`."""
        held = self.info.units or {}
        return {pool: tuple(map(int, units)) for pool, units in held.items() if all(map(str.isdecimal, units))}

    @property
    def units(self) -> Mapping[str, tuple[str, ...]]:
        """The units of each pool that `needs=` asked for, by name: `units["truck"][0] == "truck_1"`; where they have no
        names, by number."""
        return self.info.units or {}

    @property
    def log(self) -> logging.Logger:
        return logger(f"makespan.task.{self.task}")

    @property
    def random(self) -> Random:
        """Seeded by run, task and attempt."""
        if self._random is None:
            self._random = Random(f"{self.info.seed}:{self.info.task_id.hex()}:{self.attempt}")
        return self._random

    def now(self) -> datetime:
        return datetime.now(UTC)

    def uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self.random.getrandbits(128), version=4)


class BodyContext:
    """Context of a live body. Time is the time of the fact it last received."""

    attempt = 1
    last_error = ""
    mode = ""

    def __init__(self, run_id: str, task: str, task_id: bytes, seed: int, started_wall_ns: int) -> None:
        self.run_id, self.task = run_id, task
        self.task_id = TaskId(task_id)
        self.idempotency_key = blake2b(run_id.encode() + task_id, digest_size=16).hexdigest()
        self.random = Random(f"{seed}:{task_id.hex()}:body")
        self.log = logger(f"makespan.workflow.{task}")
        self._started_wall_ns = started_wall_ns
        self.now_ns = 0
        self.is_over = False
        """The workflow has ended or was cancelled: what its code still asks for is not heard."""
        self.tasks_made = int.from_bytes(task_id[:5], "big") << 20
        """Number of its latest asyncio task; starts far from that of every other body."""
        self.failed_branches: list[asyncio.Task[object]] = []
        """Its asyncio tasks that ended with an exception."""
        self.deadline_ns: int | None = None
        self.remaining_usd = float("inf")
        self.scheduled: tuple[int | None, str] = (None, "")

    @property
    def scheduled_at(self) -> datetime:
        return scheduled_moment(*self.scheduled, self.run_id)

    @property
    def workdir(self) -> Path:
        raise GraphError("a workflow's body has no working directory: write files in a task")

    @property
    def slots(self) -> Mapping[str, tuple[int, ...]]:
        return {}

    @property
    def units(self) -> Mapping[str, tuple[str, ...]]:
        return {}

    @property
    def remaining_s(self) -> float:
        return float("inf") if self.deadline_ns is None else (self.deadline_ns - self.now_ns) / 1e9

    def now(self) -> datetime:
        return datetime.fromtimestamp((self._started_wall_ns + self.now_ns) / 1e9, UTC)

    def uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self.random.getrandbits(128), version=4)


def context() -> Context:
    """The context of the running task or workflow body. Raises GraphError outside of both."""
    inside = current.get()
    if isinstance(inside, InsideTask) and inside.info is not None:
        return TaskContext(inside.info, inside)
    body = running_body.get()
    if body is None or isinstance(inside, InsideTask):
        raise GraphError("ms.context() works while a task or an async workflow runs")
    return body


running_body: ContextVar[BodyContext | None] = ContextVar("makespan_body", default=None)
"""The context of the live body that runs right now."""
