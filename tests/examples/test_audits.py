"""Budgets per customer: who is over is partial, the others are whole, and a crash spends nothing twice."""

from __future__ import annotations

from examples import audits, rag
from makespan.models.prices import Price
from makespan.models.scripted import Scripted, prompt_text
from makespan.ports import ModelRequest
from makespan.testing import running

NOTES = ["Refunds take five days.", "Parcels leave at noon."]
QUESTIONS = {"ann": "How long do refunds take?", "bob": "When do parcels leave?", "cid": "Are refunds slow?"}
PRICES = {"scripted": Price(0, 0, 1_000_000)}
"""0.08 USD for the longest answer, 0.04 for the longest question in other words; asked again when it does not fit."""


def clerk(request: ModelRequest) -> str:
    """Never finds a quote for bob."""
    asked = prompt_text(request)
    if "in other words" in asked:
        return "When do parcels leave for bob?"
    quote = "I do not know" if "bob" in asked else NOTES[0]
    return f'{{"quote": "{quote}", "text": "for {"bob" if "bob" in asked else "others"}"}}'


def test_one_customer_over_the_budget_is_partial_and_the_others_are_not() -> None:
    done = running.run(
        audits.audits(QUESTIONS, budget_usd=0.18),
        fakes={rag.library: NOTES},
        models=Scripted(clerk),
        engine={"prices": PRICES, "allow_unknown_prices": False},
    )

    assert done.output["ann"] == done.output["cid"] == "for others"
    assert done.output["bob"].startswith("partial: ")
    assert "budget_usd" in done.output["bob"]
    assert done.cost_usd <= 3 * 0.18


def test_enough_budget_shows_the_real_reason() -> None:
    done = running.run(audits.audits(QUESTIONS), fakes={rag.library: NOTES}, models=Scripted(clerk), crash_at="each")

    assert "no answer was grounded" in done.output["bob"]
