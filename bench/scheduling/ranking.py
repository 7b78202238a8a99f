"""Online policies: what a decision costs, and how near their schedules come to what no schedule can beat.

Random graphs and recorded workflows are played on the virtual clock; the recorded ones also for real, with sleeping
tasks on the asyncio runtime, once scaled to a few seconds. What was measured there is then replayed in the simulator,
which must decide alike.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from bench.measure import Figures
from bench.table_row import Row

READY, ROUNDS = 10_000, 5
DAGS, QUICK_DAGS = 50, 5
SLOTS = (2, 8, 32)
REAL_S, QUICK_REAL_S = 4.0, 2.0
PARTS_COME: Mapping[str, float | None] = {"at once": None, "at load 0.8": 0.8}
POLICIES = (
    "critical-path",
    "latest-finish",
    "least-slack",
    "deadline",
    "urgency",
    "shortest",
    "fair",
    "random",
    "noisy:critical-path:0.2",
)


def decision(quick: bool) -> Figures:
    """CPU time of taking the best of 10,000 ready tasks and ranking one more, by policy."""
    from makespan.policies.named import policy
    from makespan.profiles.distributions import Constant
    from makespan.profiles.profile import ModeProfile, Profile

    known = Profile({f"t{kind}": {"": ModeProfile(Constant(10**9 * (kind + 1)))} for kind in range(8)})
    figures = {"fifo_us": _queue_us(None)}
    for name in POLICIES:
        figures[f"{name}_us"] = _queue_us(policy(name, profile=known, seed=1))
    ended = READY // 4 if quick else READY
    plain = _machine_us(None, ended)
    figures["machine_us"] = _machine_us(policy("critical-path", profile=known), ended) - plain
    figures["learning_us"] = _machine_us(policy("critical-path"), ended) - plain
    return figures


def _two_layers() -> Any:
    """(opening, id of the end): 10,000 tasks that are ready at once, and as many that need two of them each."""
    from makespan.graph.node import Declaration, Kind, Mode, Node, Source
    from makespan.machine.opening import opening
    from makespan.values import ROOT_SCOPE, TaskId

    kinds = [Declaration(f"t{number}") for number in range(8)]

    def node(number: int, declaration: Declaration, *needs: int) -> Node:
        sources = tuple(Source(TaskId(needed.to_bytes(16, "big")), (), Mode.AFTER) for needed in needs)
        return Node(TaskId(number.to_bytes(16, "big")), declaration, ROOT_SCOPE, (b"\xc0",), sources)

    first = [node(number + 1, kinds[number % 8]) for number in range(READY)]
    second = [
        node(READY + number + 1, kinds[number * 3 % 8], number + 1, number * 7 % READY + 1) for number in range(READY)
    ]
    end = node(2 * READY + 1, Declaration("end", Kind.VALUE), *range(READY + 1, 2 * READY + 1))
    return opening([*first, *second, end], []), end.id


def _queue_us(chosen: Any) -> float:
    from makespan.machine.queue import ReadyQueue
    from makespan.machine.records import Status
    from makespan.machine.state import State
    from makespan.sim.simulation import header

    opening, end = _two_layers()
    state = State(dict(opening.blobs).__getitem__)
    for fact in (header(end), *opening.facts):
        state.apply(fact)
    queue = ReadyQueue(state, chosen)
    for number in range(READY):
        state.tasks[number].status = Status.READY
        queue.push(number)
    taken = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        for _ in range(READY):
            queue.push(queue.pop())
        taken.append(time.process_time() - begin)
    return 1e6 * statistics.median(taken) / READY


def _machine_us(chosen: Any, ended: int) -> float:
    """CPU time of a turn in which a task ends and another starts."""
    from makespan.machine.facts import Limits
    from makespan.machine.machine import Machine
    from makespan.machine.observations import AttemptSucceeded
    from makespan.machine.state import State
    from makespan.sim.simulation import header

    opening, end = _two_layers()
    machine = Machine(State(dict(opening.blobs).__getitem__), policy=chosen)
    turn = machine.begin([header(end, limits=Limits(running=8)), *opening.facts], opening.graph)
    flying: list[Any] = list(turn.commands)
    begin = time.process_time()
    for at in range(1, ended + 1):
        command = flying.pop(0)
        turn = machine.turn([AttemptSucceeded(at * 1_000, command.task, command.attempt, b"\xc0", 0)])
        flying += turn.commands
    return 1e6 * (time.process_time() - begin) / ended


def random_dags(quick: bool) -> Figures:
    """Makespan over the lower bound: 1,000-task graphs, 8 slots."""
    from bench.scheduling.instances import random_instance
    from bench.scheduling.playing import simulate

    over: dict[str, list[float]] = {name: [] for name in ("fifo", *POLICIES)}
    graphs = [random_instance(seed) for seed in range(QUICK_DAGS if quick else DAGS)]
    for graph in graphs:
        for name, ratios in over.items():
            ratios.append(simulate(graph, name, 8).makespan_ns / graph.bound_ns(8))
    figures = {f"{name}_mean": statistics.mean(ratios) for name, ratios in over.items()}
    return figures | {f"{name}_most": max(ratios) for name, ratios in over.items()} | {"graphs": len(graphs)}


def parts_with_deadlines(quick: bool) -> Figures:
    """Share of parts that meet their deadlines, and how soon they are done: 40 parts of one run, 8 slots."""
    from bench.scheduling.parts import attained, random_parts

    figures: Figures = {"runs": QUICK_DAGS if quick else DAGS}
    for when, load in PARTS_COME.items():
        runs = [(random_parts(seed, load), seed) for seed in range(QUICK_DAGS if quick else DAGS)]
        for name in ("fifo", *POLICIES):
            each = [attained(made, name, seed) for made, seed in runs]
            figures[f"{name} {when} met"] = statistics.mean(met for met, _ in each)
            figures[f"{name} {when} done_s"] = statistics.mean(done_s for _, done_s in each)
    return figures


def recorded_graphs(quick: bool) -> Figures:
    """Makespan over the lower bounds: the recorded workflows, simulated."""
    from bench.scheduling.instances import recorded
    from bench.scheduling.playing import simulate

    figures: Figures = {}
    for graph in recorded():
        for slots in SLOTS:
            for name in ("critical-path", "fifo"):
                made = simulate(graph, name, slots).makespan_ns
                figures[f"{graph.name} {slots} {name}"] = made / graph.tight_bound_ns(slots)
                figures[f"{graph.name} {slots} {name} simple"] = made / graph.bound_ns(slots)
    return figures


def for_real(quick: bool) -> Figures:
    """The recorded workflows executed with sleeping tasks, beside the simulator."""
    from bench.scheduling.instances import recorded
    from bench.scheduling.playing import play, simulate

    figures: Figures = {}
    for graph, slots in product(recorded(), SLOTS):
        factor = 1e9 * (QUICK_REAL_S if quick else REAL_S) / simulate(graph, "critical-path", slots).makespan_ns
        small = graph.scaled(factor)
        simulated = simulate(small, "critical-path", slots)
        real = play(small, "critical-path", slots)
        replayed = simulate(small, "critical-path", slots, real.took_ns)
        figures[f"{graph.name} {slots} over"] = real.makespan_ns / simulated.makespan_ns - 1
        figures[f"{graph.name} {slots} same"] = float(replayed.order == real.order)
        figures[f"{graph.name} {slots} replayed"] = replayed.makespan_ns / real.makespan_ns - 1
    return figures


CASES: dict[str, Callable[[bool], Figures]] = {
    "ranking-decision": decision,
    "ranking-dags": random_dags,
    "ranking-parts": parts_with_deadlines,
    "ranking-recorded": recorded_graphs,
    "ranking-real": for_real,
}


def rows(results: Mapping[str, Figures]) -> Iterator[Row]:
    """Every row that the results have figures for."""
    yield from _decision_rows(results.get("ranking-decision", {}))
    yield from _dag_rows(results.get("ranking-dags", {}))
    yield from _part_rows(results.get("ranking-parts", {}))
    yield from _recorded_rows(results)


def _decision_rows(figures: Figures) -> Iterator[Row]:
    if not figures:
        return
    for name in ("fifo", *POLICIES):
        taken = figures[f"{name}_us"]
        line = f"decision with 10,000 ready tasks (rank, push, pop), CPU, {name}"
        yield Row(line, "≤ 5 µs", ours=f"{taken:.2f} µs", passed=taken <= 5)
    line = "a turn on the machine, critical-path over none"
    yield Row(line, "≤ 5 µs", ours=f"{figures['machine_us']:+.1f} µs", passed=figures["machine_us"] <= 5)
    yield Row("the same, durations learned in the run", "printed", ours=f"{figures['learning_us']:+.1f} µs")


def _dag_rows(figures: Figures) -> Iterator[Row]:
    if not figures:
        return
    fifo = f"fifo {figures['fifo_mean']:.3f} (most {figures['fifo_most']:.3f})"
    for name in POLICIES:
        mean, most = figures[f"{name}_mean"], figures[f"{name}_most"]
        line = f"makespan ÷ bound, {figures['graphs']:.0f} random 1,000-task graphs, 8 slots, {name}"
        is_held = name == "critical-path"
        target, passed = ("each ≤ 1.05", most <= 1.05) if is_held else ("printed", None)
        yield Row(line, target, fifo, f"mean {mean:.3f}, most {most:.3f}", passed=passed)


def _part_rows(figures: Figures) -> Iterator[Row]:
    if not figures:
        return
    for when, name in product(PARTS_COME, POLICIES):
        shown = [
            f"{100 * figures[f'{each} {when} met']:.1f} %, {figures[f'{each} {when} done_s']:.1f} s"
            for each in ("fifo", name)
        ]
        line = f"parts in time, mean end of those; {figures['runs']:.0f} runs of 40 parts {when}, 8 slots, {name}"
        yield Row(line, "printed", f"fifo {shown[0]}", shown[1])


def _recorded_rows(results: Mapping[str, Figures]) -> Iterator[Row]:
    figures = results.get("ranking-recorded")
    if figures is not None and not figures:
        yield Row("recorded workflows", ours="not here: no wfinstances below MAKESPAN_DATA or ../shared/data")
    for name in dict.fromkeys(name.split()[0] for name in figures or {}):
        for slots in SLOTS:
            assert figures is not None
            ours, simple = figures[f"{name} {slots} critical-path"], figures[f"{name} {slots} critical-path simple"]
            fifo = f"fifo {figures[f'{name} {slots} fifo']:.3f}"
            line = f"makespan ÷ bound, {name}, {slots} slots, critical-path"
            shown = f"{ours:.3f}" if abs(ours - simple) < 0.0005 else f"{ours:.3f} ({simple:.3f} without rounds)"
            yield Row(line, "≤ 1.35", fifo, shown, passed=ours <= 1.35)
    real = results.get("ranking-real", {})
    for name in dict.fromkeys(name.rpartition(" ")[0] for name in real):
        over, same, again = (real[f"{name} {what}"] for what in ("over", "same", "replayed"))
        line = f"{name.replace(' ', ' for real, ')} slots: makespan over the simulator's"
        yield Row(line, "within 5 %", ours=f"{100 * over:+.2f} %", passed=abs(over) <= 0.05)
        told = ("the same" if same else "others", f"makespan {100 * again:+.3f} %")
        yield Row(
            "the same, decisions when measured durations are replayed",
            "the same",
            ours=told[0],
            ratio=told[1],
            passed=bool(same),
        )
