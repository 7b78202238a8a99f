"""What refers to a step inside an argument: `$1`, `${1}`, `$1.field`, `$1[0]`, `$name`, and `$$1` which does not.

    "${1} costs $100"  ──▶  Text((Reference("1"), " costs $100")), and a report that $100 stayed as it is

Tokens are exact: `$1` is no part of `$10`, `$1.50` or `$1M`. In a string, a plain mark refers only to a step that the
text has stated before (or that the task itself says it waits for); any other stays text and is reported. A mark in
braces, and one outside of strings, always refers: whether such a step exists is for the checks after reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from makespan.planners.steps import Argument, Reference, Text

_PATH = r"""(?:\.[A-Za-z_]\w{0,200}|\[(?:-?\d{1,9}|"[^"\]\n]{1,100}"|'[^'\]\n]{1,100}')\]){0,20}"""
_MARK = re.compile(r"([$\\]?)\$(?:\{([^{}\n]{1,200})\}|(\w{1,200}))")
_PATH_AFTER = re.compile(_PATH)
_IN_BRACES = re.compile(r"\s{0,4}\$?(\w{1,200}(?:-\w{1,200}){0,5})(" + _PATH + r")\s{0,4}")
_PATH_PART = re.compile(r"""\.(\w+)|\[(-?\d+)\]|\["([^"]*)"\]|\['([^']*)'\]""")
_AMOUNT_AFTER = re.compile(r"(?:,\d{3}(?!\d)){0,5}(?:\.\d{1,20})?")
_MORE = re.compile(r"(?:[-.]\w{1,100}){1,5}")

Canonical = Callable[[str], str | None]
"""The step that a name in the text means, None where none was stated."""


class Mark(msgspec.Struct, frozen=True):
    """Something that begins with a dollar sign."""

    at: int
    end: int
    written: str
    name: str
    path: tuple[str | int, ...]
    braced: bool
    escaped: bool
    exact: bool
    """Whether it can be a reference at all, other than an amount or an expression."""


class Kept(msgspec.Struct, frozen=True):
    """A mark that stayed text."""

    at: int
    written: str


class Dialect:
    """What names a format has, and which step each of them means now."""

    def __init__(self, canonical: Canonical, *, words: bool) -> None:
        self.canonical = canonical
        self.words = words
        """Whether steps are named by words; by numbers only, `$HOME` is plain text."""

    def mark_at(self, text: str, at: int) -> Mark | None:
        """The mark that begins exactly at an index."""
        found = _MARK.match(text, at)
        return None if found is None else self._mark(text, found)

    def marks(self, text: str) -> Iterator[Mark]:
        """All marks, in order. Cost: linear."""
        at = 0
        while (found := _MARK.search(text, at)) is not None:
            mark = self._mark(text, found)
            yield mark
            at = mark.end

    def _mark(self, text: str, found: re.Match[str]) -> Mark:
        escaped, at = bool(found.group(1)), found.start()
        if found.group(2) is not None:
            return self._braced(text, at, found.end(), found.group(2), escaped)
        name, end = self._longest(text, found.group(3), found.end())
        path: tuple[str | int, ...] = ()
        after = end
        exact = name.isdigit() or not name[0].isdigit() or self.canonical(name) is not None
        amount = _AMOUNT_AFTER.match(text, end) if name.isdigit() else None
        if amount is not None and amount.group():
            exact, after = False, amount.end()
        elif exact:
            path, after = _path(text, end)
        return Mark(at, after, text[at:after], _plain(name), path, False, escaped, exact)

    def _braced(self, text: str, at: int, end: int, inside: str, escaped: bool) -> Mark:
        path, after = _path(text, end)
        if self.canonical(inside.strip()) is not None:
            return Mark(at, after, text[at:after], inside.strip(), path, True, escaped, True)
        found = _IN_BRACES.fullmatch(inside)
        if found is None or not (self.words or found.group(1).isdigit()):
            return Mark(at, end, text[at:end], inside, (), True, escaped, False)
        inner, _ = _path(found.group(2), 0)
        return Mark(at, after, text[at:after], _plain(found.group(1)), (*inner, *path), True, escaped, True)

    def _longest(self, text: str, name: str, end: int) -> tuple[str, int]:
        """A name with dashes or points in it where such a step was stated, else the word alone."""
        found = _MORE.match(text, end) if self.words else None
        more = found.group() if found is not None else ""
        while more:
            if self.canonical(name + more) is not None:
                return name + more, end + len(more)
            more = more[: max(more.rfind("-"), more.rfind("."))]
        return name, end

    def refers(self, mark: Mark, *, is_whole: bool) -> bool:
        """Whether a mark in a string is a reference."""
        if not mark.exact or mark.escaped:
            return False
        if self.canonical(mark.name) is not None:
            return True
        if mark.name.isdigit():
            return mark.braced
        return self.words and is_whole

    def reference(self, mark: Mark) -> Reference:
        return Reference(self.canonical(mark.name) or mark.name, mark.path)

    def linked(self, text: str) -> tuple[Argument, list[Kept]]:
        """A string with its references, and the marks that stayed text.

        A string that is one mark and nothing else is that reference, not a text with it.
        """
        parts: list[str | Reference] = []
        kept: list[Kept] = []
        at = 0
        for mark in self.marks(text):
            parts.append(text[at : mark.at])
            at = mark.end
            is_name = self.words or mark.braced or mark.name[:1].isdigit()
            if self.refers(mark, is_whole=mark.written == text):
                parts.append(self.reference(mark))
            elif mark.escaped and is_name:
                parts.append(mark.written[1:])
            else:
                parts.append(mark.written)
                if is_name:
                    kept.append(Kept(mark.at, mark.written))
        parts.append(text[at:])
        return joined(parts), kept


def joined(parts: list[str | Reference]) -> Argument:
    """Parts of a string as one argument: strings beside each other become one, a lone reference stands for itself."""
    merged: list[str | Reference] = []
    run: list[str] = []
    for part in [*parts, None]:
        if isinstance(part, str):
            run.append(part)
            continue
        if text := "".join(run):
            merged.append(text)
        run = []
        if part is not None:
            merged.append(part)
    if not merged:
        return ""
    return merged[0] if len(merged) == 1 else Text(tuple(merged))


def _plain(name: str) -> str:
    """Numbers without leading zeros, so that `$01` and `1.` are the same step."""
    return name.lstrip("0") or "0" if name.isascii() and name.isdigit() else name


def _path(text: str, at: int) -> tuple[tuple[str | int, ...], int]:
    found = _PATH_AFTER.match(text, at)
    assert found is not None
    path: list[str | int] = []
    for part in _PATH_PART.finditer(found.group()):
        field, index, double, single = part.groups()
        path.append(int(index) if index is not None else next(x for x in (field, double, single) if x is not None))
    return tuple(path), found.end()
