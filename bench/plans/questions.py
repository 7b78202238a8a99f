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
from typing import Literal, NamedTuple

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
_PROPER = re.compile(r"(?<=[a-z0-9,;%] )[A-Z][\w-]*(?: [A-Z][\w-]*)*")
"""A name in the middle of a sentence."""
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
    r"\b(?:increas|grow|grew|expan|enlarg|exten|deeper|deepen|taller|higher|faster|speedier|ris[ei]|rose|boost|magnif|add"
    r"|lengthen|longer|larger|bigger|swell|enhanc|improv|elevat|augment|gain|accelerat|stretch|multipl)",
    re.IGNORECASE,
)
_DOWN = re.compile(
    r"\b(?:decreas|reduc|shr[aiu]n|shorter|shorten|shallower|slower|smaller|lower|drop|diminish|contract|subtract"
    r"|los[ei]|lost|declin|fell|fall|divid)",
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
    _refuse_strangers(question)
    draft = _Draft(question)
    adjusted = _adjusted(question)
    if adjusted:
        rule = _compare_adjusted(draft, adjusted, question[asked.start() :])
    elif re.search(r"\bmerge\b", question):
        rule = _compare_merged(draft, question[: asked.start()], question[asked.start() :])
    else:
        rule = _compare_pairs(draft)
    return Reading(question, tuple(draft.calls), rule)


def _refuse_strangers(question: str) -> None:
    """A name outside of the table would leave the others paired wrongly."""
    known = [(each.start, each.end) for each in mentions(question)]
    for found in _PROPER.finditer(question):
        if not any(start <= found.start() < end for start, end in known):
            raise UnreadableError(question, f"nothing is known of {found.group()!r}")


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
            raise self.refuse(
                "neither the largest nor the smallest is asked for" if not most else "both ends asked for"
            )
        return most

    def _add(self, tool: str, argument: str) -> int:
        self.calls.append(Call(len(self.calls) + 1, tool, argument))
        return len(self.calls)


# ---------------------------------------------------------------- adjusted


class _Adjusted(NamedTuple):
    entity: Entity
    change: str
    """What is written behind the figure: `* 0.8`, `/ 1.5`, or nothing."""


class _Amount(NamedTuple):
    """How much by."""

    value: Decimal
    kind: Literal["percent", "factor", "share"]
    """A share is what is left: one nth, whichever way it is said."""

    def change(self, is_up: bool) -> str:
        if self.kind == "percent":
            factor = 1 + (self.value if is_up else -self.value) / 100
            return "" if factor == 1 else f" * {factor.normalize():f}"
        sign = "*" if is_up and self.kind == "factor" else "/"
        return "" if self.value == 1 else f" {sign} {self.value.normalize():f}"


def _adjusted(question: str) -> list[_Adjusted]:
    """Each entity with its change, in order; none where the question adjusts nothing."""
    found: list[_Adjusted] = []
    is_up: bool | None = None
    last: _Amount | None = None
    held = ""
    for piece in _PIECE.split(question):
        held = f"{held} {piece}"
        entities, amounts = [each.entity for each in mentions(held)], list(_AMOUNT.finditer(held))
        if not entities or len(entities) != len(amounts):
            continue
        for entity, said in zip(entities, amounts, strict=True):
            amount = _amount(said, last)
            if amount is None:
                raise UnreadableError(question, f"an amount like one before, but none stands before {held.strip()!r}")
            is_up = _is_up(question, held, amount, is_up)
            found.append(_Adjusted(entity, amount.change(is_up)))
            last = amount
        held = ""
    if _AMOUNT.search(held):
        raise UnreadableError(question, f"amounts and entities do not pair up in {held.strip()!r}")
    return found


def _amount(said: re.Match[str], last: _Amount | None) -> _Amount | None:
    """What an amount means; None where it repeats one that was not said."""
    kind, text = next((kind, text.lower()) for kind, text in said.groupdict().items() if text)
    match kind:
        case "percent":
            return _Amount(Decimal(text), "percent")
        case "halved":
            return _Amount(Decimal(50), "percent")
        case "unchanged":
            return _Amount(Decimal(1), "factor")
        case "part":
            return _Amount(Decimal(_PARTS[text]), "share")
        case "multiple":
            return _Amount(Decimal(_MULTIPLES[text]), "factor")
        case "same":
            return last
    return _Amount(Decimal(_COUNTS.get(text, text)), "factor")


def _is_up(question: str, piece: str, amount: _Amount, before: bool | None) -> bool:
    """Whether a piece says more or less. What says neither: a factor is more, a percentage goes the way said before."""
    up, down = bool(_UP.search(piece)), bool(_DOWN.search(piece))
    if up and down:
        raise UnreadableError(question, f"both more and less are said in {piece.strip()!r}")
    if up or down:
        return up
    if amount.kind != "percent":
        return True
    if before is None:
        raise UnreadableError(question, f"neither more nor less is said in {piece.strip()!r}")
    return before


def _compare_adjusted(draft: _Draft, adjusted: list[_Adjusted], asked: str) -> Number | Name:
    values: dict[str, str] = {}
    for entity, change in adjusted:
        figure = draft.search(entity)
        values[entity.name] = draft.math(f"{figure}{change}") if change else figure
    if asked.lower().startswith("which"):
        return Name(draft.largest(asked), {name: int(value.removeprefix("$")) for name, value in values.items()})
    wanted = _combined(draft, values, asked)
    draft.math(f"({wanted}) / 1000000" if "in millions" in asked else wanted)
    return draft.last()


def _combined(draft: _Draft, values: dict[str, str], asked: str) -> str:
    """The expression for what is asked of the adjusted values."""
    listed = ", ".join(values.values())
    ends = (f"max({listed})", f"min({listed})")
    has_ends = bool(_MOST.search(asked) and _LEAST.search(asked))
    if re.search(r"\bstack\b", asked):
        return " / ".join(ends if has_ends else _stacked(draft, values, asked))
    if "ratio" in asked:
        return " / ".join(ends if has_ends else _two(draft, values, asked))
    if "how much" in asked.lower():
        more, other = _two(draft, values, asked)
        return f"{more} - {other}" if draft.largest(asked) else f"{other} - {more}"
    if "difference" in asked:
        if not has_ends:
            _two(draft, values, asked)
        return " - ".join(ends)
    if "average" in asked:
        return f"mean({', '.join(ends) if has_ends else listed})"
    if re.search(r"\b(?:combined|total|sum)\b", asked):
        return " + ".join(ends if has_ends else values.values())
    raise draft.refuse("no comparison that is known")


def _two(draft: _Draft, values: dict[str, str], asked: str) -> tuple[str, str]:
    """The two values compared, those that the query names first."""
    named = [each.entity.name for each in mentions(asked) if each.entity.name in values]
    order = list(dict.fromkeys([*named, *values]))
    if len(values) != 2 and len(set(named)) != 2:
        raise draft.refuse(f"two values are compared, but {len(values)} are adjusted")
    return values[order[0]], values[order[1]]


def _stacked(draft: _Draft, values: dict[str, str], asked: str) -> tuple[str, str]:
    """What is to be reached, and what is stacked to reach it."""
    stacked = [each.entity.name for each in mentions(re.split(r"\bto (?:match|reach)\b", asked)[0])]
    reached = [value for name, value in values.items() if name not in stacked]
    if not stacked or len(reached) != 1 or any(name not in values for name in stacked):
        raise draft.refuse("it is not clear what is stacked to reach what")
    if len(stacked) == 1:
        return reached[0], values[stacked[0]]
    pick = "max" if draft.largest(asked) else "min"
    return reached[0], f"{pick}({', '.join(values[name] for name in stacked)})"


# ---------------------------------------------------------------- pairs and merged states


def _compare_pairs(draft: _Draft) -> Number:
    named = [each.entity for each in mentions(draft.question)]
    forms = {"ratio": "{} / {}", "difference": "abs({} - {})", "average": "mean({}, {})"}
    form = next((form for word, form in forms.items() if word in draft.question), None)
    if form is None or not named or len(named) % 2:
        raise draft.refuse(f"no pairs to compare: it names {len(named)} things")
    found: list[str] = []
    for first, second in zip(named[::2], named[1::2], strict=True):
        figures = draft.search(first), draft.search(second)
        found.append(draft.math(form.format(*figures)))
    if len(found) > 1:
        draft.math(f"{'max' if draft.largest(draft.question) else 'min'}({', '.join(found)})")
    return draft.last()


def _compare_merged(draft: _Draft, premise: str, asked: str) -> Number:
    """Densities of the pairs that merge and of the states that the query names besides."""
    merged = [each.entity for each in mentions(premise)]
    if not merged or len(merged) % 2 or "density" not in asked:
        raise draft.refuse("states merge two by two, and their density is asked for")
    groups = [*zip(merged[::2], merged[1::2], strict=True), *((each.entity,) for each in mentions(asked))]
    found = [draft.math(_density([draft.search(state) for state in group])) for group in groups]
    if "difference" in asked and len(found) == 2:
        draft.math(f"abs({found[0]} - {found[1]})")
    else:
        draft.math(f"{'max' if draft.largest(asked) else 'min'}({', '.join(found)})")
    return draft.last()


def _density(states: list[str]) -> str:
    people, land = (" + ".join(f"figure('{state}', '{unit}')" for state in states) for unit in ("people", "km2"))
    return f"({people}) / ({land})"
