"""A plain workflow's best schedule, before it runs: when each task starts, and how far from the best possible that is.

    graph + profile + slots and pools  ──problem_of──▶  Problem  ──rules, justification, CP-SAT──▶  StaticPlan

Durations are the profile's means. What the workflow does not show before it runs (items of maps, live bodies) is one
task as the profile knows it; what is left out or assumed stands in `notes`. The policy `planned:FILE` follows a plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from makespan.errors import UsageError
from makespan.graph.edges import needs
from makespan.graph.graph import Graph
from makespan.graph.node import Kind, Node
from makespan.graph.query import topological_order
from makespan.machine.broker import Broker
from makespan.machine.resources import Pool, by_pool, pool_of
from makespan.policies.exact import Status, solve
from makespan.policies.prepared import Prepared, lower_bound_of
from makespan.policies.problem import Downtime, Edge, PlanTask, Problem, Renewable, Schedule, TaskMode, ends
from makespan.policies.sampling import best_within
from makespan.policies.verify import violations
from makespan.profiles.profile import Profile

UNITS = 1_000_000
"""Most steps that the whole work is cut into: solvers are slow on nanoseconds."""
UNITS_A_TASK = 1_000
"""Most steps that a task of mean length is cut into: the finer, the less a solver can prove."""
HEURISTIC_SCHEDULES = 100
DOWNTIMES_LIMIT = 200
"""Closed intervals of one pool that a plan looks at."""
RUNNING = "running"
"""The renewable that the limit of attempts in flight becomes."""


class StaticPlan(msgspec.Struct, frozen=True):
    """A schedule of a graph. Times are nanoseconds since the run's start."""

    times: dict[str, tuple[int, int]]
    """Task id, hex → start and end: what `--plan` and the policy `planned:FILE` read."""
    names: dict[str, str]
    critical: tuple[str, ...]
    """Ids of the tasks of the chain that ends last, waits for slots included."""
    makespan_ns: int
    bound_ns: int
    """No schedule is shorter, as far as is known."""
    how: str
    """`proved`, `feasible` (a shorter one may exist) or `rules` (nobody looked for a proof)."""
    notes: tuple[str, ...] = ()

    @property
    def gap(self) -> float:
        """How much longer than the bound it is, as a part of its makespan."""
        return (self.makespan_ns - self.bound_ns) / self.makespan_ns if self.makespan_ns else 0.0


