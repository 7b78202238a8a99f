"""A conversation at a structured memory: what it knows, what it computes, what it shows, and that it survives."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import makespan as ms
from examples.recipes import task_memory as example
from makespan.memory.asking import Gap, Known
from makespan.memory.intents import Check, Revisions, read_lines
from makespan.memory.state import Limits, Memory, RevisionRefused
from makespan.models.prices import Price
from makespan.models.scripted import Scripted, prompt_text
from makespan.models.tokens import byte_bound
from makespan.ports import ModelRequest
from makespan.recipes import task_memory
from makespan.recipes.task_memory import NAME, Reply, TaskMemory, answer, open_memory
from makespan.testing import running
from tests.memory.sequences import RULES, SEQUENCES, Sequence

RAN: list[str] = []
"""Rules that were run, by name; each test empties it."""


def counted(rule: Callable[..., Any]) -> Any:
    def run(*args: Any, **kwargs: Any) -> Any:
        RAN.append(rule.__name__)
        return rule(*args, **kwargs)

    run.__signature__ = inspect.signature(rule)  # type: ignore[attr-defined]  # what a task reads of a function
    run.__annotations__ = dict.fromkeys([*inspect.signature(rule).parameters, "return"], Any)
    return ms.task(key=rule.__name__, effect="pure")(run)


TASKS = {name: counted(rule) for name, rule in RULES.items()}


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    RAN.clear()


@ms.workflow
async def turn(text: str) -> Reply:
    return await answer(text, rules=list(TASKS.values()))


@ms.workflow
async def peek() -> Memory:
    memory: Memory = await ms.state(NAME, Memory)
    return memory


@ms.workflow
async def know_all() -> dict[str, Any]:
    """Every slot's value, computed where it is stale."""
    memory = await open_memory(rules=list(TASKS.values()))
    found = {name: await memory.check(name) for name in memory.memory.slots}
    return {name: each.value if isinstance(each, Known) else None for name, each in found.items()}


def message(request: ModelRequest) -> str:
    """What the user said, out of the prompt of a turn."""
    return prompt_text(request).rpartition("Message: ")[2].partition("\nYour last answer")[0]


def in_lines(request: ModelRequest) -> str:
    return message(request)


def in_json(request: ModelRequest) -> str:
    return "```json\n" + msgspec.json.encode(read_lines(message(request))).decode() + "\n```"


async def talk(store: str | Path, model: Any, *calls: ms.Ref[Any], session: str = "s") -> list[Any]:
    models = {"default": Scripted(model)}
    async with ms.Engine(store, models=models, allow_unknown_prices=True) as engine:
        return [(await engine.start(call, session=session)).output for call in calls]


def said(reply: Reply) -> list[Any]:
    return [f"?{found.reason}" if isinstance(found, Gap) else found.value for found in reply.answers]


# ---------------------------------------------------------------- forty sequences


@pytest.mark.parametrize("model", [in_json, in_lines])
@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda sequence: sequence.title)
def test_a_conversation_answers_and_ends_as_its_sequence_says(sequence: Sequence, model: Any) -> None:
    lines = sequence.script.splitlines()

    replies = asyncio.run(talk("memory", model, *map(turn, lines), know_all()))

    assert [answer for reply in replies[:-1] for answer in said(reply)] == sequence.asked
    assert set(replies[-2].stale) == sequence.stale
    assert replies[-1] == sequence.final


# ---------------------------------------------------------------- computing


def in_workflow(body: Callable[[TaskMemory], Any], **options: Any) -> Any:
    """What an async function of a memory gives, in a run of its own."""

    @ms.workflow
    async def once() -> Any:
        memory = await open_memory(rules=list(TASKS.values()), **options)
        return await body(memory)

    return running.run(once(), seed=1).output


def test_a_rule_runs_only_where_no_kept_version_has_the_same_contents() -> None:
    async def body(memory: TaskMemory) -> list[Any]:
        memory.set("a", 1)
        memory.set("b", 2)
        memory.compute("c", "add", ["a", "b"])
        values = [await memory.value("c"), await memory.value("c")]
        for new in (5, 1, 5):
            memory.change("a", new)
            values.append(await memory.value("c"))
        return values

    assert in_workflow(body) == [3, 3, 7, 3, 7]
    assert RAN == ["add", "add"]


def test_nothing_runs_that_nobody_asks_for() -> None:
    async def body(memory: TaskMemory) -> list[str]:
        memory.set("a", 1)
        memory.compute("b", "add", {"a": "a", "b": "a"})
        memory.compute("c", "multiply", ["b", "b"])
        memory.compute("other", "multiply", ["a", "a"])
        await memory.value("b")
        return memory.stale()

    assert in_workflow(body) == ["c", "other"]
    assert RAN == ["add"]


