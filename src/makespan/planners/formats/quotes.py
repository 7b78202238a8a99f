"""Where strings and brackets end in a text that may be careless about both, also while it is still coming.

A quotation mark ends a string only where a value may end: before a comma, a colon, a bracket, a comment or the end of
the line. So the apostrophe of `'Newton's laws'` is a letter of it. Correct text is never read otherwise than it says.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from makespan.planners.formats.tail import MAX_DEPTH

_DOUBLE = "“”„«»"
_SINGLE = "‘’‚"
SMART = frozenset(_DOUBLE + _SINGLE)
"""Typographic marks: taken as quotes, reported as a repair."""

ENDS_WITH: dict[str, str] = {
    '"': '"',
    "'": "'",
    **dict.fromkeys(_DOUBLE, _DOUBLE + '"'),
    **dict.fromkeys(_SINGLE, _SINGLE + "'"),
}
"""What a string that begins with a mark may end with."""

END_OR_ESCAPE = {mark: re.compile("[" + re.escape(ends) + r"\\]") for mark, ends in ENDS_WITH.items()}
CLOSER_OF = {"(": ")", "[": "]", "{": "}"}
_OPENER_OF = {closer: opener for opener, closer in CLOSER_OF.items()}
_INTERESTING = re.compile(r"""[()\[\]{}"'“”„«»‘’‚#/]""")
_SPACES = re.compile(r"[ \t]*")
_MAY_FOLLOW = frozenset(",:=)]}\n\r#+;")
_MAY_PRECEDE = frozenset("([{,:=+\n")


def ends_string(text: str, at: int, *, final: bool) -> bool | None:
    """Whether the mark at an index ends its string; None where what follows has not come yet."""
    after = _end_of_spaces(text, at + 1)
    if after == len(text):
        return True if final else None
    if text[after] == "/":
        if after + 1 == len(text) and not final:
            return None
        return text[after + 1 : after + 2] in ("/", "*")
    return text[after] in _MAY_FOLLOW


def begins_string(text: str, at: int) -> bool:
    """Whether the mark at an index begins a string: single ones only where a value may begin."""
    if text[at] not in ENDS_WITH:
        return False
    if text[at] != "'" and text[at] not in _SINGLE:
        return True
    before = at - 1
    while before >= 0 and text[before] in " \t":
        before -= 1
    return before < 0 or text[before] in _MAY_PRECEDE


def _end_of_spaces(text: str, at: int) -> int:
    found = _SPACES.match(text, at)
    assert found is not None
    return found.end()


class Scanner:
    """Looks for the end of brackets; goes on where it stopped when more text is there.

    A closing bracket of another kind closes all that was opened since its own; one without its own is no bracket.
    """

    def __init__(self, at: int = 0, *, inside: str = "", around: str = "", comments: bool = False) -> None:
        """Begin at an index, inside of brackets that are open, with others around where the scan ends as well."""
        self.around = around
        self.at = at
        """The next index to look at."""
        self.stack = list(inside)
        self.comments = comments
        self.too_deep = False
        self._counts = {opener: inside.count(opener) for opener in CLOSER_OF}
        self._until = ""
        """The mark of the string, or the end of the comment, that the scanner is in."""

    @property
    def in_string(self) -> bool:
        """Whether the text so far ends inside a string."""
        return bool(self._until) and self._until not in ("\n", "*/")

    def run(self, text: str, *, final: bool = False, on_open: Callable[[int], bool] | None = None) -> int | None:
        """Index after the bracket that closes the outermost one, or of one around it; None where it has not come.

        Args:
            text: from the same beginning as before, with more at its end.
            final: nothing comes after it.
            on_open: asked with the index of a bracket that opens directly in the outermost one; True stops there.
        """
        while self.at < len(text):
            if self._until:
                if not self._leave(text, final=final):
                    return None
                continue
            found = _INTERESTING.search(text, self.at)
            if found is None:
                self.at = len(text)
                return None
            self.at = found.start()
            step = self._outside(text, found.group(), final, on_open)
            if step is not None:
                return step if step >= 0 else None
        return None

    def _outside(self, text: str, mark: str, final: bool, on_open: Callable[[int], bool] | None) -> int | None:
        """One mark outside of strings: None to go on, -1 to stop, an index where all is closed."""
        if mark in "#/":
            return self._comment(text, mark, final)
        if mark in CLOSER_OF:
            if len(self.stack) == 1 and on_open is not None and on_open(self.at):
                return -1
            self.stack.append(mark)
            self._counts[mark] += 1
            self.too_deep = self.too_deep or len(self.stack) > MAX_DEPTH
        elif mark in _OPENER_OF:
            opener = _OPENER_OF[mark]
            if opener in self.around and not self._counts[opener]:
                return self.at
            self._close(opener)
            if not self.stack:
                self.at += 1
                return self.at
        elif begins_string(text, self.at):
            return self._enter(text, mark, final)
        self.at += 1
        return None

    def _close(self, opener: str) -> None:
        if not self._counts[opener]:
            return
        while True:
            closed = self.stack.pop()
            self._counts[closed] -= 1
            if closed == opener:
                return

    def _enter(self, text: str, mark: str, final: bool) -> int | None:
        if mark in "\"'" and not final and len(text) < self.at + 3 and set(text[self.at :]) == {mark}:
            return -1
        self._until = mark * 3 if mark in "\"'" and text.startswith(mark * 3, self.at) else mark
        self.at += len(self._until)
        return None

    def _comment(self, text: str, mark: str, final: bool) -> int | None:
        if not self.comments:
            self.at += 1
            return None
        if mark == "/" and self.at + 1 == len(text) and not final:
            return -1
        following = text[self.at + 1 : self.at + 2]
        if mark == "#" or following == "/":
            self._until = "\n"
        elif following == "*":
            self._until = "*/"
            self.at += 1
        self.at += 1
        return None

    def _leave(self, text: str, *, final: bool) -> bool:
        """Whether it came to the end of the string or comment it is in."""
        if not self.in_string or len(self._until) == 3:
            return self._leave_plain(text, final=final)
        while self.at < len(text):
            found = END_OR_ESCAPE[self._until].search(text, self.at)
            if found is None:
                self.at = len(text)
                return False
            self.at = found.start()
            if found.group() == "\\":
                if self.at + 1 >= len(text) and not final:
                    return False
                self.at += 2
                continue
            is_end = ends_string(text, self.at, final=final)
            if is_end is None:
                return False
            self.at += 1
            if is_end:
                self._until = ""
                return True
        return False

    def _leave_plain(self, text: str, *, final: bool) -> bool:
        end = text.find(self._until, self.at)
        if end < 0:
            self.at = len(text) if final else max(self.at, len(text) - len(self._until) + 1)
            return False
        self.at = end + len(self._until)
        self._until = ""
        return True
