"""A supervisor splits a goal into topics, researchers with a tool work in parallel, and it looks at their notes again.

Each round has a budget and a deadline of its own, each researcher a budget inside that; one that fails is left out.

    makespan run examples/research.py -i goal="Why is the sky blue?"
"""

from typing import Annotated

from msgspec import Meta

import makespan as ms

PAGES = {
    "light": "Light from the sun holds all colours; blue has a short wave.",
    "air": "Air scatters short waves about ten times as much as long ones.",
}


@ms.task(effect="pure")
def search(words: str) -> list[str]:
    """Pages about these words."""
    return [page for title, page in PAGES.items() if title in words.lower()] or ["nothing found"]


@ms.prompt(max_tokens=120)
def split(goal: str, known: list[str]) -> Annotated[list[str], Meta(max_length=3)]:
    ms.chat(
        f"Goal: {goal}", "Known:", *known, system="Name up to three topics to look into; none when enough is known."
    )


@ms.prompt(tools=[search], max_turns=3, max_tokens=80, budget_usd=0.10)
def look_into(topic: str) -> str:
    ms.chat(f"Search, and say in one sentence what matters about: {topic}")


@ms.workflow
async def research(goal: str) -> list[str]:
    notes: list[str] = []
    for number in range(3):
        topics = await split(goal, notes)
        if not topics:
            break
        async with ms.scope(f"round {number}", budget_usd=0.50, deadline_s=120):
            found = await ms.map(look_into, topics, errors="keep")
        notes += [outcome.value for outcome in found if outcome]
    return notes
