"""DART as a recipe: robots by number and by name, none booked twice, none idle that somebody could use."""

from __future__ import annotations

import asyncio
import json
import random
from itertools import pairwise
from typing import Any

import msgspec
import pytest

import makespan as ms
from makespan.errors import TaskError
from makespan.recipes.dart import Ran, dart
from makespan.testing import running
from tests.prove import prove_count

FLEET = {"truck": ["truck_1", "truck_2"], "excavator": ["excavator_1", "excavator_2"]}


class Move(msgspec.Struct, frozen=True):
    """What a robot tool says of itself: virtual times, and the robots it had."""

    begun_s: float
    ended_s: float
    robots: list[str]


@ms.task(key="work")
async def work(what: str, seconds: float) -> Move:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await asyncio.sleep(seconds)
    return Move(begun, loop.time(), [name for names in ms.context().units.values() for name in names])


@ms.task(key="refuse")
async def refuse(what: str) -> str:
    raise ms.Fatal(f"{what} is stuck in the mud")


@ms.task(key="as told", effect="pure", executor="inline")
def as_told(goal: str, robots: list[str], tools: list[str], problems: list[str]) -> str:
    """A planner whose plan is the goal."""
    return goal


@ms.workflow(key="site")
async def site(plan: str) -> dict[str, Ran]:
    return await dart(plan, robots=FLEET, tools=[work, refuse], planner=as_told)


def do(plan: list[dict[str, Any]] | str, **options: Any) -> dict[str, Ran]:
    text = plan if isinstance(plan, str) else json.dumps(plan)
    return running.run(site(text), engine={"pools": FLEET}, **options).output


def step(name: str, seconds: float, robots: Any, *after: str) -> dict[str, Any]:
    return {
        "name": name,
        "tool": "work",
        "args": {"what": name, "seconds": seconds},
        "robots": robots,
        "depends_on": list(after),
    }


# ------------------------------------------------------------ two hundred plans


def drawn(rng: random.Random) -> list[dict[str, Any]]:
    """A plan of up to twenty steps that ask for robots in every way there is."""
    steps: list[dict[str, Any]] = []
    for number in range(rng.randint(4, 20)):
        ways: list[Any] = [{"type": kind, "count": rng.choice([1, 1, 2])} for kind in FLEET]
        ways += [{"type": kind, "ids": [rng.choice(FLEET[kind])]} for kind in FLEET]
        ways += [rng.choice(ways[:4]), [{"type": "truck", "count": 1}, {"type": "excavator", "count": 1}]]
        ways += [[{"ids": [rng.choice(FLEET["truck"])]}, {"type": "excavator", "count": rng.choice([1, 2])}]]
        after = rng.sample([each["name"] for each in steps], min(len(steps), rng.choice([0, 0, 1, 2])))
        steps.append(step(f"s{number}", rng.randint(1, 10), rng.choice(ways), *after))
    return steps


def wanted(robots: Any) -> dict[str, int]:
    """How many of each type, and each robot that is named."""
    units: dict[str, int] = {}
    for each in robots if isinstance(robots, list) else [robots]:
        for name in each.get("ids", []):
            units[name] = 1
            kind = name.partition("_")[0]
            units[kind] = units.get(kind, 0) + 1
        if "count" in each:
            units[each["type"]] = units.get(each["type"], 0) + each["count"]
    return units


def lower_bound_s(steps: list[dict[str, Any]]) -> float:
    """No schedule is shorter than the longest chain, or than the work of a robot or of a type of robots."""
    ends: dict[str, float] = {}
    load: dict[str, float] = {}
    for each in steps:
        seconds = each["args"]["seconds"]
        ends[each["name"]] = max((ends[name] for name in each["depends_on"]), default=0.0) + seconds
        for name, units in wanted(each["robots"]).items():
            load[name] = load.get(name, 0.0) + seconds * units / len(FLEET.get(name, [name]))
    return max(*ends.values(), *load.values())


