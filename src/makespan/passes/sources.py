"""Where each argument of a call came from: the results before it, the run's input, or the caller itself.

A value, largest first, is looked for among the results so far and their parts; what is not found whole is looked for
in texts, as stretches of tokens. Then the same question everywhere: who can have been the source?

    the run's input has it                          a constant
    only calls that were given it have it           a constant: their results are echoes
    one or several others                           the latest of them, and a doubt if there is more than one

In the midst of another text only names and numbers count as evidence, besides arguments that stand there as a whole: a
name is a word with a capital letter that is nowhere written without. Invariant: where another source was possible,
there is a doubt that names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

import msgspec

from makespan.errors import GraphError
from makespan.passes.occurrences import Holder, Occurrences, Path, Stretch, Token, tokens, written
from makespan.passes.uses import Call, Doubt, Joined, Taken, Use, shortened

COMMON_CHARACTERS = 3
"""Values written in no more than this turn up by chance: they are evidence, but never beyond doubt."""
MOST_WORD_HOLDERS = 8
"""Of the results that have a plain word, so many are named, the latest: a word of every text says nothing."""
MOST_DIGITS = 15
"""Numbers with more are not looked for among rounded ones."""
GIVEN = -1
"""The owner of the run's input."""
_TRUTH = ("b0", "b1")


class Decision(msgspec.Struct, frozen=True):
    """Who is the source of a stretch, and who else might be."""

    chosen: Holder | None
    reason: str = ""
    others: tuple[int, ...] = ()
    is_given: bool = False


class Place(msgspec.Struct, frozen=True):
    """One leaf of a call's arguments."""

    call: int
    at: Path
    value: Any
    text: str
    tokens: list[Token]

    def quoted(self, stretch: Stretch) -> str:
        return self.text[slice(*self.characters(stretch))]

    def characters(self, stretch: Stretch) -> tuple[int, int]:
        return self.tokens[stretch.start].start, self.tokens[stretch.end - 1].end


