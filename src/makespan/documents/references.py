"""`${task.field[0]}`: the one way in which a document names a value that comes from elsewhere.

A scalar that is nothing but a reference stands for the value; inside the text of a prompt or of a `when` a reference is
a part of it. `$${` is the text `${`. There is nothing else: no filters, no defaults, no arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_TOKEN = re.compile(r"\$\$\{|\$\{([^{}]*)(\}?)")
_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[(-?[0-9]{1,9})\]|\[\"([^\"\\]*)\"\]")
WRITE = 'write ${name}, ${name.field}, ${name[0]} or ${name["key"]}'


class BadReference(ValueError):
    """Not a reference; `token` is where."""

    def __init__(self, token: str, problem: str) -> None:
        super().__init__(problem)
        self.token = token


class Reference(msgspec.Struct, frozen=True):
    """What `${...}` says: a name and the way into its value. `token` is it as written."""

    name: str
    path: tuple[str | int, ...]
    token: str


def pieces(text: str) -> Iterator[str | Reference]:
    """Texts and references of a text, left to right. Raises BadReference."""
    at = 0
    for match in _TOKEN.finditer(text):
        if match.start() > at:
            yield text[at : match.start()]
        yield "${" if match[0] == "$${" else _reference(match)
        at = match.end()
    if at < len(text):
        yield text[at:]


def references(text: str) -> list[Reference]:
    """The references in a text, each as often as it stands there. Raises BadReference."""
    return [piece for piece in pieces(text) if isinstance(piece, Reference)]


def whole(text: str) -> Reference | None:
    """The reference that is all of a text, if it is one. Raises BadReference."""
    found = list(pieces(text))
    return found[0] if len(found) == 1 and isinstance(found[0], Reference) else None


def unescaped(text: str) -> str:
    """A text without references as its author meant it."""
    return text.replace("$${", "${")


def escaped(text: str) -> str:
    """A text in which nothing is a reference."""
    return text.replace("${", "$${")


def written(name: str, path: tuple[str | int, ...]) -> str:
    """The token of a reference."""
    steps = []
    for step in path:
        if isinstance(step, int):
            steps.append(f"[{step}]")
        else:
            steps.append(f".{step}" if NAME.fullmatch(step) else f'["{step}"]')
    return f"${{{name}{''.join(steps)}}}"


def _reference(match: re.Match[str]) -> Reference:
    token, said = match[0], match[1].strip()
    if not match[2]:
        raise BadReference(token[:40], f"`{token[:40]}` has no closing brace; {WRITE}, and `$${{` for the text itself")
    name = NAME.match(said)
    if name is None:
        raise BadReference(token, f"`{token}` is no reference; {WRITE}")
    path: list[str | int] = []
    at = name.end()
    while at < len(said):
        step = _STEP.match(said, at)
        if step is None:
            raise BadReference(token, f"`{token}`: {said[at:]!r} is no step into a value; {WRITE}")
        path.append(step[1] if step[1] is not None else step[3] if step[3] is not None else int(step[2]))
        at = step.end()
    return Reference(name[0], tuple(path), token)