def list_schedule_s(steps: list[dict[str, Any]]) -> float:
    """Another hand's list scheduling, in the order of the plan: whatever fits starts, nobody is kept a place."""
    robots = {name: kind for kind, names in FLEET.items() for name in names}
    now, left = 0.0, list(steps)
    ended: set[str] = set()
    running_: list[tuple[float, str, list[str]]] = []
    while left or running_:
        busy = {name for _, _, names in running_ for name in names}
        for each in list(left):
            if not ended.issuperset(each["depends_on"]):
                continue
            units = wanted(each["robots"])
            taken = [name for name in units if name in robots]
            free = [name for name in robots if name not in busy and name not in taken]
            for kind in FLEET:
                lacking = units.get(kind, 0) - sum(robots.get(name) == kind for name in taken)
                of_kind = [name for name in free if robots[name] == kind][:lacking]
                taken += of_kind if len(of_kind) == lacking else ["none"]
            if "none" not in taken and busy.isdisjoint(taken):
                busy.update(taken)
                left.remove(each)
                running_.append((now + each["args"]["seconds"], each["name"], taken))
        running_.sort(key=lambda run: run[0])
        now = running_[0][0]
        ended.update(name for end, name, _ in running_ if end == now)
        running_ = [run for run in running_ if run[0] > now]
    return now


def check(steps: list[dict[str, Any]], ran: dict[str, Ran]) -> float:
    """No robot twice at a time, no dependency broken, no robot idle between its release and its next step's start."""
    moves = {name: msgspec.convert(each.result, Move) for name, each in ran.items()}
    for name in FLEET["truck"] + FLEET["excavator"]:
        times = sorted((move.begun_s, move.ended_s) for move in moves.values() if name in move.robots)
        assert all(one[1] <= other[0] for one, other in pairwise(times)), f"{name} is booked twice"
    lag, start_s = 0.0, min(move.begun_s for move in moves.values())
    for each in steps:
        move = moves[each["name"]]
        asked = wanted(each["robots"])
        held = {kind: sum(name.startswith(kind) for name in move.robots) for kind in FLEET}
        assert held == {kind: asked.get(kind, 0) for kind in FLEET}
        assert {name for name in asked if name not in FLEET} <= set(move.robots)
        assert all(moves[name].ended_s <= move.begun_s for name in each["depends_on"]), "a dependency is broken"
        known = [start_s, *(moves[name].ended_s for name in each["depends_on"])]
        known += [other.ended_s for other in moves.values() if other.ended_s <= move.begun_s]
        lag = max(lag, move.begun_s - max(known))
    return lag


