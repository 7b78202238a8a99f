"""Static graphs of tasks with modes, and the same world drawn for the machine and for the arrays."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

import makespan as ms
from makespan.authoring.trace import trace
from makespan.draws import draws
from makespan.graph.node import Declaration, Kind, Node
from makespan.machine.facts import Limits
from makespan.machine.observations import Choice, PlanView
from makespan.machine.opening import opening
from makespan.machine.retry import delay_ns
from makespan.policies.portfolio.attempts import Billed, Draws, draws_of
from makespan.policies.portfolio.events import Rules
from makespan.ports import Planner
from makespan.profiles.distributions import Constant, LogNormal
from makespan.profiles.profile import ModeProfile, Profile, Seen
from makespan.sim.simulation import FAILED, Outcome, Simulation, WorstCase, drawn_from, header
from makespan.values import TaskId

if TYPE_CHECKING:
    from makespan.policies.portfolio.attempts import Ints

SECOND = 1_000_000_000
ATTEMPTS = 48


@dataclass(frozen=True)
class Setting:
    """A graph, what is known of its tasks, and how it is run."""

    needs: tuple[tuple[int, ...], ...]
    profile: Profile
    retries: int = 0
    models: tuple[str, ...] = ("small", "large")
    running: int = 256
    budget: int | None = None
    deadline_ns: int | None = None
    billed: Billed = "full"
    priced: bool = True

    @property
    def keys(self) -> list[str]:
        return [f"part{number}" for number in range(len(self.needs))]

    def workflow(self) -> ms.Workflow[[], list[int]]:
        """The graph as a workflow."""
        parts = [ms.task(key=key, models=list(self.models), retries=self.retries)(_part) for key in self.keys]

        @ms.workflow(key="shape")
        def shape() -> list[int]:
            refs: list[ms.Ref[int]] = []
            for part, needed in zip(parts, self.needs, strict=True):
                refs.append(part([refs[each] for each in needed]))
            return ms.gather(*refs)

        return shape

    def nodes(self) -> tuple[TaskId, list[Node], Sequence[object]]:
        """(root, nodes, scopes) as the authoring layer makes them."""
        unbound = self.workflow()()._unbound
        assert unbound is not None
        template = trace(unbound).template
        return template.root, [_priced(node) if self.priced else node for node in template.nodes], template.scopes


def _part(needs: list[int]) -> int:
    return 0


def _priced(node: Node) -> Node:
    if node.declaration.kind != Kind.CALL:
        return node
    options = msgspec.structs.replace(node.declaration.options, priced=True)
    return msgspec.structs.replace(node, declaration=msgspec.structs.replace(node.declaration, options=options))


class Everywhere:
    """The planner that always wants the same: the mode at a place in the task's list, and so many samples."""

    def __init__(self, place: int, samples: int) -> None:
        self.place, self.samples = place, samples

    def wants(self, declaration: Declaration) -> bool:
        return len(declaration.options.models) > 1

    def choose(self, view: PlanView) -> list[Choice]:
        return [Choice(each.number, each.modes[self.place], self.samples) for each in view.tasks if each.is_asked]


class Timed:
    """A planner whose decisions are timed (CPU seconds)."""

    def __init__(self, planner: Planner) -> None:
        self._planner, self.wants = planner, planner.wants
        self.took_s: list[float] = []
        self.open_tasks: list[int] = []

    def choose(self, view: PlanView) -> Sequence[Choice]:
        began = time.process_time()
        choices = self._planner.choose(view)
        self.took_s.append(time.process_time() - began)
        self.open_tasks.append(len(view.tasks))
        return choices


