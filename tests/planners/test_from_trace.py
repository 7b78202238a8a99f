"""A run that is over becomes a plan: its calls are found in the journal, and the plan gives the same results."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

import makespan as ms
from makespan.app import Engine
from makespan.machine.records import Status
from makespan.machine.state import State
from makespan.models.prices import Price
from makespan.models.scripted import Scripted, calling
from makespan.passes.dataflow import Dataflow
from makespan.passes.uses import Known, Taken
from makespan.planners.from_trace import Trace, dataflow_of, steps_of, trace_of
from makespan.planners.live import LivePlan
from makespan.planners.saved import SavedReader, saved_step
from makespan.planners.steps import Reference, Step, Text
from makespan.ports import ModelReply, ModelRequest
from makespan.testing.world import SimulatedWorld

METRES = {"K2": 8611, "Mount Everest": 8849, "Mount Fuji": 3776}
SECOND_NS = 1_000_000_000


@ms.task(effect="pure")
async def search(name: str) -> dict[str, Any]:
    """The height of a mountain."""
    await asyncio.sleep(2)
    return {"name": name, "metres": METRES[name]}


@ms.task(effect="pure")
async def feet(metres: int) -> int:
    await asyncio.sleep(1)
    return round(metres * 3.28084)


@ms.task(effect="pure")
async def subtract(expression: str) -> int:
    await asyncio.sleep(1)
    left, right = expression.split(" - ")
    return int(left) - int(right)


@ms.task(effect="irreversible")
def note(text: str) -> str:
    return f"noted {text}"


@ms.prompt(models=["main"])
def judge(text: str) -> str:
    """Is this right? {text}"""
    ms.chat()


@ms.workflow
async def both(one: str, other: str) -> int:
    found = await ms.gather(search(one), search(other))
    return int(sum(each["metres"] for each in found))


TOOLS: list[ms.Task[..., Any]] = [search, feet, subtract, note, judge, both]


def _is_a_number(answer: str) -> None:
    if not answer.isdigit():
        raise ms.Retry("give a number only")


@ms.prompt(models=["main"], tools=TOOLS, check=_is_a_number, max_turns=12)
def react(question: str) -> str:
    return ms.chat(question)


@ms.workflow
async def again(text: str) -> dict[str, Any]:
    plan = LivePlan(TOOLS)
    await plan.ingest(says(text), format="json")
    await plan.settled()
    return {name: outcome.value for name, outcome in plan.outcomes().items()}


@ms.task
async def says(text: str) -> AsyncIterator[str]:
    yield text


Answers = list[str | ModelReply] | Callable[[ModelRequest], str | ModelReply]
COMPARES: list[str | ModelReply] = [
    calling(("search", {"name": "Mount Everest"})),
    calling(("feet", {"metres": 8849})),
    calling(("search", {"name": "K2"})),
    calling(("search", {"name": "K9"})),
    calling(("feet", {"metres": 8611})),
    calling(("subtract", {"expression": "29032 - 28251"})),
    "about 781",
    "781",
]


def state_of(call: Any, answers: Answers = COMPARES) -> State:
    """The state of a run on virtual time."""

    async def live(world: SimulatedWorld) -> Any:
        models = {"main": Scripted(answers)}
        prices = {"scripted": Price(0, 0, 0)}
        async with Engine(world=world, store="memory", models=models, prices=prices) as engine:
            return await engine.start(call).wait()

    with SimulatedWorld(0) as world:
        state: State = world.run_until(live(world))._state
    return state


def recovered(call: Any, answers: Answers = COMPARES) -> tuple[Trace, Dataflow]:
    return dataflow_of(state_of(call, answers))


# ---------------------------------------------------------------- a serial agent


def test_a_serial_agents_journal_gives_its_calls_and_their_dependencies() -> None:
    trace, flow = recovered(react("How much higher is Mount Everest than K2, in feet?"))

    assert [call.tool for call in trace.calls] == ["search", "feet", "search", "search", "feet", "subtract"]
    assert (flow.failed, flow.levels) == (("4",), (("1", "3"), ("2", "5"), ("6",)))
    assert set(flow.edges) == {("1", "2"), ("3", "5"), ("2", "6"), ("5", "6")}
    assert flow.doubts == ()
    assert trace.turns == 8
    assert (flow.serial_ns, flow.parallel_ns) == (7 * SECOND_NS, 4 * SECOND_NS)


def test_its_steps_refer_to_results_where_values_stood() -> None:
    _, flow = recovered(react("How much higher is Mount Everest than K2, in feet?"))

    assert {step.name: step.kwargs for step in steps_of(flow)} == {
        "1": {"name": "Mount Everest"},
        "2": {"metres": Reference("1", ("metres",))},
        "3": {"name": "K2"},
        "5": {"metres": Reference("3", ("metres",))},
        "6": {"expression": Text((Reference("2"), " - ", Reference("5")))},
    }


def test_the_plan_run_anew_gives_the_same_results_side_by_side() -> None:
    trace, flow = recovered(react("How much higher is Mount Everest than K2, in feet?"))

    plan = msgspec.json.encode([saved_step(step) for step in steps_of(flow)]).decode()
    state = state_of(again(plan))

    calls = [task for task in state.tasks if task.declaration.key in {"search", "feet", "subtract"}]
    results = {call.name: call.result for call in trace.calls if call.ok}
    assert state.root is not None
    assert state.root.status == Status.SUCCEEDED
    assert trace_of(state).calls[-1].result == 781
    assert sorted(str(call.result) for call in trace_of(state).calls if call.tool != "says") == sorted(
        map(str, results.values())
    )
    assert max(task.ended_at for task in calls) - min(task.started_at for task in calls) == flow.parallel_ns


def test_calls_of_one_turn_cannot_have_used_each_other() -> None:
    turn = calling(("feet", {"metres": 8849}), ("search", {"name": "Mount Everest"}))

    _, flow = recovered(react("go"), [turn, "1"])

    assert flow.levels == (("1", "2"),)


def test_calls_with_side_effects_keep_their_order() -> None:
    _, flow = recovered(react("go"), [calling(("note", {"text": "a"})), calling(("note", {"text": "b"})), "1"])

    assert [(use.kind, use.producer, use.call) for use in flow.uses] == [("order", "1", "2")]


def test_turns_and_checks_are_no_calls_and_a_prompt_or_a_workflow_as_a_tool_is_one() -> None:
    def answer(request: ModelRequest) -> str | ModelReply:
        if request.messages[-1].text.startswith("Is this right?"):
            return "yes, quite right"
        size = len(request.messages)
        asked = {1: ("judge", {"text": "x"}), 3: ("both", {"one": "K2", "other": "Mount Fuji"})}
        return calling(asked[size]) if size in asked else "1"

    trace = trace_of(state_of(react("go"), answer))

    assert [(call.tool, call.result) for call in trace.calls] == [("judge", "yes, quite right"), ("both", 12387)]
    assert trace.calls[1].took_ns == 2 * SECOND_NS
    assert trace.turns == 3


def test_a_value_in_the_question_is_given() -> None:
    calls: Answers = [calling(("feet", {"metres": 28251})), calling(("feet", {"metres": 92687})), "1"]

    assert recovered(react("How many feet are 28251 m, and those again?"), calls)[1].edges == (("1", "2"),)
    assert recovered(react("How many feet are 28251 m and 92687 m?"), calls)[1].edges == ()


def test_an_agent_that_called_nothing_has_no_calls() -> None:
    trace, flow = recovered(react("?"), ["1"])

    assert (trace.calls, trace.turns, flow.levels) == ((), 1, ())


# ---------------------------------------------------------------- references of the graph


@ms.workflow
def traced(name: str) -> str:
    found = search(name)
    return note.options(after=[feet(found["metres"])])("done")


@ms.workflow
async def mixed(name: str) -> int:
    found = search(name)
    first = feet(found["metres"])
    value = await first
    return await subtract(f"{value} - 1")


@ms.workflow
async def kept(name: str) -> str:
    outcome = await ms.outcome(search(name))
    return await note("lost" if not outcome else "found")


@ms.workflow
async def raced(name: str) -> int:
    return await feet(ms.first(search(name), search("K2"))["metres"])


def test_what_a_call_was_given_as_a_ref_is_known() -> None:
    trace, flow = recovered(traced("K2"))

    by_tool = {call.tool: call for call in trace.calls}
    search_name, feet_name = by_tool["search"].name, by_tool["feet"].name
    assert by_tool["feet"].known == (Known(search_name, ("metres",), ("metres",)),)
    assert by_tool["note"].known == (Known(feet_name),)
    assert len(flow.levels) == 3


def test_known_and_found_dependencies_are_put_together() -> None:
    _, flow = recovered(mixed("Mount Fuji"))

    assert [(use.producer, use.call, use.kind) for use in flow.uses] == [("2", "3", "text"), ("1", "2", "known")]
    assert flow.levels == (("1",), ("2",), ("3",))


def test_what_went_through_a_join_waits_for_what_ended_before_it() -> None:
    trace, flow = recovered(raced("Mount Fuji"))

    (after,) = [call for call in trace.calls if call.tool == "feet"]
    found = [call.name for call in trace.calls if call.tool == "search"]
    assert [known.producer for known in after.known] == found
    assert list(flow.needs[after.name]) == found


@pytest.mark.parametrize(("name", "failed"), [("K2", 0), ("K9", 1)])
def test_a_failed_call_is_no_part_of_the_plan(name: str, failed: int) -> None:
    trace, flow = recovered(kept(name))

    assert len(trace.calls) == 2
    assert len(flow.failed) == failed


@ms.task(effect="pure")
def born(year: int) -> datetime.datetime:
    return datetime.datetime(year, 5, 6, tzinfo=datetime.UTC)


@ms.task(effect="pure")
def aged(since: datetime.datetime) -> int:
    return 2000 - since.year


@ms.workflow
async def ages() -> int:
    date = await born(1923)
    return await aged(date)


def test_dates_and_the_like_are_compared_as_the_text_they_write() -> None:
    trace, flow = recovered(ages())

    assert trace.calls[0].result == "1923-05-06T00:00:00Z"
    assert flow.arguments["2"] == {"since": Taken("1")}


def test_a_reference_behind_a_dollar_sign_is_kept_and_read_back() -> None:
    calls: Answers = [calling(("feet", {"metres": 28251})), calling(("note", {"text": "$92687"})), "1"]

    _, flow = recovered(react("?"), calls)

    (_, step) = steps_of(flow)
    assert step == Step("2", "note", kwargs={"text": Text(("$", Reference("1")))})
    reader = SavedReader()
    kept = msgspec.json.encode([saved_step(each) for each in steps_of(flow)]).decode()
    read = [each for each in (*reader.feed(kept), *reader.close()) if isinstance(each, Step)]
    assert read[1].kwargs == step.kwargs