def longest_first(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Steps with the longest chain behind them first: what a list scheduler does who knows all durations."""
    tail: dict[str, float] = {}
    for each in reversed(steps):
        behind = [tail[other["name"]] for other in steps if each["name"] in other["depends_on"]]
        tail[each["name"]] = each["args"]["seconds"] + max(behind, default=0.0)
    return sorted(steps, key=lambda each: -tail[each["name"]])


def test_some_plans_book_nothing_twice() -> None:
    carry_out(20)


@pytest.mark.prove
def test_two_hundred_plans_book_nothing_twice_and_dispatch_in_the_turn_that_frees_the_robot() -> None:
    carry_out(max(prove_count(200), 50))


def carry_out(plans: int) -> None:
    """Random plans: no robot in two places, each sent off in the turn that frees it, close to a list schedule."""
    lag = ours = bound = listed = 0.0
    for seed in range(plans):
        steps = drawn(random.Random(seed))
        result = running.run(site(json.dumps(steps)), engine={"pools": FLEET}, options={"policy": "critical-path"})
        ran = result.output

        assert {name: each.status for name, each in ran.items()} == {each["name"]: "succeeded" for each in steps}
        assert result.makespan_s >= lower_bound_s(steps)
        lag = max(lag, check(steps, ran))
        ours += result.makespan_s
        bound += lower_bound_s(steps)
        listed += list_schedule_s(longest_first(steps))
    print(
        f"\n{plans} plans: lag {lag:.9f} s, makespans {ours:.0f} s, "
        f"list scheduling that knows all durations {listed:.0f} s "
        f"({ours / listed:.3f}), lower bound {bound:.0f} s ({ours / bound:.3f})"
    )

    assert lag == 0.0
    assert ours <= 1.1 * listed


def test_a_kill_before_and_after_every_commit_changes_nothing() -> None:
    both = [{"type": "truck", "count": 1}, {"type": "excavator", "count": 1}]
    plan = [step("a", 2, both), step("b", 1, {"ids": ["truck_1"]}), step("c", 1, {"type": "truck", "count": 2}, "a")]

    @ms.workflow(key="done")
    async def done(text: str) -> list[str]:
        ran = await dart(text, robots=FLEET, tools=[work], planner=as_told)
        return [f"{name} {each.status}" for name, each in ran.items()]

    result = running.run(done(json.dumps(plan)), engine={"pools": FLEET}, crash_at="each")

    assert sorted(result.output) == ["a succeeded", "b succeeded", "c succeeded"]


# ------------------------------------------------------------ what plans ask for


def test_a_shortage_waits_in_line() -> None:
    ran = do([step(f"s{n}", 2, {"type": "truck", "count": 2}) for n in range(3)])

    begun = sorted(msgspec.convert(each.result, Move).begun_s for each in ran.values())
    assert [later - begun[0] for later in begun] == [0.0, 2.0, 4.0]


def test_whoever_takes_any_robot_leaves_the_one_that_is_waited_for_by_name() -> None:
    ran = do(
        [
            step("dig", 5, {"ids": ["excavator_1"]}),
            step("load", 1, [{"ids": ["excavator_1"]}, {"ids": ["truck_1"]}]),
            step("fetch", 1, {"type": "truck", "count": 1}),
        ]
    )

    assert msgspec.convert(ran["fetch"].result, Move).robots == ["truck_2"]


def test_steps_that_say_the_same_are_all_done() -> None:
    same = {"tool": "work", "args": {"what": "dig", "seconds": 1}, "robots": {"type": "excavator", "count": 1}}
    ran = do([{"name": "a", **same}, {"name": "b", **same}, {"name": "c", **same}])

    moves = [msgspec.convert(each.result, Move) for each in ran.values()]
    first = min(move.begun_s for move in moves)
    assert sorted(move.begun_s - first for move in moves) == [0.0, 0.0, 1.0]


def test_what_stands_on_a_failed_step_fails_with_it_and_the_rest_is_done() -> None:
    stuck = {"name": "a", "tool": "refuse", "args": {"what": "truck_1"}, "robots": {"ids": ["truck_1"]}}
    ran = do([stuck, step("b", 1, {"type": "truck", "count": 1}, "a"), step("c", 1, {"type": "truck", "count": 2})])

    assert {name: each.status for name, each in ran.items()} == {"a": "failed", "b": "failed", "c": "succeeded"}
    assert "stuck in the mud" in ran["a"].problem
    assert "stuck in the mud" in ran["b"].problem
    assert ran["a"].robots == {"truck:truck_1": 1}


@pytest.mark.parametrize(
    ("robots", "says"),
    [
        ({"type": "truck", "count": 3}, "needs 3 of 'truck', which has only 2"),
        ({"type": "truck", "ids": ["truck_3"]}, "no unit of 'truck' is called 'truck_3'; did you mean 'truck_"),
        ({"type": "crane", "count": 1}, "there is no robot 'crane'; there are truck, excavator"),
        ({"ids": ["truck_7"]}, "there is no robot 'truck_7'; did you mean 'truck_"),
        ([{"ids": ["truck_1"]}, {"type": "truck", "count": 2}], "needs 3 of 'truck', which has only 2"),
    ],
)
def test_robots_that_are_not_there_are_refused_before_any_moves(robots: Any, says: str) -> None:
    with pytest.raises(TaskError) as raised:
        do([step("a", 1, {"type": "truck", "count": 1}), step("b", 1, robots)])

    assert "step b: " in str(raised.value)
    assert says in str(raised.value)


def test_a_planner_hears_what_is_wrong_with_its_plan() -> None:
    heard: list[list[str]] = []

    @ms.task(key="second thoughts", effect="pure", executor="inline")
    def second_thoughts(goal: str, robots: list[str], tools: list[str], problems: list[str]) -> str:
        heard.append(problems)
        count = 2 if problems else 5
        return f"Here: {json.dumps([step('a', 1, {'type': 'truck', 'count': count})])}"

    @ms.workflow(key="in two rounds")
    async def in_two_rounds(goal: str) -> dict[str, Ran]:
        return await dart(goal, robots=FLEET, tools=[work], planner=second_thoughts)

    ran = running.run(in_two_rounds("dig"), engine={"pools": FLEET}).output

    assert ran["a"].status == "succeeded"
    assert len(heard) == 2
    assert "which has only 2" in heard[1][0]


def test_a_fleet_that_the_engine_does_not_have_is_said_at_once() -> None:
    ran = running.run(site(json.dumps([step("a", 1, {"ids": ["truck_1"]})]))).output

    assert "no pool is called 'truck'" in ran["a"].problem
