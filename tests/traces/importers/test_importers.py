"""Logs of other tools become runs: no step is lost, and what a run shows is what the file says."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from makespan.machine.facts import decode_facts, encode_facts
from makespan.machine.records import Status, TaskState
from makespan.machine.state import State
from makespan.traces.importers.foreign import TOOL, ForeignTrace, NotReadable, facts_of, run_id_of
from makespan.traces.importers.reading import read_foreign
from makespan.traces.metrics import TraceFold
from makespan.traces.onset import why
from makespan.traces.summary import summarise
from tests.prove import example_count
from tests.traces.importers.logs import ATIF, ITEMS, MESSAGES, OPENINFERENCE, SUBAGENTS, otlp, span

encode = msgspec.json.encode
WALL_NS = 1_700_000_000_000_000_000


def read(data: Any) -> tuple[ForeignTrace, State]:
    content = data if isinstance(data, bytes) else encode(data)
    trace = read_foreign(content)
    facts = decode_facts(encode_facts(facts_of(trace, run_id_of(content), WALL_NS)))
    return trace, TraceFold(State()).take(facts).state


def names(state: State) -> list[str]:
    return [task.declaration.key for task in state.tasks]


def taken(state: State, task: TaskState) -> list[str]:
    return [state.tasks[number].declaration.key for number, _, _ in task.spec.sources]


def test_a_trajectory_keeps_every_step_call_token_and_time() -> None:
    trace, state = read(ATIF)

    assert (trace.form, trace.taken, trace.in_file, len(trace.steps)) == ("atif", 4, 4, 7)
    assert names(state) == ["shell-agent", "user", "turn", "bash", "bash", "observation", "system", "turn"]
    outputs = [msgspec.msgpack.decode(task.value) for task in state.tasks[1:] if type(task.value) is bytes]
    assert outputs[2:5] == ["empty", "", "a bell rang"]
    summary = summarise(state)
    assert (summary.status, summary.makespan_s, summary.cost_usd) == ("succeeded", 6.0, 0.002)
    assert (summary.tokens.prompt, summary.tokens.cached, summary.tokens.completion) == (100, 40, 20)
    assert [taken(state, state.tasks[n]) for n in (2, 6)] == [["user"], ["bash", "bash", "observation"]]


def test_what_a_tool_was_given_tells_whether_it_changed_the_world() -> None:
    _, state = read(ATIF)

    assert [(each.label, each.is_change) for each in why(state, {}).steps] == [
        (1, False),  # the message
        (1, False),  # the turn
        (1, False),  # ls
        (1, True),  # echo into a file
        (1, False),
        (1, False),
        (1, False),
    ]


@pytest.mark.parametrize(
    "data",
    [
        MESSAGES,
        {"messages": MESSAGES},
        b"\n".join(encode(message) for message in MESSAGES),
        b"\n".join(encode({"messages": MESSAGES[:n]}) for n in (3, 5, 6)),
        b"\n".join(
            encode({"request": {"messages": MESSAGES[:n]}, "response": {"choices": [{"message": MESSAGES[n]}]}})
            for n in (2, 5)
        ),
    ],
    ids=["list", "object", "a line each", "growing records", "requests and responses"],
)
def test_messages_in_any_usual_shape_are_one_conversation(data: Any) -> None:
    trace, state = read(data)

    assert (trace.form, trace.taken, trace.in_file) == ("openai", 6, 6)
    assert names(state)[1:] == ["system", "user", "turn", "get_weather", "send_mail", "turn"]
    assert [taken(state, state.tasks[n]) for n in (4, 5, 6)] == [["turn"], ["turn"], ["get_weather", "send_mail"]]
    assert state.tasks[4].spec.args == (msgspec.msgpack.encode({"city": "Oslo"}),)
    assert state.status == "succeeded"


def test_items_of_responses_are_read_too_with_the_calls_of_tools_that_the_api_brings_along() -> None:
    trace, state = read(ITEMS)

    assert (trace.taken, trace.in_file, trace.output) == (7, 7, "ok")
    assert names(state)[1:] == ["user", "turn", "turn", "look_up", "web_search", "delete_page", "turn"]
    assert (state.usage.prompt_tokens, state.usage.cached_tokens, state.usage.completion_tokens) == (7, 3, 2)
    assert [task.status for task in state.tasks[5:]] == [Status.SUCCEEDED, Status.FAILED, Status.SUCCEEDED]


def test_further_choices_are_turns_beside_the_one_that_goes_on() -> None:
    said = [{"message": {"role": "assistant", "content": text}} for text in ("one", "two")]
    first = {"messages": MESSAGES[:2], "choices": said, "usage": {"prompt_tokens": 5, "completion_tokens": 4}}
    second = {"messages": [*MESSAGES[:2], said[0]["message"], {"role": "user", "content": "more"}]}

    trace, state = read([first, second])

    assert (trace.taken, trace.in_file, trace.output) == (5, 5, "one")
    assert [taken(state, state.tasks[n]) for n in (3, 4)] == [["user"], ["user"]]
    assert [number for number, _, _ in state.tasks[5].spec.sources] == [3]
    assert state.usage.total_tokens == 9


def test_subagents_in_the_file_are_inside_the_call_that_refers_to_them_and_none_is_lost() -> None:
    trace, state = read(SUBAGENTS)

    assert (trace.taken, trace.in_file) == (7, 7)
    said = "boss user turn sub-x turn turn sub-z turn Task dispatch sub-y turn"
    assert names(state) == said.split()
    assert taken(state, state.tasks[8]) == ["sub-x"]
    assert [state.scopes[state.tasks[n].spec.scope].name for n in (4, 7, 11)] == ["sub-x", "sub-z", "sub-y"]
    assert all(task.status == Status.SUCCEEDED for task in state.tasks)
    assert state.tasks[3].finish >= state.tasks[7].finish


def test_a_real_trajectory_is_there_step_by_step_call_by_call_and_figure_by_figure() -> None:
    content = (Path(__file__).parent / "data" / "harbor-claude-code.json").read_bytes()
    said = msgspec.json.decode(content)

    trace, state = read(content)

    calls = [call for step in said["steps"] for call in step.get("tool_calls", [])]
    tools = [task for task, step in zip(state.tasks[1:], trace.steps, strict=True) if step.kind == TOOL]
    assert (trace.taken, trace.in_file) == (12, len(said["steps"]))
    assert {step.of for step in trace.steps} == set(range(12))
    assert [task.declaration.key for task in tools] == [call["function_name"] for call in calls]
    assert [msgspec.msgpack.decode(task.spec.args[0]) for task in tools] == [call["arguments"] for call in calls]
    results = [r["content"] for step in said["steps"] for r in step.get("observation", {}).get("results", [])]
    assert [msgspec.msgpack.decode(state.bytes_of(task.value or b"")) for task in tools] == results
    totals = said["final_metrics"]
    assert (state.usage.prompt_tokens, state.usage.cached_tokens, state.usage.completion_tokens) == (
        totals["total_prompt_tokens"],
        totals["total_cached_tokens"],
        totals["total_completion_tokens"],
    )
    assert summarise(state).cost_usd == pytest.approx(totals["total_cost_usd"])
    first, last = (datetime.fromisoformat(said["steps"][n]["timestamp"]) for n in (0, -1))
    assert summarise(state).makespan_s == pytest.approx((last - first).total_seconds())
    changes = [
        step.is_change for step, one in zip(why(state, {}).steps, trace.steps, strict=True) if one.name == "Edit"
    ]
    assert changes == [True] * len(changes)
    assert len(changes) == 3


def test_a_call_that_failed_and_was_got_over_harms_by_itself_and_what_follows_was_told() -> None:
    data = copy.deepcopy(ATIF)
    data["steps"][1]["observation"]["results"][1]["extra"] = {"tool_result_is_error": True}

    _, state = read(data)
    found = why(state, {})

    assert state.tasks[3].status == Status.FAILED
    assert [each.label for each in found.steps] == [1, 1, -1, 1, 1, 1, 1]
    assert found.onset is None
    assert [each.says for each in found.candidates] == ["it failed: ForeignError: empty"]


def test_times_without_a_zone_are_in_utc() -> None:
    data = {**ATIF, "steps": [{**ATIF["steps"][0], "timestamp": "2026-03-01T10:00:00"}, ATIF["steps"][1]]}

    assert summarise(read(data)[1]).makespan_s == 2.0


def test_a_span_of_a_model_with_spans_below_it_keeps_its_tokens_and_one_around_a_model_does_not_count_them_twice() -> (
    None
):
    tokens = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 8, "gen_ai.usage.output_tokens": 1}
    below = otlp(span("1", "", "chat", 0, 9, tokens), span("2", "1", "POST", 1, 8, {}))
    around = otlp(span("1", "", "chat", 0, 9, tokens), span("2", "1", "chat", 1, 8, tokens))

    assert [read(data)[1].usage.total_tokens for data in (below, around)] == [9, 9]


def test_spans_keep_their_nesting_times_errors_and_what_follows_from_what() -> None:
    trace, state = read(OPENINFERENCE)
    fold = TraceFold(State()).take(facts_of(trace, "r", WALL_NS))

    assert (trace.form, trace.taken, trace.in_file) == ("otlp", 5, 5)
    assert names(state) == ["agent", "agent", "ChatCompletion", "read_price", "check_stock", "reserve_item"]
    assert taken(state, state.tasks[5]) == ["read_price", "check_stock"]
    assert state.tasks[5].status == Status.FAILED
    assert (state.status, state.error and state.error.message) == ("failed", "no stock")
    assert fold.metrics().makespan_s == pytest.approx(1e-6)
    found = why(state, {})
    assert found.onset is not None
    assert (found.onset.name, found.onset.kind, found.onset.says) == (
        "reserve_item",
        "error",
        "it failed: ForeignError: no stock",
    )


def test_the_same_file_is_the_same_run_and_the_same_facts() -> None:
    content = encode(ATIF)

    first = encode_facts(facts_of(read_foreign(content), run_id_of(content), WALL_NS))

    assert first == encode_facts(facts_of(read_foreign(content), run_id_of(content), WALL_NS))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"hello", "no JSON"),
        (b'{"a": 1}\n{"a"', "line 2"),
        (b'{"a": 1}', "neither an ATIF trajectory"),
        (b'{"schema_version": "ATIF-v9", "steps": []}', "ATIF-v1.x can be read"),
        (b'{"schema_version": "ATIF-v1.4", "steps": [3]}', r"steps\[0\] is a number"),
        (b'{"schema_version": "ATIF-v1.4", "steps": [{"timestamp": "noon"}]}', "'noon': no time in ISO 8601"),
        (b'{"schema_version": "ATIF-v1.4", "steps": []}', "no step"),
        (b'{"resourceSpans": []}', "no span|no step"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "x"}]}]}]}', "no startTimeUnixNano"),
        (b"[]", "neither an ATIF"),
        (
            b'{"schema_version": "ATIF-v1.4", "steps": [{"tool_calls": 3}]}',
            r"steps\[0\].tool_calls is a number, not a list",
        ),
        (b'{"messages": [{"role": "user"}, {"role": "robot"}]}', r"messages\[1\] has role 'robot': no message"),
    ],
)
def test_what_cannot_be_read_says_what_and_where(content: bytes, says: str) -> None:
    with pytest.raises(NotReadable, match=says):
        facts_of(read_foreign(content), "r", WALL_NS)


WRONG: list[Any] = [None, 3, -1, 1.5, 1e300, "", "x", [], {}, [3], [None], {"a": 1}, True, "9" * 40]


def places(data: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    for key in data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield from places(data[key], (*at, key))


def with_wrong(data: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    data = copy.deepcopy(data)
    holder = data
    for key in at[:-1]:
        holder = holder[key]
    holder[at[-1]] = value
    return data


@pytest.mark.parametrize("data", [ATIF, SUBAGENTS, {"messages": MESSAGES}, ITEMS, OPENINFERENCE])
def test_with_anything_anywhere_a_log_is_read_whole_or_refused_with_a_reason(data: Any) -> None:
    chance = random.Random(1)
    everywhere = [(at, value) for at in places(data) for value in WRONG]

    for at, value in chance.sample(everywhere, min(example_count(500), len(everywhere))):
        try:
            trace, state = read(with_wrong(data, at, value))
        except NotReadable:
            continue
        assert trace.taken == trace.in_file, (at, value)
        assert len(state.tasks) == len(trace.steps) + 1, (at, value)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"1\n" + b"[" * 100_000])
def test_what_is_nested_without_end_is_refused(content: bytes) -> None:
    with pytest.raises(NotReadable, match="nested too deeply"):
        read_foreign(content)
