"""A workflow's best configurations as an artefact: made once from a graph and a profile, asked at every start.

    compiled(...) ──▶ CompiledSet ──written──▶ JSON ──read_compiled──▶ CompiledSet.choose("cheap") ──▶ Point.modes

Choosing looks at points only, and no point that is left out could have been a better answer: every preference here
prefers less time, less money and more success.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import log

import msgspec

from makespan.errors import GraphError, UsageError, suggestion
from makespan.graph.digest import digest
from makespan.graph.graph import Graph
from makespan.graph.node import Node
from makespan.passes.pareto import MOST_POINTS, Point, pareto
from makespan.passes.structure import Assumptions, structure
from makespan.passes.tree import Figures, Table, Tree, keys
from makespan.profiles.distributions import Distribution
from makespan.profiles.profile import ANY, ModeProfile, Profile

SCHEMA = 1
PREFERENCES = ("balanced", "cheap", "fast", "good")
"""cheap: least money per success · fast: least time per success · good: most success · balanced: all three alike, each
as a share of its range in the set."""


CHAINS = 1.5
"""Measured on random DAGs (`python -m bench --case compile-agreement`): predicted latency is 0.94 to 1.03 of the
simulated one; with 1 it was up to 1.10, with 2 and with the plain maximum down to 0.95 and 0.92."""
QUANTILES = 200
LEAST_RATIO = 1.001
"""Below this, durations are as good as constant."""


class Worth(msgspec.Struct, frozen=True):
    """A preference in money: what an hour of waiting and one failure are worth, beside what a run costs."""

    hour_usd: float = 0.0
    failure_usd: float = 0.0

    def of(self, point: Point) -> float:
        """Dollars; less is better."""
        return point.cost / 1e9 + self.hour_usd * point.latency_ns / 3.6e12 + self.failure_usd * (1 - point.success)


class CompiledSet(msgspec.Struct, frozen=True, omit_defaults=True):
    """Configurations that no other one beats. `graph` and `profile` say what they were made from."""

    workflow: str
    graph: str
    profile: str
    points: tuple[Point, ...]
    """Sorted by latency."""
    assumptions: Assumptions = Assumptions()
    epsilon: float = 0.0
    """0: exact. Otherwise every configuration has a point within this share of it in everything."""
    quantile: float = 0.0
    """0: tasks take and cost their means. Otherwise this quantile of their durations."""
    sharpness: float = 0.0
    """Of the maximum of times side by side, as in `tree.longest`."""
    notes: tuple[str, ...] = ()
    schema: int = SCHEMA

    def choose(
        self,
        preference: str | Worth = "balanced",
        *,
        deadline_ns: int | None = None,
        budget: int | None = None,
        min_success: float = 0.0,
    ) -> Point:
        """The best point that fits, by predicted figures; the first of equals.

        Args:
            preference: one of `PREFERENCES`, or what time and failures are worth.
            budget: nano-USD.
        Raises:
            UsageError: no such preference, or nothing fits; the message has the nearest.
        Cost: 0.2 µs a point.
        """
        limits = _Limits(deadline_ns, budget, min_success)
        fitting = [point for point in self.points if limits.hold(point)]
        if not fitting:
            nearest = min(self.points, key=limits.missed_by)
            raise UsageError(f"no configuration of {self.workflow} fits {limits}; the nearest {described(nearest)}")
        if isinstance(preference, Worth):
            return min(fitting, key=preference.of)
        match preference:
            case "cheap":
                return min(fitting, key=lambda p: (_per_success(p.cost, p), p.latency_ns))
            case "fast":
                return min(fitting, key=lambda p: (_per_success(p.latency_ns, p), p.cost))
            case "good":
                return min(fitting, key=lambda p: (-p.success, p.cost, p.latency_ns))
            case "balanced":
                return min(fitting, key=self.imbalance())
        raise UsageError(
            f"no preference is called {preference!r}{suggestion(preference, PREFERENCES)}; "
            f"there are {', '.join(PREFERENCES)}"
        )

    def imbalance(self) -> Balance:
        """How far a point is from the best of everything, each figure as a share of its range in the set."""
        return Balance.of(self.points)

    def check(self, graph: Graph) -> None:
        """Raises UsageError when the set was made from another graph."""
        if digest(graph).hex() != self.graph:
            raise UsageError(
                f"these configurations were compiled for {self.workflow} as it was: its graph is another one now; "
                "compile them again"
            )


class Balance(msgspec.Struct, frozen=True):
    """The ideal and the range of each figure; called with a point, the sum of its distances."""

    least: tuple[float, float, float]
    spread: tuple[float, float, float]

    @staticmethod
    def of(points: Iterable[Point]) -> Balance:
        columns = list(zip(*((p.latency_ns, p.cost, -p.success) for p in points), strict=True))
        least = [min(column) for column in columns]
        spread = [max(column) - low or 1.0 for column, low in zip(columns, least, strict=True)]
        return Balance((least[0], least[1], least[2]), (spread[0], spread[1], spread[2]))

    def __call__(self, point: Point) -> float:
        low, size = self.least, self.spread
        time, money = (point.latency_ns - low[0]) / size[0], (point.cost - low[1]) / size[1]
        return time + money + (-point.success - low[2]) / size[2]


class _Limits(msgspec.Struct, frozen=True):
    deadline_ns: int | None
    budget: int | None
    min_success: float

    def hold(self, point: Point) -> bool:
        return (
            (self.deadline_ns is None or point.latency_ns <= self.deadline_ns)
            and (self.budget is None or point.cost <= self.budget)
            and point.success >= self.min_success
        )

    def missed_by(self, point: Point) -> float:
        """The largest miss, as a share of its limit."""
        late = 0.0 if self.deadline_ns is None else point.latency_ns / max(self.deadline_ns, 1) - 1
        dear = 0.0 if self.budget is None else point.cost / max(self.budget, 1) - 1
        weak = 0.0 if not self.min_success else (self.min_success - point.success) / self.min_success
        return max(late, dear, weak, 0.0)

    def __str__(self) -> str:
        said = [] if self.deadline_ns is None else [f"a deadline of {self.deadline_ns / 1e9:g} s"]
        said += [] if self.budget is None else [f"a budget of ${self.budget / 1e9:g}"]
        said += [f"a success of at least {self.min_success:g}"] if self.min_success else []
        return " and ".join(said)


def _per_success(amount: int, point: Point) -> float:
    return amount / point.success if point.success > 0 else float("inf")


def described(point: Point) -> str:
    """What a point promises, in a sentence."""
    took, cost = point.latency_ns / 1e9, point.cost / 1e9
    return f"takes {took:.4g} s, costs ${cost:.4g} and succeeds {100 * point.success:.3g} % of the time"


# ---------------------------------------------------------------- making, writing, reading


def compiled(
    workflow: str,
    graph: Graph,
    profile: Profile,
    assumptions: Assumptions = Assumptions(),  # noqa: B008
    *,
    shape: Tree | None = None,
    epsilon: float = 0.0,
    quantile: float = 0.0,
    most_points: int = MOST_POINTS,
) -> CompiledSet:
    """The best configurations of a workflow.

    Args:
        shape: the composition, where the graph does not tell it: of an async workflow, whose graph grows as it goes.
        epsilon, most_points: as in `pareto`. quantile: as in `table_of`.
    Raises:
        GraphError: a task without figures, or too many points; the message says what to do.
    """
    notes: tuple[str, ...] = ()
    tree = shape
    if tree is None:
        found = structure(graph, assumptions, {key: width.mean for key, width in profile.widths.items()})
        tree, notes = found.tree, found.notes
    models = declared_models(graph)
    table = table_of(profile, keys(tree), models, quantile=quantile)
    for key in table:
        if len(profile.modes(key)) > 1 and not models.get(key, (key,)):
            note = f"{key} has no choice: it declares no `models`, so the first of its modes in the profile is taken"
            notes = (*notes, note)
    sharpness = sharpness_of(profile.of(key, mode).duration for key, modes in table.items() for mode in modes)
    points = [
        msgspec.structs.replace(point, modes={key: mode for key, mode in point.modes.items() if mode != ANY})
        for point in pareto(tree, table, epsilon=epsilon, sharpness=sharpness, most_points=most_points)
    ]
    return CompiledSet(
        workflow, digest(graph).hex(), profile.digest, tuple(points), assumptions, epsilon, quantile, sharpness, notes
    )


def sharpness_of(durations: Iterable[Distribution]) -> float:
    """How sharp the maximum of such times is: so that two that are alike take as long together as the mean of the
    later one; 0, the plain maximum, where durations do not vary.

    What runs side by side is mostly chains, which vary less than single tasks: `CHAINS` makes up for that.
    """
    ratios = [_later_of_two(each) for each in durations]
    ratio = sum(ratios) / len(ratios) if ratios else 1.0
    return CHAINS * log(2) / log(ratio) if ratio > LEAST_RATIO else 0.0


def _later_of_two(duration: Distribution) -> float:
    """Mean of the later of two draws, in means of one; by the midpoint rule over quantiles."""
    places = [(each + 0.5) / QUANTILES for each in range(QUANTILES)]
    values = [duration.quantile(place) for place in places]
    total = sum(values)
    return 2 * sum(place * value for place, value in zip(places, values, strict=True)) / total if total else 1.0


def declared_models(graph: Iterable[Node]) -> dict[str, tuple[str, ...]]:
    """Task key → the alternatives it declares, tasks inside maps included."""
    found: dict[str, tuple[str, ...]] = {}
    for node in graph:
        found[node.key] = node.declaration.options.models
        if node.over is not None:
            found.update(declared_models(node.over.nodes))
    return found


def table_of(
    profile: Profile, task_keys: Iterable[str], models: Mapping[str, tuple[str, ...]] = {}, *, quantile: float = 0.0
) -> Table:
    """The figures of tasks in a profile; tasks it does not know are left out.

    Args:
        models: task key → the alternatives it declares; a run can be told to use no others. A task that declares none
            has one mode, whatever the profile calls it; of a key that is not among them every mode is taken.
        quantile: of durations; 0 takes the mean.
    Raises:
        GraphError: the profile knows a task, but none of the alternatives that it declares.
    """
    if not 0 <= quantile <= 1:
        raise GraphError(f"the quantile of durations is {quantile:g}; it is at least 0 and at most 1")
    table: dict[str, dict[str, Figures]] = {}
    for key in task_keys:
        known = profile.modes(key)
        if not known:
            continue
        if key in models and not models[key]:
            table[key] = {ANY: figures_of(profile.of(key), quantile)}
            continue
        names = [name for name in known if name in models.get(key, known)]
        if not names:
            raise GraphError(
                f"the profile knows no mode of {key} that it declares: the profile has {', '.join(map(repr, known))}, "
                f"the task {', '.join(models[key])}"
            )
        table[key] = {name: figures_of(profile.of(key, name), quantile) for name in names}
    return table


def figures_of(mode: ModeProfile, quantile: float = 0.0) -> Figures:
    """One mode as figures of an attempt."""
    latency = mode.duration.quantile(quantile) if quantile else round(mode.duration.mean)
    return Figures(latency, round(mode.cost.mean), mode.success, mode.quality)


def written(compiled_set: CompiledSet) -> bytes:
    """As JSON, for people too; equal sets give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(compiled_set, order="deterministic"), indent=2) + b"\n"


def read_compiled(body: bytes) -> CompiledSet:
    """A set from its JSON. Raises UsageError that says what is wrong with it."""
    try:
        schema = msgspec.json.decode(body, type=_Header).schema
        if schema > SCHEMA:
            raise UsageError(
                f"these configurations have the schema {schema}, this version of makespan reads up to {SCHEMA}: "
                "upgrade makespan, or compile them again"
            )
        found = msgspec.json.decode(body, type=CompiledSet)
    except msgspec.DecodeError as error:
        raise UsageError(f"this is no set of configurations that `makespan compile` wrote: {error}") from None
    if not found.points:
        raise UsageError("this set has no configurations; compile it again")
    return found


class _Header(msgspec.Struct):
    schema: int = SCHEMA
