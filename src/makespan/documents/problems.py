"""What is wrong with a document: every problem with its line and column, all of a file in one error.

Knows no YAML and no workflows; `Problems` collects, `DocumentError` is what the author sees.
"""

from __future__ import annotations

import msgspec

from makespan.errors import GraphError

MAX_PROBLEMS = 25
"""Most problems one error lists; the rest is counted."""


class Mark(msgspec.Struct, frozen=True):
    """A place in a text, counted from 1."""

    line: int
    column: int


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong: where, what, and what to do."""

    at: Mark
    message: str


class DocumentError(GraphError):
    """A document is wrong. `problems` are in the order of the text; the message has `file:line:column` for each."""

    def __init__(self, file: str, problems: tuple[Problem, ...]) -> None:
        self.file, self.problems = file, problems
        lines = [f"{file}:{each.at.line}:{each.at.column}: {each.message}" for each in problems[:MAX_PROBLEMS]]
        if len(problems) > MAX_PROBLEMS:
            lines.append(f"{file}: and {len(problems) - MAX_PROBLEMS} more problems")
        super().__init__("\n".join([f"{len(problems)} problems", *lines] if len(problems) > 1 else lines))


class Skip(Exception):
    """Something cannot be read further; what is wrong with it has been noted already."""


class Problems:
    """Collects the problems of one document. Has one owner, the `load` that made it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: dict[Problem, None] = {}

    def add(self, at: Mark, message: str) -> None:
        """Note a problem; the same one twice counts once."""
        self._found[Problem(at, message)] = None

    def stop(self, at: Mark, message: str) -> Skip:
        """Note a problem that ends the reading of its part: `raise problems.stop(...)`."""
        self.add(at, message)
        return Skip(message)

    def __bool__(self) -> bool:
        return bool(self._found)

    def error(self) -> DocumentError:
        """The error that says them all."""
        found = sorted(self._found, key=lambda each: (each.at.line, each.at.column))
        return DocumentError(self.file, tuple(found))
