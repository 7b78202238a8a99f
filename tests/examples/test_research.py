"""Supervisor research: rounds of parallel researchers, until nothing is left to ask; who fails is left out."""

from __future__ import annotations

from examples import research
from makespan.errors import ProviderError
from makespan.models.prices import Price
from makespan.models.scripted import Scripted, calling, prompt_text
from makespan.ports import ModelReply, ModelRequest
from makespan.testing import running


def team(request: ModelRequest) -> str | ModelReply:
    """A supervisor who wants light, then air; researchers of whom one is ill."""
    asked = prompt_text(request)
    if "Goal:" in asked:
        rounds = ['["light", "dust"]', '["air"]', "[]"]
        return f'{{"value": {rounds[asked.count("It is the wave")]}}}'
    if "dust" in asked:
        raise ProviderError("I am ill", kind="refused", retryable=False)
    told = [message.text for message in request.messages if message.role == "tool"]
    topic = "light" if "light" in asked else "air"
    return f"It is the wave: {told[0]}" if told else calling(("search", {"words": topic}))


def test_two_rounds_bring_what_the_tool_found_and_survive_every_crash() -> None:
    done = running.run(research.research("Why is the sky blue?"), models=Scripted(team), crash_at="each")

    first, second = done.output
    assert research.PAGES["light"] in first
    assert research.PAGES["air"] in second
    assert any("I am ill" in gap for gap in done.gaps)


def test_a_researcher_whose_budget_does_not_reach_is_left_out() -> None:
    dear = {"scripted": Price(0, 0, 2_000_000)}  # 0.16 USD for the 80 tokens of a turn at most

    done = running.run(
        research.research("Why is the sky blue?"),
        models=Scripted(team),
        engine={"prices": dear, "allow_unknown_prices": False},
    )

    assert done.output == []
    assert any("budget_usd" in gap for gap in done.gaps)
