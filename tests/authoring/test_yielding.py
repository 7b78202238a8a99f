"""Tasks that yield: what the body hears, when, and that a crash, a retry or a reader that stops changes none of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

import makespan as ms
from makespan.app import Engine
from makespan.errors import ProviderError
from makespan.journal.memory import MemoryJournal
from makespan.machine.facts import MessageReceived, MessageRefused, MessageTaken, RunEnded, TaskAdded, decode_facts
from makespan.models.scripted import Scripted
from makespan.testing import run
from makespan.testing.world import SimulatedWorld
from tests.authoring.bodies import SEEN


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()


@ms.task
async def count(n: int) -> AsyncIterator[int]:
    for number in range(n):
        await asyncio.sleep(1)
        yield number


@ms.task
async def pause(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


def journaled(call: Any, **options: Any) -> list[Any]:
    """All facts of a run on virtual time."""
    journal = MemoryJournal()
    with SimulatedWorld(0) as world:

        async def live() -> None:
            async with Engine(world=world, journal=journal, **options) as engine:
                await engine.start(call, id="r").wait()

        world.run_until(live())
    return [fact for turn in journal.read("r") for fact in decode_facts(turn)]


# ---------------------------------------------------------------- what a reader gets, and when


@ms.workflow
async def stamped(n: int) -> list[tuple[int, float]]:
    began = ms.context().now()
    return [(item, (ms.context().now() - began).total_seconds()) async for item in count(n)]


def test_each_item_reaches_the_body_when_it_is_yielded() -> None:
    output = run(stamped(3)).output

    assert output == [(0, 1.0), (1, 2.0), (2, 3.0)]


@ms.workflow
async def numbers(n: int) -> list[int]:
    return [item async for item in count(n)]


@ms.workflow
async def awaited(n: int) -> list[int]:
    return await count(n)


def test_await_gives_all_items_at_once() -> None:
    assert run(awaited(3), crash_at="each").output == [0, 1, 2]


def test_a_body_killed_anywhere_hears_the_same_items() -> None:
    assert run(numbers(3), crash_at="each").output == [0, 1, 2]


@pytest.mark.parametrize("n", [0, 1])
def test_few_items_are_no_special_case(n: int) -> None:
    assert run(numbers(n), crash_at="each").output == list(range(n))


@dataclass(frozen=True)
class Plain:
    at: datetime
    raw: bytes


class Packed(msgspec.Struct, frozen=True):
    plain: Plain
    words: tuple[str, ...] = ()


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@ms.task
async def plains() -> AsyncIterator[Plain]:
    yield Plain(NOON, b"\x00\xff")


@ms.task
async def packs() -> AsyncIterator[Packed]:
    yield Packed(Plain(NOON, b""), ("a", "b"))


@ms.task
async def maybes() -> AsyncIterator[int | None]:
    yield None
    yield 3


@ms.workflow
async def typed() -> tuple[list[Plain], list[Packed], list[int | None], list[Plain]]:
    one = [each async for each in plains()]
    two = [each async for each in packs()]
    three = [each async for each in maybes()]
    return one, two, three, await plains()


def test_items_have_the_declared_type_live_and_awaited() -> None:
    plain = Plain(NOON, b"\x00\xff")

    output = run(typed(), crash_at="each").output

    assert output == ([plain], [Packed(Plain(NOON, b""), ("a", "b"))], [None, 3], [plain])


@ms.workflow
async def two_readers(n: int) -> list[str]:
    heard: list[str] = []
    ref = count(n)

    async def read(name: str) -> None:
        async for item in ref:
            heard.append(f"{name}{item}")  # noqa: PERF401 - one after the other

    await asyncio.gather(read("a"), read("b"))
    return heard


def test_several_readers_each_get_every_item_as_it_comes() -> None:
    assert run(two_readers(3), crash_at="each").output == ["a0", "b0", "a1", "b1", "a2", "b2"]


@ms.workflow
async def late_reader(n: int) -> list[tuple[int, float]]:
    began, ref = ms.context().now(), count(n)
    await pause(1.5)
    return [(item, (ms.context().now() - began).total_seconds()) async for item in ref]


def test_a_reader_that_begins_late_gets_what_was_said_before_and_then_the_rest_live() -> None:
    assert run(late_reader(3)).output == [(0, 1.5), (1, 2.0), (2, 3.0)]


@ms.workflow
async def reads_twice(n: int) -> list[int]:
    ref = count(n)
    first = [item async for item in ref]
    return first + [item async for item in ref]


def test_what_was_read_can_be_read_again() -> None:
    assert run(reads_twice(2), crash_at="each").output == [0, 1, 0, 1]


@ms.workflow
async def slow_reader(n: int) -> list[int]:
    heard = []
    async for item in count(n):
        await pause(2.5)
        heard.append(item)
    return heard


def test_a_reader_slower_than_the_task_misses_nothing() -> None:
    assert run(slow_reader(4), crash_at="each").output == [0, 1, 2, 3]


# ---------------------------------------------------------------- readers that stop


@ms.workflow
async def stops_early(n: int) -> list[int]:
    heard = []
    async for item in count(n):
        heard.append(item)
        if item == 1:
            break
    return heard


def test_a_reader_may_stop_early_and_the_task_goes_on_to_its_end() -> None:
    assert run(stops_early(4), crash_at="each").output == [0, 1]
    ended = [fact for fact in journaled(stops_early(4)) if isinstance(fact, RunEnded)]
    assert ended[0].at >= 4_000_000_000


@ms.workflow
async def gives_up(n: int) -> str:
    async def read() -> list[int]:
        return [item async for item in ref]

    ref = count(n)
    reader = asyncio.create_task(read())
    await pause(1.5)
    reader.cancel()
    try:
        await reader
    except asyncio.CancelledError:
        return "gave up"
    return "read all"


def test_a_reader_that_is_cancelled_leaves_nothing_that_keeps_the_run_going() -> None:
    assert run(gives_up(3), crash_at="each").output == "gave up"


@ms.workflow
async def one_gives_up(n: int) -> list[int]:
    async def read() -> list[int]:
        return [item async for item in ref]

    ref = count(n)
    first, second = asyncio.create_task(read()), asyncio.create_task(read())
    await pause(1.5)
    first.cancel()
    return await second


def test_a_reader_that_is_cancelled_takes_nothing_from_another() -> None:
    assert run(one_gives_up(3), crash_at="each").output == [0, 1, 2]


@ms.task
async def tidy(n: int) -> AsyncIterator[int]:
    try:
        for number in range(n):
            await asyncio.sleep(1)
            yield number
    finally:
        SEEN.append("tidied")


@ms.workflow
async def cancels() -> list[int]:
    heard = []
    ref = tidy(9)
    async for item in ref:
        heard.append(item)
        if item == 1:
            ms.cancel(ref)
            break
    return heard


def test_cancelling_the_task_runs_what_its_generator_has_in_finally() -> None:
    assert run(cancels()).output == [0, 1]
    assert SEEN == ["tidied"]


@ms.workflow
async def cancelled_under_a_reader() -> str:
    ref = tidy(9)
    try:
        async for item in ref:
            if item == 1:
                ms.cancel(ref)
    except ms.TaskError as error:
        return error.type
    return "ended"


def test_a_reader_of_a_cancelled_task_hears_that_it_was_cancelled() -> None:
    assert run(cancelled_under_a_reader(), crash_at="each").output == "makespan.Cancelled"


@ms.task
async def wrong() -> AsyncIterator[int]:
    try:
        yield 1
        yield object()  # type: ignore[misc]
    finally:
        SEEN.append("closed")


@ms.workflow
async def reads_wrong() -> list[int]:
    return [item async for item in wrong()]


def test_an_item_of_another_type_fails_the_task_and_closes_its_generator() -> None:
    result = run(reads_wrong())

    assert result.status == "failed"
    assert "object" in str(result.error)
    assert SEEN == ["closed"]


# ---------------------------------------------------------------- attempts that are repeated


@ms.task(retries=2)
async def shaky(n: int) -> AsyncIterator[int]:
    SEEN.append("began")
    for number in range(n):
        await asyncio.sleep(1)
        if number == 2 and SEEN.count("began") < 3:
            raise ValueError("again")
        yield number


@ms.workflow
async def reads_shaky(n: int) -> list[int]:
    return [item async for item in shaky(n)]


def test_a_repeated_attempt_says_nothing_twice_to_a_reader() -> None:
    assert run(reads_shaky(4)).output == [0, 1, 2, 3]
    assert SEEN.count("began") == 3


@ms.task
async def breaks(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield number
    raise ValueError("broken")


@ms.workflow
async def reads_broken() -> tuple[list[int], str]:
    heard = []
    try:
        async for item in breaks(2):
            heard.append(item)  # noqa: PERF401 - one after the other
    except ms.TaskError as error:
        return heard, error.type
    return heard, ""


def test_a_reader_gets_what_came_before_a_failure_and_then_the_failure() -> None:
    assert run(reads_broken(), crash_at="each").output == ([0, 1], "ValueError")


@ms.task(timeout_s=2.5)
async def endless() -> AsyncIterator[int]:
    for number in range(100):
        await asyncio.sleep(1)
        yield number


@ms.workflow
async def reads_endless() -> tuple[list[int], str]:
    heard = []
    try:
        async for item in endless():
            heard.append(item)  # noqa: PERF401 - one after the other
    except ms.TaskError as error:
        return heard, error.type
    return heard, ""


def test_a_timeout_ends_a_task_that_yields_too_long() -> None:
    heard, kind = run(reads_endless()).output

    assert heard == [0, 1]
    assert "Timeout" in kind


# ---------------------------------------------------------------- prompts


@ms.prompt(models=["main"])
def poem(about: str) -> AsyncIterator[str]:
    """Write about {about}."""
    return ms.chat()


@ms.workflow
async def lines(about: str) -> list[str]:
    return [line async for line in poem(about)]


@ms.workflow
async def lines_at_once(about: str) -> list[str]:
    return await poem(about)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b\nc\n", ["a b\n", "c\n"]),
        ("a b\n\nc", ["a b\n", "\n", "c"]),
        ("\n a", ["\n", " a"]),
        ("one", ["one"]),
        ("", []),
    ],
)
def test_a_prompt_yields_its_answer_line_by_line(text: str, expected: list[str]) -> None:
    assert run(lines("rain"), models=Scripted(text)).output == expected
    assert run(lines_at_once("rain"), models=Scripted(text)).output == expected


class Silent:
    """A model that cannot stream."""

    def __init__(self, text: str) -> None:
        self._inner = Scripted(text)
        self.name, self.native_tools = "silent", True
        self.worst_case, self.complete, self.close = self._inner.worst_case, self._inner.complete, self._inner.close


def test_a_model_that_cannot_stream_gives_its_lines_at_the_end() -> None:
    assert run(lines("rain"), models={"main": Silent("a\nb\nc")}).output == ["a\n", "b\n", "c"]  # type: ignore[dict-item]


class Breaking(Scripted):
    """Says two lines, then fails."""

    async def stream(self, request: Any, on_text: Any) -> Any:
        on_text("x\ny\nz")
        raise ProviderError("overloaded", kind="server", retryable=True)


def test_where_another_model_takes_over_the_result_is_its_answer_alone() -> None:
    models = {"bad": Breaking(""), "good": Scripted("a\nb\nc")}
    falls_back = poem.options(models=["bad", "good"])

    @ms.workflow
    async def live() -> list[str]:
        return [line async for line in falls_back("rain")]

    @ms.workflow
    async def whole() -> list[str]:
        return await falls_back("rain")

    assert run(whole(), models=models).output == ["a\n", "b\n", "c"]
    assert run(live(), models=models).output == ["x\n", "y\n", "c"], "what was given is not taken back"


# ---------------------------------------------------------------- fakes and plain workflows


async def fake_count(n: int) -> AsyncIterator[int]:
    yield n
    yield n + 1


@pytest.mark.parametrize("fake", [fake_count, lambda n: [n, n + 1]])
def test_a_fake_may_yield_or_give_the_list(fake: Any) -> None:
    assert run(numbers(7), fakes={count: fake}).output == [7, 8]


@ms.task
def total(ns: list[int]) -> int:
    return sum(ns)


@ms.workflow
def summed(n: int) -> int:
    return total(count(n))


def test_a_plain_workflow_passes_the_list_on() -> None:
    assert run(summed(4), crash_at="each").output == 6


@ms.task
async def flood(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield number


@ms.workflow
def unread(n: int) -> int:
    return total(flood(n))


@ms.workflow
async def unread_live(n: int) -> int:
    return await total(flood(n))


@pytest.mark.parametrize("workflow", [unread, unread_live])
def test_what_nobody_reads_is_not_journaled(workflow: Any) -> None:
    facts = journaled(workflow(12_000))

    assert not [fact for fact in facts if isinstance(fact, MessageReceived | MessageRefused)]


@ms.workflow
async def reads_a_bit(n: int) -> int:
    async for item in flood(n):
        if item == 4:
            break
    return item


def test_what_is_said_after_the_reader_stopped_is_not_journaled() -> None:
    facts = journaled(reads_a_bit(1_000))

    assert sum(isinstance(fact, MessageReceived) for fact in facts) == 5


@ms.workflow
async def reads_a_flood(n: int) -> int:
    count = 0
    async for item in flood(n):
        assert item == count
        count += 1
    return count


def test_twenty_thousand_items_are_read_in_order() -> None:
    assert run(reads_a_flood(20_000)).output == 20_000


def test_an_item_costs_the_journal_the_same_however_many_came_before() -> None:
    few, many = journaled(reads_a_flood(50)), journaled(reads_a_flood(500))

    for kind in (MessageReceived, MessageTaken, TaskAdded):
        per_item = (sum(isinstance(f, kind) for f in many) - sum(isinstance(f, kind) for f in few)) / 450
        assert per_item == 1


# ---------------------------------------------------------------- what makes no sense


def test_a_generator_says_what_it_yields() -> None:
    @ms.task
    async def silent():  # type: ignore[no-untyped-def]  # noqa: ANN202 - that is what is tested
        yield 1

    with pytest.raises(ms.GraphError, match="annotate what"):
        silent.signature


def test_a_plain_generator_is_refused_with_what_to_write() -> None:
    @ms.task
    def plain() -> Iterator[int]:
        yield 1

    with pytest.raises(ms.GraphError, match="write `async def`"):
        plain.signature


def test_a_function_that_is_annotated_to_yield_must() -> None:
    @ms.task
    async def gives() -> AsyncIterator[int]:
        return flood.fn(3)  # type: ignore[return-value]

    with pytest.raises(ms.GraphError, match="has no `yield`"):
        gives.signature


def test_a_prompt_yields_text_only() -> None:
    @ms.prompt(models=["main"])
    def numbered(n: int) -> AsyncIterator[int]:
        return ms.chat()

    with pytest.raises(ms.GraphError, match="the lines of its answer"):
        numbered.signature


def test_an_agent_does_not_yield() -> None:
    @ms.prompt(models=["main"], tools=[pause])
    def agent(n: int) -> AsyncIterator[str]:
        return ms.chat()

    with pytest.raises(ms.GraphError, match="one value at its end"):
        agent.signature


def test_a_hedge_could_not_take_back_what_was_said() -> None:
    @ms.task(hedge=0.9)
    async def hedged(n: int) -> AsyncIterator[int]:
        yield n

    with pytest.raises(ms.GraphError, match="leave hedge= out"):
        hedged.signature


def test_a_deadline_while_a_body_reads_items_pauses_the_run_and_nothing_else() -> None:
    @ms.task
    async def speak_late(n: int) -> AsyncIterator[int]:
        await asyncio.sleep(5)
        yield n

    @ms.workflow
    async def listen_late(n: int) -> list[int]:
        return [item async for item in speak_late(n)]

    assert run(listen_late(1), options={"deadline_s": 0.5}).status == "paused"
