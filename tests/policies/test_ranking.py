"""Each rule starts tasks in the order it promises, on the real machine with a virtual clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from makespan.errors import UsageError
from makespan.graph.node import Declaration, Kind, Node, Options, Scope
from makespan.machine.facts import Limits
from makespan.machine.observations import StartAttempt
from makespan.machine.opening import opening
from makespan.machine.policy import Policy
from makespan.policies.expected import Expected
from makespan.policies.named import NAMES, policy
from makespan.policies.ranking import Planned
from makespan.profiles.distributions import Constant
from makespan.profiles.profile import Drawn, ModeProfile, Profile
from makespan.sim.simulation import Simulation, header
from makespan.values import ROOT_SCOPE, Nanos
from tests.graph.samples import map_node, node, on_item, scope_id, task, template, waits_for

SECOND = 1_000_000_000
RULES = [name for name in NAMES if name != "noisy"]


def profile_of(takes_s: Mapping[str, float]) -> Profile:
    return Profile({key: {"": ModeProfile(Constant(round(s * SECOND)))} for key, s in takes_s.items()})


def simulated(
    nodes: Sequence[Node],
    chosen: Policy | None,
    takes_s: Mapping[str, float],
    *,
    scopes: Sequence[Scope] = (),
    slots: int = 1,
    deadline_s: float | None = None,
) -> Simulation:
    """A run of the nodes, and of a task that waits for all of them."""
    everything = [*nodes, waits_for("end", *(each.key for each in nodes))]

    def attempt(command: StartAttempt) -> Drawn:
        return Drawn(round(takes_s.get(command.declaration.key, 0) * SECOND))

    deadline = None if deadline_s is None else round(deadline_s * SECOND)
    first = header(task("end"), limits=Limits(running=slots), deadline_ns=deadline)
    sim = Simulation(first, opening(everything, scopes), attempt, policy=chosen)
    assert sim.run().succeeded
    return sim


def order(nodes: Sequence[Node], rule: str | Policy, takes_s: Mapping[str, float], **options: object) -> list[str]:
    """Keys of the tasks in the order in which they started."""
    chosen = policy(rule, profile=profile_of(takes_s)) if isinstance(rule, str) else rule
    sim = simulated(nodes, chosen, takes_s, **options)  # type: ignore[arg-type]
    return [start.declaration.key for start in sim.starts if start.declaration.key != "end"]


FORK = [node("short"), node("head"), node("tail", "head")]
"""A short task on its own, and a longer way of two."""


def test_critical_path_starts_the_longest_way_first() -> None:
    assert order(FORK, "critical-path", {"short": 2, "head": 1, "tail": 2})[0] == "head"
    assert order(FORK, "fifo", {"short": 2, "head": 1, "tail": 2})[0] == "short"


def test_latest_finish_looks_at_what_is_behind_a_task_and_not_at_the_task() -> None:
    takes = {"short": 9, "head": 1, "tail": 2}

    assert order(FORK, "latest-finish", takes)[0] == "head"
    assert order(FORK, "least-slack", takes)[0] == "short"


def test_shortest_starts_the_shortest_first() -> None:
    assert order([node("b"), node("a"), node("c")], "shortest", {"a": 1, "b": 2, "c": 3}) == ["a", "b", "c"]


def parts(**deadlines_s: float | None) -> list[Scope]:
    """Scopes of the run, with their deadlines."""
    return [
        Scope(scope_id(name), ROOT_SCOPE, name, deadline_ns=None if s is None else Nanos(round(s * SECOND)))
        for name, s in deadlines_s.items()
    ]


@pytest.mark.parametrize("rule", ["deadline", "latest-finish", "least-slack", "urgency"])
def test_a_part_with_a_nearer_deadline_goes_first(rule: str) -> None:
    scopes = parts(calm=100, hurried=20)
    nodes = [node("a", scope=scope_id("calm")), node("b", scope=scope_id("hurried"))]

    assert order(nodes, rule, {"a": 5, "b": 5}, scopes=scopes) == ["b", "a"]


def test_earliest_deadline_breaks_ties_by_the_longest_way_to_go() -> None:
    takes = {"short": 2, "head": 1, "tail": 2}

    assert order(FORK, "deadline", takes, deadline_s=60)[0] == "head"


def test_latest_finish_leaves_time_for_what_comes_behind_in_a_part() -> None:
    scopes = parts(one=30, other=32)
    nodes = [
        node("a", scope=scope_id("one")),
        node("b", scope=scope_id("other")),
        node("b2", "b", scope=scope_id("other")),
    ]
    takes = {"a": 5, "b": 5, "b2": 8}

    assert order(nodes, "deadline", takes, scopes=scopes)[0] == "a", "its deadline is nearer"
    assert order(nodes, "latest-finish", takes, scopes=scopes)[0] == "b", "it must have ended at 24"


def test_urgency_gives_a_task_its_share_of_the_time_left() -> None:
    scopes = parts(one=40, other=40)
    nodes = [
        node("a", scope=scope_id("one")),
        node("b", scope=scope_id("other")),
        node("b2", "b", scope=scope_id("other")),
    ]

    assert order(nodes, "urgency", {"a": 10, "b": 10, "b2": 10}, scopes=scopes)[0] == "b", "half of the time is b2's"


def test_ties_start_in_the_order_of_readiness() -> None:
    names = [f"t{number}" for number in range(6)]

    for rule in RULES:
        if rule != "random":
            assert order([node(name) for name in names], rule, dict.fromkeys(names, 1)) == names, rule


@pytest.mark.parametrize("rule", RULES)
def test_a_tasks_own_priority_goes_before_the_policy(rule: str) -> None:
    nodes = [*FORK, node("vip", declaration=Declaration("vip", options=Options(priority=1)))]

    assert order(nodes, rule, {"short": 3, "head": 3, "tail": 3, "vip": 0.5})[0] == "vip"


def test_fair_gives_parts_turns_by_the_time_they_use() -> None:
    scopes = parts(many=None, few=None)
    many = [node(f"m{number}", scope=scope_id("many")) for number in range(8)]
    few = [node(f"f{number}", scope=scope_id("few")) for number in range(3)]
    takes = {each.key: (1 if each.key[0] == "m" else 2) for each in (*many, *few)}

    started = order([*many, *few], "fair", takes, scopes=scopes)

    assert "".join(key[0] for key in started) == "mfmmfmmfmmm", "a task of `few` uses two turns of `many`"


def test_a_part_that_comes_late_has_its_turn_at_once_but_no_more_than_that() -> None:
    scopes = parts(old=None, new=None)
    old = [node(f"o{number}", scope=scope_id("old")) for number in range(9)]
    new = [node(f"n{number}", "o0", "o1", "o2", scope=scope_id("new")) for number in range(4)]

    started = order([*old, *new], "fair", {each.key: 1 for each in (*old, *new)}, scopes=scopes)

    assert "".join(key[0] for key in started) == "ooo" + "no" * 4 + "oo", "it does not get back what it did not use"


def test_the_order_of_random_is_that_of_the_seed() -> None:
    nodes, takes = [node(f"t{number}") for number in range(20)], {f"t{number}": 1 for number in range(20)}

    one, again, two = (order(nodes, policy("random", seed=seed), takes) for seed in (1, 1, 2))

    assert one == again
    assert one != two
    assert one != [each.key for each in nodes]


def test_noise_turns_near_decisions_but_not_far_ones() -> None:
    takes = {"a": 1.0, "b": 1.1, "c": 9.0}
    orders = {
        tuple(order(list(map(node, takes)), policy("noisy:shortest:0.2", profile=profile_of(takes), seed=seed), takes))
        for seed in range(20)
    }

    assert orders == {("a", "b", "c"), ("b", "a", "c")}


def test_a_plan_is_followed_and_what_it_does_not_know_starts_when_it_is_ready() -> None:
    nodes = [node("a"), node("b"), node("new"), node("c")]
    plan = {task("a"): 3 * SECOND, task("b"): 1 * SECOND, task("c"): 2 * SECOND}

    assert order(nodes, Planned(plan), dict.fromkeys("abc", 1)) == ["new", "b", "c", "a"]


def test_what_the_run_has_seen_counts_where_no_profile_is() -> None:
    slow, quick = Declaration("slow"), Declaration("quick")
    nodes = [node(f"{which.key}{n}", declaration=which) for n in range(20) for which in (quick, slow)]
    everything = [*nodes, node("end", args=(b"\xc0",), sources=())]

    def attempt(command: StartAttempt) -> Drawn:
        return Drawn((5 if command.declaration.key == "slow" else 1) * SECOND)

    sim = Simulation(
        header(task("end"), limits=Limits(running=1)), opening(everything, []), attempt, policy=policy("critical-path")
    )
    sim.run()
    started = [start.declaration.key for start in sim.starts]

    assert started[:8] == ["quick", "slow"] * 4, "nothing is known yet"
    assert started[8:24] == ["slow"] * 16, "the longer ones first, from the moment it is known which they are"


def test_a_graph_that_is_known_as_a_whole_is_ranked_once() -> None:
    chosen = policy("critical-path", profile=profile_of({"short": 2, "head": 1, "tail": 2, "end": 1}))

    simulated(FORK, chosen, {"short": 2, "head": 1, "tail": 2})

    assert chosen.epoch == 0


def test_a_map_is_expected_to_take_the_longest_way_through_its_template() -> None:
    over = template(on_item("read"), node("grade", "read"), output="grade")
    nodes = [node("docs"), map_node("each", over)]
    sim = Simulation(header(task("each")), opening(nodes, []), lambda _: Drawn(1))

    expected = Expected(profile_of({"read": 2, "grade": 3}))

    assert expected.of(sim.state.tasks[1]) == 5 * SECOND


def test_the_mode_that_was_chosen_for_the_run_is_expected() -> None:
    known = Profile({"say": {"small": ModeProfile(Constant(10)), "large": ModeProfile(Constant(30))}})
    nodes = [node("say", declaration=Declaration("say", Kind.CALL, Options(models=("small", "large"))))]
    said = Simulation(header(task("say")), opening(nodes, []), lambda _: Drawn(1)).state.tasks[0]

    assert Expected(known).of(said) == 20, "the mean over its modes"
    assert Expected(known, modes={"say": "large"}).of(said) == 30


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("critical-pth", "no policy is called 'critical-pth'.*did you mean 'critical-path'"),
        ("fifo:2", "fifo takes nothing behind a colon"),
        ("noisy", "write noisy:critical-path:0.2"),
        ("noisy:fifo", "'fifo' is no rule that expects durations"),
        ("noisy:shortst", "did you mean 'shortest'"),
        ("noisy:shortest:0", "a share above 0 and at most 1"),
        ("noisy:shortest:x", "a share above 0 and at most 1.*got 'x'"),
    ],
)
def test_a_name_that_means_nothing_is_refused_with_what_would(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        policy(name)
