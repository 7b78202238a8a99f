"""Agents: prompts with tools or a check."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

import makespan as ms
from makespan.cli.reachable import models_of, reachable_tasks
from makespan.errors import GraphError, LimitError, ProviderError
from makespan.machine.records import Status
from makespan.models.prices import Price
from makespan.models.scripted import Scripted, calling
from makespan.ports import Message, ModelReply, ModelRequest
from makespan.testing.disk import SimulatedDisk
from makespan.testing.world import SimulatedWorld
from makespan.values import Usage

CENT = Price(0, 0, 10_000_000)
"""One cent a completion token, so that a turn of one token costs a cent."""
SEEN: list[Any] = []


@dataclass(frozen=True)
class Answer:
    text: str
    sources: list[str]


@ms.task
async def search(query: str, limit: int = 2) -> list[str]:
    """Find documents."""
    return [f"{query}-{number}" for number in range(limit)]


@ms.task
def refund(order: str, usd: float) -> str:
    """Give money back."""
    if usd > 100:
        raise ValueError("more than the order was worth")
    return f"{order} got {usd}"


@ms.task(retries=1)
def flaky() -> str:
    if ms.context().attempt == 1:
        raise ms.Retry("the first attempt always fails")
    return "at last"


@ms.task
def unready() -> str:
    raise ms.Retry("not yet")


@ms.task
def hopeless() -> str:
    raise ms.Fatal("the shop has burned down")


@ms.workflow
async def stock(item: str) -> int:
    found = await ms.gather(search(item), search(item, 3))
    return sum(len(each) for each in found)


@ms.workflow
def traced_search(query: str) -> list[str]:
    return search(query, 1)


@ms.prompt(models=["main"], tools=[search, refund, flaky, unready, hopeless, stock, traced_search])
def support(ticket: str) -> Answer:
    """You are support. Ticket: {ticket}"""
    ms.chat()


@ms.prompt(models=["main"], tools=[search], max_turns=2)
def brief(question: str) -> str:
    return ms.chat(question, system="Be brief.")


def done(text: str = "done") -> str:
    return msgspec.json.encode(Answer(text, [])).decode()


def run(
    call: ms.Ref[Any],
    answers: Any,
    *,
    prices: Mapping[str, Price] | None = None,
    **options: Any,
) -> tuple[ms.Result[Any], Scripted]:
    model = answers if isinstance(answers, Scripted) else Scripted(answers)

    async def main(world: SimulatedWorld) -> ms.Result[Any]:
        priced = {"scripted": Price(0, 0, 0), **(prices or {})}
        async with ms.Engine(world=world, store="memory", models={"main": model}, prices=priced) as engine:
            return await engine.start(call, **options)

    with SimulatedDisk() as disk, SimulatedWorld(1, disk) as world:
        return world.run_until(main(world)), model


def results(model: Scripted) -> list[str]:
    """What the last turn was told of its calls."""
    return [message.text for message in model.calls[-1].messages if message.role == "tool"]


def told(*calls: tuple[str, Mapping[str, Any]]) -> list[str]:
    """What the model hears about these calls of one turn."""
    result, model = run(support("t"), [calling(*calls), done()])
    assert result.output == Answer("done", [])
    return results(model)


def keys(result: ms.Result[Any]) -> list[str]:
    return [task.declaration.key for task in result._state.tasks]


# ---------------------------------------------------------------- turns and calls


def test_results_go_back_in_the_order_of_the_calls_and_the_answer_is_typed() -> None:
    calls = calling(("refund", {"order": "o1", "usd": 5}), ("search", {"query": "sky"}), text="Let me see.")

    result, model = run(support("where is it?"), [calls, done("found")])

    assert result.output == Answer("found", [])
    opening, asked, *answered = model.calls[1].messages
    assert opening == Message.user("You are support. Ticket: where is it?")
    assert (asked.text, [call.name for call in asked.tool_calls]) == ("Let me see.", ["refund", "search"])
    assert answered == [Message.tool("call_0", "o1 got 5.0"), Message.tool("call_1", '["sky-0","sky-1"]')]


def test_every_turn_and_every_call_is_a_task_of_the_run() -> None:
    result, _ = run(support("t"), [calling(("search", {"query": "a"})), done()])

    assert sorted(keys(result)) == ["search", "support", "support call", "support turn", "support turn"]


def test_calls_of_one_turn_run_at_the_same_time() -> None:
    meeting = asyncio.Barrier(2)

    @ms.task(key="meet")
    async def meet(who: str) -> str:
        await meeting.wait()
        return who

    @ms.prompt(models=["main"], tools=[meet], key="host")
    def host() -> str:
        return ms.chat("Let them meet.")

    result, model = run(host(), [calling(("meet", {"who": "a"}), ("meet", {"who": "b"})), "met"])

    assert (result.output, results(model)) == ("met", ["a", "b"])


def test_workflows_and_plain_workflows_are_tools_too() -> None:
    assert told(("stock", {"item": "x"}), ("traced_search", {"query": "y"})) == ["5", '["y-0"]']


def test_an_agent_is_a_tool_of_another() -> None:
    @ms.prompt(models=["main"], tools=[brief], key="boss")
    def boss(goal: str) -> str:
        return ms.chat(goal)

    def answer(request: ModelRequest) -> str | ModelReply:
        if request.messages[0].text == "Be brief.":
            return "42"
        return calling(("brief", {"question": "?"})) if len(request.messages) == 1 else request.messages[-1].text

    assert run(boss("ask"), answer)[0].output == "42"


def test_a_call_repeated_in_a_later_turn_is_made_again() -> None:
    call = calling(("search", {"query": "a"}))

    result, _ = run(support("t"), [call, call, done()])

    assert keys(result).count("search") == 2


def test_an_agent_may_be_called_from_a_workflow_mapped_and_given_options() -> None:
    @ms.workflow
    async def many(tickets: list[str]) -> list[str]:
        answers = await ms.map(lambda ticket: brief.options(models=["other"])(ticket), tickets)
        return [await brief("last"), *answers]

    other = Scripted(lambda request: f"other {request.messages[-1].text}", name="other")

    async def main() -> Any:
        models = {"main": Scripted("main"), "other": other}
        prices = {"scripted": Price(0, 0, 0), "other": Price(0, 0, 0)}
        async with ms.Engine(store="memory", models=models, prices=prices) as engine:
            return await engine.start(many(["a", "b"]))

    assert asyncio.run(main()).output == ["main", "other a", "other b"]


def test_models_given_at_a_call_of_a_plain_prompt_are_used_beside_those_of_other_calls() -> None:
    @ms.prompt(models=["main"], key="say")
    def say() -> str:
        return ms.chat("?")

    @ms.workflow
    async def both() -> list[str]:
        return [await say(), await say.options(models=["other"])()]

    async def main() -> Any:
        models = {"main": Scripted("main"), "other": Scripted("other", name="other")}
        prices = {"scripted": Price(0, 0, 0), "other": Price(0, 0, 0)}
        async with ms.Engine(store="memory", models=models, prices=prices) as engine:
            return await engine.start(both())

    assert asyncio.run(main()).output == ["main", "other"]


# ---------------------------------------------------------------- what goes wrong


def test_a_tools_failure_is_told_and_a_retried_one_is_not() -> None:
    assert told(("refund", {"order": "o", "usd": 500}), ("flaky", {})) == [
        "Error: ValueError: more than the order was worth",
        "at last",
    ]


def test_a_tools_retry_is_for_the_model_at_once_unless_the_tool_says_how_often() -> None:
    result, model = run(support("t"), [calling(("unready", {})), done()])

    assert result.status == "succeeded"
    assert [m.text for m in model.calls[1].messages if m.role == "tool"] == ["Error: Retry: not yet"]
    assert result.summary.attempts == 3, "two turns and one call"


def test_a_fatal_tool_ends_the_agent() -> None:
    result, model = run(support("t"), [calling(("hopeless", {}), ("search", {"query": "a"})), done()])

    with pytest.raises(ms.TaskError, match="the shop has burned down"):
        result.output
    assert len(model.calls) == 1


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("refnd", {}, "there is no tool 'refnd'; did you mean 'refund'?"),
        ("search", {"qery": "a"}, "search has no parameter 'qery'; did you mean 'query'?"),
        ("refund", {"order": "o"}, "refund misses 'usd'"),
        ("refund", {"order": "o", "usd": "much"}, "the argument 'usd' of refund does not fit"),
    ],
)
def test_a_call_that_cannot_be_made_is_told_with_a_suggestion(name: str, arguments: Any, said: str) -> None:
    assert said in told((name, arguments))[0]


@pytest.mark.parametrize(("arguments", "said"), [('{"query": ', "are not JSON"), ("[1]", "are list: write one JSON")])
def test_arguments_that_are_no_object_are_told(arguments: str, said: str) -> None:
    call = calling(("search", {}))
    broken = msgspec.structs.replace(
        call, tool_calls=(msgspec.structs.replace(call.tool_calls[0], arguments=arguments),)
    )

    _, model = run(support("t"), [broken, done()])

    assert said in results(model)[0]


def test_a_null_for_an_argument_with_a_default_is_the_default() -> None:
    assert told(("search", {"query": "a", "limit": None})) == ['["a-0","a-1"]']


def test_calls_above_the_limit_of_a_turn_are_not_made() -> None:
    said = told(*[("search", {"query": str(number), "limit": 0}) for number in range(33)])

    assert said[:32] == ["[]"] * 32
    assert "a turn may make 32" in said[32]


def test_a_refused_approval_is_told() -> None:
    @ms.task(effect="irreversible", approve=True, key="pay")
    def pay(usd: float) -> str:
        SEEN.append(usd)
        return "paid"

    @ms.prompt(models=["main"], tools=[pay], key="payer")
    def payer() -> str:
        return ms.chat("Pay.")

    model = Scripted([calling(("pay", {"usd": 5})), "I may not."])

    async def main() -> ms.Result[Any]:
        engine = ms.Engine(store="memory", models={"main": model}, prices={"scripted": Price(0, 0, 0)})
        async with engine:
            handle = engine.start(payer())

            asked = asyncio.Event()
            handle.watch(lambda facts, state: asked.set() if handle.questions() else None)
            await asked.wait()
            handle.answer(handle.questions()[0].task, False, author="ann", why="too much")
            return await handle

    result = asyncio.run(main())

    assert result.output == "I may not."
    assert "was refused by ann: too much" in results(model)[0]
    assert SEEN == []


# ---------------------------------------------------------------- the end of an agent


def test_the_last_turn_has_no_tools_and_is_told_to_answer() -> None:
    result, model = run(brief("?"), [calling(("search", {"query": "a"})), "as far as I know: 42"])

    assert result.output == "as far as I know: 42"
    assert [len(call.tools) for call in model.calls] == [1, 0]
    assert "last turn" in model.calls[1].messages[-1].text


def test_a_model_that_calls_tools_in_its_last_turn_all_the_same_fails_with_its_turn_named() -> None:
    result, _ = run(brief.options(retries=0)("?"), lambda request: calling(("search", {"query": "a"})))

    with pytest.raises(ms.TaskError, match=r"brief turn failed.*neither an answer nor a call"):
        result.output


def test_a_turn_that_max_tokens_cut_before_its_call_was_complete_is_not_paid_for_again() -> None:
    result, model = run(support("t"), [ModelReply("", "length", Usage())])

    with pytest.raises(ms.TaskError, match="max_tokens=512 cut the model's turn"):
        result.output
    assert len(model.calls) == 1


def test_a_model_that_says_nothing_is_asked_again_without_asking_for_json() -> None:
    result, model = run(brief("?"), ["", "42"])

    assert result.output == "42"
    assert model.calls[1].messages[-1].text.endswith("Answer again.")


def test_an_answer_that_does_not_fit_its_type_is_asked_for_again_within_the_turn() -> None:
    result, model = run(support("t"), ["no json", done("now")])

    assert result.output == Answer("now", [])
    assert keys(result).count("support turn") == 1
    assert model.calls[1].schema is not None
    assert model.calls[1].tools == ()


# ---------------------------------------------------------------- checks


def sourced(answer: Answer) -> None:
    if not answer.sources:
        raise ms.Retry("name a source")


@ms.prompt(models=["main"], check=sourced)
def checked(question: str) -> Answer:
    return ms.chat(question)


SOURCED = msgspec.json.encode(Answer("x", ["s"])).decode()


def test_a_check_sends_its_reason_back_to_the_model() -> None:
    result, model = run(checked("?"), [done("first"), SOURCED])

    assert result.output == Answer("x", ["s"])
    assert [message.role for message in model.calls[1].messages] == ["user", "assistant", "user"]
    assert model.calls[1].messages[2].text == "That answer was not accepted: name a source"


def test_an_answer_that_is_never_accepted_fails_after_max_turns_with_the_reason() -> None:
    result, model = run(checked("?"), lambda request: done())

    with pytest.raises(ms.TaskError, match=r"max_turns=3; what was wrong with the last: name a source"):
        result.output
    assert len(model.calls) == 3


def test_a_check_may_be_a_task_of_the_run_with_a_type_of_its_own() -> None:
    @ms.task(key="is_even")
    async def is_even(number: int) -> bool:
        if number % 2:
            raise ms.Retry(f"{number} is odd")
        return True

    @ms.prompt(models=["main"], check=is_even, key="number")
    def number() -> int:
        return ms.chat("A number?")

    result, _ = run(number(), ['{"value": 3}', '{"value": 4}'])

    assert result.output == 4
    assert keys(result).count("number check") == 2


def test_a_check_without_annotations_gets_the_answer_by_its_type() -> None:
    @ms.prompt(models=["main"], check=lambda answer: SEEN.append(type(answer)), key="untyped")
    def untyped() -> Answer:
        return ms.chat("?")

    SEEN.clear()
    result, _ = run(untyped(), done())

    assert result.status == "succeeded"
    assert SEEN[0] is Answer


@pytest.mark.parametrize("error", [ms.Fatal("wrong question"), ValueError("wrong question")])
def test_any_other_failure_of_a_check_ends_the_agent(error: Exception) -> None:
    def refuses(answer: str) -> None:
        raise error

    @ms.prompt(models=["main"], check=refuses, key="refused")
    def refused() -> str:
        return ms.chat("?")

    result, model = run(refused(), "x")

    with pytest.raises(ms.TaskError, match="wrong question"):
        result.output
    assert len(model.calls) == 1


def test_a_check_of_a_prompt_with_tools_may_lead_to_more_calls() -> None:
    @ms.prompt(models=["main"], tools=[search], check=sourced, key="both")
    def both(question: str) -> Answer:
        return ms.chat(question)

    result, model = run(both("?"), [done(), calling(("search", {"query": "a"})), SOURCED])

    assert result.output == Answer("x", ["s"])
    assert [message.role for message in model.calls[2].messages] == ["user", "assistant", "user", "assistant", "tool"]


# ---------------------------------------------------------------- money


def test_the_budget_of_an_agent_bounds_all_its_turns() -> None:
    @ms.prompt(models=["main"], tools=[search], budget_usd=0.05, max_tokens=2, key="thrifty")
    def thrifty() -> str:
        return ms.chat("?")

    @ms.workflow
    async def spend() -> str:
        try:
            return await thrifty()
        except LimitError as error:
            return str(error)

    call = msgspec.structs.replace(calling(("search", {"query": "a"})), usage=Usage(0, 0, 2))

    result, model = run(spend(), lambda request: call, prices={"scripted": CENT})

    assert "budget_usd of 'thrifty' reached" in result.output
    assert len(model.calls) == 1
    assert result.cost_usd == pytest.approx(0.02)


def test_a_turn_is_reserved_with_its_tools_and_results() -> None:
    result, model = run(
        support("t"),
        [calling(("search", {"query": "a" * 500})), done()],
        prices={"scripted": Price(1_000_000, 0, 0)},
        budget_usd=0.5,
    )

    assert result.status == "paused"
    assert result.reason == "budget"
    assert model.calls == []


# ---------------------------------------------------------------- what makes no sense


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tools": [search], "max_turns": 1}, "max_turns=1: it is a whole number, at least 2: the last turn has no"),
        ({"tools": [search], "history": 0}, "history=0"),
        ({"tools": [search], "effect": "pure"}, "effect belongs to tasks"),
        ({"tools": [search], "cache_s": 5.0}, "cache_s"),
        ({"tools": [len]}, "holds len, which is no task"),
        ({"tools": [search, search]}, "two tools of .* are called 'search'"),
        ({"check": stock}, "is a workflow: give a function or a task"),
        ({"check": 3}, "is int: give a function"),
        ({"check": ms.task(executor="process")(sourced)}, "runs in this process"),
        ({"max_turns": 3}, "max_turns=3 belongs to prompts with tools= or check="),
        ({"tools": [search], "models": []}, "empty list of models"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_declared(options: dict[str, Any], said: str) -> None:
    with pytest.raises(GraphError, match=said):

        @ms.prompt(**options)
        def wrong() -> str:
            return ms.chat("?")


def test_the_tools_and_models_of_an_agent_are_found_without_running_it() -> None:
    tasks = reachable_tasks(checked)

    assert [task.key for task in tasks] == ["checked", "checked turn", "checked check"]
    assert models_of(tasks) == [("main", "checked turn")]
    assert {"search", "refund", "stock"} <= {task.key for task in reachable_tasks(support)}


# ---------------------------------------------------------------- streams


def emitted(call: ms.Ref[Any], models: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Status of the run, and everything its attempts emitted."""
    pieces: list[Any] = []

    async def listen(call: Any, rest: Callable[[Any], Any]) -> Any:
        def emit(attempt: tuple[int, int], kind: str, body: bytes) -> None:
            pieces.append(msgspec.msgpack.decode(body) if kind == "chunk" else kind)

        return await rest(msgspec.structs.replace(call, info=msgspec.structs.replace(call.info, outbox=emit)))

    async def main() -> str:
        prices = {"scripted": Price(0, 0, 0), "other": Price(0, 0, 0)}
        async with ms.Engine(store="memory", models=models, prices=prices, interceptors=[listen]) as engine:
            return (await engine.start(call)).status

    return asyncio.run(main()), pieces


