"""Seeds of model calls: with a temperature each attempt draws for itself, and the same in every life of the run."""

from __future__ import annotations

import makespan as ms
from makespan.models.scripted import Scripted, echo
from makespan.testing import running


@ms.prompt(temperature=0.9)
def idea(topic: str) -> str:
    ms.chat(topic)


@ms.prompt(temperature=0.9, retries=1)
def number(topic: str) -> int:
    ms.chat(topic)


@ms.prompt()
def fact(topic: str) -> str:
    ms.chat(topic)


@ms.workflow
async def ideas(topic: str) -> list[str]:
    return list(await ms.gather(*[idea(topic) for _ in range(3)], fact(topic), fact(topic)))


@ms.workflow
async def numbers(topic: str) -> int:
    return await number(topic)


def seeds(seed: int) -> list[int | None]:
    model = Scripted(echo)
    running.run(ideas("bees"), models=model, seed=seed)
    return [request.seed for request in sorted(model.calls, key=lambda request: -request.temperature)]


def test_samples_of_one_prompt_have_seeds_of_their_own_and_calls_without_temperature_share_one() -> None:
    *samples, one, other = seeds(1)

    assert len(set(samples)) == 3
    assert one == other


def test_a_run_with_the_same_seed_draws_the_same() -> None:
    assert seeds(1) == seeds(1)
    assert set(seeds(1)).isdisjoint(seeds(2))


def test_the_next_attempt_draws_anew() -> None:
    model = Scripted(["none", "still none", "7"])

    assert running.run(numbers("bees"), models=model).output == 7
    first, asked_again, second = [request.seed for request in model.calls]
    assert first == asked_again != second
