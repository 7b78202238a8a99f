"""Graphs with durations to schedule: random ones, and recorded workflows in WfFormat 1.5 (wfcommons.org).

The recorded ones lie outside of the project, because of their licence: in `wfinstances` below `MAKESPAN_DATA`, or below
`../shared/data`. Their durations are the recorded run times; data transfers are left out.
"""

import asyncio
import json
import os
import random
from dataclasses import dataclass
from pathlib import Path

import makespan as ms
from bench.measure import PROJECT
from makespan.authoring.task import Task
from makespan.profiles.distributions import Constant
from makespan.profiles.profile import ModeProfile, Profile

SECOND = 1_000_000_000


@dataclass(frozen=True)
class Instance:
    """Task i needs `needs[i]`, all smaller than i, and takes `takes_ns[i]`."""

    name: str
    needs: tuple[tuple[int, ...], ...]
    takes_ns: tuple[int, ...]

    @property
    def critical_ns(self) -> int:
        """Length of the critical path."""
        ends: list[int] = []
        for needs, takes_ns in zip(self.needs, self.takes_ns, strict=True):
            ends.append(takes_ns + max((ends[needed] for needed in needs), default=0))
        return max(ends)

    def bound_ns(self, slots: int) -> float:
        """What no schedule on so many slots can go below: the critical path, and all work shared evenly."""
        return max(self.critical_ns, sum(self.takes_ns) / slots)

    def tight_bound_ns(self, slots: int) -> float:
        """The same, and what rounds cost: of the k * slots + 1 longest tasks, k + 1 share a slot."""
        longest = sorted(self.takes_ns, reverse=True)
        rounds = range(1, (len(longest) - 1) // slots + 1)
        return max(self.bound_ns(slots), *(sum(longest[k * slots - k : k * slots + 1]) for k in rounds), 0)

    def scaled(self, factor: float) -> "Instance":
        """The same with other durations, no two of them equal: ties in rank would be broken by who was ready first."""
        takes_ns = tuple(round(each * factor) + number for number, each in enumerate(self.takes_ns))
        return Instance(self.name, self.needs, takes_ns)

    @property
    def profile(self) -> Profile:
        """The durations as expectations: each task has a key of its own."""
        known = {key_of(number): {"": ModeProfile(Constant(each))} for number, each in enumerate(self.takes_ns)}
        return Profile({**known, "done": {"": ModeProfile(Constant(0))}})

    def call(self) -> ms.Ref[int]:
        """A call of the graph as a plain workflow whose tasks sleep; nothing is traced or run yet."""
        tasks = [napping(number, each / SECOND) for number, each in enumerate(self.takes_ns)]

        @ms.workflow(key="instance")
        def instance() -> int:
            refs: list[ms.Ref[int]] = []
            for task, needs in zip(tasks, self.needs, strict=True):
                refs.append(task([refs[needed] for needed in needs]))
            return done([*refs])

        return instance()


def key_of(number: int) -> str:
    """The key of a task of an instance."""
    return f"t{number}"


@ms.task(key="done")
async def done(ends: list[int]) -> int:
    """What the run ends with."""
    return len(ends)


def napping(number: int, sleep_s: float) -> Task[[list[int]], int]:
    """A task that takes so long."""

    @ms.task(key=key_of(number))
    async def nap(needs: list[int]) -> int:
        await asyncio.sleep(sleep_s)
        return number

    return nap


def random_instance(seed: int, size: int = 1_000, slots: int = 8) -> Instance:
    """A random graph with enough work for all slots: work ÷ slots is at least twice the critical path.

    A third of the tasks are in chains that are a critical path each if they start late; the rest are in layers, and
    come first in the order of readiness. Durations are log-normal.
    """
    for attempt in range(100):
        chance = random.Random(f"{seed} {attempt}")
        made = _layers_and_chains(f"random-{seed}", size, chance)
        if sum(made.takes_ns) >= 2 * slots * made.critical_ns:
            return made
    raise ValueError(f"no graph with enough work in 100 attempts for seed {seed}")


def _layers_and_chains(name: str, size: int, chance: random.Random) -> Instance:
    needs: list[tuple[int, ...]] = []
    width, layered = chance.randrange(40, 120), 2 * size // 3
    for number in range(layered):
        start = number - number % width
        before = range(max(0, start - width), start)
        needs.append(tuple(sorted(chance.sample(before, min(len(before), chance.randrange(1, 4))))))
    length = chance.randrange(45, 65)
    chains = range(layered, size)
    needs += [() if (number - layered) % length == 0 else (number - 1,) for number in chains]
    takes_ns = tuple(round(chance.lognormvariate(0.0, 0.6) * SECOND) for _ in range(size))
    return Instance(name, tuple(needs), takes_ns)


def recorded() -> list[Instance]:
    """The recorded workflows that are here; none where there is no folder."""
    root = Path(os.environ.get("MAKESPAN_DATA") or PROJECT.parent / "shared" / "data")
    return [read_wfformat(path) for path in sorted((root / "wfinstances").glob("*.json"))]


def read_wfformat(path: Path) -> Instance:
    """One file in WfFormat 1.5. Raises ValueError when it is something else, or its tasks wait for each other."""
    said = json.loads(path.read_text())
    if said.get("schemaVersion") != "1.5":
        raise ValueError(f"{path} is in WfFormat {said.get('schemaVersion')!r}, not 1.5")
    specified = {task["id"]: task["parents"] for task in said["workflow"]["specification"]["tasks"]}
    took_s = {task["id"]: task["runtimeInSeconds"] for task in said["workflow"]["execution"]["tasks"]}
    numbers: dict[str, int] = {}
    waiting = list(specified)
    while waiting:
        ready = [name for name in waiting if all(parent in numbers for parent in specified[name])]
        if not ready:
            raise ValueError(f"{path}: the tasks {', '.join(waiting[:3])} wait for each other")
        numbers |= {name: len(numbers) + place for place, name in enumerate(ready)}
        waiting = [name for name in waiting if name not in numbers]
    needs = tuple(tuple(sorted(numbers[parent] for parent in specified[name])) for name in numbers)
    return Instance(path.stem, needs, tuple(round(took_s[name] * SECOND) for name in numbers))
