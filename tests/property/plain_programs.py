"""Random plain workflows with guards, joins, maps and scopes whose results do not depend on time."""

from __future__ import annotations

import random
from hashlib import blake2b

import makespan as ms
from makespan.machine.observations import StartAttempt
from makespan.machine.records import Status
from makespan.machine.state import State
from tests.machine.driver import SECOND, Act, Script


def number_of(command: StartAttempt) -> int:
    """A number that follows from what the attempt is, not from when it runs."""
    return int.from_bytes(blake2b(command.id, digest_size=4).digest(), "big")


@ms.task
def add(a: int, b: int | None) -> int:
    return a + (b or 0)


@ms.task
def broken(a: int) -> int:
    raise ValueError(f"broken at {a}")


@ms.task(retries=1)
def shaky(a: int) -> int:
    if a % 3 == 0:
        raise ValueError(f"shaky at {a}")
    return a


@ms.task
def spread(a: int) -> list[int]:
    return [a % 7 + n % 2 for n in range(a % 4)]


@ms.task
def total(values: list[int]) -> int:
    return sum(values)


@ms.task
def successes(values: list[ms.Outcome[int]]) -> int:
    return sum(value.status == "succeeded" for value in values)


@ms.task
def fate(outcome: ms.Outcome[int]) -> int:
    return 1 if outcome.status == "succeeded" else 2


def random_program(seed: int) -> ms.Workflow[[int], list[int]]:
    """A plain workflow of some twenty steps. Its output is a list of what all of them gave."""

    @ms.workflow(key=f"program{seed}")
    def program(x: int) -> list[int]:
        chance = random.Random(seed)
        known: list[ms.Ref[int]] = [add(x, n) for n in range(2)]

        def some() -> ms.Ref[int]:
            return chance.choice(known)

        def step() -> ms.Ref[int]:
            kind = chance.choice(STEPS)
            if kind == "add":
                return add(some(), some())
            if kind == "after":
                return add.options(after=[some()])(some(), chance.randint(0, 9))
            if kind == "when":
                bound = chance.randint(0, 20)
                return ms.when(some(), lambda: add(some(), 1), lambda: add(some(), 2), test=f"value > {bound}")
            if kind == "maybe":
                return add(1, ms.when(some(), lambda: add(some(), 3), test=f"value in [{chance.randint(0, 9)}, 4]"))
            if kind == "first":
                return ms.first(broken(some()), add(some(), 5), broken(some()))
            if kind == "fallback":
                return ms.fallback(shaky, add_nothing)(some())
            if kind == "outcome":
                return fate(ms.outcome(shaky(some())))
            if kind == "scope":
                with ms.scope(chance.choice("ab")):
                    return add(some(), 8)
            listed = spread(some())
            if kind == "map":
                return total(ms.map(lambda item: add(item, 1), listed, limit=chance.choice([None, 1, 2])))
            if kind == "drop":
                return total(ms.map(shaky, listed, errors="drop"))
            if kind == "keep":
                return successes(ms.map(lambda item: shaky(add(item, item)), listed, errors="keep"))
            outside = some()
            return total(ms.map(lambda item: total(ms.map(lambda n: add(n, outside), spread(item))), listed))

        for _ in range(chance.randint(4, 14)):
            known.append(step())  # noqa: PERF401 - each step may read those before it
        return ms.gather(*known)

    return program


@ms.task
def add_nothing(a: int) -> int:
    return a


STEPS = [
    "add", "after", "when", "maybe", "first", "fallback", "outcome", "scope", "map", "drop", "keep", "nested",
]  # fmt: skip


def at_random(seed: int) -> Script:
    """Durations at random; what an attempt costs follows from what it is."""
    chance = random.Random(seed)

    def script(command: StartAttempt) -> Act:
        return Act(round(chance.lognormvariate(0, 1) * SECOND), cost=number_of(command) % 1000)

    return script


def accepted_cost(state: State) -> int:
    """What the attempts cost whose results count, losers of a race left out."""
    return sum(task.cost for task in state.tasks if task.status == Status.SUCCEEDED and not task.failures)
