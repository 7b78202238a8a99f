"""The part of a growing text that is not read yet, and where it stands.

Invariant: what is found depends on the text alone, never on the pieces it came in; so is the place where it is cut.
"""

from __future__ import annotations

from bisect import bisect_right

from makespan.planners.steps import Problem, Spot

MAX_TEXT_CHARS = 200_000
"""Of one planner's text: about 50,000 tokens. What comes after is reported, not read."""

MAX_DEPTH = 60
"""Brackets inside brackets in one argument."""


class Tail:
    """Text that came and was not taken yet. Cost: linear in what comes and in what is taken."""

    def __init__(self, limit: int = MAX_TEXT_CHARS) -> None:
        self._pieces: list[str] = []
        self.room = limit
        self.limit = limit
        self.line, self.column = 1, 1
        self._over = ""
        self._has_over = False

    def add(self, text: str) -> None:
        """Take in one more piece; what is over the limit is only remembered by its first characters."""
        fits = text[: self.room]
        self.room -= len(fits)
        self._pieces.append(fits)
        if len(text) > len(fits):
            self._has_over = True
            self._over = (self._over + text[len(fits) :])[:80]

    @property
    def text(self) -> str:
        """All that is there. Cost: its length, once after each piece; so ask when a piece can decide something."""
        if len(self._pieces) != 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def head(self, count: int) -> str:
        """At most the next characters, without joining all that is there."""
        if self._pieces and len(self._pieces[0]) >= count:
            return self._pieces[0][:count]
        return self.text[:count]

    def take(self, count: int) -> str:
        """The next characters, which are read now."""
        taken, rest = self.text[:count], self.text[count:]
        self._pieces = [rest]
        lines = taken.count("\n")
        self.line += lines
        self.column = len(taken) - taken.rfind("\n") if lines else self.column + len(taken)
        return taken

    @property
    def spot(self) -> Spot:
        """Where the next character stands."""
        return Spot(self.line, self.column)

    def over(self) -> list[Problem]:
        """The report that the text was too long; call it once, at the end."""
        if not self._has_over:
            return []
        message = f"the plan is longer than MAX_TEXT_CHARS={self.limit}; the rest is not read"
        return [Problem(self.spot, self._over, message)]


class Places:
    """Line and column of every index of a piece of text that begins at a spot."""

    def __init__(self, text: str, start: Spot) -> None:
        self.start = start
        self.line_starts = [0]
        at = text.find("\n")
        while at >= 0:
            self.line_starts.append(at + 1)
            at = text.find("\n", at + 1)

    def spot(self, at: int) -> Spot:
        """Cost: logarithmic in the number of lines."""
        line = bisect_right(self.line_starts, at) - 1
        column = at - self.line_starts[line] + 1
        return Spot(self.start.line + line, column + (self.start.column - 1 if line == 0 else 0))
