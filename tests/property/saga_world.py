"""Random sagas, the world they book in, and what must be true of both at the end of every fact's journal.

A program is plain data that one live workflow carries out: bookings, steps that fail, scopes with and without undo,
branches beside each other, sub-workflows, deadlines. The world keeps a ledger by idempotency key; a person who is asked
looks into it.
"""

from __future__ import annotations

import json
from itertools import pairwise
from random import Random
from typing import Any

import makespan as ms
from makespan.graph.node import Kind
from makespan.machine.compensation import around
from makespan.machine.facts import (
    CancelRequested,
    LimitReached,
    ScopeAdded,
    ScopeClosed,
    ScopeEnded,
    TaskCancelled,
    TaskFailed,
    TaskSucceeded,
)
from makespan.machine.observations import CancelAsked, Decided, StartAttempt
from makespan.machine.records import Status, TaskState
from makespan.machine.state import State
from makespan.values import TaskId
from tests.machine.driver import SECOND, Act, Life, assert_fold_is_live, error

BOOKED = ("reserve", "book", "hold")
BROKEN = error("RuntimeError", "no")


@ms.task(retries=1)
def release(ref: str) -> None:
    return None


@ms.task(effect="irreversible")
def refund(ref: str) -> None:
    return None


@ms.task(undo=release)
def reserve(name: str) -> str:
    return name


@ms.task(effect="irreversible", undo=release)
def book(name: str) -> str:
    return name


@ms.task(undo=refund, timeout_s=3, retries=1)
def hold(name: str) -> str:
    return name


@ms.task
def step(name: str) -> str:
    return name


TASKS = {"reserve": reserve, "book": book, "hold": hold, "step": step}


async def perform(program: list[Any]) -> None:
    """Carry a program out, one operation after the other."""
    for kind, *rest in program:
        if kind in TASKS:
            await TASKS[kind](rest[0])
        elif kind == "beside":
            await ms.gather(*[TASKS[each](name) for each, name in rest[0]])
        elif kind == "unawaited":
            TASKS[rest[0]](rest[1])
        elif kind == "race":
            await ms.first(*[part(json.dumps(branch)) for branch in rest[0]])
        elif kind == "map":
            await ms.map(part, [json.dumps(branch) for branch in rest[0]], errors="keep")
        elif kind == "sub":
            await part(json.dumps(rest[0]))
        elif kind == "try":
            try:
                await perform(rest[0])
            except ms.TaskError:
                await step("caught")
        else:
            await in_scope(*rest)


async def in_scope(name: str, undo: bool, deadline_s: float | None, inside: list[Any]) -> None:
    async with ms.scope(name, undo=undo, deadline_s=deadline_s):
        await perform(inside)


@ms.workflow
async def part(program: str) -> str:
    await perform(json.loads(program))
    return "done"


@ms.workflow
async def saga(program: str) -> str:
    await perform(json.loads(program))
    return "done"


# ---------------------------------------------------------------- programs


class Writer:
    """Writes random programs; every name is used once, so that a booking is known by it."""

    def __init__(self, chance: Random) -> None:
        self.chance, self.names = chance, 0

    def program(self) -> list[Any]:
        return [["scope", self.name(), True, self.deadline(), self.operations(3)], *self.operations(2)]

    def name(self) -> str:
        self.names += 1
        return f"n{self.names:02}"

    def deadline(self) -> float | None:
        return self.chance.choice([None, None, None, 2.5, 6.5])

    def booking(self) -> list[Any]:
        return [self.chance.choice([*BOOKED, *BOOKED, "step"]), self.name()]

    def operations(self, depth: int) -> list[Any]:
        return [self.operation(depth) for _ in range(self.chance.randint(1, 3))]

    def operation(self, depth: int) -> list[Any]:
        kinds = ["one", "one", "beside", "beside", "unawaited"]
        kinds += ["scope", "scope", "sub", "try", "race", "map"] if depth else []
        match self.chance.choice(kinds):
            case "one":
                return self.booking()
            case "beside":
                return ["beside", [self.booking() for _ in range(self.chance.randint(2, 4))]]
            case "unawaited":
                return ["unawaited", *self.booking()]
            case "scope":
                undo = self.chance.random() < 0.7
                return ["scope", self.name(), undo, self.deadline(), self.operations(depth - 1)]
            case "race" | "map" as kind:
                return [kind, [self.operations(depth - 1) for _ in range(2)]]
            case kind:
                return [kind, self.operations(depth - 1)]


# ---------------------------------------------------------------- the world