class Sources:
    """What is known so far, call after call: `ask` for the arguments of one, `learn` its result."""

    def __init__(self, calls: Sequence[Call], given: Iterable[Any], *, rounded: bool, max_tokens: int) -> None:
        self._calls = calls
        self._rounded = rounded
        self.uses: list[Use] = []
        self.doubts: list[Doubt] = []
        self.made_up: list[tuple[str, Path, str]] = []
        """Numbers and names that nothing before explains: call, place, text."""
        self._values: dict[str, list[Holder]] = {}
        self._given_tokens: set[str] = set()
        self._own: set[str] = set()
        """Names and numbers that the caller brought in."""
        self._own_texts: set[tuple[str, ...]] = set()
        self._numbers: list[tuple[Decimal, Holder]] = []
        self._keys = [{path: key for path, key, _ in keyed(call.arguments)} for call in calls]
        self._asked_keys = [frozenset(keys.values()) for keys in self._keys]
        self._asked = [[tokens(text) for _, text in _texts(call.arguments)] for call in calls]
        self._asked_words = [frozenset(token.text for text in texts for token in text) for texts in self._asked]
        words = {token.text for texts in self._asked for text in texts for token in text}
        self._index = Occurrences(frozenset(words))
        self._lowered = {word for word in words if word.islower()}
        given = list(given)
        count = 0
        for value in (*given, *(call.result for call in calls)):
            for _, text in _texts(value):
                said = tokens(text)
                count += len(said)
                self._lowered.update(token.text for token in said if token.text.islower())
        if count > max_tokens:
            raise GraphError(
                f"the results of the trace have {count:,} words and numbers, the limit is max_tokens={max_tokens:,}: "
                f"leave the largest results out, or raise it (about 0.5 kB of memory each)"
            )
        for value in given:
            self._learn(GIVEN, value)
            self._given_tokens.update(token.text for _, text in _texts(value) for token in tokens(text))

    # ------------------------------------------------------------ learning

    def learn(self, call: int) -> None:
        """The call has ended: its result is a source from now on."""
        self._learn(call, self._calls[call].result)

    def _learn(self, owner: int, value: Any) -> None:
        for path, key, part in keyed(value):
            self._values.setdefault(key, []).append(Holder(owner, path, part, is_whole=True))
            text = written(part)
            if text is None:
                continue
            found = tokens(text)
            self._index.add(owner, path, part, found)
            if self._rounded and owner != GIVEN:
                holder = Holder(owner, path, part)
                self._numbers += [(Decimal(token.text), holder) for token in found if token.is_number]

    # ------------------------------------------------------------ asking

    def ask(self, call: int) -> dict[str, Any]:
        """The arguments of a call with `Taken` and `Joined` where a result stands; notes uses and doubts."""
        known = {known.at: Taken(known.producer, known.path) for known in self._calls[call].known if known.at}
        arguments = self._calls[call].arguments
        return {name: self._asked_for(call, (name,), value, known) for name, value in arguments.items()}

    def _asked_for(self, call: int, at: Path, value: Any, known: dict[Path, Taken]) -> Any:
        if at in known:
            return known[at]
        holds_known = any(place[: len(at)] == at for place in known)
        if not holds_known:
            found = self._value(call, at, value)
            if found is not None:
                return found
        if isinstance(value, dict):
            return {key: self._asked_for(call, (*at, key), each, known) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._asked_for(call, (*at, index), each, known) for index, each in enumerate(value)]
        text = written(value)
        return value if text is None else self._text(Place(call, at, value, text, tokens(text)))

    def _value(self, call: int, at: Path, value: Any) -> Taken | None:
        """The result, or part of one, that an argument is as a whole."""
        key = self._keys[call][at]
        held = self._values.get(key, [])
        is_truth = isinstance(value, bool)
        if value is None or is_truth or value in ("", [], {}):
            # They say so little that parts of results prove nothing; nor does nothing at all.
            wholes = [holder for holder in held if not holder.path and is_truth]
            if not wholes:
                self._doubt(call, at, repr(value), self._without(held, "common"))
                return None
        else:
            wholes = held
        if not held:
            return None
        form = written(value)
        said = form if form is not None else msgspec.json.encode(value, enc_hook=repr).decode(errors="replace")
        text = [] if form is None else tokens(form)
        is_own = form is not None and self._is_own(text)
        everyone = self._index.holders(text)
        if text and _is_given(everyone):  # it may stand in the midst of what was given
            wholes = [everyone[0], *wholes]
        decision = self._judge(wholes, lambda owner: key in self._asked_keys[owner], _is_common(value), is_own)
        if _is_common(value):
            decision = _with_others(decision, [*held, *self._of_leaves(value)])
        return self._taken(call, at, said, decision)

    def _of_leaves(self, value: Any) -> list[Holder]:
        """Who has a leaf of a list or record that may have been put together from common values."""
        if not isinstance(value, dict | list | tuple):
            return []
        return [held for _, key, part in keyed(value) if not _is_container(part) for held in self._values.get(key, ())]

    def _without(self, held: Sequence[Holder], reason: str) -> Decision:
        return Decision(None, reason, tuple(dict.fromkeys(h.owner for h in held if h.owner != GIVEN)))

    def _taken(self, call: int, at: Path, said: str, decision: Decision) -> Taken | None:
        self._doubt(call, at, said, decision)
        holder = decision.chosen
        if holder is None:
            return None
        self._use(call, holder, "value", at, None, said, replaced=True, exact=True, sure=not decision.reason)
        return Taken(self._calls[holder.owner].name, holder.path)

    # ------------------------------------------------------------ texts

    def _text(self, place: Place) -> Any:
        """A text, or a number as it is written, by what stands in it."""
        covered = [False] * len(place.tokens)
        pieces: list[tuple[int, int, Taken]] = []
        explained = False
        for stretch in self._stretches(place):
            if any(covered[stretch.start : stretch.end]):
                continue
            decision = self._of_stretch(place, stretch)
            explained = explained or decision.is_given
            self._doubt(place.call, place.at, place.quoted(stretch), decision)
            if decision.chosen is not None:
                covered[stretch.start : stretch.end] = [True] * (stretch.end - stretch.start)
                pieces += self._noted(place, stretch, decision)
        self._leftovers(place, covered)
        if not explained and not any(covered) and not self._index.holders(place.tokens):
            self._own_texts.add(tuple(token.text for token in place.tokens))
        return _assembled(place, sorted(pieces))

    def _stretches(self, place: Place) -> list[Stretch]:
        """What may be evidence, the best first: most names and numbers, whole results, the longest, the leftmost."""
        found = [(self._weight(place, each), each) for each in self._index.wholes(place.tokens)]
        for longest in self._index.longest(place.tokens):
            if longest.end - longest.start == len(place.tokens):
                found.append((self._weight(place, longest), longest))
            elif (trimmed := self._trimmed(place, longest)) is not None:
                found.append((self._weight(place, trimmed), trimmed))
        words = [(weight, each) for weight, each in found if _says(place.tokens[each.start : each.end])]
        ranked = sorted(words, key=lambda one: (-one[0], not one[1].is_whole, one[1].start - one[1].end, one[1].start))
        singles = [self._single(place, index) for index in range(len(place.tokens)) if self._is_new(place, index)]
        return [each for _, each in ranked] + [each for each in singles if each.holders]

    def _single(self, place: Place, index: int) -> Stretch:
        return Stretch(index, index + 1, self._index.holders(place.tokens[index : index + 1]))

    def _weight(self, place: Place, stretch: Stretch) -> int:
        return sum(self._is_new(place, index) for index in range(stretch.start, stretch.end))

    def _trimmed(self, place: Place, stretch: Stretch) -> Stretch | None:
        """From its first to its last new name or number."""
        new = [index for index in range(stretch.start, stretch.end) if self._is_new(place, index)]
        if not new:
            return None
        return Stretch(new[0], new[-1] + 1, self._index.holders(place.tokens[new[0] : new[-1] + 1]))

    def _is_new(self, place: Place, index: int) -> bool:
        token = place.tokens[index]
        return self._is_telling(token) and token.text not in self._given_tokens and token.text not in self._own

    def _is_telling(self, token: Token) -> bool:
        """Whether it is a number, an identifier or a name."""
        if token.is_number or any(letter.isdigit() for letter in token.text):
            return True
        if "_" in token.text.strip("_"):
            return True
        return token.text != token.text.lower() and token.text.lower() not in self._lowered

    def _is_own(self, text: Sequence[Token]) -> bool:
        telling = [token.text for token in text if self._is_telling(token)]
        if telling and all(each in self._own for each in telling):
            return True
        return tuple(token.text for token in text) in self._own_texts

    def _of_stretch(self, place: Place, stretch: Stretch) -> Decision:
        part = place.tokens[stretch.start : stretch.end]
        everyone = self._index.holders(part)
        held = (*everyone[:1], *stretch.holders) if _is_given(everyone) else stretch.holders
        is_common = len(place.quoted(stretch)) <= COMMON_CHARACTERS
        is_all = len(part) == len(place.tokens)
        is_own = self._is_own(part)
        decision = self._judge(held, lambda owner: self._was_asked(owner, part), is_common, is_own)
        is_number = any(token.is_number for token in part)
        is_chance = is_common and not is_number and not (is_all and stretch.is_whole)
        if decision.chosen is not None and (is_chance or (is_own and not stretch.is_whole)):
            others = tuple(dict.fromkeys((decision.chosen.owner, *decision.others)))
            return Decision(None, "own" if is_own else "common", others)
        return decision

    def _was_asked(self, owner: int, part: Sequence[Token]) -> bool:
        """Whether a call was itself given this stretch."""
        wanted = [token.text for token in part]
        if len(wanted) == 1 or not self._asked_words[owner].issuperset(wanted):
            return self._asked_words[owner].issuperset(wanted)
        for text in self._asked[owner]:
            said = [token.text for token in text]
            if any(said[at : at + len(wanted)] == wanted for at in range(len(said) - len(wanted) + 1)):
                return True
        return False

    def _noted(self, place: Place, stretch: Stretch, decision: Decision) -> Iterator[tuple[int, int, Taken]]:
        """Note the use of a stretch; what replaces it, if anything can."""
        holder = decision.chosen
        assert holder is not None
        said, is_all = place.quoted(stretch), stretch.end - stretch.start == len(place.tokens)
        start, end = place.characters(stretch)
        replaced = stretch.is_whole and isinstance(place.value, str)
        exact = replaced and written(holder.value) == said
        kind: Literal["value", "text", "quote"]
        kind = "quote" if not stretch.is_whole else "value" if is_all else "text"
        span = None if is_all and replaced and (start, end) == (0, len(place.text)) else (start, end)
        sure = not decision.reason
        self._use(place.call, holder, kind, place.at, span, said, replaced=replaced, exact=exact, sure=sure)
        if replaced:
            yield start, end, Taken(self._calls[holder.owner].name, holder.path)
        else:
            self._doubt(place.call, place.at, said, Decision(holder, "inexact"))

    def _leftovers(self, place: Place, covered: list[bool]) -> None:
        """Tokens that no use explains: rounded numbers, doubts, and what the caller made up."""
        for index, token in enumerate(place.tokens):
            if covered[index] or not _says([token]):
                continue
            is_given, is_telling = token.text in self._given_tokens, self._is_telling(token)
            held = self._index.holders([token])
            held = [h for h in held if h.owner != GIVEN and not self._was_asked(h.owner, [token])]
            said = place.text[token.start : token.end]
            if is_given or token.text in self._own:
                if token.is_number and held:
                    self._doubt(place.call, place.at, said, self._without(held, "given" if is_given else "own"))
            elif token.is_number and self._found_rounded(place, token):
                covered[index] = True
            elif is_telling:
                self._own.add(token.text)
                self.made_up.append((self._calls[place.call].name, place.at, said))
            elif held and len(token.text) > COMMON_CHARACTERS:
                self._doubt(place.call, place.at, said, self._without(held[-MOST_WORD_HOLDERS:], "words"))

    def _found_rounded(self, place: Place, token: Token) -> bool:
        """Whether a number is one of a result after rounding; only if that was asked for. Cost: O(numbers so far)."""
        if not self._rounded or len(token.text) > MOST_DIGITS:
            return False
        number = Decimal(token.text)
        step = Decimal(1).scaleb(min(int(number.as_tuple().exponent), 0))
        held = [
            holder
            for exact, holder in self._numbers
            if exact.adjusted() == number.adjusted() and exact.quantize(step, ROUND_HALF_UP) == number
        ]
        held = [holder for holder in held if not self._was_asked(holder.owner, [token])]
        if not held:
            return False
        said = place.text[token.start : token.end]
        decision = self._judge(held, lambda owner: False, len(said) <= COMMON_CHARACTERS, False)
        self._doubt(place.call, place.at, said, decision)
        if decision.chosen is None:
            return False
        span = (token.start, token.end)
        self._use(place.call, decision.chosen, "rounded", place.at, span, said, replaced=False, exact=False, sure=False)
        self._doubt(place.call, place.at, said, Decision(decision.chosen, "inexact"))
        return True

    # ------------------------------------------------------------ judging and noting

    def _judge(self, held: Sequence[Holder], is_echo: Any, is_common: bool, is_own: bool) -> Decision:
        """Who of the holders (by age) is the source."""
        owners = tuple(dict.fromkeys(holder.owner for holder in held if holder.owner != GIVEN))
        first = {owner: is_echo(owner) for owner in owners}
        real = [owner for owner in owners if not first[owner]]
        if _is_given(held):
            return Decision(None, "given" if real else "", tuple(real), is_given=True)
        if not real:
            return Decision(None, "echo" if owners else "", owners)
        if is_own and is_common:
            return Decision(None, "own", owners)
        fit = [owner for owner in real if self._calls[owner].ok]
        if not fit:
            return Decision(None, "failed", owners)
        chosen = min((h for h in held if h.owner == fit[-1]), key=lambda holder: len(holder.path))
        others = tuple(owner for owner in owners if owner != chosen.owner)
        reason = "several" if others else "common" if is_common else "own" if is_own else ""
        return Decision(chosen, reason, others)

    def _use(
        self,
        call: int,
        holder: Holder,
        kind: Literal["value", "text", "quote", "rounded"],
        at: Path,
        span: tuple[int, int] | None,
        said: str,
        *,
        replaced: bool,
        exact: bool,
        sure: bool,
    ) -> None:
        names = self._calls[call].name, self._calls[holder.owner].name
        text = shortened(said)
        use = Use(*names, kind, at, span, holder.path, text, replaced=replaced, exact=exact, sure=sure)
        self.uses.append(use)

    def _doubt(self, call: int, at: Path, said: str, decision: Decision) -> None:
        if not decision.reason or (not decision.others and decision.reason not in ("common", "own", "inexact")):
            return
        if decision.chosen is None and not decision.others:
            return
        chosen = "" if decision.chosen is None else self._calls[decision.chosen.owner].name
        names = tuple(self._calls[owner].name for owner in decision.others)
        doubt = Doubt(self._calls[call].name, at, shortened(said), decision.reason, chosen, names)
        if doubt not in self.doubts[-8:]:
            self.doubts.append(doubt)


