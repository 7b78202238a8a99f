"""Each rule on one small problem, by hand.

a(2) ──▶ b(5) ──▶ d(1)          slow mode of c: 9
  └────▶ c(3) ───┘              d is due at 20, c at 9
"""

import pytest

from makespan.policies.prepared import Prepared
from makespan.policies.priorities import RULES
from makespan.policies.problem import Edge, PlanTask, Problem, TaskMode

PROBLEM = Problem(
    tasks=(
        PlanTask("d", (TaskMode(1),), due=20),
        PlanTask("c", (TaskMode(3), TaskMode(9)), due=9),
        PlanTask("b", (TaskMode(5),)),
        PlanTask("a", (TaskMode(2),)),
    ),
    edges=(Edge(3, 2), Edge(3, 1), Edge(2, 0), Edge(1, 0)),
)


@pytest.mark.parametrize(
    ("rule", "order"),
    [
        ("as-given", "dcba"),
        ("critical-path", "abcd"),
        ("upward-rank", "acbd"),
        ("latest-finish", "abcd"),
        ("latest-start", "abcd"),
        ("earliest-deadline", "cdba"),
        ("most-successors", "acbd"),
        ("greatest-work", "abcd"),
        ("least-slack", "dbac"),
    ],
)
def test_a_rule_orders_the_tasks_as_by_hand(rule: str, order: str) -> None:
    ranks = RULES[rule](Prepared(PROBLEM))

    placed = sorted(range(4), key=ranks.__getitem__)
    assert "".join(PROBLEM.tasks[task].name for task in placed) == order
