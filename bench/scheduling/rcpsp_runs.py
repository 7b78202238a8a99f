"""What `rcpsp` measures: the figures of each case. Every schedule counted here passed the verifier."""

import statistics
import time
from collections import Counter

from bench.measure import Figures
from bench.scheduling import patterson
from bench.scheduling.constraint_ramp import LEVELS, ramp_problem
from makespan.policies import exact
from makespan.policies.prepared import Prepared
from makespan.policies.priorities import RULES, latest_finish
from makespan.policies.problem import Problem, Schedule, makespan
from makespan.policies.repair import first_feasible
from makespan.policies.sampling import best_within
from makespan.policies.schedule_generation import Stuck, parallel, serial
from makespan.policies.verify import violations

SAMPLE = 30
TIME_LIMIT_S = 60.0
SCHEDULES = 100
RAMP_SEEDS = 500
RAMP_SAMPLE = 10


def refereed(problem: Problem, schedule: Schedule | Stuck | None) -> Schedule | None:
    """The schedule, which must be feasible; None where there is none."""
    if not isinstance(schedule, Schedule):
        return None
    broken = violations(problem, schedule)
    if broken:
        raise ValueError(f"a schedule breaks {broken[0]}")
    return schedule


def heuristics() -> Figures:
    """Mean deviation above the references without a solver, and what a schedule costs."""
    known = patterson.references()
    if not known:
        return {"instances": 0}
    over: dict[str, list[float]] = {"serial": [], "parallel": [], "sampled": []}
    cpu_s = dict.fromkeys(over, 0.0)
    generated = most = exactly = 0
    for name, best in known.items():
        prepared = Prepared(patterson.read(name))
        for kind, generate in (("serial", serial), ("parallel", parallel)):
            start = time.process_time()
            schedule = generate(prepared, latest_finish(prepared))
            cpu_s[kind] += time.process_time() - start
            over[kind].append(deviation(prepared.problem, schedule, best))
        start = time.process_time()
        found = best_within(prepared, SCHEDULES)
        cpu_s["sampled"] += time.process_time() - start
        over["sampled"].append(deviation(prepared.problem, found.schedule, best))
        generated, most = generated + found.generated, max(most, found.generated)
        exactly += found.makespan == best
    figures = {f"{kind}_over": statistics.fmean(parts) for kind, parts in over.items()}
    figures |= {f"{kind}_cpu_ms": 1e3 * cpu_s[kind] / len(known) for kind in over}
    mean = generated / len(known)
    return figures | {"instances": len(known), "generated": mean, "most_generated": most, "equal": exactly}


def deviation(problem: Problem, schedule: Schedule | Stuck | None, best: int) -> float:
    """How far above the reference a schedule is, as a part of it."""
    checked = refereed(problem, schedule)
    if checked is None:
        raise ValueError("there is no schedule, though nothing limits when tasks end")
    return makespan(problem, checked) / best - 1


def proofs(quick: bool) -> Figures:
    """What CP-SAT proves with one worker and at most a minute each."""
    known = patterson.sample(SAMPLE) if quick else patterson.references()
    counts = ("proved", "makespan", "better", "worse", "solver_s", "slowest_s")
    figures: Figures = {"instances": len(known), "reference": sum(known.values()), **dict.fromkeys(counts, 0.0)}
    for name, best in known.items():
        problem = patterson.read(name)
        solved = exact.solve(problem, time_limit_s=TIME_LIMIT_S, workers=1)
        schedule = refereed(problem, solved.schedule)
        if schedule is None:
            raise ValueError(f"no schedule for {name}")
        figures["proved"] += solved.status is exact.Status.PROVED
        figures["makespan"] += makespan(problem, schedule)
        figures["better"] += makespan(problem, schedule) < best
        figures["worse"] += makespan(problem, schedule) > best
        figures["solver_s"] += solved.solver_s
        figures["slowest_s"] = max(figures["slowest_s"], solved.solver_s)
    return figures


def feasibility(quick: bool) -> Figures:
    """At each level: how many problems are solved by a rule alone, by rules and repair, and by CP-SAT alone."""
    seeds = RAMP_SAMPLE if quick else RAMP_SEEDS
    figures: Figures = {"seeds": seeds}
    for level in LEVELS:
        solved: Counter[str] = Counter()
        for seed in range(seeds):
            problem = ramp_problem(seed, level).problem
            prepared = Prepared(problem)
            for rule in ("as-given", "latest-start"):
                ranks = RULES[rule](prepared)
                solved[rule] += refereed(problem, serial(prepared, ranks)) is not None
            start = time.process_time()
            solved["repaired"] += refereed(problem, first_feasible(prepared).schedule) is not None
            figures["heuristic_s"] = figures.get("heuristic_s", 0) + time.process_time() - start
            answer = exact.solve(problem, time_limit_s=TIME_LIMIT_S, alone=True, first_only=True)
            solved["exact"] += refereed(problem, answer.schedule) is not None
            figures["solver_s"] = figures.get("solver_s", 0) + answer.solver_s
        figures |= {f"{name}_{level}": count for name, count in solved.items()}
    return figures