# ---------------------------------------------------------------- values


def keyed(value: Any, path: Path = ()) -> list[tuple[Path, str, Any]]:
    """A value and all its parts with their paths, the whole first; equal values have equal keys. Cost: linear."""
    found: list[tuple[Path, str, Any]] = [(path, "", value)]
    keys: list[str] = []
    members: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        members = sorted(((str(key), each) for key, each in value.items()), key=lambda member: str(member[0]))
    elif isinstance(value, list | tuple):
        members = list(enumerate(value))
    else:
        return [(path, _scalar_key(value), value)]
    for step, each in members:
        inner = keyed(each, (*path, step))
        keys.append(f"{step!r}:{inner[0][1]}")
        found += inner
    digest = hashlib.blake2b("\x00".join(keys).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    found[0] = (path, ("d" if isinstance(value, dict) else "l") + digest, value)
    return found


def _is_container(value: Any) -> bool:
    return isinstance(value, dict | list | tuple)


def _is_common(value: Any) -> bool:
    """Whether a value, or each leaf of it, turns up by chance."""
    if _is_container(value):
        return all(_is_common(part) for _, _, part in keyed(value)[1:] if not _is_container(part))
    text = written(value)
    return text is None or len(text) <= COMMON_CHARACTERS


def _with_others(decision: Decision, held: Sequence[Holder]) -> Decision:
    """The same decision, with these as possible sources too."""
    chosen = None if decision.chosen is None else decision.chosen.owner
    owners = dict.fromkeys((*decision.others, *(holder.owner for holder in held)))
    others = tuple(owner for owner in owners if owner not in (GIVEN, chosen))
    return msgspec.structs.replace(decision, others=others, reason=decision.reason or ("common" if others else ""))


def _scalar_key(value: Any) -> str:
    if isinstance(value, bool):
        return _TRUTH[value]
    if isinstance(value, str):
        return "s" + value
    if isinstance(value, int | float):
        return "n" + "".join(token.text for token in tokens(written(value) or ""))
    return f"x{type(value).__name__}:{value!r}"


def _texts(value: Any) -> Iterator[tuple[Path, str]]:
    for path, _, part in keyed(value):
        text = written(part)
        if text is not None:
            yield path, text


def _is_given(held: Sequence[Holder]) -> bool:
    return bool(held) and held[0].owner == GIVEN


def _says(part: Sequence[Token]) -> bool:
    """Whether there is more than punctuation."""
    return any(token.is_number or any(letter.isalnum() for letter in token.text) for token in part)


def _assembled(place: Place, pieces: list[tuple[int, int, Taken]]) -> Any:
    """A text with results in their places."""
    if not pieces:
        return place.value
    parts: list[str | Taken] = []
    at = 0
    for start, end, taken in pieces:
        if start > at:
            parts.append(place.text[at:start])
        parts.append(taken)
        at = end
    if at < len(place.text):
        parts.append(place.text[at:])
    return parts[0] if len(parts) == 1 else Joined(tuple(parts))
