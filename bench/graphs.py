"""The task graphs that every engine runs: what each task needs and how long it sleeps. Deterministic.

A task returns its depth in the graph, so an engine that loses data gives a wrong checksum. Standard library
only: peers run these in environments of their own.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

SLEEP_S = 0.020


@dataclass(frozen=True)
class Shape:
    """One graph. Task i needs `needs[i]`, all smaller than i, and sleeps `sleep_s[i]` (0: a no-op)."""

    name: str
    needs: tuple[tuple[int, ...], ...]
    sleep_s: tuple[float, ...]

    @property
    def size(self) -> int:
        """Number of tasks."""
        return len(self.needs)

    @cached_property
    def needed_by(self) -> tuple[tuple[int, ...], ...]:
        """Per task, the tasks that need it."""
        dependents: list[list[int]] = [[] for _ in self.needs]
        for task, needs in enumerate(self.needs):
            for needed in needs:
                dependents[needed].append(task)
        return tuple(tuple(tasks) for tasks in dependents)

    @cached_property
    def depth(self) -> tuple[int, ...]:
        """Per task, the number of tasks on the longest path that ends in it: the value it must return."""
        depth: list[int] = []
        for needs in self.needs:
            depth.append(deeper([depth[needed] for needed in needs]))
        return tuple(depth)

    @cached_property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """The tasks by depth, as a level-by-level engine runs them."""
        levels: list[list[int]] = [[] for _ in range(max(self.depth))]
        for task, depth in enumerate(self.depth):
            levels[depth - 1].append(task)
        return tuple(tuple(level) for level in levels)

    @cached_property
    def sinks(self) -> tuple[int, ...]:
        """The tasks that nothing needs."""
        return tuple(task for task, dependents in enumerate(self.needed_by) if not dependents)

    @cached_property
    def critical_s(self) -> float:
        """Length of the critical path: the least time any schedule can take."""
        end_s: list[float] = []
        for needs, sleep_s in zip(self.needs, self.sleep_s, strict=True):
            end_s.append(sleep_s + max((end_s[needed] for needed in needs), default=0.0))
        return max(end_s)

    @cached_property
    def level_bound_s(self) -> float:
        """What an engine with a barrier after each level cannot go below."""
        return sum(max(self.sleep_s[task] for task in level) for level in self.levels)

    @cached_property
    def checksum(self) -> int:
        """Sum of all values."""
        return sum(self.depth)

    @cached_property
    def sink_checksum(self) -> int:
        """Sum of the values of the sinks."""
        return sum(self.depth[task] for task in self.sinks)


def deeper(depths: list[int]) -> int:
    """The work of a no-op task: one more than the deepest of its inputs."""
    return 1 + max(depths, default=0)


def chain(size: int = 1_000) -> Shape:
    """Tasks one after the other."""
    return Shape("chain", ((), *((task - 1,) for task in range(1, size))), (0.0,) * size)


def fan(width: int = 1_000) -> Shape:
    """One task, `width` that need it, one that needs them all."""
    needs = ((), *(((0,),) * width), tuple(range(1, width + 1)))
    return Shape("fan", needs, (0.0,) * len(needs))


def layered(size: int = 10_000, width: int = 100, *, name: str = "dag", seed: int = 7) -> Shape:
    """Layers of `width`; three needs each, one of them in the layer before, the rest in the last three."""
    return Shape(name, layered_needs(size, width, random.Random(seed)), (0.0,) * size)


def layered_needs(size: int, width: int, rng: random.Random) -> tuple[tuple[int, ...], ...]:
    """The edges of `layered`."""
    all_needs: list[tuple[int, ...]] = []
    for task in range(size):
        start = task - task % width
        needs: set[int] = set()
        if start:
            needs.add(rng.randrange(start - width, start))
        while start and len(needs) < min(3, width):
            needs.add(rng.randrange(max(0, start - 3 * width), start))
        all_needs.append(tuple(sorted(needs)))
    return tuple(all_needs)


def sleeping(size: int = 200, width: int = 10) -> Shape:
    """Layers of tasks that all sleep 20 ms."""
    return Shape("sleep", layered_needs(size, width, random.Random(7)), (SLEEP_S,) * size)


def skewed(size: int = 200, width: int = 10) -> Shape:
    """Layers of tasks that sleep log-normal times from 2 to 200 ms, as model calls do."""
    rng = random.Random(11)
    needs = layered_needs(size, width, rng)
    sleep_s = tuple(min(0.2, max(0.002, rng.lognormvariate(-4.4, 1.0))) for _ in range(size))
    return Shape("skew", needs, sleep_s)


SHAPES: Mapping[str, Callable[[], Shape]] = {
    "chain": chain,
    "fan": fan,
    "dag": layered,
    "sleep": sleeping,
    "skew": skewed,
    "durable": chain,
    "durdag": lambda: layered(1_000, 50, name="durdag", seed=5),
}


def describe(shape: Shape) -> str:
    """One line for a reader: sizes, and the two bounds where tasks sleep."""
    line = f"{shape.name}: {shape.size:,} tasks, {len(shape.levels):,} levels"
    if shape.critical_s:
        barrier = shape.level_bound_s / shape.critical_s
        line += f", critical path {shape.critical_s:.4f} s, with a barrier a level {barrier:.2f} x that"
    return line