def test_a_value_that_comes_out_as_before_ends_the_computing_early() -> None:
    async def body(memory: TaskMemory) -> float:
        for name, value in (("spent", 80), ("limit", 100), ("fine", 5), ("none", 0)):
            memory.set(name, value)
        memory.compute("over", "above", ["spent", "limit"])
        memory.compute("fee", "pick", ["over", "fine", "none"])
        await memory.value("fee")
        RAN.clear()
        memory.change("spent", 90)
        fee: float = await memory.value("fee")
        return fee

    assert in_workflow(body) == 0
    assert RAN == ["above"]


def test_a_slot_that_many_wait_for_is_computed_once_and_branches_beside_each_other() -> None:
    async def body(memory: TaskMemory) -> list[Any]:
        memory.set("a", 2)
        memory.compute("base", "add", ["a", "a"])
        memory.compute("left", "multiply", ["base", "a"])
        memory.compute("right", "subtract", ["base", "a"])
        memory.compute("top", "add", ["left", "right"])
        return list(await asyncio.gather(memory.value("top"), memory.value("left"), memory.value("right")))

    assert in_workflow(body) == [10, 8, 2]
    assert sorted(RAN) == ["add", "add", "multiply", "subtract"]


def test_one_who_gives_up_waiting_does_not_take_the_value_from_the_others() -> None:
    async def body(memory: TaskMemory) -> list[Any]:
        memory.set("a", 2)
        memory.compute("b", "add", ["a", "a"])
        memory.compute("c", "add", ["b", "b"])
        patient, hasty = asyncio.create_task(memory.value("c")), asyncio.create_task(memory.value("b"))
        await asyncio.sleep(0)
        hasty.cancel()
        await asyncio.wait([hasty])
        return [await patient, hasty.cancelled()]

    assert in_workflow(body) == [8, True]
    assert RAN == ["add", "add"]


def test_a_budget_that_is_met_is_no_gap() -> None:
    @ms.prompt(max_tokens=50)
    def guess(a: int) -> str:
        ms.chat(f"more than {a}?")

    @ms.workflow
    async def once() -> str:
        memory = await open_memory(rules=[guess])
        memory.set("a", 2)
        memory.compute("b", guess, ["a"])
        with pytest.raises(ms.LimitError, match="budget_usd"):
            async with ms.scope("poor", budget_usd=0.000001):
                await memory.check("b")
        return "told"

    prices = {"dear": Price(1_000_000, 0, 1_000_000)}
    done = running.run(once(), models={"default": Scripted("yes", name="dear")}, engine={"prices": prices})

    assert done.output == "told"


def test_a_rule_that_fails_is_a_gap_and_its_error_where_it_is_asked_for_by_value() -> None:
    @ms.task(effect="pure")
    def divide(a: float, b: float) -> float:
        return a / b

    @ms.workflow
    async def once() -> list[str]:
        memory = await open_memory(rules=[divide])
        memory.set("a", 1)
        memory.set("b", 0)
        memory.compute("c", divide, ["a", "b"])
        found = await memory.check("c")
        assert isinstance(found, Gap)
        with pytest.raises(ms.TaskError, match="ZeroDivisionError"):
            await memory.value("c")
        memory.change("a", "one")
        misfit = await memory.check("c")
        assert isinstance(misfit, Gap)
        return [found.reason, misfit.reason, misfit.why]

    failed, misfit, why = running.run(once()).output

    assert (failed, misfit) == ("failed", "failed")
    assert "float" in why


class Spot(msgspec.Struct):
    city: str
    nights: int = 1


def test_typed_values_go_in_and_out_as_plain_data() -> None:
    @ms.task(effect="pure")
    def longer(spot: Spot, by: int = 1) -> Spot:
        return Spot(spot.city, spot.nights + by)

    @ms.workflow
    async def once() -> Any:
        memory = await open_memory(rules=[longer])
        memory.set("spot", {"city": "Rome"})
        memory.compute("longer", longer, ["spot"])
        return await memory.value("longer")

    assert running.run(once()).output == {"city": "Rome", "nights": 2}


def test_a_new_version_of_a_rule_makes_what_the_old_one_gave_stale() -> None:
    def conversion(version: str, factor: float) -> ms.Workflow[[], float]:
        @ms.task(effect="pure", version=version, key="convert")
        def convert(amount: float) -> float:
            return amount * factor

        @ms.workflow(key="converted")
        async def converted() -> float:
            memory = await open_memory(rules=[convert])
            memory.set("amount", 10)
            if "there" not in memory.memory.slots:
                memory.compute("there", convert, ["amount"])
            value: float = await memory.value("there")
            await memory.save()
            return value

        return converted

    async def main() -> list[float]:
        async with ms.Engine("memory") as engine:
            calls = [conversion("1", 2)(), conversion("1", 3)(), conversion("2", 3)()]
            return [(await engine.start(call, session="s")).output for call in calls]

    assert asyncio.run(main()) == [20, 20, 30]


