"""`makespan trace RUN --dag`: an agent's run as a plan."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from makespan.planners.saved import SavedReader
from makespan.planners.steps import Reference, Step, Text
from tests.cli.calling import makespan

AGENT = """
import makespan as ms
from makespan.models.prices import Price
from makespan.models.scripted import Scripted, calling

METRES = {"K2": 8611, "Mount Everest": 8849}


@ms.task(effect="pure")
def search(name: str) -> dict[str, int]:
    return {"metres": METRES[name]}


@ms.task(effect="pure")
def subtract(expression: str, limit: int = 0) -> int:
    left, right = expression.split(" - ")
    return int(left) - int(right)


@ms.prompt(models=["main"], tools=[search, subtract])
def react(question: str) -> str:
    return ms.chat(question)


turns = [
    calling(("search", {"name": "Mount Everest"})),
    calling(("search", {"name": "K2"})),
    calling(("subtract", {"expression": "8849 - 8611", "limit": 7001})),
    "238",
]


async def main() -> None:
    models, prices = {"main": Scripted(turns)}, {"scripted": Price(0, 0, 0)}
    async with ms.Engine(models=models, prices=prices) as engine:
        await engine.start(react("How much higher is Mount Everest than K2?"), id="one")


if __name__ == "__main__":
    import asyncio

    asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def agent_ran(folder: Path) -> None:
    """An agent's run `one` in the store of the folder."""
    (folder / "agent.py").write_text(AGENT)
    runpy.run_path(str(folder / "agent.py"), run_name="__main__")


def test_the_levels_the_evidence_and_the_totals_are_printed() -> None:
    said = makespan("trace", "one", "--dag")

    assert said.code == 0, said.err
    assert "level 1" in said.out
    assert "1 ─▶ 3 expression holds its result['metres']: '8849'" in said.out
    assert "3 calls in 2 levels" in said.out
    assert "models: 4 turns in" in said.out
    assert "3.limit '7001'" in said.out


def test_the_plan_is_written_as_a_kept_plan() -> None:
    assert makespan("trace", "one", "--dag", "-o", "plan.json").out.endswith("wrote plan.json\n")

    reader = SavedReader()
    found = [*reader.feed(Path("plan.json").read_text()), *reader.close()]

    steps = [each for each in found if isinstance(each, Step)]
    assert [step.tool for step in steps] == ["search", "search", "subtract"]
    assert steps[2].kwargs["expression"] == Text((Reference("1", ("metres",)), " - ", Reference("2", ("metres",))))


def test_json_has_levels_needs_and_every_use() -> None:
    data = makespan("trace", "one", "--dag", "--json", "-o", "plan.json").json

    assert data["levels"] == [["1", "2"], ["3"]]
    assert data["needs"]["3"] == ["1", "2"]
    assert data["rounds"] == {"calls": 3, "levels": 2}
    assert [(use["producer"], use["span"]) for use in data["uses"]] == [("1", [0, 4]), ("2", [7, 11])]
    assert json.loads(Path("plan.json").read_text())["steps"]


def test_a_run_without_calls_and_a_place_that_cannot_be_written_are_said() -> None:
    assert "cannot write the plan to 'no/plan.json'" in makespan("trace", "one", "--dag", "-o", "no/plan.json").err
    assert "--plan goes with --gantt only" in makespan("trace", "one", "--dag", "--plan", "x.json").err
    makespan("run", "flows.py:echo", "-i", 'point={"x": 1}', "--id", "none", "-q")
    assert "has no finished tool call" in makespan("trace", "none", "--dag").err