@ms.prompt(models=["main", "other"], stream=True)
def number_of(text: str) -> int:
    return ms.chat(text)


def test_pieces_are_passed_on_and_what_did_not_count_is_taken_back() -> None:
    models = {"main": Scripted(["not this", "nor this"]), "other": Scripted('{"value": 3}', name="other")}

    status, pieces = emitted(number_of("?"), models)

    assert status == "succeeded"
    assert pieces == ["not ", "this", "discard", "nor ", "this", "discard", '{"value": ', "3}"]


def test_what_a_model_says_before_it_calls_a_tool_is_taken_back() -> None:
    @ms.prompt(models=["main"], tools=[search], stream=True, key="chatty")
    def chatty() -> str:
        return ms.chat("?")

    models = {"main": Scripted([calling(("search", {"query": "a"}), text="Let me see"), "found it"])}

    assert emitted(chatty(), models)[1] == ["Let ", "me ", "see", "discard", "found ", "it"]


def test_without_stream_nothing_is_passed_on_unless_asked_for_at_the_call() -> None:
    quiet = emitted(brief("?"), {"main": Scripted("one two")})
    asked = emitted(brief.options(stream=True)("?"), {"main": Scripted("one two")})

    assert quiet == ("succeeded", [])
    assert asked == ("succeeded", ["one ", "two"])


