"""Where a run first went wrong: found by doing tasks again in memory, proved with wrong values planted in real runs."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

import makespan as ms
from makespan.diagnosis import diagnose
from makespan.graph.node import Kind
from makespan.ports import Produced
from makespan.runtime.attempts import Call
from makespan.traces.onset import Why
from tests.prove import prove_count


class Note(msgspec.Struct):
    title: str
    size: int


@ms.task(effect="pure", executor="inline")
def add(a: int, b: int) -> int:
    return (a * 31 + b * 7 + 3) % 100_003


@ms.task(effect="idempotent")
async def spell(n: int, after: str) -> str:
    return f"{n}-{after[-20:]}"


@ms.task(effect="pure", executor="inline")
def series(n: int) -> list[int]:
    return [n % 17, n % 23, n % 29]


@ms.task(effect="pure")
async def total(numbers: list[int]) -> int:
    if len(numbers) != 3:
        raise ValueError(f"{len(numbers)} numbers, not 3")
    return sum(numbers)


@ms.task(effect="pure", executor="inline")
def write(title: str, size: int) -> Note:
    return Note(title, size)


@ms.task(effect="idempotent", executor="inline")
def read(note: Note) -> str:
    if "?" in note.title:
        raise ValueError("a title asks nothing")
    return f"{note.title}:{note.size}"


@ms.task(effect="pure", executor="inline")
def collect(parts: list[Any]) -> list[Any]:
    return parts


TAKES: dict[str, tuple[Any, list[str], str]] = {
    "add": (add, ["int", "int"], "int"),
    "spell": (spell, ["int", "str"], "str"),
    "series": (series, ["int"], "list"),
    "total": (total, ["list"], "int"),
    "write": (write, ["str", "int"], "Note"),
    "read": (read, ["Note"], "str"),
}
CONSTANTS: dict[str, Callable[[random.Random], Any]] = {
    "int": lambda chance: chance.randrange(10_000),
    "str": lambda chance: f"w{chance.randrange(10_000)}",
    "list": lambda chance: [chance.randrange(100) for _ in range(3)],
    "Note": lambda chance: Note("n", chance.randrange(100)),
}


class Drawn:
    """A random graph of repeatable tasks: for each node its task and its arguments, constants or earlier nodes."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.nodes: list[tuple[str, list[Any], list[int | None]]] = []
        for _ in range(chance.randint(4, 16)):
            name = chance.choice(list(TAKES))
            fits = [[i for i, n in enumerate(self.nodes) if TAKES[n[0]][2] == kind] for kind in TAKES[name][1]]
            sources = [chance.choice(each) if each and chance.random() < 0.85 else None for each in fits]
            self.nodes.append((name, [CONSTANTS[kind](chance) for kind in TAKES[name][1]], sources))
        read_by = {source for _, _, sources in self.nodes for source in sources}
        self.sinks = [i for i in range(len(self.nodes)) if i not in read_by]
        nodes, ends = self.nodes, self.sinks

        def body() -> list[Any]:
            refs: list[Any] = []
            for place, (name, constants, sources) in enumerate(nodes):
                given = [c if s is None else refs[s] for c, s in zip(constants, sources, strict=True)]
                refs.append(TAKES[name][0].options(version=str(place))(*given))
            return collect([refs[end] for end in ends])

        self.workflow = ms.workflow(key=f"drawn-{seed}")(body)

    def after(self, place: int) -> set[int]:
        """The node, and all nodes that were made from it; -1 is what collects the sinks."""
        found = {place}
        for number, (_, _, sources) in enumerate(self.nodes):
            if found & set(sources):
                found.add(number)
        return found | {-1}


def wrong(kind: str, value: Any, chance: random.Random, *, fits: bool) -> Any:
    """Another value, of the declared type or of another one."""
    if not fits:
        return chance.choice([None, {"oops": 1}] + ([7] if kind == "str" else ["seven"]))
    if kind == "int":
        return value + chance.choice([-1, 1, 10])
    if kind == "str":
        return value + "?"
    if kind == "list":
        return chance.choice([value[:-1], [*value, 1], [value[0] + 1, *value[1:]]])
    return {**value, "size": value["size"] + 1}


class Planted:
    """An interceptor: changes the output of one task, and remembers which tasks really ran."""

    def __init__(self) -> None:
        self.target = b""
        self.value = b""
        self.ran: list[bytes] = []

    async def __call__(self, call: Call, rest: Callable[[Call], Awaitable[Produced]]) -> Produced:
        self.ran.append(call.info.task_id)
        produced = await rest(call)
        return Produced(self.value) if call.info.task_id == self.target else produced


