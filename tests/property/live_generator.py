"""Draws random programs for `live_programs` from a seed."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.property.live_programs import CALM, RACING, Code


class Generator:
    """Draws programs."""

    def __init__(self, seed: int, *, racing: bool) -> None:
        self.rng, self.racing = Random(seed), racing
        self.shares_names = racing
        self._names = 0

    def program(self) -> Code:
        return self.block(0, self.rng.randint(3, 6))

    def block(self, depth: int, length: int | None = None) -> Code:
        return [self.statement(depth) for _ in range(length or self.rng.randint(1, 3))]

    def statement(self, depth: int) -> Any:
        names = list(CALM) + (list(RACING) * 3 if self.racing else [])
        name = self.rng.choice(names)
        if depth >= 3 and name in NESTED:
            name = self.rng.choice(["call", "same", "try", "paid"])
        return [name, *getattr(self, f"_{ARGUMENTS.get(name, name)}")(depth)]

    # Each method below draws the arguments of one statement.

    def _none(self, depth: int) -> list[Any]:
        return []

    def _n(self, depth: int = 0) -> list[Any]:
        return [self.rng.randrange(8)]

    def _ns(self, depth: int = 0) -> list[Any]:
        return [[self.rng.randrange(8) for _ in range(self.rng.randint(2, 4))]]

    def _same(self, depth: int) -> list[Any]:
        return [self.rng.randrange(4), self.rng.randint(2, 4)]

    def _code(self, depth: int) -> list[Any]:
        return [self.block(depth + 1)]

    def _codes(self, depth: int) -> list[Any]:
        return [[self.block(depth + 1) for _ in range(self.rng.randint(2, 3))]]

    def _branches(self, depth: int) -> list[Any]:
        [blocks] = self._codes(depth)
        scopes = [self._name() for _ in blocks] if not self.racing or self.rng.random() < 0.5 else []
        return [self.rng.choice(["gather", "group", "tasks"]), blocks, scopes]

    def _loop(self, depth: int) -> list[Any]:
        return [self.block(depth + 1, 1), self.rng.random() < 0.5]

    def _map(self, depth: int) -> list[Any]:
        return [*self._ns(), self.rng.choice([None, 1, 2]), self.rng.choice(["raise", "keep", "drop"])]

    def _map_of_ref(self, depth: int) -> list[Any]:
        return [*self._n(), self.rng.choice([None, 1, 2]), self.rng.choice(["raise", "drop"])]

    def _scope(self, depth: int) -> list[Any]:
        return [self._name(), self.block(depth + 1)]

    def _failing_scope(self, depth: int) -> list[Any]:
        return [self._name(), *self._n(), self.racing and self.rng.random() < 0.5]

    def _seconds(self, depth: int = 0) -> list[Any]:
        return [round(self.rng.uniform(0.01, 0.2), 3)]

    def _first(self, depth: int) -> list[Any]:
        return [*self._ns(), self.rng.choice([None, 1, 2]), self.rng.choice([None, "value > 3"])]

    def _timeout(self, depth: int) -> list[Any]:
        return [*self._seconds(), self.block(depth + 1)]

    def _deadline(self, depth: int) -> list[Any]:
        return [self._name(), *self._seconds(), self.block(depth + 1)]

    def _budget(self, depth: int) -> list[Any]:
        return [self._name(), self.rng.choice([0.005, 0.0105, 0.012, 0.1]), self.block(depth + 1)]

    def _wait(self, depth: int) -> list[Any]:
        return [*self._codes(depth), self.rng.random() < 0.5]

    def _name(self) -> str:
        self._names += 1
        return f"s{self.rng.randrange(3)}" if self.shares_names and self.rng.random() < 0.3 else f"part {self._names}"


NESTED = {"branches", "loop", "scope", "left_open", "sub", "subs", "timeout", "deadline", "budget", "wait"}
ARGUMENTS = {
    **dict.fromkeys(
        ["call", "paid", "chain", "try", "outcome", "late_outcome", "plain", "cancelled_at_once", "flaky", "hurried"],
        "n",
    ),
    **dict.fromkeys(["when", "fallback", "note", "cancelled_later"], "n"),
    **dict.fromkeys(["gather", "gather_failing", "as_completed", "iterate"], "ns"),
    **dict.fromkeys(["chance", "peek", "now"], "none"),
    **dict.fromkeys(["sleep", "asyncio_sleep"], "seconds"),
    "left_open": "scope",
    "sub": "code",
    "subs": "codes",
}


def draw(seed: int) -> tuple[Code, bool]:
    """A program and whether it races."""
    racing = seed % 2 == 1
    return Generator(seed, racing=racing).program(), racing
