"""A problem that cannot be meant is refused with the place and the reason."""

from collections.abc import Callable

import msgspec
import pytest

from makespan.errors import GraphError
from makespan.policies.problem import Downtime, Edge, PlanTask, Problem, Renewable, Schedule, TaskMode, ends, makespan

ONE = PlanTask("one", (TaskMode(3, (1,)),))
TWO = PlanTask("two", (TaskMode(2), TaskMode(5)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Problem((PlanTask("one", ()),)), "task 'one' has no mode"),
        (lambda: Problem((PlanTask("one", (TaskMode(-1),)),)), "mode 0 of task 'one' has a figure below 0"),
        (lambda: Problem((ONE,)), "mode 0 of task 'one' demands 1 renewables; the problem has 0"),
        (lambda: Problem((PlanTask("one", (TaskMode(1),), due=-2),)), "times are 0 or more"),
        (lambda: Problem((), (Renewable("gpu", 1, (Downtime(3, 3),)),)), "'gpu' has Downtime"),
        (lambda: Problem((), (Renewable("gpu", 1, (Downtime(3, 4, 2),)),)), "a capacity from 0 to 1"),
        (lambda: Problem((TWO,), edges=(Edge(0, 1),)), "names a task that is not there"),
        (lambda: Problem((TWO, TWO), edges=(Edge(0, 1, -1),)), "a lag below 0"),
        (lambda: Problem((TWO,), exclusive=((0, 0),)), "not two different tasks"),
        (lambda: Problem((TWO, ONE), (Renewable("r", 1),), edges=(Edge(0, 1), Edge(1, 0))), "cycle .* 'two', 'one'"),
    ],
)
def test_an_impossible_problem_is_refused_with_its_reason(make: Callable[[], Problem], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        make()


def test_a_decoded_problem_is_checked_like_a_made_one() -> None:
    text = b'{"tasks": [{"name": "one", "modes": []}]}'

    with pytest.raises(GraphError, match="has no mode"):
        msgspec.json.decode(text, type=Problem)


def test_the_makespan_is_the_last_end_in_the_chosen_modes() -> None:
    problem = Problem((ONE, TWO), (Renewable("r", 1),))
    schedule = Schedule((4, 3), (0, 1))

    assert ends(problem, schedule) == [7, 8]
    assert makespan(problem, schedule) == 8
