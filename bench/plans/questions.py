"""Reads English questions that compare adjusted figures, and writes the calls that answer them.

    If Mount Everest shrank by 10% and K2 grew by 5%, what would be the difference in their heights?

    premise   Everest × 0.9, K2 × 1.05      pieces between commas and conjunctions, taken together until each
                                            entity in them has its amount; the k-th amount is of the k-th entity
    query     difference                    from the first question word on

Three families: entities adjusted, then compared or combined; pairs, of which one ratio, difference or mean is
wanted; states merged, compared by density. What fits none is refused with a sentence, never guessed.
"""

import re
from decimal import Decimal
from typing import NamedTuple

from bench.plans.facts import Entity, mentions, query


class Call(NamedTuple):
    """One call of a plan. `$3` in its argument is the result of call 3."""

    number: int
    tool: str
    argument: str

    @property
    def needs(self) -> tuple[int, ...]:
        """The calls that it refers to, each once, in order."""
        return tuple(dict.fromkeys(int(number) for number in REFERENCE.findall(self.argument)))


class Number(NamedTuple):
    """The answer is the result of a call."""

    call: int


class Name(NamedTuple):
    """The answer is the name with the largest or the smallest result."""

    largest: bool
    calls: dict[str, int]
    """Entity → its call."""


class Reading(NamedTuple):
    """What a question asks for, as calls and the rule that makes an answer of their results."""

    question: str
    calls: tuple[Call, ...]
    rule: Number | Name


class UnreadableError(ValueError):
    """A question outside of the grammar."""

    def __init__(self, question: str, reason: str) -> None:
        super().__init__(f"{reason}, in: {question}")
        self.question, self.reason = question, reason


REFERENCE = re.compile(r"\$\{?(\d+)")

_PIECE = re.compile(r",\s+(?:and\s+|while\s+)?|;\s+|\s+(?:and|while|then)\s+|(?<=[.?:])\s+(?=[A-Z])")
_QUERY = re.compile(r"\b(?:which|what|how|compute|calculate|determine|identify)\b", re.IGNORECASE)
_MOST = re.compile(
    r"\b(?:larger|largest|greater|greatest|bigger|biggest|taller|tallest|deeper|deepest|higher|highest|longer|longest"
    r"|faster|fastest|speedier|speediest|more|most|maximum|dominates?|surpass(?:es)?)\b",
    re.IGNORECASE,
)
_LEAST = re.compile(
    r"\b(?:smaller|smallest|shorter|shortest|shallower|shallowest|slower|slowest|lower|lowest|less|least|fewest"
    r"|minimum)\b",
    re.IGNORECASE,
)
_UP = re.compile(
    r"\b(?:increas|grow|grew|expan|enlarg|exten|deep|tall|high|fast|speed(?:y|ier)|ris[ei]|rose|boost|magnif|add|leng"
    r"|swell|enhanc|improv|elevat|augment|gain|accelerat|stretch|long|larg|bigg|multipl)",
    re.IGNORECASE,
)
_DOWN = re.compile(
    r"\b(?:decreas|reduc|shr[aiu]n|short|shallow|slow|drop|diminish|contract|subtract|los[ei]|lost|declin|fell|fall"
    r"|low|small|divid)",
    re.IGNORECASE,
)
_COUNTS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_MULTIPLES = {"doubl": 2, "tripl": 3, "quadrupl": 4, "quintupl": 5}
_SOME = r"\d+(?:\.\d+)?|" + "|".join(_COUNTS)
_AMOUNT = re.compile(
    rf"(?P<percent>\d+(?:\.\d+)?)\s?%"
    rf"|\b(?P<times>{_SOME})\s+times\b|\bfactor of (?P<factor>{_SOME})\b|\bmultiplied by (?P<by>{_SOME})\b"
    rf"|\b(?P<halved>by half)\b|\bto (?:one-|a )?(?P<part>{'|'.join(_PARTS)})\b"
    rf"|\b(?P<multiple>{'|'.join(_MULTIPLES)})(?:es?|ed|ing)\b"
    r"|\b(?P<unchanged>unchanged)\b|\bsame (?P<same>fraction|percentage|amount|factor)\b",
    re.IGNORECASE,
)


def read(question: str) -> Reading:
    """The calls and the rule for a question. Raises UnreadableError. Cost: linear in the question."""
    asked = _QUERY.search(question)
    if asked is None:
        raise UnreadableError(question, "nothing is asked")
    draft = _Draft(question)
    adjusted = _adjusted(question)
    if adjusted:
        rule = _compare_adjusted(draft, adjusted, question[asked.start() :])
    elif re.search(r"\bmerge\b", question):
        rule = _compare_merged(draft, question[: asked.start()], question[asked.start() :])
    else:
        rule = _compare_pairs(draft)
    return Reading(question, tuple(draft.calls), rule)


class _Draft:
    """Calls in the order of writing; an entity is searched for once."""

    def __init__(self, question: str) -> None:
        self.question = question
        self.calls: list[Call] = []
        self._searched: dict[str, int] = {}

    def search(self, entity: Entity) -> str:
        if entity.name not in self._searched:
            self._searched[entity.name] = self._add("search", query(entity))
        return f"${self._searched[entity.name]}"

    def math(self, expression: str) -> str:
        return f"${self._add('math', expression)}"

    def last(self) -> Number:
        return Number(len(self.calls))

    def refuse(self, reason: str) -> UnreadableError:
        return UnreadableError(self.question, reason)

    def largest(self, text: str) -> bool:
        """Whether a text asks for the largest, else for the smallest."""
        most, least = bool(_MOST.search(text)), bool(_LEAST.search(text))
        if most == least:
            raise self.refuse("neither the largest nor the smallest is asked for" if not most else "both ends asked for")
        return most

    def _add(self, tool: str, argument: str) -> int:
        self.calls.append(Call(len(self.calls) + 1, tool, argument))
        return len(self.calls)


# ---------------------------------------------------------------- adjusted


class _Adjusted(NamedTuple):
    entity: Entity
    change: str
    """What is written behind the figure: `* 0.8`, `/ 1.5`, or nothing."""


def _adjusted(question: str) -> list[_Adjusted]:
    """Each entity with its change, in order; none where the question adjusts nothing."""
    found: list[_Adjusted] = []
    is_up: bool | None = None
    change = held = ""
    for piece in _PIECE.split(question):
        held = f"{held} {piece}"
        entities, amounts = [each.entity for each in mentions(held)], list(_AMOUNT.finditer(held))
        if not entities or len(entities) != len(amounts):
            continue
        is_up = _direction(question, held, is_up)
        for entity, amount in zip(entities, amounts, strict=True):
            change = change if amount["same"] and _same_way(change, is_up) else _change(amount, change, is_up)
            found.append(_Adjusted(entity, change))
        held = ""
    if _AMOUNT.search(held):
        raise UnreadableError(question, f"amounts and entities do not pair up in {held.strip()!r}")
    return found