@pytest.mark.parametrize(
    ("needs", "says"),
    [
        (["a"], r"add\(a, b\) misses 'b'"),
        ({"a": "a", "z": "a"}, r"has no parameter 'z'"),
        (["a", "a", "a"], "takes 2 slots, 3 are given"),
    ],
)
def test_a_rule_that_cannot_be_called_so_is_refused_when_it_is_declared(needs: Any, says: str) -> None:
    async def body(memory: TaskMemory) -> None:
        memory.set("a", 1)
        with pytest.raises(RevisionRefused, match=says):
            memory.compute("c", "add", needs)
        with pytest.raises(RevisionRefused, match="did you mean 'add'"):
            memory.compute("c", "ad", ["a", "a"])

    in_workflow(body)


def test_two_rules_of_one_name_are_refused() -> None:
    @ms.task(key="add")
    def other(a: int) -> int:
        return a

    @ms.workflow
    async def once() -> None:
        await open_memory(rules=[TASKS["add"], other])

    with pytest.raises(ms.TaskError, match="two rules are called 'add'"):
        assert running.run(once()).output


def test_a_memory_may_have_limits_of_its_own() -> None:
    async def body(memory: TaskMemory) -> None:
        memory.set("a", 1)
        with pytest.raises(RevisionRefused, match="slots"):
            memory.set("b", 1)

    in_workflow(body, first=Memory(limits=Limits(slots=1)))


def test_a_memory_that_did_not_change_is_not_written_again() -> None:
    @ms.workflow
    async def idle() -> int:
        memory = await open_memory()
        await memory.save()
        return memory._slot.version

    assert asyncio.run(talk("memory", "", idle(), idle())) == [0, 0]


# ---------------------------------------------------------------- turns


def test_what_cannot_be_done_is_told_to_the_model_once_and_mended() -> None:
    model = Scripted(["set a = 1", "change b = 2", "change a = 2"])

    async def main() -> list[Reply]:
        async with ms.Engine("memory", models={"default": model}, allow_unknown_prices=True) as engine:
            return [(await engine.start(turn(text), session="s")).output for text in ("a is 1", "make it 2")]

    replies = asyncio.run(main())

    assert [reply.text for reply in replies] == ["a = 1", "a = 2 (was 1)"]
    assert "there is no slot 'b'" in prompt_text(model.calls[2])


def test_a_turn_that_cannot_be_done_as_a_whole_changes_nothing() -> None:
    replies = asyncio.run(talk("memory", "set a = 1\nremove c", turn("do it"), peek()))

    assert "there is no slot 'c'" in replies[0].refused[0]
    assert replies[1] == Memory()


def test_an_answer_that_nobody_can_read_changes_nothing_and_says_so() -> None:
    (reply,) = asyncio.run(talk("memory", "I would love to help!", turn("hm")))

    assert reply.text.startswith("Nothing was changed")
    assert "I would love to help!" in reply.refused[0]


def test_a_turn_may_want_several_things_in_order() -> None:
    script = "set a = 2\nset b = 3\ncompute c = multiply(a, b)\ncheck c"

    (reply,) = asyncio.run(talk("memory", in_json, turn(script)))

    assert said(reply) == [6]
    assert reply.text == "a = 2; b = 3; c is computed by multiply from a, b; c = 6 (multiply of a, b)"


def test_a_question_about_something_else_is_a_gap() -> None:
    model = msgspec.json.encode(Revisions([Check("(not in memory)")])).decode()

    (reply,) = asyncio.run(talk("memory", model, turn("Who won?")))

    assert said(reply) == ["?unknown"]


def test_the_schema_that_a_model_is_held_to_names_the_slots_there_are() -> None:
    model = Scripted(in_lines)

    async def main() -> None:
        async with ms.Engine("memory", models={"default": model}, allow_unknown_prices=True) as engine:
            for text in ("set a = 1", "mark noon", "check a"):
                await engine.start(turn(text), session="s")

    asyncio.run(main())

    schema = model.calls[2].schema
    assert schema is not None
    assert schema["$defs"]["slot"] == {"enum": ["a"]}
    text = msgspec.json.encode(schema).decode()
    assert '["(previous)","noon"]' in text
    assert "multiply" in text


