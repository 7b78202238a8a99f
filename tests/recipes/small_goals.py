"""Five tools and ten goals of three steps each, with the answers, for models that run in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import makespan as ms

RIVERS = {"Rhine": 1233.0, "Elbe": 1094.0, "Danube": 2857.0, "Thames": 346.0, "Seine": 777.0}
PEOPLE = {"Ulm": 128_928, "Bonn": 335_975, "Kiel": 247_548, "Jena": 108_127}
FACTORS = {"km": 1000.0, "m": 1.0, "mile": 1609.344, "foot": 0.3048}


@ms.task(effect="pure")
def river_length(river: str) -> float:
    """The length of a river in km."""
    return RIVERS[river.removeprefix("the ").removeprefix("The ").removesuffix(" River")]


@ms.task(effect="pure")
def population(city: str) -> int:
    """How many people live in a city."""
    return PEOPLE[city]


@ms.task(effect="pure")
def convert_length(value: float, from_unit: Literal["km", "m", "mile", "foot"], to_unit: str) -> float:
    """A length in another unit: km, m, mile or foot."""
    return round(value * FACTORS[from_unit] / FACTORS[to_unit.removesuffix("s")], 2)


@ms.task(effect="pure")
def calculate(a: float, operation: Literal["+", "-", "*", "/"], b: float) -> float:
    """Arithmetic with two numbers."""
    made = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else 0.0}
    return round(made[operation], 2)


@ms.task(effect="pure")
def sort_numbers(numbers: list[float], order: Literal["ascending", "descending"] = "ascending") -> list[float]:
    """Numbers in order."""
    return sorted(numbers, reverse=order == "descending")


def has(*numbers: float) -> Callable[[Any], bool]:
    """Whether an output is these numbers, in this order."""

    def right(output: Any) -> bool:
        said = output if isinstance(output, list) else [output]
        return len(said) == len(numbers) and all(
            isinstance(one, int | float) and abs(one - wanted) < 0.02 for one, wanted in zip(said, numbers, strict=True)
        )

    return right


GOALS: dict[str, Callable[[Any], bool]] = {
    "How many miles is the Rhine longer than the Elbe? Look up both lengths, subtract, and convert to miles.": has(
        round(139 * 1000 / 1609.344, 2)
    ),
    "How many people live in Ulm and Bonn together?": has(128_928 + 335_975),
    "Sort the lengths of the Thames and the Seine, in km, the longest first.": has(777, 346),
    "What is the length of the Danube in miles, divided by 2?": has(round(round(2857 * 1000 / 1609.344, 2) / 2, 2)),
    "Take the population of Kiel, subtract the population of Jena, and divide the difference by 10.": has(
        round((247_548 - 108_127) / 10, 2)
    ),
    "Convert 3 miles to km, add 10, and convert the sum to m.": has(round((round(3 * 1.609344, 2) + 10) * 1000, 2)),
    "Sort the populations of Ulm, Kiel and Jena in ascending order.": has(108_127, 128_928, 247_548),
    "How long are the Rhine and the Elbe together, in m?": has(2_327_000),
    "Multiply the length of the Seine in km by 3 and convert the product to miles.": has(
        round(2331 * 1000 / 1609.344, 2)
    ),
    "Convert 5000 feet to m, double it, and sort the result together with 3000 in descending order.": has(3048, 3000),
}
