"""Several ways to do each task, and what each way needs: a union of workflows, of which the best one is chosen.

    code ──┬─ by rules   needs extract                 every task takes one variant (OR),
           ├─ by model   needs extract, guidelines     a variant needs all of its tasks (AND),
           └─ by person  needs nothing                 only what is needed from the goals is done, each task once

Two questions are answered exactly: the least price when prices add up (a shortest path where tasks form a chain), and
the least price under a deadline on the longest chain, where the cheapest variant of each task is often too slow and the
fastest needlessly dear. Also under a budget and a least success.
Source: Opus (workflow graphs that unite candidate workflows, with human review as a step); label setting with lower
bounds, as A* by Hart, Nilsson, Raphael (1968) and multicriteria labels by Martins (1984).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush, nsmallest
from math import inf, log

import msgspec

from makespan.errors import GraphError, UsageError, suggestion
from makespan.graph.edges import find_cycle, needs
from makespan.graph.graph import Graph, name_of
from makespan.graph.node import Kind
from makespan.passes.tree import Table
from makespan.values import TaskId

MOST_LABELS = 50_000
"""Partial choices that are looked at before the best known one is given, with its gap."""
COMPARED = 200
"""Labels of a task that a new one is compared with."""
DIVES = 16
"""Partial choices that are completed greedily when there are too many to look at."""


class Variant(msgspec.Struct, frozen=True):
    """One way to do a task: nanoseconds, nano-USD, the chance of success, and the tasks whose results it takes."""

    name: str
    latency_ns: int
    cost: int
    success: float = 1.0
    needs: tuple[str, ...] = ()
    by_person: bool = False


class Alternatives(msgspec.Struct, frozen=True):
    """Tasks with their variants, and those that are wanted. No task may need itself, whatever is chosen."""

    tasks: dict[str, tuple[Variant, ...]]
    goals: tuple[str, ...]


class Objective(msgspec.Struct, frozen=True):
    """What is made small: the sum over the chosen variants of money, work time and risk, all in nano-USD."""

    hour_usd: float = 0.0
    """Price of an hour of work, of all tasks added up."""
    failure_usd: float = 0.0
    """Price of one unit of -log(success), which adds up as chances multiply; about what one failure costs."""

    def price(self, variant: Variant) -> int:
        """Nano-USD."""
        risk = 0.0
        if self.failure_usd:
            risk = inf if variant.success <= 0 else -log(variant.success) * self.failure_usd * 1e9
        work = self.hour_usd * 1e9 * variant.latency_ns / 3.6e12
        return variant.cost + (round(work + risk) if risk < inf else 10**18)


class Limits(msgspec.Struct, frozen=True):
    """What a choice must keep: the longest chain, the money, the product of the chances."""

    deadline_ns: int | None = None
    budget: int | None = None
    min_success: float = 0.0


class Selection(msgspec.Struct, frozen=True):
    """A variant for each task that is done."""

    variants: dict[str, str]
    latency_ns: int
    """Of the longest chain."""
    cost: int
    success: float
    price: int
    bound: int
    """No choice has a lower price than this."""

    @property
    def is_optimal(self) -> bool:
        return self.bound >= self.price

    @property
    def gap(self) -> float:
        """How much of the price a better choice could save at most; 0 when there is none."""
        return 0.0 if self.is_optimal else (self.price - self.bound) / self.price


def by_person(
    name: str, *, latency_ns: int, work_ns: int, hour_usd: float, success: float = 1.0, needs: Sequence[str] = ()
) -> Variant:
    """A person as a variant: waits `latency_ns` for them, pays `work_ns` of their time."""
    return Variant(name, latency_ns, round(hour_usd * work_ns / 3.6e3), success, tuple(needs), by_person=True)


def united(workflows: Iterable[Alternatives]) -> Alternatives:
    """Candidate workflows as one: tasks of one name are one task, with the variants of all; so parts can be mixed.

    Raises:
        GraphError: two variants of one task have a name in common but are not the same.
    """
    tasks: dict[str, dict[str, Variant]] = {}
    goals: dict[str, None] = {}
    for each in workflows:
        goals.update(dict.fromkeys(each.goals))
        for task, variants in each.tasks.items():
            for variant in variants:
                if tasks.setdefault(task, {}).setdefault(variant.name, variant) != variant:
                    raise GraphError(f"the task {task!r} has two variants called {variant.name!r}; rename one")
    return Alternatives({task: tuple(variants.values()) for task, variants in tasks.items()}, tuple(goals))


def of_graph(graph: Graph, table: Table, names: Mapping[TaskId, str] | None = None) -> Alternatives:
    """The calls of a graph with their modes as variants: one mode a call, not a key.

    Args:
        names: what the calls are called; their key unless given, with a number where there are several.
    Raises:
        GraphError: a call without figures, or tasks that run only sometimes or many times: guards, `first`, maps.
    """
    named = dict(names or {})
    counts: dict[str, int] = {}
    for node in graph:
        n = counts[node.key] = counts.get(node.key, 0) + 1
        named.setdefault(node.id, node.key if n == 1 else f"{node.key} {n}")
    tasks: dict[str, tuple[Variant, ...]] = {}
    for node in graph:
        before = tuple(dict.fromkeys(named[task] for task in needs(node)))
        if node.when or node.declaration.kind in (Kind.FIRST, Kind.MAP):
            raise GraphError(
                f"{name_of(node)} runs only sometimes, or a number of times that is not known: "
                "compile the workflow instead"
            )
        if node.declaration.kind not in (Kind.CALL, Kind.WORKFLOW):
            tasks[named[node.id]] = (Variant("", node.delay_ns, 0, 1.0, before),)
            continue
        if not table.get(node.key):
            raise GraphError(f"nothing is known of {node.key}: add figures for its modes to the profile")
        modes = table[node.key].items()
        tasks[named[node.id]] = tuple(
            Variant(mode, figures.latency_ns, figures.cost, figures.success * figures.quality, before)
            for mode, figures in modes
        )
    return Alternatives(tasks, tuple(named[node.id] for node in graph if not graph.dependents(node.id)))


def best(
    problem: Alternatives,
    objective: Objective = Objective(),  # noqa: B008
    limits: Limits = Limits(),  # noqa: B008
    *,
    most_labels: int = MOST_LABELS,
) -> Selection:
    """The choice with the least price that keeps the limits; the best known one, with its gap, where it takes too long.

    Raises:
        GraphError: the problem makes no sense: an unknown task, a task without variants, tasks that need each other.
        UsageError: nothing keeps the limits, or nothing was found within `most_labels`.
    Cost: 9 tasks of 3 variants: 1 to 5 ms; 30 µs a label.
    """
    check(problem)
    return _Search(problem, objective, limits, most_labels).run()


def figures(problem: Alternatives, chosen: Mapping[str, str], objective: Objective = Objective()) -> Selection:  # noqa: B008
    """What a choice takes, costs and achieves; variants of tasks that are not needed are left out.

    Raises:
        KeyError: a needed task has no variant chosen, or none of that name.
    """
    ends: dict[str, int] = {}
    used: dict[str, Variant] = {}

    def end(task: str) -> int:
        if task not in ends:
            variant = used[task] = next(v for v in problem.tasks[task] if v.name == chosen[task])
            ends[task] = variant.latency_ns + max(map(end, variant.needs), default=0)
        return ends[task]

    latency = max(map(end, problem.goals), default=0)
    success, price = 1.0, sum(objective.price(variant) for variant in used.values())
    for task in sorted(used):
        success *= used[task].success
    names = {task: used[task].name for task in sorted(used)}
    return Selection(names, latency, sum(variant.cost for variant in used.values()), success, price, price)


def check(problem: Alternatives) -> None:
    """Raise one GraphError that says what is wrong with a problem."""
    for goal in problem.goals:
        if goal not in problem.tasks:
            raise GraphError(f"the goal {goal!r} is no task{suggestion(goal, problem.tasks)}")
    for task, variants in problem.tasks.items():
        if not variants:
            raise GraphError(f"the task {task!r} has no variant: nothing could do it")
        if len({variant.name for variant in variants}) < len(variants):
            raise GraphError(f"two variants of the task {task!r} have one name; rename one")
        for variant in variants:
            _check_variant(problem, task, variant)
    cycle = find_cycle(problem.tasks, lambda task: sorted(_all_needs(problem, task)))  # type: ignore[arg-type]
    if cycle is not None:
        raise GraphError(f"these tasks may need each other: {' -> '.join((*map(str, cycle), str(cycle[0])))}")


def _check_variant(problem: Alternatives, task: str, variant: Variant) -> None:
    where = f"variant {variant.name!r} of the task {task!r}"
    for needed in variant.needs:
        if needed not in problem.tasks:
            raise GraphError(f"{where} needs {needed!r}, which is no task{suggestion(needed, problem.tasks)}")
    if variant.latency_ns < 0 or variant.cost < 0 or not 0 <= variant.success <= 1:
        raise GraphError(f"{where}: time and cost are at least 0, success is between 0 and 1")


def _all_needs(problem: Alternatives, task: str) -> set[str]:
    return {needed for variant in problem.tasks[task] for needed in variant.needs}


class _Label(msgspec.Struct, frozen=True, gc=False):
    """A choice for the first `place` tasks. `tails`, of the others: how long it takes from their end to the end of all,
    -1 for those that nothing needs so far."""

    place: int
    price: int
    cost: int
    success: float
    tails: tuple[int, ...]
    variant: int
    before: _Label | None


class _Search:
    """Tasks are decided from the goals backwards, so that only what is needed is decided."""

    def __init__(self, problem: Alternatives, objective: Objective, limits: Limits, most_labels: int) -> None:
        self.problem, self.objective, self.limits, self.most_labels = problem, objective, limits, most_labels
        self.order = _backwards(problem)
        self.place = {task: place for place, task in enumerate(self.order)}
        self.variants = [problem.tasks[task] for task in self.order]
        self.needs = [[tuple(self.place[n] for n in dict.fromkeys(v.needs)) for v in vs] for vs in self.variants]
        self.prices = [[objective.price(variant) for variant in variants] for variants in self.variants]
        self.timed = limits.deadline_ns is not None
        self.deadline = limits.deadline_ns if limits.deadline_ns is not None else 10**30
        self.budget = limits.budget if limits.budget is not None else 10**30
        size = len(self.order)
        self.fastest, self.chain = [0] * size, [[0] * len(variants) for variants in self.variants]
        self.must = [0] * size
        for place in reversed(range(size)):
            self.prepare(place)
        self.least_price = [min(prices) for prices in self.prices]
        self.least_cost = [min(variant.cost for variant in variants) for variants in self.variants]
        self.most_success = [max(variant.success for variant in variants) for variants in self.variants]
        self.kept: dict[int, list[_Label]] = {}

    def prepare(self, place: int) -> None:
        """What is certain of a task: its least time with all it needs, and what it needs in any case."""
        for number, variant in enumerate(self.variants[place]):
            before = max((self.fastest[each] for each in self.needs[place][number]), default=0)
            self.chain[place][number] = variant.latency_ns + before
        self.fastest[place] = min(self.chain[place])
        certain = -1
        for needed in self.needs[place]:
            mask = 0
            for each in needed:
                mask |= self.must[each] | 1 << each
            certain &= mask
        self.must[place] = certain

    def run(self) -> Selection:
        goals = {self.place[goal] for goal in self.problem.goals}
        tails = tuple(0 if place in goals else -1 for place in range(len(self.order)))
        first = self.moved_on(_Label(0, 0, 0, 1.0, tails, -1, None))
        bound = self.bound(first)
        if bound is None:
            raise self.nothing_fits()
        opened: list[tuple[int, int, int, _Label]] = [(bound, 0, 0, first)]
        made = 0
        while opened:
            bound, _, _, label = heappop(opened)
            if not label.tails:
                return self.selection(label, bound)
            if made > self.most_labels:
                heappush(opened, (bound, -label.place, -1, label))
                return self.best_known([each[3] for each in nsmallest(DIVES, opened)], bound)
            for child, lowest in self.grown(label):
                if self.is_new(child):
                    made += 1
                    heappush(opened, (max(lowest, bound), -child.place, made, child))
        raise self.nothing_fits()

    def grown(self, label: _Label) -> list[tuple[_Label, int]]:
        """The label with each variant of the next task, and the least price that each may end with."""
        place, tail, found = label.place, label.tails[0], []
        for number, variant in enumerate(self.variants[place]):
            if tail + self.chain[place][number] > self.deadline:
                continue
            tails = list(label.tails[1:])
            after = tail + variant.latency_ns if self.timed else 0
            for each in self.needs[place][number]:
                tails[each - place - 1] = max(tails[each - place - 1], after)
            price, cost = label.price + self.prices[place][number], label.cost + variant.cost
            child = self.moved_on(
                _Label(place + 1, price, cost, label.success * variant.success, tuple(tails), number, label)
            )
            bound = self.bound(child)
            if bound is not None:
                found.append((child, bound))
        return found

    def moved_on(self, label: _Label) -> _Label:
        """Past tasks that nothing needs."""
        skipped = 0
        while skipped < len(label.tails) and label.tails[skipped] < 0:
            skipped += 1
        if not skipped:
            return label
        return msgspec.structs.replace(label, place=label.place + skipped, tails=label.tails[skipped:])

    def bound(self, label: _Label) -> int | None:
        """The least price that a label may end with; None where it keeps no limit."""
        price, cost, success = label.price, label.cost, label.success
        certain = 0
        for spot, tail in enumerate(label.tails):
            if tail < 0:
                continue
            place = label.place + spot
            if tail + self.fastest[place] > self.deadline:
                return None
            price += self.cheapest_in_time(place, tail)
            cost += self.least_cost[place]
            success *= self.most_success[place]
            certain |= self.must[place]
        for spot, tail in enumerate(label.tails):
            place = label.place + spot
            if tail < 0 and certain >> place & 1:
                price += self.least_price[place]
                cost += self.least_cost[place]
                success *= self.most_success[place]
        keeps = cost <= self.budget and success >= self.limits.min_success * (1 - 1e-12)
        return price if keeps else None

    def cheapest_in_time(self, place: int, tail: int) -> int:
        if not self.timed:
            return self.least_price[place]
        left = self.deadline - tail
        return min(price for price, chain in zip(self.prices[place], self.chain[place], strict=True) if chain <= left)

    def is_new(self, label: _Label) -> bool:
        """Whether no label that is kept is as good in everything; if so it is kept."""
        kept = self.kept.setdefault(label.place, [])
        if any(self.is_as_good(other, label) for other in kept):
            return False
        if len(kept) < COMPARED:
            kept.append(label)
        return True

    def is_as_good(self, one: _Label, other: _Label) -> bool:
        if one.price > other.price or (self.limits.budget is not None and one.cost > other.cost):
            return False
        if self.limits.min_success and one.success < other.success:
            return False
        return all(a <= b for a, b in zip(one.tails, other.tails, strict=True))

    # ------------------------------------------------------------ answers

    def selection(self, label: _Label, bound: int) -> Selection:
        chosen: dict[str, str] = {}
        at: _Label | None = label
        while at is not None and at.before is not None:
            place = at.before.place
            chosen[self.order[place]] = self.variants[place][at.variant].name
            at = at.before
        found = figures(self.problem, chosen, self.objective)
        return msgspec.structs.replace(found, bound=min(bound, found.price))

    def best_known(self, labels: list[_Label], bound: int) -> Selection:
        """Each label completed greedily; the best of what came to an end."""
        ends = [end for label in labels if (end := self.completed(label)) is not None]
        if not ends:
            raise UsageError(
                f"no choice was found among the first {self.most_labels} that were looked at; raise `most_labels`, or "
                "give the limits more room"
            )
        return self.selection(min(ends, key=lambda end: end.price), bound)

    def completed(self, label: _Label) -> _Label | None:
        while label.tails:
            grown = self.grown(label)
            if not grown:
                return None
            label = min(grown, key=lambda child: child[1])[0]
        return label

    def nothing_fits(self) -> UsageError:
        """What is possible of each by itself."""
        said = []
        if self.limits.deadline_ns is not None:
            least = max((self.fastest[self.place[goal]] for goal in self.problem.goals), default=0)
            said.append(f"{self.limits.deadline_ns / 1e9:g} s (the fastest takes {least / 1e9:g} s)")
        if self.limits.budget is not None:
            cheapest = best(self.problem, most_labels=self.most_labels)
            said.append(f"${self.limits.budget / 1e9:g} (the cheapest costs ${cheapest.cost / 1e9:g})")
        if self.limits.min_success:
            surest = best(self.problem, Objective(failure_usd=1e6), most_labels=self.most_labels)
            said.append(f"a success of {self.limits.min_success:g} (the surest has {surest.success:.3g})")
        return UsageError(f"no choice of variants keeps {' and '.join(said)}")


def _backwards(problem: Alternatives) -> list[str]:
    """What the goals may need, each task before those that it may need."""
    reached: dict[str, set[str]] = {}
    left = list(problem.goals)
    while left:
        task = left.pop()
        if task not in reached:
            reached[task] = _all_needs(problem, task)
            left.extend(sorted(reached[task]))
    waiting = {task: sum(task in needed for needed in reached.values()) for task in reached}
    ready = sorted((task for task, count in waiting.items() if not count), reverse=True)
    order: list[str] = []
    while ready:
        task = ready.pop()
        order.append(task)
        for each in sorted(reached[task], reverse=True):
            waiting[each] -= 1
            if not waiting[each]:
                ready.append(each)
    return order
