"""The shortest schedule, proved, by constraint programming: CP-SAT of OR-Tools (extra `solve`).

    heuristic ──hint, upper bound──▶ an interval a mode, `cumulative` a renewable, downtime as intervals ──▶ proof

Times are divided by their greatest common divisor first: nanoseconds that are whole seconds are solved as seconds.
What comes back is a schedule in the problem's own units; `verify.violations` is its referee as it is everyone's.
Source: Perron and Furnon, OR-Tools CP-SAT; the model is the usual one (Laborie, Rogerie, Shaw and Vilím, "IBM ILOG CP
optimizer for scheduling", 2018).
"""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from math import gcd, isfinite
from typing import TYPE_CHECKING, Any

import msgspec

from makespan.errors import UsageError
from makespan.policies.improvement import justified
from makespan.policies.prepared import Prepared, lower_bound_of
from makespan.policies.problem import Problem, Schedule, makespan
from makespan.policies.repair import first_feasible
from makespan.policies.sampling import best_within
from makespan.policies.verify import violations

if TYPE_CHECKING:
    from ortools.sat.python import cp_model

DEFAULT_TIME_LIMIT_S = 60.0
WARM_START_SCHEDULES = 100
LARGEST = 1 << 52
"""No time of a scaled problem may be greater: CP-SAT multiplies times by demands in 64 bits."""


class Status(StrEnum):
    """What the solver can say about its answer."""

    PROVED = "proved"
    """Nothing is shorter."""
    FEASIBLE = "feasible"
    """A schedule, but a shorter one may exist: see `gap`."""
    INFEASIBLE = "infeasible"
    """Proved: there is no schedule."""
    UNKNOWN = "unknown"
    """Neither a schedule nor a proof within the limit."""


class Solved(msgspec.Struct, frozen=True):
    """The best schedule found, and how far from the best possible it can be."""

    status: Status
    schedule: Schedule | None
    makespan: int | None
    lower_bound: int | None
    """No schedule ends earlier; None where there is none at all."""
    solver_s: float
    """Seconds the solver says it took."""

    @property
    def gap(self) -> float | None:
        """(makespan - lower bound) / makespan: 0 when proved, None without a schedule."""
        if self.makespan is None or self.lower_bound is None:
            return None
        return (self.makespan - self.lower_bound) / self.makespan if self.makespan else 0.0


def solve(
    problem: Problem,
    *,
    time_limit_s: float = DEFAULT_TIME_LIMIT_S,
    workers: int = 1,
    seed: int = 0,
    warm_start: Schedule | None = None,
    alone: bool = False,
    first_only: bool = False,
) -> Solved:
    """The shortest schedule that CP-SAT finds in the time, and what it proved.

    Args:
        problem: what to schedule.
        time_limit_s: of wall time, > 0. A run that ends before it gives the same answer every time with one worker.
        workers: threads, >= 1.
        seed: of the solver and of the heuristics that give it a first schedule.
        warm_start: a schedule to begin with; None looks for one by `best_within`, then `first_feasible`.
        alone: give the solver neither; to measure what it does by itself.
        first_only: stop at any feasible schedule; with one from the heuristics the solver never runs.
    Raises:
        UsageError: OR-Tools is not installed, `warm_start` is not feasible, or times are too fine to be counted.
    Source: see the module.
    """
    if time_limit_s <= 0 or workers < 1:
        raise UsageError(f"exact.solve needs time_limit_s > 0 and workers >= 1, not {time_limit_s:g} and {workers}")
    if warm_start is not None and (broken := violations(problem, warm_start)):
        raise UsageError(f"the warm start breaks {len(broken)} constraints, first {broken[0]}; hand in a feasible one")
    cp = _cp_model()
    prepared = Prepared(problem)
    bound = lower_bound_of(prepared)
    if bound is None:
        return Solved(Status.INFEASIBLE, None, None, None, 0.0)
    start = None if alone and problem.tasks else warm_start or _warm_start(prepared, seed)
    if start is not None and (first_only or makespan(problem, start) == bound):
        length = makespan(problem, start)
        return Solved(Status.PROVED if length == bound else Status.FEASIBLE, start, length, bound, 0.0)
    return _Model(cp, prepared, start, bound, first_only).solve(time_limit_s, workers, seed)


