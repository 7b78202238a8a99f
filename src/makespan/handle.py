"""`Run`: the handle of one run, for those who started it and for the engine that drives it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

import msgspec

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.place import Registry
from makespan.authoring.prompt import Prompt, PromptCode, Structured
from makespan.errors import UsageError
from makespan.graph.edit import Edit
from makespan.machine.machine import Machine
from makespan.machine.observations import (
    Answered,
    CancelAsked,
    Decided,
    EditAsked,
    Interrupted,
    Observation,
    ReopenAsked,
    Sent,
)
from makespan.machine.state import State
from makespan.models import structured, template
from makespan.ports import Lease, TaskCode
from makespan.result import Result
from makespan.runtime.drive import Driver, Watcher
from makespan.slots import RunSlots
from makespan.traces.questions import Question, open_questions
from makespan.values import TaskId

T_co = TypeVar("T_co", covariant=True)

STRUCTURED = Structured(structured.schema_of, structured.read, structured.reask, structured.REASKABLE, template.render)


class Run(Generic[T_co]):
    """Handle of a run. Await it for its Result."""

    driver: Driver
    bodies: LiveBodies
    machine: Machine
    slots: RunSlots

    def __init__(self, lease: Lease, state: State, registry: Registry, returns: Any, store: str) -> None:
        self.id = lease.run_id
        self.lease = lease
        self.state = state
        self.registry = registry
        self.watchers: list[Watcher] = []
        self.requests_seen: set[int] = set()
        self._store, self._returns = store, returns
        self._codes: dict[str, TaskCode] = {}
        self.post_request: Callable[[str, dict[str, Any], str | None], bool] = _not_open
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_done: Callable[[], Awaitable[None]] | None = None
        """Awaited by the waiter when the run is over: closes an engine that was opened for this run alone."""

    def __await__(self) -> Generator[Any, None, Result[T_co]]:
        return self.wait().__await__()

    async def wait(self) -> Result[T_co]:
        """Until the run ends or pauses. Raises JournalError when the store failed or another process took over."""
        try:
            await asyncio.shield(self.done)
            return Result(self.state, self._returns, self._store)
        finally:
            if self.on_done is not None and self.done.done():
                await self.on_done()

    @property
    def status(self) -> str:
        return self.state.status

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher(facts, state)` after every commit of this run, from now on."""
        self.watchers.append(watcher)
        if not self.done.done():
            self.driver.watchers.append(watcher)

    def cancel(self, author: str = "") -> None:
        """Cancel the run for good."""
        if not self.done.done():
            self.driver.post(CancelAsked(self.driver.clock(), author))

    def interrupt(self, why: str = "interrupted") -> None:
        """Stop in order; the run can be resumed."""
        if not self.done.done():
            self.driver.post(Interrupted(self.driver.clock(), why))

    def edit(self, edit: Edit, author: str = "") -> None:
        """Change the graph while it runs; a refused edit is recorded with its reason."""
        self.driver.post(EditAsked(self.driver.clock(), edit, author))

    def reopen(self, task: bytes, author: str = "") -> None:
        """Do a finished task again, under a new idempotency key, and what was made from its result."""
        self.driver.post(ReopenAsked(self.driver.clock(), TaskId(task), author))

    def decide(self, task: bytes, verdict: str, value: bytes | None = None, author: str = "") -> None:
        """Answer what happened to a task whose outcome is unknown, or whether a diverged one may run."""
        self.driver.post(Decided(self.driver.clock(), TaskId(task), verdict, value, author))

    def questions(self) -> list[Question]:
        """What waits for a person now: questions of `ms.ask`, and approvals."""
        return open_questions(self.state)

    def send(self, name: str, value: Any = None, *, id: str | None = None) -> bool:
        """Send the run a message; see `ms.send`. False when the id was sent before."""
        return self.post_request("send", {"name": name, "value": value}, id)

    def answer(self, task: str, value: Any = True, *, author: str = "", why: str = "", id: str | None = None) -> bool:
        """Answer a question (any value of its type) or an approval (True or False).

        Args:
            task: the question's id, from `questions()`. why: the reason of a refusal.
        """
        return self.post_request("answer", {"task": task, "value": value, "author": author, "why": why}, id)

    def code_of(self, key: str) -> TaskCode | None:
        """The code behind a key, made at its first use."""
        found = self._codes.get(key)
        if found is None:
            task = self.registry.get(key)
            if task is None:
                return None
            made: TaskCode = PromptCode(task, STRUCTURED) if isinstance(task, Prompt) else task.code
            self._codes[key] = found = made
        return found


def _not_open(kind: str, said: dict[str, Any], id: str | None) -> bool:
    raise UsageError("the engine of this run is not open")


def observed(kind: str, body: bytes, at: int) -> Observation | None:
    """A request of another process as an observation; None for kinds this version does not know."""
    said = msgspec.json.decode(body)
    if kind == "cancel":
        return CancelAsked(at, str((said or {}).get("author", "")))
    if kind == "interrupt":
        return Interrupted(at, "asked by another process")
    if kind == "send":
        return Sent(at, said["name"], msgspec.msgpack.encode(said["value"]), said["id"], said.get("author", ""))
    if kind == "answer":
        value, task = msgspec.msgpack.encode(said["value"]), TaskId(bytes.fromhex(said["task"]))
        return Answered(at, task, value, said["id"], said.get("author", ""), said.get("why", ""))
    if kind == "decide":
        return Decided(at, TaskId(bytes.fromhex(said["task"])), said["verdict"], None, said.get("author", ""))
    return None