async def one_case(seed: int) -> tuple[str, Why, Why, bytes, bool, bool]:
    """(kind of case, diagnosis, diagnosis by the journal alone, planted at, whether exactly the descendants ran again,
    whether the end was right)."""
    chance, drawn, planted = random.Random(seed + 1_000_000), Drawn(seed), Planted()
    async with ms.Engine(store="memory", interceptors=[planted]) as engine:
        clean = await engine.start(drawn.workflow(), id="clean")
        state = engine.stored.folded("clean")[1]
        ids = [task.spec.id for task in state.tasks if task.kind == Kind.CALL]
        assert len(ids) == len(drawn.nodes) + 1
        place = chance.randrange(len(drawn.nodes))
        task = state.tasks[state.index[ids[place]]]
        kind, fits = TAKES[drawn.nodes[place][0]][2], seed % 4 != 3
        assert task.value is not None
        planted.target = task.spec.id
        planted.value = msgspec.msgpack.encode(
            wrong(kind, msgspec.msgpack.decode(state.bytes_of(task.value)), chance, fits=fits)
        )
        run = engine.start(drawn.workflow(), id="bad")
        await run
        fold = lambda: engine.stored.folded("bad")[1]  # noqa: E731
        status = fold().status
        found = await asyncio.to_thread(diagnose, fold, drawn.workflow)
        blind = await asyncio.to_thread(diagnose, fold, None)
        unharmed = await asyncio.to_thread(diagnose, lambda: engine.stored.folded("clean")[1], drawn.workflow)
        assert unharmed.onset is None
        assert not unharmed.candidates
        assert unharmed.checked == len(ids)
        planted.target = b""
        planted.ran.clear()
        mended = await engine.fork("bad", at=task.spec.id.hex(), workflow=drawn.workflow)
        expected = {ids[number] for number in drawn.after(place)}
        is_exact = sorted(planted.ran) == sorted(expected)
        is_right = bool(mended) and mended.output == clean.output
    return (
        f"{'fits its type' if fits else 'another type'}, run {status}",
        found,
        blind,
        task.spec.id,
        is_exact,
        is_right,
    )


@pytest.mark.prove
def test_a_wrong_value_planted_in_a_run_is_named_and_a_fork_there_mends_it() -> None:
    count = prove_count(200)
    named: Counter[str] = Counter()
    cases: Counter[str] = Counter()
    said: Counter[str] = Counter()
    by_journal: Counter[str] = Counter()
    exact = right = 0
    for seed in range(count):
        kind, found, blind, target, is_exact, is_right = asyncio.run(one_case(seed))
        cases[kind] += 1
        by_journal[kind] += blind.onset is not None and blind.onset.task == target.hex()
        exact, right = exact + is_exact, right + is_right
        if found.onset is not None and found.onset.task == target.hex():
            named[kind] += 1
            said[f"{kind} by {found.onset.kind}"] += 1
        assert found.onset is None or found.fix_command.startswith("makespan fork bad --at ")
    for kind in sorted(cases):
        print(f"{kind:32} {named[kind]:4} of {cases[kind]:4} named; {by_journal[kind]:4} by the journal alone")
    for kind, times in sorted(said.items()):
        print(f"  {kind:46} {times:4}")
    print(f"forks that did exactly the descendants again: {exact} of {count}; that ended right: {right} of {count}")

    assert sum(n for kind, n in cases.items() if kind.startswith("fits")) * 2 >= count
    assert sum(named.values()) >= 0.95 * count
    assert exact == right == count


# ---------------------------------------------------------------- one at a time


async def diagnosed(workflow: Any, *inputs: Any, target: str = "", value: Any = None, rerun: bool = True) -> Why:
    """The diagnosis of one run in which the output of the task with the key `target` is another one."""

    async def plant(call: Call, rest: Callable[[Call], Awaitable[Produced]]) -> Produced:
        produced = await rest(call)
        return Produced(msgspec.msgpack.encode(value)) if call.key == target else produced

    async with ms.Engine(store="memory", interceptors=[plant]) as engine:
        await engine.start(workflow(*inputs), id="r")
        before = list(engine.journal.read("r"))
        found = await asyncio.to_thread(diagnose, lambda: engine.stored.folded("r")[1], workflow if rerun else None)
        assert list(engine.journal.read("r")) == before
        return found


CALLS: Counter[str] = Counter()


@ms.task(effect="irreversible")
async def pay(n: int) -> int:
    CALLS["pay"] += 1
    return n


