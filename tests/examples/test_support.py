"""The agent with tools: a refund waits for a person, is paid once at any crash; a refusal reaches the model."""

from __future__ import annotations

import asyncio
from typing import Any

import makespan as ms
from examples import support
from makespan.models.scripted import Scripted, calling, prompt_text
from makespan.ports import ModelReply, ModelRequest
from makespan.testing import running


def clerk(request: ModelRequest) -> str | ModelReply:
    """Looks the price up, refunds it, and says what it was told."""
    told = [message.text for message in request.messages if message.role == "tool"]
    if not told:
        return calling(("price", {"order": "o-9" if "o-9" in prompt_text(request) else "o-2"}))
    if len(told) == 1 and "no order" not in told[0]:
        return calling(("refund", {"order": "o-2", "usd": float(told[0])}))
    return f"Dear customer: {told[-1]}"


def test_an_approved_refund_is_paid_once_wherever_the_process_is_killed() -> None:
    done = running.run(
        support.support("o-2 is broken"), models=Scripted(clerk), answers={"refund": True}, crash_at="each"
    )

    assert done.output.startswith("Dear customer: refunded 30.00 USD for o-2, receipt ")


def test_a_refused_refund_is_told_to_the_model_and_never_paid() -> None:
    paid: list[str] = []

    def pay(order: str, usd: float) -> str:
        paid.append(order)
        return "paid"

    done = running.run(
        support.support("o-2 is broken"),
        fakes={support.refund: pay},
        models=Scripted(clerk),
        answers={"refund": False},
        crash_at="each",
    )

    assert paid == []
    assert "refused" in done.output


def test_what_a_tool_cannot_do_is_told_to_the_model() -> None:
    done = running.run(support.support("o-9 is broken"), models=Scripted(clerk))

    assert "there is no order 'o-9'; the customer has o-1, o-2" in done.output


def test_a_page_shows_the_question_and_then_the_answer_word_by_word() -> None:
    async def main() -> list[str]:
        shown: list[str] = []
        engine: Any
        models = {"default": Scripted(clerk)}
        async with ms.Engine("memory", models=models, allow_unknown_prices=True) as engine:
            async for text in support.page(engine, "o-2 is broken", "s-1"):
                shown.append(text)
                run = engine.get(engine.journal.runs()[0].run_id)
                for question in run.questions():
                    run.answer(question.task, True)
        return shown

    question, *words = asyncio.run(main())

    assert question == "may refund run? {'order': 'o-2', 'usd': 30.0}"
    assert "".join(words).startswith("Dear customer: refunded 30.00 USD for o-2")
    assert len(words) > 5