def _cp_model() -> Any:
    """The solver's module, loaded when it is needed: it takes half a second, and few need it."""
    try:
        from ortools.sat.python import cp_model
    except ImportError as error:
        raise UsageError("the exact solver needs OR-Tools; install it with: pip install 'makespan[solve]'") from error
    return cp_model


def _warm_start(prepared: Prepared, seed: int) -> Schedule | None:
    """The best schedule that heuristics find quickly; None if they find none."""
    found = best_within(prepared, WARM_START_SCHEDULES, seed).schedule
    if found is not None:
        return found
    repaired = first_feasible(prepared, seed, rounds=1).schedule
    return None if repaired is None else justified(prepared, repaired)


class _Model:
    """The problem in the solver's terms, in units of `unit`."""

    def __init__(self, cp: Any, prepared: Prepared, start: Schedule | None, bound: int, first_only: bool) -> None:
        self._cp, self._prepared, self._problem = cp, prepared, prepared.problem
        self._start, self._bound, self._first_only = start, bound, first_only
        self._unit = time_unit(self._problem)
        self._horizon = (prepared.long_enough() if start is None else makespan(self._problem, start)) // self._unit
        if self._horizon > LARGEST:
            raise UsageError(
                f"times up to {self._horizon} in units of {self._unit} are too fine for the solver; "
                "round durations, releases, lags and downtime to coarser steps"
            )
        self._model = cp.CpModel()
        self._starts: list[cp_model.IntVar] = []
        self._ends: list[Any] = []
        self._modes: list[list[tuple[Any, Any]]] = []
        """For each task and mode: its literal (None where there is no choice) and its interval."""
        self._build()

    def solve(self, time_limit_s: float, workers: int, seed: int) -> Solved:
        """Run the solver and read its answer."""
        solver = self._cp.CpSolver()
        solver.parameters.max_time_in_seconds = time_limit_s
        solver.parameters.num_workers = workers
        solver.parameters.random_seed = seed
        status = solver.solve(self._model)
        if status == self._cp.INFEASIBLE:
            return Solved(Status.INFEASIBLE, None, None, None, solver.wall_time)
        if status == self._cp.MODEL_INVALID:
            raise UsageError(f"the solver refuses the problem: {self._model.validate()}")
        bound = self._bound
        if not self._first_only and isfinite(solver.best_objective_bound):
            bound = max(bound, round(solver.best_objective_bound) * self._unit)
        if status == self._cp.UNKNOWN:
            length = None if self._start is None else makespan(self._problem, self._start)
            known = Status.UNKNOWN if self._start is None else Status.FEASIBLE
            return Solved(known, self._start, length, bound, solver.wall_time)
        schedule = self._read(solver)
        length = makespan(self._problem, schedule)
        is_proved = length <= bound or (status == self._cp.OPTIMAL and not self._first_only)
        bound = length if is_proved else bound
        return Solved(Status.PROVED if is_proved else Status.FEASIBLE, schedule, length, bound, solver.wall_time)

    def _read(self, solver: cp_model.CpSolver) -> Schedule:
        modes = [
            next(number for number, (literal, _) in enumerate(choices) if literal is None or solver.value(literal))
            for choices in self._modes
        ]
        return Schedule(tuple(solver.value(start) * self._unit for start in self._starts), tuple(modes))

    def _build(self) -> None:
        problem, unit = self._problem, self._unit
        heads = self._prepared.earliest_starts()
        latest = self._prepared.latest_ends(self._horizon * unit)
        if heads is None or latest is None:
            self._model.add_bool_or([])
            return
        for task in range(len(problem.tasks)):
            self._add_task(task, heads[task] // unit, latest[task] // unit)
        for edge in problem.edges:
            self._model.add(self._starts[edge.after] >= self._ends[edge.before] + edge.lag // unit)
        for number in range(len(problem.renewables)):
            self._add_renewable(number)
        for number, consumable in enumerate(problem.consumables):
            self._model.add(self._used(number) <= consumable.total)
        for first, second in problem.exclusive:
            pair = [*self._running(first), *self._running(second)]
            self._model.add_no_overlap(pair)
        if not self._first_only:
            over = self._model.new_int_var(self._bound // unit, self._horizon, "makespan")
            self._model.add_max_equality(over, self._ends)
            self._model.minimize(over)

    def _add_task(self, task: int, first: int, last: int) -> None:
        model, durations = self._model, [duration // self._unit for duration in self._prepared.durations[task]]
        start = model.new_int_var(first, max(first, last - min(durations)), f"start{task}")
        self._starts.append(start)
        if self._start is not None:
            model.add_hint(start, self._start.starts[task] // self._unit)
        if len(durations) == 1:
            self._ends.append(start + durations[0])
            model.add(self._ends[task] <= last)
            interval = model.new_fixed_size_interval_var(start, durations[0], f"run{task}")
            self._modes.append([(None, interval)])
            return
        literals = [model.new_bool_var(f"mode{task}.{mode}") for mode in range(len(durations))]
        model.add_exactly_one(literals)
        self._ends.append(start + sum(span * literal for span, literal in zip(durations, literals, strict=True)))
        model.add(self._ends[task] <= last)
        self._modes.append([])
        for mode, (span, literal) in enumerate(zip(durations, literals, strict=True)):
            interval = model.new_optional_fixed_size_interval_var(start, span, literal, f"run{task}.{mode}")
            self._modes[task].append((literal, interval))
            if self._start is not None:
                model.add_hint(literal, self._start.modes[task] == mode)

    def _running(self, task: int) -> list[Any]:
        """Its intervals that take time: one of no duration is at no moment, but the solver would keep it apart."""
        spans = self._prepared.durations[task]
        return [interval for span, (_, interval) in zip(spans, self._modes[task], strict=True) if span]

    def _add_renewable(self, number: int) -> None:
        renewable = self._problem.renewables[number]
        intervals, demands = [], []
        for task, spec in enumerate(self._problem.tasks):
            for mode, (_, interval) in zip(spec.modes, self._modes[task], strict=True):
                if mode.duration and number < len(mode.demands) and mode.demands[number]:
                    intervals.append(interval)
                    demands.append(mode.demands[number])
        if not intervals:
            return
        for start, end, capacity in self._reduced(number):
            length = (end - start) // self._unit
            intervals.append(
                self._model.new_fixed_size_interval_var(start // self._unit, length, f"down{number}.{start}")
            )
            demands.append(renewable.capacity - capacity)
        self._model.add_cumulative(intervals, demands, renewable.capacity)

    def _reduced(self, number: int) -> list[tuple[int, int, int]]:
        """Stretches of reduced capacity that do not overlap, the least capacity of each."""
        downtime = self._problem.renewables[number].downtime
        moments = sorted({moment for down in downtime for moment in (down.start, down.end)})
        stretches = []
        for start, end in pairwise(moments):
            covering = [down.capacity for down in downtime if down.start <= start < down.end]
            if covering:
                stretches.append((start, end, min(covering)))
        return stretches

    def _used(self, number: int) -> Any:
        """What all tasks together take of a consumable."""
        parts: list[Any] = []
        for task, spec in enumerate(self._problem.tasks):
            for mode, (literal, _) in zip(spec.modes, self._modes[task], strict=True):
                if number < len(mode.consumption) and mode.consumption[number]:
                    parts.append(mode.consumption[number] * (1 if literal is None else literal))
        return sum(parts)


def time_unit(problem: Problem) -> int:
    """The greatest number that divides every duration, release, lag and bound of downtime.

    Starts of some best schedule are sums of these, so it is a multiple of the unit; due dates and the horizon may be
    rounded down to it.
    """
    times = [mode.duration for task in problem.tasks for mode in task.modes]
    times += [task.release for task in problem.tasks]
    times += [edge.lag for edge in problem.edges]
    times += [
        moment for renewable in problem.renewables for down in renewable.downtime for moment in (down.start, down.end)
    ]
    return gcd(*times) or 1
