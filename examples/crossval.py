"""Cross-validation of learning rates on GPU slots: at most as many trainings as there are slots, each on its own.

    MAKESPAN_POOLS_GPU=2 makespan run examples/crossval.py -i rates='[0.001, 0.01, 0.1]'

Trainings are worker processes here (a crash of one is not ours), the model a line through noisy points.
"""

import os
from random import Random

import makespan as ms

FOLDS = range(5)
POINTS = [(x / 50, 3 * x / 50 + Random(x).gauss(0, 0.1)) for x in range(50)]


@ms.task(effect="pure", needs={"gpu": 1}, executor="process", timeout_s=3600)
def train(fold: int, rate: float) -> float:
    os.environ["CUDA_VISIBLE_DEVICES"] = str(ms.context().slots["gpu"][0])
    held_out = POINTS[fold :: len(FOLDS)]
    slope = 0.0
    for epoch in range(20):
        for x, y in [point for point in POINTS if point not in held_out]:
            slope += rate * (y - slope * x) * x
        ms.emit(done=epoch + 1, total=20)
    return sum((y - slope * x) ** 2 for x, y in held_out) / len(held_out)


@ms.task(effect="pure")
def best(rates: list[float], losses: list[list[float]]) -> float:
    return min(zip(rates, losses, strict=True), key=lambda pair: sum(pair[1]))[0]


@ms.workflow
def crossval(rates: list[float]) -> float:
    return best(rates, ms.map(lambda rate: ms.map(lambda fold: train(fold, rate), FOLDS), rates))
