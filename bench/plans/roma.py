"""A tree of goals, three parts a goal and four levels: how large prompts get, and how long it takes.

The model is scripted on the virtual clock: what is measured is which prompts there are, and what waits for what.
"""

import re
from collections.abc import Callable, Iterator, Mapping

import makespan as ms
from bench.measure import Figures
from bench.table_row import Row
from makespan.models.scripted import Scripted, prompt_text
from makespan.ports import ModelRequest
from makespan.recipes.roma import roma
from makespan.testing import running

LEAF_CHARS, SUMMARY_CHARS = 2_000, 800
CHARS_PER_TOKEN = 4
SECONDS = {"ask": 0.2, "split": 1.0, "do": 2.0, "join": 1.0}
MOST_TOKENS, WITHIN = 1_500, 1.05


class Tree:
    """A scripted model of a tree of goals: `g` has the children `g.0`, `g.1`, …; leaves are `depth` deep."""

    def __init__(self, width: int, depth: int) -> None:
        self.width, self.depth = width, depth
        self.model = Scripted(self.answer, latency_s=lambda request: SECONDS[self.kind(request)])
        self.prompts: list[int] = []

    def kind(self, request: ModelRequest) -> str:
        text = prompt_text(request)
        if text.startswith("Can this be done"):
            return "ask"
        return "split" if text.startswith("Split") else "join" if text.startswith("Answer") else "do"

    def answer(self, request: ModelRequest) -> str:
        text, kind = prompt_text(request), self.kind(request)
        self.prompts.append(len(text))
        found = re.search(r"(?:Goal: |^)(goal(?:\.\d)*)", text)
        assert found is not None
        goal = found[1]
        if kind == "ask":
            return "true" if goal.count(".") == self.depth else "false"
        if kind == "split":
            return str([{"goal": f"{goal}.{n}", "needs": []} for n in range(self.width)]).replace("'", '"')
        return f"{goal} " + "r" * (LEAF_CHARS if kind == "do" else SUMMARY_CHARS)

    @property
    def critical_path_s(self) -> float:
        inner = SECONDS["ask"] + SECONDS["split"] + SECONDS["join"]
        return self.depth * inner + SECONDS["ask"] + SECONDS["do"]


@ms.workflow
async def report(goal: str) -> str:
    result: str = await roma(goal)
    return result


def grown(quick: bool) -> Figures:
    """The whole tree; it takes a second either way."""
    tree = Tree(width=3, depth=4)
    result = running.run(report("goal"), models=tree.model, options={"budget_usd": 0.0})
    assert result.output.startswith("goal r")
    leaves = sum(tree.kind(request) == "do" for request in tree.model.calls)
    return {
        "leaves": leaves,
        "flat_tokens": leaves * LEAF_CHARS / CHARS_PER_TOKEN,
        "most_tokens": max(tree.prompts) / CHARS_PER_TOKEN,
        "makespan_s": result.makespan_s,
        "critical_path_s": tree.critical_path_s,
    }


CASES: dict[str, Callable[[bool], Figures]] = {"plans-roma": grown}


def rows(results: Mapping[str, Figures]) -> Iterator[Row]:
    """The table's rows for which there are figures."""
    if "plans-roma" not in results:
        return
    seen = results["plans-roma"]
    yield Row(
        f"largest prompt of a tree of goals with {seen['leaves']:.0f} leaves",
        f"≤ {MOST_TOKENS:,} tokens",
        f"flat transcript {seen['flat_tokens']:,.0f}",
        f"{seen['most_tokens']:,.0f}",
        f"{seen['most_tokens'] / seen['flat_tokens']:.3f} ×",
        seen["most_tokens"] <= MOST_TOKENS,
    )
    ratio = seen["makespan_s"] / seen["critical_path_s"]
    yield Row(
        "its makespan, virtual clock",
        f"≤ {WITHIN} × critical path",
        f"{seen['critical_path_s']:.1f} s",
        f"{seen['makespan_s']:.1f} s",
        f"{ratio:.3f} ×",
        ratio <= WITHIN,
    )