class World:
    """One setting in which many worlds are lived, by the machine."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.root, self.nodes, scopes = setting.nodes()
        self.opening = opening(self.nodes, scopes)  # type: ignore[arg-type]
        self.calls = [node for node in self.nodes if node.declaration.kind == Kind.CALL]

    def simulation(self, seed: int, planner: Planner, **options: object) -> Simulation:
        s = self.setting
        start = header(
            self.root, seed=seed, budget=s.budget, deadline_ns=s.deadline_ns, limits=Limits(running=s.running)
        )
        pricing = WorstCase(s.profile) if s.priced else None
        attempts = drawn_from(s.profile, seed)
        return Simulation(
            start,
            self.opening,
            attempts,
            planner=planner,
            pricing=pricing,
            billed=s.billed,
            **options,  # type: ignore[arg-type]
        )

    def run(self, seed: int, planner: Planner, **options: object) -> Outcome:
        return self.simulation(seed, planner, **options).run()

    def draws(self, seeds: Sequence[int], place: int) -> Draws:
        """What the machine's attempts would draw, were all of one mode: [worlds, tasks, attempts]."""
        import numpy as np  # the bench names its cases where there is no numpy

        rows = [self._drawn(seed, place) for seed in seeds]
        return Draws(*(np.stack([getattr(row, name) for row in rows]) for name in ("takes", "cost", "ok")))

    def _drawn(self, seed: int, place: int) -> Draws:
        known = [self.setting.profile.of(node.key, self.setting.models[place]) for node in self.calls]
        return draws_of(
            [
                [mode.draw(*draws(seed, node.id, attempt)) for attempt in range(1, ATTEMPTS + 1)]
                for node, mode in zip(self.calls, known, strict=True)
            ]
        )

    def rests(self, seeds: Sequence[int]) -> Ints:
        """How long the machine waits after each failed try: [worlds, tasks, failures]."""
        import numpy as np

        count = min(self.setting.retries + 1, ATTEMPTS)
        return np.array(
            [
                [[delay_ns(FAILED, n, seed, node.id) for n in range(1, count + 1)] for node in self.calls]
                for seed in seeds
            ]
        )

    def rules(self, place: int, samples: int) -> Rules:
        return self.rules_of(self.setting, place, samples)

    @staticmethod
    def rules_of(s: Setting, place: int, samples: int) -> Rules:
        """The setting's limits, as the arrays take them."""
        count = len(s.needs)
        worst = [s.profile.of(key, s.models[place]).cost.most if s.priced else 0 for key in s.keys]
        return Rules(
            s.needs, [samples] * count, worst, [s.retries + 1] * count, s.running, s.budget, s.deadline_ns, s.billed
        )


def random_needs(chance: random.Random, tasks: int) -> tuple[tuple[int, ...], ...]:
    """For each task, up to three earlier ones."""
    return tuple(tuple(sorted(chance.sample(range(n), min(n, chance.choice([0, 1, 1, 2, 3]))))) for n in range(tasks))


def random_profile(chance: random.Random, tasks: int, models: Sequence[str] = ("small", "large")) -> Profile:
    """Small models are quick, cheap and often wrong; some tasks have seen attempts instead of distributions."""
    return Profile(
        {
            f"part{number}": {
                model: _mode(chance, 1.0 + place, seen=chance.random() < 0.3) for place, model in enumerate(models)
            }
            for number in range(tasks)
        }
    )


def _mode(chance: random.Random, scale: float, *, seen: bool) -> ModeProfile:
    success = min(chance.uniform(0.2, 0.9) * scale, 0.95)
    median, cost = round(chance.uniform(2, 20) * scale * SECOND), round(chance.uniform(1, 10) * scale * 1_000_000)
    known = ModeProfile(LogNormal(median, chance.uniform(0.3, 1.2)), Constant(cost), success)
    if not seen:
        return known
    rows = [Seen(known.duration.quantile(chance.random()), cost, chance.random() < success) for _ in range(40)]
    return msgspec.structs.replace(known, seen=tuple(rows))


def trade_offs(chance: random.Random, tasks: int, models: Sequence[str]) -> Profile:
    """Tasks of different difficulty, done by models each of which is slower, dearer and better than the one before.

    Success from 0.2 to 0.95; medians around 10 s with heavy tails; each model costs three times the one before.
    """
    return Profile({f"part{number}": _models(chance, models) for number in range(tasks)})


def _models(chance: random.Random, models: Sequence[str]) -> dict[str, ModeProfile]:
    difficulty, scale, size = chance.random(), chance.lognormvariate(0.0, 0.5), chance.lognormvariate(0.0, 0.5)
    found = {}
    for place, model in enumerate(models):
        skill = 0.8 + 0.15 * place - 0.6 * difficulty + chance.uniform(-0.1, 0.1)
        median = 10 * SECOND * scale * 1.6**place
        found[model] = ModeProfile(
            LogNormal(round(median), chance.uniform(0.4, 1.2)),
            Constant(round(1_000_000 * size * 3**place)),
            min(max(skill, 0.2), 0.95),
        )
    return found


__all__ = [
    "ATTEMPTS",
    "SECOND",
    "Everywhere",
    "Setting",
    "Timed",
    "World",
    "random_needs",
    "random_profile",
    "trade_offs",
]