def test_every_version_knows_the_run_that_wrote_it() -> None:
    async def main() -> tuple[Memory, list[str]]:
        models = {"default": Scripted(in_lines)}
        async with ms.Engine("memory", models=models, allow_unknown_prices=True) as engine:
            runs = [engine.start(turn(text), session="s") for text in ("set a = 1", "compute b = add(a, a)", "check b")]
            ids = [(await run).run_id for run in runs]
            return (await engine.start(peek(), session="s")).output, ids

    memory, ids = asyncio.run(main())

    assert memory.slots["a"].versions[0].author.turn == ids[0]
    computed = memory.slots["b"].versions[0]
    assert (computed.author.who, computed.author.turn) == ("task add", ids[2])
    assert computed.basis.sources["a"].version == memory.slots["a"].versions[0].number


# ---------------------------------------------------------------- it lasts, and stays small


CONVERSATION = SEQUENCES[37].script.splitlines()


@ms.workflow
async def whole_conversation() -> list[Any]:
    """Every turn of a sequence as a sub-workflow of one run."""
    replies = [await turn(line) for line in CONVERSATION]
    memory = await peek()
    return [answer for reply in replies for answer in said(reply)] + [list(memory.slots), memory.revision]


@pytest.mark.slow
def test_a_conversation_survives_a_crash_before_and_after_every_commit() -> None:
    done = running.run(whole_conversation(), models=Scripted(in_lines), options={"session": "s"}, crash_at="each")

    assert done.output[:4] == SEQUENCES[37].asked


def test_a_later_process_goes_on_where_the_first_one_stopped(tmp_path: Path) -> None:
    first = ["set a = 2", "compute b = add(a, a)", "check b", "mark noon", "change a = 3"]
    asyncio.run(talk(tmp_path, in_lines, *map(turn, first)))
    RAN.clear()

    replies = asyncio.run(talk(tmp_path, in_lines, *map(turn, ["check b", "back everything to noon", "check b"])))

    assert [said(reply) for reply in replies] == [[6], [], [4]]
    assert RAN == ["add"]


def test_sessions_know_nothing_of_each_other(tmp_path: Path) -> None:
    asyncio.run(talk(tmp_path, in_lines, turn("set a = 2"), session="ada"))

    assert said(asyncio.run(talk(tmp_path, in_lines, turn("check a"), session="bob"))[0]) == ["?unknown"]


def chatter(number: int) -> str:
    """What people say around a change: about 40 words, of which the model keeps one line."""
    filler = "so I talked to the others again last night and we went back and forth on it for quite a while, but "
    return f"{filler}in the end we think that item {number % 12} should really be {number} from now on, if you please"


def keeper(request: ModelRequest) -> str:
    words = message(request).split()
    return f"set item {words[words.index('item') + 1]} = {words[words.index('be') + 1]}"


@pytest.mark.slow
def test_after_a_hundred_turns_a_prompt_is_at_most_a_fifth_of_the_transcripts() -> None:
    model, transcript = Scripted(keeper), task_memory.SYSTEM

    async def main() -> list[Reply]:
        async with ms.Engine("memory", models={"default": model}, allow_unknown_prices=True) as engine:
            return [(await engine.start(turn(chatter(number)), session="s")).output for number in range(100)]

    replies = asyncio.run(main())

    for number, reply in enumerate(replies[:-1]):
        transcript += chatter(number) + reply.text
    transcript += chatter(99)
    sizes = [task_memory.tokens(prompt_text(request)) for request in model.calls]
    with_schema = byte_bound(model.calls[-1], count_schema=True).prompt_tokens
    print(f"prompt at turn 100: {sizes[-1]}, with its schema {with_schema}, of {task_memory.tokens(transcript)}")
    assert len(sizes) == 100
    assert sizes[-1] <= with_schema <= 0.2 * task_memory.tokens(transcript)
    assert sizes[-1] <= sizes[20] + 20  # it does not grow with the turns


# ---------------------------------------------------------------- the example


def test_a_command_is_done_as_it_stands_without_a_model() -> None:
    model = Scripted([])

    async def main() -> list[Reply]:
        async with ms.Engine("memory", models={"default": model}) as engine:
            texts = ["/set a = 1\n/change a = 2", "/check a", "/change a = 3\n/or so"]
            return [(await engine.start(turn(text), session="s")).output for text in texts]

    done, asked, refused = asyncio.run(main())

    assert (done.text, said(asked)) == ("a = 2", [2])
    assert "or so" in refused.refused[0]
    assert model.calls == []


def test_the_example_does_what_its_docstring_says(tmp_path: Path) -> None:
    lines = ["There are three of us", "/set price = 120", "/compute sum = multiply(people, price)", "/check sum"]
    model = '{"revisions": [{"intent": "set", "name": "people", "value": 3, "parent": ""}]}'

    replies = asyncio.run(talk(tmp_path, model, *map(example.turn, lines)))

    assert replies[-1] == "sum = 360.0 (multiply of people, price)"
