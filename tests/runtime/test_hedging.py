"""Hedges on the real loop: a second attempt rescues what hangs, and the first is cancelled."""

from __future__ import annotations

import asyncio

import makespan as ms
from makespan.machine.facts import AttemptStarted, Fact, LateResult, TaskSucceeded, decode_facts
from makespan.profiles.distributions import Constant
from makespan.profiles.profile import ModeProfile, Profile

QUICK = Profile({"fetch": {"": ModeProfile(Constant(5_000_000))}})
"""Five milliseconds: whatever takes longer is hedged."""

ended: list[str] = []


@ms.task(hedge=0.95, key="fetch")
async def fetch(name: str) -> str:
    attempt = ms.context().attempt
    try:
        if attempt == 1:
            await asyncio.Event().wait()
    finally:
        ended.append(f"{name} {attempt}")
    return f"{name} from attempt {attempt}"


@ms.workflow
def both() -> list[str]:
    return ms.gather(fetch("a"), fetch("b"))


def test_an_attempt_that_hangs_is_overtaken_and_cancelled() -> None:
    async def main() -> tuple[object, list[Fact]]:
        async with ms.Engine("memory", profile=QUICK) as engine:
            run = engine.start(both())
            result = await run
            return result.output, [fact for body in engine.journal.read(run.id, 0) for fact in decode_facts(body)]

    ended.clear()
    output, facts = asyncio.run(main())

    assert output == ["a from attempt 2", "b from attempt 2"]
    assert sorted(ended) == ["a 1", "a 2", "b 1", "b 2"]
    assert [fact.attempt for fact in facts if isinstance(fact, TaskSucceeded) and fact.attempt] == [2, 2]
    assert sum(isinstance(fact, AttemptStarted) and fact.beside for fact in facts) == 2
    assert sorted(fact.attempt for fact in facts if isinstance(fact, LateResult)) == [1, 1]
