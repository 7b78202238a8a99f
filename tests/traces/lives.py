"""Random runs with money: priced tasks in scopes with budgets; samples and hedges beside each other; crashes."""

from __future__ import annotations

import random
from collections.abc import Callable

from makespan.machine.observations import StartAttempt
from makespan.values import nano_usd
from tests.machine.driver import SECOND, Act, Life, error
from tests.machine.test_beside_laws import CENT, Chance, mixed
from tests.machine.test_budgets import honest, priced_workflow


def priced(seed: int) -> Life:
    """64 priced tasks that fail, time out and linger, in scopes with budgets, cut and resumed with more money."""
    chance = random.Random(seed)
    budget = chance.choice([0.05, 0.3, 1])
    life = Life(priced_workflow(chance)(), honest(chance), budget_usd=budget, seed=seed)  # type: ignore[arg-type]
    for _ in range(6):
        life.run(until=life.now + round(chance.random() * 9 * SECOND))
        if life.status == "paused":
            life.resume(budget=nano_usd(budget := budget * 2))
        elif life.status == "running" and chance.random() < 0.5:
            life.crash().resume()
    return life


def beside(seed: int) -> Life:
    """16 tasks with samples and hedges that win, lose, fail and are cut by crashes."""
    chance = random.Random(seed)

    def script(command: StartAttempt) -> Act:
        failure = error(retryable=True) if chance.random() < 0.3 else None
        takes = round(chance.lognormvariate(0.5, 1.2) * SECOND)
        return Act(takes, failure, chance.randrange(CENT + 1), stubborn=chance.random() < 0.2)

    said = Chance(chance)
    life = Life(mixed(), script, planner=said, estimates=said, budget_usd=6, seed=seed)
    for _ in range(chance.randint(0, 3)):
        life.run(turns=chance.randint(1, 30))
        if life.status == "running":
            life.crash().resume()
    return life.run(turns=chance.choice([None, 20]))


LIVES: list[Callable[[int], Life]] = [priced, beside]
