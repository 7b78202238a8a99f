"""Chat with memory: what was said stays, for its session alone, and a turn that is killed is said once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import makespan as ms
from examples import chat
from makespan.models.scripted import Scripted
from makespan.ports import ModelRequest
from makespan.run_options import RunOptions
from makespan.testing import running


def attentive(request: ModelRequest) -> str:
    """Says how many messages it was shown, and the first."""
    said = [message for message in request.messages if message.role != "system"]
    return f"{len(said)} messages since {said[0].text!r}"


async def talk(store: Path, session: str, *texts: str) -> list[str]:
    """Turns of one session, each a run of its own, in an engine of their own."""
    models = {"default": Scripted(attentive)}
    async with ms.Engine(store, models=models, allow_unknown_prices=True) as engine:
        return [(await engine.start(chat.turn(text), session=session)).output for text in texts]


def test_turns_remember_those_before_also_after_a_restart(tmp_path: Path) -> None:
    first = asyncio.run(talk(tmp_path, "ada", "I am Ada", "Who am I?"))
    later = asyncio.run(talk(tmp_path, "ada", "Still?"))

    assert first == ["1 messages since 'I am Ada'", "3 messages since 'I am Ada'"]
    assert later == ["5 messages since 'I am Ada'"]


def test_sessions_know_nothing_of_each_other(tmp_path: Path) -> None:
    asyncio.run(talk(tmp_path, "ada", "I am Ada"))

    assert asyncio.run(talk(tmp_path, "bob", "Who am I?")) == ["1 messages since 'Who am I?'"]


def test_turns_started_at_once_wait_in_line_and_none_is_lost(tmp_path: Path) -> None:
    async def main() -> list[str]:
        models = {"default": Scripted(attentive)}
        async with ms.Engine(tmp_path, models=models, allow_unknown_prices=True) as engine:
            runs = [engine.start(chat.turn(f"text {n}"), session="ada", busy="queue") for n in range(5)]
            return [(await run).output for run in runs]

    assert asyncio.run(main()) == [f"{2 * n + 1} messages since 'text 0'" for n in range(5)]


def test_only_the_latest_messages_are_shown_to_the_model(tmp_path: Path) -> None:
    *_, last = asyncio.run(talk(tmp_path, "ada", *(f"text {n}" for n in range(15))))

    assert last == f"{chat.RECENT + 1} messages since 'text 4'"


def test_a_turn_survives_every_crash() -> None:
    options: RunOptions = {"session": "ada"}
    done = running.run(chat.turn("Hello"), models=Scripted(attentive), options=options, crash_at="each")

    assert done.output == "1 messages since 'Hello'"


def test_the_reply_is_heard_word_by_word(tmp_path: Path) -> None:
    async def main() -> list[str]:
        models = {"default": Scripted("You are very welcome.")}
        async with ms.Engine(tmp_path, models=models, allow_unknown_prices=True) as engine:
            run = engine.start(chat.turn("Thank you"), session="ada")
            return [str(update.value) async for update in run.updates(only="chunk")]

    assert asyncio.run(main()) == ["You ", "are ", "very ", "welcome."]
