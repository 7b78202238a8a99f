"""`testing.run`: workflows on virtual time, with fakes, messages, answers, models and crashes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

import makespan as ms
from makespan.models.scripted import Scripted
from makespan.testing import running
from makespan.testing.running import Stuck

DONE: list[str] = []


@dataclass(frozen=True)
class Paid:
    usd: float


@ms.task(effect="irreversible")
async def ship(order: str) -> str:
    DONE.append(order)
    return f"shipped {order}"


@ms.task(effect="irreversible", approve=True)
async def refund(usd: float) -> float:
    return usd


@ms.task
async def remind(order: str) -> None:
    await asyncio.sleep(1)


@ms.prompt()
def word(topic: str) -> str:
    return ms.chat(f"One word about {topic}")


@ms.workflow
async def order(name: str) -> str:
    for _ in range(3):
        match await ms.first(ms.receive("paid", Paid), ms.sleep(86_400)):
            case Paid():
                return await ship(name)
            case None:
                await remind(name)
    return "expired"


@ms.workflow
async def asks(name: str) -> list[float]:
    many = await ms.ask("how many?", int)
    return [many, await refund(2.0)]


@ms.workflow
async def talks(topic: str) -> list[str]:
    return await ms.gather(word(topic), word(topic + "s"))


@ms.workflow
async def counts(name: str) -> int:
    COUNTED.append(name)
    return await remind_count(len(COUNTED))


COUNTED: list[str] = []


@ms.task
def remind_count(count: int) -> int:
    return count


PAID: list[int] = []


@ms.task(effect="irreversible")
def pay(number: int) -> str:
    PAID.append(number)
    return f"paid {number}"


@ms.workflow
async def pays_twice(name: str) -> list[str]:
    return list(await ms.gather(pay(0), pay(1)))


@ms.task(effect="pure")
def written(text: str) -> ms.File:
    path = ms.context().workdir / "text.txt"
    path.write_text(text)
    return ms.File(path)


@ms.task(effect="pure")
def words(file: ms.File) -> int:
    return len(file.read_text().split())


@ms.workflow
def counts_words(text: str) -> int:
    return words(written(text))


@ms.task(executor="process")
def heavy(number: int) -> int:
    return number * 2


@ms.workflow
def calculation(number: int) -> int:
    return heavy(number)


def test_days_pass_in_no_time_and_tasks_can_be_faked() -> None:
    assert running.run(order("o1"), fakes={remind: lambda o: None}).output == "expired"


def test_messages_of_the_inbox_arrive() -> None:
    assert running.run(order("o1"), inbox={"paid": Paid(3)}).output == "shipped o1"


def test_a_run_killed_before_and_after_every_commit_ends_the_same_and_ships_once() -> None:
    DONE.clear()

    result = running.run(order("o1"), inbox={"paid": Paid(3)}, crash_at="each")

    assert result.output == "shipped o1"
    assert len(DONE) > 5


def test_waiting_for_days_survives_every_crash() -> None:
    assert running.run(order("o1"), crash_at="each").output == "expired"


def test_questions_and_approvals_are_answered_by_their_text_or_key() -> None:
    assert running.run(asks("x"), answers={"how many?": 3, "refund": True}, crash_at="each").output == [3, 2.0]


def test_a_run_that_waits_for_what_never_comes_says_for_what() -> None:
    with pytest.raises(Stuck, match=r"the answer to 'how many\?'"):
        running.run(asks("x"))


def test_a_model_stands_for_every_name() -> None:
    assert running.run(talks("bee"), models=Scripted("buzz"), crash_at=2).output == ["buzz", "buzz"]


def test_a_model_stands_for_names_that_prompts_ask_for() -> None:
    @ms.prompt(models=["strong", "cheap"])
    def verse(topic: str) -> str:
        return ms.chat(f"A verse about {topic}")

    assert running.run(verse("bees"), models=Scripted("buzz")).output == "buzz"


def test_a_workflow_that_is_not_the_same_in_every_life_is_found_out() -> None:
    COUNTED.clear()

    with pytest.raises(AssertionError, match="the run ended otherwise"):
        running.run(counts("x"), crash_at="each")


def test_tasks_for_worker_processes_run_on_the_simulated_machine() -> None:
    assert running.run(calculation(4)).output == 8


def test_what_a_thread_did_before_the_crash_is_known_to_have_happened() -> None:
    for seed in range(10):
        PAID.clear()

        assert running.run(pays_twice("x"), seed=seed, crash_at=2).output == ["paid 0", "paid 1"]

        assert sorted(PAID) == [0, 1]


def test_files_outlive_a_crash() -> None:
    assert running.run(counts_words("one two three"), crash_at="each").output == 3


def test_one_seed_is_one_run() -> None:
    results = [running.run(order("o1"), seed=5) for _ in range(2)]

    assert results[0].makespan_s == results[1].makespan_s