def static_plan(
    graph: Graph,
    profile: Profile,
    *,
    running: int,
    pools: Mapping[str, Pool],
    modes: Mapping[str, str] | None = None,
    solve_s: float = 0.0,
    starts_wall_ns: int = 0,
    seed: int = 0,
) -> StaticPlan:
    """Schedule a graph.

    Args:
        running: attempts in flight at most. modes: task key → mode; otherwise the first that the profile knows.
        solve_s: how long CP-SAT may look for a shorter schedule or a proof (extra `solve`); 0 leaves it to rules.
        starts_wall_ns: when the run would start, for pools that are closed at times.
    Raises:
        UsageError: a task needs more of a pool than there is, or ortools is missing.
    """
    order = [graph.nodes[task] for task in topological_order(graph)]
    means = [_mean_ns(node, profile, modes or {}) for node in order]
    unit = _unit(sum(means) // min(UNITS, UNITS_A_TASK * max(1, sum(mean > 0 for mean in means))))
    problem = _problem(order, [-(-mean // unit) for mean in means], unit, running, pools, starts_wall_ns)
    schedule, bound, how = _schedule(problem, solve_s, seed)
    broken = violations(problem, schedule)
    assert not broken, broken[0]
    ending = ends(problem, schedule)
    ids = [node.id.hex() for node in order]
    shown = [n for n, node in enumerate(order) if node.declaration.kind in (Kind.CALL, Kind.WORKFLOW, Kind.MAP)]
    return StaticPlan(
        {ids[n]: (schedule.starts[n] * unit, ending[n] * unit) for n in shown},
        {ids[n]: order[n].label or order[n].key for n in shown},
        tuple(ids[n] for n in _last_chain(problem, schedule, ending) if n in set(shown)),
        max(ending, default=0) * unit,
        bound * unit,
        how,
        tuple(_notes(order, profile)),
    )


def _unit(least: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50, ... that is not below `least`."""
    power = int("1".ljust(len(str(max(1, least))), "0"))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= least)


def _mean_ns(node: Node, profile: Profile, modes: Mapping[str, str]) -> int:
    kind, options = node.declaration.kind, node.declaration.options
    if kind == Kind.TIMER:
        return node.delay_ns
    if kind not in (Kind.CALL, Kind.WORKFLOW, Kind.MAP) or (kind == Kind.MAP and not profile.modes(node.key)):
        return 0
    mode = modes.get(node.key) or next((name for name in options.models if name in profile.modes(node.key)), "")
    return round(profile.mean_ns(node.key, mode))


def _problem(
    order: list[Node], durations: list[int], unit: int, running: int, pools: Mapping[str, Pool], starts_wall_ns: int
) -> Problem:
    wants = [_wants(node, pools) for node in order]
    used = sorted({name for wanted in wants for name in wanted})
    horizon_ns = sum(durations) * unit
    slots = [pools[name].slots if name in pools else 1 for name in used]
    closed = [_downtime(pools[pool_of(name)], starts_wall_ns, horizon_ns, unit) for name in used]
    shared = [Renewable(*each) for each in zip(used, slots, closed, strict=True)]
    renewables = [Renewable(RUNNING, running), *shared]
    tasks = []
    for node, duration, wanted in zip(order, durations, wants, strict=True):
        demands = (int(node.declaration.kind == Kind.CALL), *(wanted.get(name, 0) for name in used))
        tasks.append(PlanTask(node.label or node.key, (TaskMode(duration, demands if duration else ()),)))
    place = {node.id: number for number, node in enumerate(order)}
    edges = {(place[source], place[node.id]) for node in order for source in needs(node) if source in place}
    return Problem(tuple(tasks), tuple(renewables), (), tuple(Edge(*edge) for edge in sorted(edges)))


def _wants(node: Node, pools: Mapping[str, Pool]) -> dict[str, int]:
    """Units of pools that a task needs. A unit with a name is one of its pool, and a pool of its own."""
    needs = tuple((name, units) for name, units in node.declaration.options.needs if pool_of(name) in pools)
    problem = Broker(pools).problem(needs)
    if problem is not None:
        raise UsageError(f"{node.key} {problem}")
    return dict(needs) | dict(by_pool(needs))


def _downtime(pool: Pool, starts_wall_ns: int, horizon_ns: int, unit: int) -> tuple[Downtime, ...]:
    """The closed times of a pool from the run's start to the time the whole work would take one after another, twice:
    downtime itself moves work back."""
    found: list[Downtime] = []
    at, end_ns = starts_wall_ns, starts_wall_ns + 2 * horizon_ns
    while pool.closed is not None and len(found) < DOWNTIMES_LIMIT:
        interval = pool.closed.next(at)
        if interval is None or interval[0] >= end_ns:
            break
        start, end = max(interval[0] - starts_wall_ns, 0), interval[1] - starts_wall_ns
        found.append(Downtime(start // unit, -(-end // unit)))
        at = interval[1]
    return tuple(found)


def _schedule(problem: Problem, solve_s: float, seed: int) -> tuple[Schedule, int, str]:
    prepared = Prepared(problem)
    found = best_within(prepared, HEURISTIC_SCHEDULES, seed)
    bound = lower_bound_of(prepared) or 0
    if solve_s > 0:
        solved = solve(problem, time_limit_s=solve_s, seed=seed, warm_start=found.schedule)
        if solved.schedule is not None and solved.status in (Status.PROVED, Status.FEASIBLE):
            return solved.schedule, solved.lower_bound or bound, str(solved.status)
    if found.schedule is None or found.makespan is None:
        raise UsageError("no schedule was found: a pool is closed for longer than any task can wait")
    return found.schedule, bound, "proved" if found.makespan == bound else "rules"


def _last_chain(problem: Problem, schedule: Schedule, ending: list[int]) -> Iterator[int]:
    """From the task that ends last back to the start: what each waited for, a source or whoever left its slot."""
    before: dict[int, list[int]] = {}
    for edge in problem.edges:
        before.setdefault(edge.after, []).append(edge.before)
    by_end: dict[int, list[int]] = {}
    for place, end in enumerate(ending):
        if end > schedule.starts[place]:
            by_end.setdefault(end, []).append(place)
    number: int | None = max(range(len(ending)), key=ending.__getitem__, default=None)
    seen: set[int] = set()
    while number is not None and number not in seen:
        seen.add(number)
        yield number
        start = schedule.starts[number]
        source = next((n for n in before.get(number, ()) if ending[n] == start and n not in seen), None)
        waits = (n for n in by_end.get(start, ()) if n not in seen) if start else iter(())
        number = source if source is not None else next(waits, None)


def _notes(order: list[Node], profile: Profile) -> Iterator[str]:
    kinds = {node.declaration.kind for node in order}
    unknown = sorted({node.key for node in order if node.declaration.kind == Kind.CALL and not profile.modes(node.key)})
    if unknown:
        rest = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        yield f"nothing is known of {', '.join(unknown[:5])}{rest}: {profile.default.duration.mean / 1e9:g} s each"
    if Kind.MAP in kinds:
        yield "the items of a map show when it runs: it is planned as one task, as long as its profile says"
    if Kind.WORKFLOW in kinds:
        yield "what a live body does shows when it runs: it is planned as one task that holds no slot"
    if any(node.when for node in order):
        yield "every branch is planned as if it were taken"
