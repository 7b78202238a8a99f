"""The words and signs of the expression language, each with its column. Knows no grammar."""

from __future__ import annotations

import re
from typing import NoReturn

import msgspec

from makespan.errors import GraphError

TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.]))
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<word>[^\W\d]\w*)
      | (?P<sign>==|!=|<=|>=|[<>.,()\[\]])
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
HINTS = {"=": "write == to compare", "&": "write `and`", "|": "write `or`", "!": "write `not`"}


class Token(msgspec.Struct, frozen=True):
    """`kind` is number, text, word, sign or end; `column` counts from 1."""

    kind: str
    text: str
    column: int


def tokens(text: str) -> list[Token]:
    """The words and signs of a text, closed by one of kind `end`."""
    found: list[Token] = []
    at = 0
    while not found or found[-1].kind != "end":
        match = TOKEN.match(text, at)
        if match is None:
            refuse_character(text, at + len(text[at:]) - len(text[at:].lstrip()))
        kind = match.lastgroup
        assert kind is not None
        found.append(Token(kind, match[kind], match.start(kind) + 1))
        at = match.end()
    return found


def refuse_character(text: str, at: int) -> NoReturn:
    """Say what is wrong with the character at which no token starts."""
    character = text[at]
    if character in "\"'":
        fail(text, at + 1, "this text has no closing quote")
    if character.isdigit() or character == "-":
        fail(text, at + 1, "not a number of this language; there is no arithmetic, make it a pure task")
    hint = HINTS.get(character, "not part of this language; anything more is a pure task")
    fail(text, at + 1, f"unexpected {character!r}: {hint}")


def fail(text: str, column: int, problem: str) -> NoReturn:
    """Raise the located error."""
    raise GraphError(f"column {column} of `{text}`: {problem}")
