"""Sixty-one public figures of fifty-six places, animals and buildings, and the search that answers from them.

One unit a quantity (`UNITS`). Where sources differ, the figure is the printed one that most of ParallelQA's answers
follow from, and `note` says which it is. It serves every question alike: the table knows no question and no answer.
"""

import difflib
import re
from collections.abc import Iterator
from typing import NamedTuple

UNITS = {
    "depth": "m",
    "top speed": "km/h",
    "area": "km2",
    "length": "km",
    "height": "m",
    "population": "people",
}
"""The unit of each quantity."""

MIN_MISSPELT_CHARS = 5
"""Words at least this long are understood with one letter wrong."""


class Entity(NamedTuple):
    """Something with figures."""

    name: str
    figures: dict[str, float]
    """Quantity → value in its unit."""
    also: tuple[str, ...] = ()
    """Other names."""
    note: str = ""
    """Which of several published figures this is."""


class Mention(NamedTuple):
    """An entity named in a text, and where."""

    entity: Entity
    start: int
    end: int


def _of(quantity: str, *rows: tuple[str, float] | tuple[str, float, str]) -> Iterator[Entity]:
    for name, value, *note in rows:
        yield Entity(name, {quantity: value}, note=str(note[0]) if note else "")


def _state(name: str, population: float, area: float, note: str = "total area") -> Entity:
    return Entity(name, {"population": population, "area": area}, note=f"estimate of July 2022; {note}")


_ROUND = "as rounded in reference lists"
_CORE = "without marginal seas"

ENTITIES: tuple[Entity, ...] = (
    *_of(
        "depth",
        ("Mariana Trench", 10_984, "sounding of 2010; 10,935 and 10,994 are printed too"),
        ("Puerto Rico Trench", 8_376),
        ("Sunda Trench", 7_290, "expedition of 2019"),
        ("South Sandwich Trench", 8_202, "Meteor Deep; 8,265 is printed too"),
        ("Peru-Chile Trench", 8_065, "Richards Deep"),
    ),
    *_of(
        "top speed",
        ("cheetah", 112),
        ("peregrine falcon", 389, "in a dive"),
        ("greyhound", 72),
        ("gazelle", 97),
        ("ostrich", 70),
    ),
    *_of(
        "area",
        ("Sahara Desert", 9_200_000),
        ("Kalahari Desert", 900_000),
        ("Sonoran Desert", 260_000),
        ("Arabian Desert", 2_330_000),
        ("Atacama Desert", 105_000),
        ("Amazon Rainforest", 5_500_000),
        ("Australian Forest", 1_470_000, "147 million ha, survey of 2016"),
        ("Black Forest", 6_009),
        ("Pacific Ocean", 165_250_000),
        ("Atlantic Ocean", 85_133_000, _CORE),
        ("Indian Ocean", 70_560_000),
        ("Southern Ocean", 20_327_000),
        ("Arctic Ocean", 14_060_000),
    ),
    Entity("Congo Rainforest", {"area": 2_000_000}, ("Congo Forest",), _ROUND),
    Entity("Borneo Rainforest", {"area": 748_168}, ("Borneo Forest",), "the island"),
    *_of(
        "length",
        ("Yangtze River", 6_300),
        ("Mississippi River", 3_766),
        ("Volga River", 3_531),
        ("Mekong River", 4_909, "4,350 is printed too"),
        ("Congo River", 4_700),
    ),
    *_of(
        "height",
        ("Mount Everest", 8_848, "before the survey of 2020"),
        ("K2", 8_611),
        ("Aconcagua", 6_961),
        ("Mount Kilimanjaro", 5_895),
        ("Mount Elbert", 4_401),
        ("Christ the Redeemer", 38, "with its pedestal"),
        ("Statue of Unity", 180, "rounded; 182 as built"),
        ("Washington Monument", 169),
        ("Motherland Calls", 85),
        ("Ushiku Daibutsu", 120, "with its base"),
        ("Burj Khalifa", 830, "to the tip, rounded from 829.8"),
        ("Tokyo Skytree", 634),
        ("Shanghai Tower", 632),
        ("CN Tower", 553.3),
        ("Ostankino Tower", 540.1),
        ("Empire State Building", 443.2, "to the tip"),
    ),
    *_of(
        "population",
        ("China", 1_400_000_000, _ROUND),
        ("Japan", 125_000_000, _ROUND),
        ("Vietnam", 100_000_000, _ROUND),
        ("Thailand", 70_000_000, _ROUND),
        ("South Korea", 52_000_000, _ROUND),
    ),
    _state("Texas", 30_029_572, 695_662),
    _state("Florida", 22_244_823, 170_312),
    _state("California", 39_029_342, 423_970),
    _state("Michigan", 10_034_113, 250_487),
    _state("New Jersey", 9_261_699, 19_047, "land only, as its density is quoted"),
)

_WORD = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z]+)*")


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


_NAMES: tuple[tuple[list[str], Entity], ...] = tuple(
    sorted(
        ((_words(name), entity) for entity in ENTITIES for name in (entity.name, *entity.also)),
        key=lambda named: -len(named[0]),
    )
)


def mentions(text: str) -> list[Mention]:
    """The entities that a text names, in order; one wrong letter in a long word is forgiven."""
    words = list(_WORD.finditer(text))
    said = [word.group().casefold() for word in words]
    found: list[Mention] = []
    at = 0
    while at < len(said):
        name, entity = next((named for named in _NAMES if _stands(named[0], said, at)), ([], None))
        if entity is not None:
            found.append(Mention(entity, words[at].start(), words[at + len(name) - 1].end()))
        at += len(name) or 1
    return found


def _stands(name: list[str], said: list[str], at: int) -> bool:
    there = said[at : at + len(name)]
    return len(there) == len(name) and all(map(_alike, name, there))


def _alike(meant: str, said: str) -> bool:
    if meant == said:
        return True
    return len(meant) == len(said) >= MIN_MISSPELT_CHARS and sum(a != b for a, b in zip(meant, said, strict=True)) == 1


def query(entity: Entity) -> str:
    """What to search for to get every figure of an entity: `Mariana Trench depth`, `Texas population and area`."""
    return f"{entity.name} {' and '.join(entity.figures)}"


def search(query: str) -> float | str:
    """The figures of the entity that a query names.

    Args:
        query: an entity and the quantities wanted; without a quantity, all that are known of it.
    Returns:
        One figure as a number in the unit of its quantity; several as text, `30029572 people, 695662 km2`.
    Raises:
        LookupError: no entity or several, or nothing is known of the quantity.
    """
    named = {mention.entity.name: mention.entity for mention in mentions(query)}
    if len(named) != 1:
        raise LookupError(f"{query!r} names {_listed(list(named))}; ask for one{_nearest(query)}")
    (entity,) = named.values()
    asked = {quantity for quantity in UNITS if re.search(rf"\b{quantity}\b", query, re.IGNORECASE)}
    unknown = sorted(asked - set(entity.figures))
    if unknown:
        raise LookupError(f"no {unknown[0]} of {entity.name} is known; ask for its {' or '.join(entity.figures)}")
    figures = {quantity: value for quantity, value in entity.figures.items() if not asked or quantity in asked}
    if len(figures) == 1:
        return float(*figures.values())
    return ", ".join(f"{value} {UNITS[quantity]}" for quantity, value in figures.items())


def _listed(names: list[str]) -> str:
    return "nothing that is in the table" if not names else " and ".join(names)


def _nearest(query: str) -> str:
    near = difflib.get_close_matches(query, [entity.name for entity in ENTITIES], n=3, cutoff=0.4)
    return f": {', '.join(near)}" if near else ""