def test_a_model_that_breaks_off_is_taken_back_before_the_next_one_speaks() -> None:
    class Breaking(Scripted):
        async def stream(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
            on_text("half an ")
            raise ProviderError("broke off", kind="unavailable", retryable=True)

    models = {"main": Breaking("x"), "other": Scripted('{"value": 3}', name="other")}

    assert emitted(number_of("?"), models)[1] == ["half an ", "discard", '{"value": ', "3}"]


def test_a_model_without_streams_is_heard_in_one_piece() -> None:
    class Whole:
        name = "scripted"

        def worst_case(self, request: ModelRequest) -> Usage:
            return Usage()

        async def complete(self, request: ModelRequest) -> ModelReply:
            return ModelReply('{"value": 3}', "stop", Usage())

        async def close(self) -> None:
            """Nothing to close."""

    models = {"main": Whole(), "other": Scripted("x", name="other")}

    assert emitted(number_of("?"), models) == ("succeeded", ['{"value": 3}'])


def test_no_task_is_left_behind_by_an_agent() -> None:
    result, _ = run(support("t"), [calling(("search", {"query": "a"}), ("refund", {"order": "o", "usd": 500})), done()])

    ended = {task.declaration.key: task.status for task in result._state.tasks}
    assert ended["refund"] == Status.FAILED
    assert result.status == "succeeded"


def test_readers_of_the_run_see_the_answer_of_its_last_turn() -> None:
    @ms.prompt(models=["main"], tools=[search], stream=True, key="talker")
    def talker() -> str:
        return ms.chat("?")

    model = Scripted([calling(("search", {"query": "a"}), text="Let me see"), "found it at last"])

    async def main() -> dict[str, str]:
        shown: dict[str, str] = {}
        engine = ms.Engine(store="memory", models={"main": model}, prices={"scripted": Price(0, 0, 0)})
        async with engine:
            async for update in engine.start(talker()).updates(only=["chunk"]):
                before = "" if update.kind == "discard" else shown.get(update.task, "")
                shown[update.task] = before + (update.value if update.kind == "chunk" else "")
        return shown

    assert sorted(asyncio.run(main()).values()) == ["", "found it at last"]
