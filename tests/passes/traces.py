"""Serial traces whose true dependencies are known: the shapes of published plans, and random ones."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from makespan.passes.dataflow import Dataflow
from makespan.passes.uses import Call

SHAPES = (
    "s s",
    "s s",
    "s s s s s s s s",
    "s m1 s m3 s m5 m2,4,6",
    "s m1 s m3 m3,4",
    "s m1 s m3",
    "s s m1,2 s s m4,5 m3,6",
    "s s m1,2",
)
"""The eight example plans of LLMCompiler by tool (search, math) and dependencies, in order; each ends with a join on
all calls before it, which is left out here. 38 calls in 16 levels."""

Edges = set[tuple[str, str]]


@dataclass(frozen=True)
class Truth:
    """A trace and what it really is."""

    calls: list[Call]
    given: list[Any]
    edges: Edges


def flattened(shape: str, seed: int, *, joined: bool) -> Truth:
    """A plan's calls as a model made them, one after the other; with its join, which was told every result."""
    rng = Random(seed)
    calls: list[Call] = []
    edges: Edges = set()
    for place, said in enumerate(shape.split(), 1):
        needs = [int(each) for each in said[1:].split(",") if each]
        edges |= {(str(need), str(place)) for need in needs}
        results = [calls[need - 1].result for need in needs]
        calls.append(_search(place, rng) if said[0] == "s" else _math(place, results, rng))
    if joined:
        edges |= {(call.name, str(len(calls) + 1)) for call in calls}
        told = "\n".join(f"{call.tool}: {call.result}" for call in calls)
        calls.append(Call(str(len(calls) + 1), "join", {"told": told}, "the answer", effect="pure"))
    return Truth(calls, ["What is the sum of the heights and areas of these places, in feet and in miles?"], edges)


def _search(place: int, rng: Random) -> Call:
    thing = f"{_name(rng)} {_name(rng)}"
    found = f"The height of {thing} is {rng.randint(1_000, 900_000):,} metres; it has {rng.randint(1000, 9_999_999)}."
    return Call(str(place), "search", {"query": f"height of {thing}"}, found, effect="pure")


def _math(place: int, results: list[Any], rng: Random) -> Call:
    numbers = [result.split(" is ")[1].split(" ")[0] if isinstance(result, str) else str(result) for result in results]
    said = {"expression": f"{rng.choice([' + ', ' * ', ' - ']).join(numbers)} {rng.choice(['+ 1', '/ 2', '* 3'])}"}
    return Call(str(place), "math", said, rng.randint(10**6, 10**9) / 10, effect="pure")


def _name(rng: Random) -> str:
    return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.randint(2, 4))).title()


def random_trace(seed: int, pool: list[Any] | None = None) -> Truth:
    """A trace of up to 14 calls: results are texts, numbers, lists and records, parts of which later calls use.

    Args:
        pool: where values are drawn from; None makes each of them up anew.
    """
    rng = Random(seed)
    calls: list[Call] = []
    edges: Edges = set()
    for place in range(1, rng.randint(2, 15)):
        arguments: dict[str, Any] = {"what": f"{rng.choice(['list', 'find', 'open'])} number-{seed}-{place}"}
        for slot in range(rng.choice([0, 0, 1, 1, 2, 3]) if calls else 0):
            source = rng.choice(calls)
            edges.add((source.name, str(place)))
            arguments[f"from{slot}"] = _using(_part(source.result, rng), rng)
        calls.append(Call(str(place), rng.choice("abc"), arguments, _result(rng, pool), effect="pure"))
    return Truth(calls, ["list, find and open what there is"], edges)


def _leaf(rng: Random, pool: list[Any] | None) -> Any:
    if pool is not None:
        return rng.choice(pool)
    return rng.choice(
        [
            rng.randint(10**5, 10**9),
            round(rng.uniform(1e4, 1e6), 4),
            f"{_name(rng)}{rng.randint(10**5, 10**7)} {_name(rng)}",
            f"id-{rng.getrandbits(48):012x}",
        ]
    )


def _result(rng: Random, pool: list[Any] | None) -> Any:
    kind = rng.randrange(4)
    if kind == 0:
        return _leaf(rng, pool)
    if kind == 1:
        return [_leaf(rng, pool) for _ in range(rng.randint(1, 4))]
    return {name: _leaf(rng, pool) if kind == 2 else [_leaf(rng, pool)] for name in ("key", "score", "of")}


def _part(value: Any, rng: Random) -> Any:
    if isinstance(value, list | dict) and rng.random() < 0.8:
        inner = rng.choice(value if isinstance(value, list) else list(value.values()))
        return _part(inner, rng)
    return value


def _using(value: Any, rng: Random) -> Any:
    """The same value, whole, inside a record, or in a text."""
    shape = rng.randrange(3)
    if shape == 0 or isinstance(value, list | dict | bool) or not value:
        return {"deep": [value]} if shape == 1 else value
    if shape == 1:
        return {"deep": [{"value": value}, "plain"]}
    form = f"{value:,}" if isinstance(value, int) and rng.random() < 0.5 else value
    return f"what is about {form}, then?"


@dataclass
class Score:
    """Edges found against true ones."""

    found: int = 0
    true: int = 0
    right: int = 0
    silent: int = 0
    """Wrong edges that no doubt is told about, and true ones that were missed without one."""

    def count(self, flow: Dataflow, truth: Truth) -> None:
        found = set(flow.edges)
        self.found += len(found)
        self.true += len(truth.edges)
        self.right += len(found & truth.edges)
        told = {(other, doubt.call) for doubt in flow.doubts for other in (doubt.chosen, *doubt.candidates)}
        self.silent += len((found ^ truth.edges) - told)

    @property
    def precision(self) -> float:
        return self.right / self.found

    @property
    def recall(self) -> float:
        return self.right / self.true
