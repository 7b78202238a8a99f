"""`ms.emit`: what it passes on, and what it says where it does not work."""

import asyncio
from typing import Any

import msgspec
import pytest

import makespan as ms
from makespan.authoring.emit import MAX_EMIT_BYTES
from makespan.authoring.place import InsideTask, current
from makespan.ports import AttemptInfo

Heard = list[tuple[str, Any]]


def emitted(*arguments: Any, **named: Any) -> Heard:
    """What one `ms.emit` inside a task passes on."""
    heard: Heard = []
    info = AttemptInfo(
        "r", bytes(16), "work", 1, outbox=lambda _, kind, body: heard.append((kind, msgspec.msgpack.decode(body)))
    )
    place = current.set(InsideTask("work", info))
    try:
        ms.emit(*arguments, **named)
    finally:
        current.reset(place)
    return heard


class Point(msgspec.Struct):
    x: int


def test_a_value_is_passed_on_as_plain_data() -> None:
    assert emitted({"rows": [Point(1)], "who": ("a", None)}) == [("progress", {"rows": [{"x": 1}], "who": ["a", None]})]
    assert emitted(None) == [("progress", None)]


def test_progress_says_how_much_of_how_much() -> None:
    assert emitted(done=1, total=10) == [("progress", {"done": 1, "total": 10})]
    assert emitted("reading", done=0.5) == [("progress", {"done": 0.5, "value": "reading"})]


@pytest.mark.parametrize(
    ("arguments", "named", "message"),
    [
        ((), {}, "nothing to show"),
        ((), {"total": 3}, "give done= too"),
        ((), {"done": -1}, r"done=-1: it is a number, at least 0"),
        ((), {"done": True}, "it is a number"),
        ((), {"done": 1, "total": float("nan")}, "total=nan"),
        ((object(),), {}, "ms.emit in work: "),
    ],
)
def test_what_cannot_be_shown_is_an_error(arguments: tuple[Any, ...], named: dict[str, Any], message: str) -> None:
    with pytest.raises(ms.GraphError, match=message):
        emitted(*arguments, **named)


def test_a_value_that_is_too_large_is_dropped_and_readers_are_told(caplog: pytest.LogCaptureFixture) -> None:
    assert emitted("x" * MAX_EMIT_BYTES) == [("lost", 1)]
    assert "the most is 65536" in caplog.text


def test_outside_of_a_task_it_says_what_to_do() -> None:
    with pytest.raises(ms.GraphError, match=r"while a task runs.*copy_context"):
        ms.emit(1)


def test_a_workflow_emits_in_its_tasks() -> None:
    @ms.workflow
    async def loud() -> int:
        ms.emit(1)
        return 1

    with pytest.raises(ms.TaskError, match="emit in a task"):
        assert ms.run(loud(), store="memory").output


def test_a_prompt_body_cannot_emit() -> None:
    @ms.prompt()
    def greet(name: str) -> str:
        ms.emit(name)
        ms.chat(f"Hello {name}")

    @ms.workflow
    def greeting(name: str) -> str:
        return greet(name)

    async def main() -> Any:
        async with ms.Engine("memory", models={"default": "scripted"}) as engine:
            return await engine.start(greeting("Ann"))

    with pytest.raises(ms.TaskError, match="only says what to ask"):
        assert asyncio.run(main()).output
