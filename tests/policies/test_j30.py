"""A sample of PSPLIB's J30 with and without the solver; the whole set is `python -m bench --case rcpsp`."""

import pytest

from bench.scheduling import patterson
from makespan.policies.exact import Status, solve
from makespan.policies.prepared import Prepared
from makespan.policies.problem import Edge, PlanTask, Problem, Renewable, TaskMode, makespan
from makespan.policies.sampling import best_within
from makespan.policies.verify import violations
from tests.prove import prove_count

SMALL = """
 4 2
 3 5
 0 0 0 2 2 3
 7 2 1 1 4
 2 3 0 1 4
 0 0 0 0
"""


def test_a_patterson_file_is_read_with_successors_counted_from_1() -> None:
    def task(number: int, duration: int, *demands: int) -> PlanTask:
        return PlanTask(f"t{number}", (TaskMode(duration, demands),))

    assert patterson.parse(SMALL) == Problem(
        tasks=(task(0, 0, 0, 0), task(1, 7, 2, 1), task(2, 2, 3, 0), task(3, 0, 0, 0)),
        renewables=(Renewable("r0", 3), Renewable("r1", 5)),
        edges=(Edge(0, 1), Edge(0, 2), Edge(1, 3), Edge(2, 3)),
    )


@pytest.mark.parametrize(("text", "message"), [(SMALL[:-5], "ends before"), (SMALL + " 1", "goes on after")])
def test_a_patterson_file_cut_or_continued_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        patterson.parse(text)


@pytest.mark.prove
def test_a_sample_of_j30_is_proved_and_sampling_comes_within_two_per_cent() -> None:
    known = patterson.sample(prove_count(30))
    if not known:
        pytest.skip("no J30 here: set MAKESPAN_DATA to the folder that holds rcpsp/")
    lengths: list[int] = []
    over: list[float] = []
    proved = 0
    for name, best in known.items():
        problem = patterson.read(name)
        solved, found = solve(problem, time_limit_s=60), best_within(Prepared(problem), 100)
        assert solved.schedule is not None
        assert found.schedule is not None
        assert violations(problem, solved.schedule) == violations(problem, found.schedule) == []
        lengths.append(makespan(problem, solved.schedule))
        over.append(makespan(problem, found.schedule) / best - 1)
        proved += solved.status is Status.PROVED

    mean = sum(over) / len(over)
    print(f"J30 x {len(known)}: {proved} proved, {sum(lengths)} to {sum(known.values())}, sampling {mean:+.2%}")
    assert proved >= 0.9 * len(known)
    assert sum(lengths) <= 1.001 * sum(known.values())
    assert mean <= 0.02
