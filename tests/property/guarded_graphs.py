"""Random graphs with adversarial guards, and what a guard means, told without the engine's expression language."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec

from makespan.graph.node import Declaration, Effect, First, Kind, Mode, Node, Options, Source
from makespan.machine.facts import AttemptStarted, Fact
from makespan.machine.observations import StartAttempt
from makespan.machine.records import Status, TaskState
from makespan.machine.state import State
from makespan.values import untyped
from tests.graph.samples import node, task
from tests.machine.driver import SECOND, Act, Script, error, seconds

VALUES: list[Any] = [None, True, False, 0, 1, 4, -3, 2.5, "", "x", "yes", [], [1], ["x", 4], {}, {"a": 1, "b": [2]}]
Test = Callable[[list[Any]], bool]
Guard = tuple[str, Test]


class Unlike(Exception):
    """A comparison or a step that makes no sense: the task must not run."""


def family(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else type(value).__name__


def greater(value: Any, bound: int) -> bool:
    if family(value) != "number":
        raise Unlike
    return bool(value > bound)


def same(value: Any, other: Any) -> bool:
    if value is None:
        return False
    if family(value) != family(other):
        raise Unlike
    return bool(value == other)


def size_above(value: Any, bound: int) -> bool:
    if not isinstance(value, str | list | dict):
        raise Unlike
    return len(value) > bound


def at(value: Any, step: str | int) -> Any:
    if isinstance(value, dict) and step in value:
        return value[step]
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    raise Unlike


def leaf(chance: random.Random, place: int, mode: Mode) -> Guard:
    """One thing said about one source."""
    name = f"s{place}"
    if mode == Mode.OUTCOME:
        word = chance.choice(["succeeded", "failed", "skipped"])
        return f"{name}.status == '{word}'", lambda values: same(at(values[place], "status"), word)
    bound = chance.randint(-1, 4)
    return chance.choice(
        [
            (name, lambda values: bool(values[place])),
            (f"{name} > {bound}", lambda values: greater(values[place], bound)),
            (f"{name} == 'x'", lambda values: same(values[place], "x")),
            (f"{name} in [1, 'x']", lambda values: type(values[place]) in (int, str) and values[place] in (1, "x")),
            (f"len({name}) > {bound}", lambda values: size_above(values[place], bound)),
            (f"{name}.a > {bound}", lambda values: greater(at(values[place], "a"), bound)),
            (f"{name}[0]", lambda values: bool(at(values[place], 0))),
            (f"{name} != null", lambda values: values[place] is not None),
        ]
    )


def guard(chance: random.Random, readable: list[tuple[int, Mode]], depth: int = 0) -> Guard:
    """A guard over the sources that have a value, and what it means."""
    kind = chance.random()
    if depth > 2 or kind < 0.5:
        return leaf(chance, *chance.choice(readable))
    left, is_left = guard(chance, readable, depth + 1)
    if kind < 0.65:
        return f"not ({left})", lambda values: not is_left(values)
    right, is_right = guard(chance, readable, depth + 1)
    if kind < 0.82:
        return f"({left}) and ({right})", lambda values: is_left(values) and is_right(values)
    return f"({left}) or ({right})", lambda values: is_left(values) or is_right(values)


class Guarded:
    """One random graph with the meaning of its guards, and one random fate for each of its tasks."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        self.nodes: list[Node] = []
        self.meaning: dict[bytes, Test] = {}
        for number in range(chance.randint(4, 11)):
            self.nodes.append(self._node(f"t{number}"))
        everything = tuple(Source(each.id, (), Mode.OUTCOME) for each in self.nodes)
        self.nodes.append(node("end", declaration=Declaration("end", Kind.VALUE), sources=everything, args=(b"\x07",)))

    def _node(self, name: str) -> Node:
        chance = self.chance
        known = chance.sample(self.nodes, min(len(self.nodes), chance.choice([0, 1, 1, 2, 3])))
        if len(known) > 1 and chance.random() < 0.15:
            join = First(1, chance.choice(["", "value", "value > 1"]), default=chance.random() < 0.5)
            sources = tuple(Source(each.id) for each in known)
            return node(name, declaration=Declaration(name, Kind.FIRST), sources=sources, args=(), first=join)
        modes = [chance.choice([Mode.VALUE, Mode.VALUE, Mode.AFTER, Mode.OUTCOME]) for _ in known]
        sources = tuple(Source(each.id, (), mode) for each, mode in zip(known, modes, strict=True))
        readable: list[tuple[int, Mode]] = [(place, mode) for place, mode in enumerate(modes) if mode != Mode.AFTER]
        text, meaning = guard(chance, readable) if readable and chance.random() < 0.8 else ("", lambda _: True)
        self.meaning[task(name)] = meaning
        effect = chance.choice([Effect.PURE, Effect.IDEMPOTENT, Effect.IRREVERSIBLE])
        options = Options(effect=effect, retries=chance.choice([0, 0, 1]), timeout_ns=chance.choice([None, seconds(3)]))
        return node(name, declaration=Declaration(name, options=options), sources=sources, args=(b"\x80",), when=text)

    def script(self, seed: int) -> Script:
        """Values, failures and durations at random."""
        chance = random.Random(seed)

        def script(command: StartAttempt) -> Act:
            value = msgspec.msgpack.encode(chance.choice(VALUES))
            failure = error() if chance.random() < 0.15 else None
            return Act(
                round(chance.lognormvariate(0, 1) * SECOND), failure, value=value, stubborn=chance.random() < 0.3
            )

        return script

    def look(self, state: State, fact: Fact) -> None:
        """Whenever an attempt starts, all that its edges declare has come true."""
        if isinstance(fact, AttemptStarted):
            started = state.tasks[fact.task]
            values = [value_of(state, *edge) for edge in started.spec.sources]
            assert self.meaning[started.spec.id](values), started.declaration.key


def value_of(state: State, number: int, path: tuple[str | int, ...], mode: Mode) -> Any:
    """What an edge carries; the source must have ended as the edge demands."""
    source: TaskState = state.tasks[number]
    assert source.is_final, "a source has not ended"
    if mode == Mode.OUTCOME:
        return {"status": outcome_word(state, source)}
    assert source.status == Status.SUCCEEDED, "a needed source did not succeed"
    assert not path
    return None if source.value is None else untyped(state.bytes_of(source.value))


def outcome_word(state: State, source: TaskState) -> str:
    """A task that a failure made impossible counts as failed."""
    while source.status == Status.SKIPPED and source.cause >= 0:
        source = state.tasks[source.cause]
    return source.status.name.lower()