class World:
    """What really happened, by idempotency key. How an attempt goes follows from seed, task and attempt alone."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.done: dict[bytes, int] = {}
        """Bookings that took effect, by key: how often an irreversible one did."""
        self.undone: dict[bytes, bytes] = {}
        """Id of the booking → id of the undo that took effect."""
        self.state: State | None = None

    def script(self, command: StartAttempt) -> Act:
        chance = Random(f"{self.seed}:{command.id.hex()}:{command.attempt}")
        takes, draw = chance.choice([1, 1, 2, 3, 5]) * SECOND, chance.random()
        key = command.declaration.key
        if key in ("release", "refund"):
            if draw < 0.15:
                return Act(takes, error=BROKEN)
            self._undo(command)
        elif draw < 0.12:
            return Act(takes, error=BROKEN)
        elif key in BOOKED and draw < 0.8:  # it takes effect at once, whatever becomes of the attempt
            self._do(command.id, key)
        return Act(takes, stubborn=chance.random() < 0.3)

    def _do(self, task_id: bytes, key: str) -> None:
        self.done[task_id] = self.done.get(task_id, 0) + 1 if key == "book" else 1

    def _undo(self, command: StartAttempt) -> None:
        assert self.state is not None
        undo = self.state.tasks[command.task]
        of = self.state.tasks[undo.spec.sources[0][0]].spec.id
        assert self.undone.setdefault(of, command.id) == command.id, "one booking is undone under one key"

    def look(self, state: State, fact: Any) -> None:
        """A booking that has succeeded has taken effect, at the latest now."""
        self.state = state
        if type(fact) is TaskSucceeded:
            task = state.tasks[fact.task]
            if task.declaration.key in BOOKED and task.spec.id not in self.done:
                self._do(task.spec.id, task.declaration.key)

    def answer(self, task: TaskState) -> Decided:
        """What a person who looks into the ledger says."""
        if task.declaration.key in ("release", "refund"):
            assert self.state is not None
            of = self.state.tasks[task.spec.sources[0][0]].spec.id
            return Decided(0, TaskId(task.spec.id), "happened" if of in self.undone else "retry")
        if task.spec.id in self.done:
            return Decided(0, TaskId(task.spec.id), "happened", b"\xa3ref")
        return Decided(0, TaskId(task.spec.id), "skip")


class Story:
    """One program in one world, through cuts and answers to its end."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.program = json.dumps(Writer(Random(seed)).program())
        self.world = World(seed)
        self.life = Life(saga(self.program), self.world.script, look=self.world.look, seed=seed)

    def cancelled_at(self, at: int) -> Story:
        """A person cancels the run then, if it still runs."""
        self.life.run(until=at)
        if self.life.status == "running":
            self.life.observe(CancelAsked(self.life.now, "ann"))
        return self

    def cut_after(self, turns: int) -> Story:
        """The process is gone after so many turns, and a new one goes on."""
        self.life.run(turns=turns)
        if self.life.status == "running":
            self.life.crash().resume()
        return self

    def ended(self, cuts: Random | None = None) -> Story:
        """Go on to the end; whenever the run pauses a person answers, and `cuts` crash it on the way."""
        life = self.life
        for _ in range(60):
            if cuts is not None and cuts.random() < 0.6:
                self.cut_after(cuts.randint(1, 6))
            life.run()
            if life.status != "paused":
                break
            assert life.state.reason == "decision", f"seed {self.seed}: {life.state.reason} {life.state.detail}"
            unknown = [task for task in life.state.tasks if task.status == Status.UNKNOWN]
            life.crash().resume(*[self.world.answer(task) for task in unknown])
        assert life.status in ("succeeded", "failed", "cancelled"), f"seed {self.seed}: {life.status}"
        return self

    # ------------------------------------------------------------ laws

    def check(self) -> Story:
        """Every law, each with the seed in its message."""
        state, due = self.life.state, due_scopes(self.life)
        for task_id in self.world.done:
            task = state.tasks[state.index[task_id]]
            is_due = any(scope.number in due for scope in around(state, task.spec.scope))
            is_undone = task_id in self.world.undone
            said = f"seed {self.seed}: {task.spec.id.hex()[:8]} {task.declaration.key} {task.status.name}"
            assert is_due == is_undone, f"{said}: due {is_due}, undone {is_undone}"
            if not is_due and any(scope.undo for scope in around(state, task.spec.scope)):
                assert task.status == Status.SUCCEEDED, f"{said}: neither kept nor undone"
        for task_id in self.world.undone:
            assert task_id in self.world.done, f"seed {self.seed}: undone and never done"
        twice = [task_id.hex()[:8] for task_id, times in self.world.done.items() if times > 1]
        assert not twice, f"seed {self.seed}: booked twice: {twice}"
        self._check_order()
        assert_fold_is_live(self.life)
        return self

    def _check_order(self) -> None:
        """Undone one after the other, the last result first."""
        state, places = self.life.state, {n: place for place, n in enumerate(self.life.state.finish_log)}
        for scope in state.scopes:
            if not scope.shielded:
                continue
            undos = sorted(scope.tasks, key=places.__getitem__)
            originals = [places[state.tasks[n].spec.sources[0][0]] for n in undos]
            assert originals == sorted(originals, reverse=True), f"seed {self.seed}: order of undoing"
            for before, after in pairwise(undos):
                done, begun = state.tasks[before], state.tasks[after]
                assert begun.started_at < 0 or begun.started_at >= done.ended_at, f"seed {self.seed}: beside each other"


def due_scopes(life: Life) -> set[int]:
    """Scopes with undo that died before they ended, read from the facts alone."""
    state, alive, due = life.state, set[int](), set[int]()
    added = 0

    def die(number: int) -> None:
        for each in list(alive):
            if any(scope.number == number for scope in around(state, each)):
                alive.discard(each)
                due.add(each)

    for fact in life.facts:
        match fact:
            case ScopeAdded():
                added += 1
                if fact.undo:
                    alive.add(added)
            case ScopeEnded():
                alive.discard(fact.scope)
            case ScopeClosed(why=why) if why:
                die(fact.scope)
            case LimitReached():
                die(fact.scope)
            case CancelRequested():
                die(0)
            case TaskCancelled() | TaskFailed() if state.tasks[fact.task].kind == Kind.WORKFLOW:
                die(state.scope_index.get(state.tasks[fact.task].spec.id, -1))
            case _:
                pass
    return due