@ms.task
async def undeclared(n: int) -> int:
    CALLS["undeclared"] += 1
    return n


@ms.task(effect="pure")
async def counts(n: int) -> int:
    CALLS["counts"] += 1
    return CALLS["counts"] + n


@ms.task(effect="pure")
async def refuse(n: int) -> int:
    raise ValueError(f"{n} is too much")


@ms.task(effect="pure")
async def plus(n: int, more: int = 1) -> int:
    return n + more


@ms.task(effect="pure")
async def small(n: int) -> int:
    if n > 100:
        raise ValueError(f"{n} is not small")
    return n


@ms.workflow
def paid(n: int) -> int:
    return plus(undeclared(pay(n)))


@ms.workflow
def flaky(n: int) -> int:
    return plus(counts(n))


@ms.workflow
def refused(n: int) -> int:
    return plus(refuse(plus(n)))


@ms.workflow
def carried(n: int) -> int:
    return small(plus(plus(n), 2))


@ms.workflow
async def live(n: int) -> int:
    first = await plus(n)
    second = await plus(first, 2)
    return await small(second)


def test_what_is_irreversible_or_not_declared_repeatable_is_never_done_again() -> None:
    CALLS.clear()

    found = asyncio.run(diagnosed(paid, 1, target="undeclared", value=5))

    assert CALLS == {"pay": 1, "undeclared": 1}
    assert found.onset is None
    assert [(each.name, each.says.split(":")[0]) for each in found.unchecked] == [
        ("pay", "it is irreversible, or is undone by another task"),
        ("undeclared", "nobody has said that it may be repeated"),
    ]


def test_a_task_that_differs_each_time_is_listed_and_not_accused() -> None:
    found = asyncio.run(diagnosed(flaky, 1))

    assert found.onset is None
    assert [each.name for each in found.flaky] == ["counts"]


def test_a_task_that_fails_the_same_way_again_is_where_it_began() -> None:
    found = asyncio.run(diagnosed(refused, 1))

    assert found.onset is not None
    assert (found.onset.name, found.onset.kind) == ("refuse", "error")
    assert [(each.label, each.is_change) for each in found.steps] == [(1, False), (-1, False)]


@pytest.mark.parametrize("workflow", [carried, live])
def test_the_chain_leads_from_the_wrong_value_to_the_failure(workflow: Any) -> None:
    async def case() -> Why:
        first = []

        async def plant(call: Call, rest: Callable[[Call], Awaitable[Produced]]) -> Produced:
            produced = await rest(call)
            if call.key == "plus" and not first:
                first.append(call)
                return Produced(msgspec.msgpack.encode(1_000_000))
            return produced

        async with ms.Engine(store="memory", interceptors=[plant]) as engine:
            await engine.start(workflow(1), id="r")
            return await asyncio.to_thread(diagnose, lambda: engine.stored.folded("r")[1], workflow)

    found = asyncio.run(case())

    assert found.onset is not None
    assert found.onset.kind == "reexecution"
    assert found.onset.says == "it gives 1000000; done again with the same arguments it gives 2"
    assert [link.name for link in found.chain] == ["plus", "plus", "small"]
    assert found.chain[-1].says == "failed: ValueError: 1000002 is not small"
    assert [each.label for each in found.steps] == [-1, -1, -1]


@ms.task
async def gives(n: int) -> int:
    return n


@ms.task
async def needs_even(n: int) -> int:
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n


@ms.workflow
def shared_blame(n: int) -> list[Any]:
    start = gives(n)
    middle = gives.options(version="middle")(start)
    apart = gives.options(version="apart")(start)
    sides = [ms.outcome(needs_even.options(version=str(i))(middle)) for i in range(3)]
    return collect([needs_even.options(version="last")(middle), apart, *sides])


def test_where_nothing_can_be_done_again_the_nearest_task_behind_all_failures_has_the_blame() -> None:
    found = asyncio.run(diagnosed(shared_blame, 3))

    assert found.onset is not None
    assert (found.onset.kind, found.onset.name) == ("blame", "gives")
    assert found.onset.task != found.steps[0].task
    assert len(found.candidates) == 4
    assert [link.name for link in found.chain] == ["gives", "needs_even"]


def test_without_the_code_only_what_the_journal_says_is_told() -> None:
    found = asyncio.run(diagnosed(flaky, 1, target="counts", value="many", rerun=False))

    assert found.onset is not None
    assert (found.onset.name, found.onset.kind) == ("counts", "contract")
    assert "declares int and gave str" in found.onset.says
