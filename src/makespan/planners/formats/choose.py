"""Which reader reads which plan format, and which format a text is in."""

from __future__ import annotations

import re
from collections.abc import Callable

from makespan.errors import UsageError
from makespan.planners.formats.json_plan import JsonReader
from makespan.planners.formats.numbered import NumberedReader
from makespan.planners.formats.numbered_lines import opening
from makespan.planners.formats.program import ProgramReader
from makespan.planners.steps import Found, PlanReader

READERS: dict[str, Callable[[], PlanReader]] = {
    "numbered": NumberedReader,
    "json": JsonReader,
    "program": ProgramReader,
}
"""Each plan format by its name, with what makes a reader for one text."""

MAX_LOOKED_AT_CHARS = 20_000
"""Of a text, to tell its format."""

_FENCE = re.compile(r"[ \t]*(?:```|~~~)[ \t]*(\w*)")
_FENCED = {"json": "json", "jsonl": "json", "python": "program", "py": "program"}
_JSON = re.compile(r"\s*(?:\{|\[\s*(?:[{\]]|//|#|/\*))")
_PROGRAM = re.compile(
    r"(?:[A-Za-z_]\w{0,80}(?:, ?[A-Za-z_]\w{0,80}){0,9}\s{0,9}=\s{0,9}(?:await\s|[\w.\[({\"'])"
    r"|await\s|(?:async\s{1,9})?def\s|import\s|from\s{1,9}[\w.]{1,80}\s{1,9}import\s|for\s.{1,200}:\s*\Z|return\b)"
)


def reader_for(name: str) -> PlanReader:
    """A reader for one text in a format.

    Raises:
        UsageError: there is no such format.
    """
    if name not in READERS:
        raise UsageError(f"no plan format is called {name!r}; there are {', '.join(sorted(READERS))}")
    return READERS[name]()


def detect(text: str) -> str | None:
    """The name of the format that the beginning of a text is in; None where nothing tells it yet.

    The first line that can only be part of one format decides; words before it do not. Cost: linear, and bounded.
    """
    unsure = None
    lines = text[:MAX_LOOKED_AT_CHARS].split("\n")
    for number, line in enumerate(lines):
        if (fence := _FENCE.match(line)) is not None:
            if fence.group(1).lower() in _FENCED:
                return _FENCED[fence.group(1).lower()]
            continue
        following = line + "\n" + "\n".join(lines[number + 1 : number + 9])
        if line.strip() and _JSON.match(following):
            return "json"
        if _PROGRAM.match(line) and not _is_sentence(line):
            return "program"
        begun = opening(line)
        if begun is not None and begun.args_at is not None:
            if begun.number is not None:
                return "numbered"
            unsure = unsure or ("program" if line[:1].isalpha() or line[:1] == "_" else "numbered")
    return unsure


def _is_sentence(line: str) -> bool:
    """Whether a line that begins like a statement is words: `from here on`, `return to it`."""
    return line.rstrip().endswith((".", "!", "?", ",")) and "(" not in line


class AutoReader:
    """Finds out which format a text is in, then reads it so: JSON by its first character, numbered lines by the first
    line that is one, any other format when the text is complete."""

    def __init__(self) -> None:
        self._reader: PlanReader | None = None
        self._text, self._looked = "", 0

    def feed(self, text: str) -> list[Found]:
        """What is complete now; nothing while the format is open."""
        if self._reader is not None:
            return self._reader.feed(text)
        self._text += text
        name = self._told()
        return [] if name is None else self._choose(name)

    def close(self) -> list[Found]:
        """What is left at the end of the text; one of no known format is read as numbered lines."""
        found = [] if self._reader is not None else self._choose(detect(self._text) or "numbered")
        assert self._reader is not None
        return [*found, *self._reader.close()]

    def _told(self) -> str | None:
        if self._text.lstrip().startswith("{"):
            return "json"
        while (end := self._text.find("\n", self._looked)) >= 0:
            begun = opening(self._text[self._looked : end])
            self._looked = end + 1
            if begun is not None and begun.number is not None and begun.args_at is not None:
                return "numbered"
        return None

    def _choose(self, name: str) -> list[Found]:
        self._reader, text = reader_for(name), self._text
        self._text = ""
        return self._reader.feed(text)


READERS["auto"] = AutoReader
