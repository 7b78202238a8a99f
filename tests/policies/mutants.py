"""Problems drawn tightly around a schedule, and schedules a small step away from it."""

from itertools import count

import msgspec

from bench.scheduling.random_problems import Shape, random_problem
from makespan.draws import Stream
from makespan.policies.prepared import Prepared
from makespan.policies.problem import Problem, Schedule, ends, makespan
from makespan.policies.sampling import best_within

EVERYTHING = Shape(
    tasks=9, renewables=2, modes=2, lags=0.3, downtime=0.7, exclusive=4, budget=0.3, strength=0.3, longest=6
)


def tight_problem(seed: int, shape: Shape = EVERYTHING) -> tuple[Problem, Schedule]:
    """A problem of this shape with windows and a horizon besides, and a schedule that just keeps them."""
    draws = Stream(seed, "tight")
    for attempt in count():
        problem = random_problem(1_000 * seed + attempt, shape)
        schedule = best_within(Prepared(problem), 5, seed).schedule
        if schedule is not None:
            break
    end = ends(problem, schedule)
    tasks = tuple(
        msgspec.structs.replace(
            task,
            release=max(0, start - draws.below(3)) if draws.happens(0.4) else 0,
            due=stop + draws.below(3) if draws.happens(0.4) else None,
        )
        for task, start, stop in zip(problem.tasks, schedule.starts, end, strict=True)
    )
    horizon = makespan(problem, schedule) + draws.below(2)
    return msgspec.structs.replace(problem, tasks=tasks, horizon=horizon), schedule


def mutant(draws: Stream, problem: Problem, schedule: Schedule) -> Schedule:
    """A schedule that differs in one to three places, or not at all."""
    starts, modes = list(schedule.starts), list(schedule.modes)
    for _ in range(draws.below(4)):
        task, other = draws.below(len(starts)), draws.below(len(starts))
        match draws.below(12):
            case 0 | 1 | 2 | 3 | 4:
                starts[task] += draws.between(-2, 2)
            case 5 | 6:
                starts[task], starts[other] = starts[other], starts[task]
            case 7 | 8:
                modes[task] = draws.below(len(problem.tasks[task].modes))
            case 9:
                starts[task] = draws.between(0, problem.horizon or 30)
            case 10:
                starts = [start + draws.between(0, 1) for start in starts]
            case _ if draws.happens(0.2):
                modes[task] = draws.pick([-1, 2, 7])
            case _:
                starts[task] = starts[other] + problem.tasks[other].modes[0].duration
    return Schedule(tuple(starts), tuple(modes))
