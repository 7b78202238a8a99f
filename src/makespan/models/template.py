"""Prompt templates: `{name}` of a parameter, `{{` and `}}` for the braces themselves, nothing else.

Invariant: a value is put in once and never read again, so no value can reach another value, an attribute or
a format. `str.format` is not used: it walks attributes (`{0.__class__}`), which turns a template into code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from makespan.errors import GraphError, suggestion

_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_ONLY = "only `{name}` of a parameter is allowed, and `{{` `}}` for braces"


def render(template: str, values: Mapping[str, str]) -> str:
    """The template with every `{name}` replaced by its value, in one pass.

    Raises:
        GraphError: a name without a value, or anything in braces that is not a name; says where and what to
            write.
    Cost: O(len(template) + len of the values used).
    """
    return "".join(values[text] if is_name else text for is_name, text in _pieces(template, values.keys()))


def check(template: str, names: Iterable[str]) -> None:
    """Raise what `render` would raise for a template whose parameters are `names`, before there are
    values."""
    for _ in _pieces(template, frozenset(names)):
        pass


def escape(text: str) -> str:
    """A template that renders to exactly `text`."""
    return text.replace("{", "{{").replace("}", "}}")


def _pieces(template: str, names: Iterable[str]) -> Iterator[tuple[bool, str]]:
    """(is a parameter's name, text), left to right."""
    known = frozenset(names)
    at = 0
    for match in _BRACES.finditer(template):
        yield False, template[at : match.start()]
        yield _piece(template, match, known)
        at = match.end()
    yield False, template[at:]


def _piece(template: str, match: re.Match[str], names: frozenset[str]) -> tuple[bool, str]:
    field, braces = match.group(1), match.group(0)
    if field is None and len(braces) == 2:
        return False, braces[0]
    if field in names:
        return True, field
    reason = _lone(braces) if field is None else _why_not(field, names)
    raise GraphError(f"template, {_place(template, match.start())}: {reason}")


def _lone(brace: str) -> str:
    return f"a single `{brace}` has no partner; write `{brace * 2}` for the character itself"


def _why_not(field: str, names: frozenset[str]) -> str:
    """What is wrong with `{field}` and what to write instead."""
    written = f"`{{{field}}}`"
    if field.isidentifier():
        return f"{written} is not a parameter{suggestion(field, sorted(names)) or _known(names)}"
    if field.strip() in names:
        return f"{written} has spaces around the name; write `{{{field.strip()}}}`"
    if not field or field.isdigit():
        return f"{written} has no name; {_ONLY}"
    name = re.split(r"[.\[!:]", field, maxsplit=1)[0].strip()
    if name in names:
        return f"{written} does more than name a parameter; write `{{{name}}}` and shape the value in Python"
    return f"{written} is not a name; {_ONLY}; for literal text write `{{{{{field}}}}}`"


def _known(names: frozenset[str]) -> str:
    if not names:
        return "; there are none here, so write `{{` and `}}` for literal braces"
    return f"; the parameters are {', '.join(sorted(names))}"


def _place(template: str, position: int) -> str:
    line = template.count("\n", 0, position) + 1
    column = position - template.rfind("\n", 0, position)
    return f"line {line}, column {column}"
