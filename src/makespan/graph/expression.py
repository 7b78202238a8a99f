"""The one small expression language of guards (`when`), predicates (`accept`) and YAML: text in, frozen value
out.

Literals, declared names, `.field`, `[index]`, chained comparisons, `in`, `and or not`, `len(x)`, and lists to
look into. No other calls and no arithmetic: anything more is a pure task. The grammar is in `parser.py`, the
meaning in `terms.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from makespan.errors import GraphError, suggestion
from makespan.graph.parser import Parser
from makespan.graph.terms import GuardError, Term, is_true
from makespan.graph.tokens import fail

MAX_CHARACTERS = 500


class Expression(msgspec.Struct, frozen=True):
    """A parsed expression. `places` are the names it reads, with the column (from 1) of their first use."""

    text: str
    term: Term
    places: tuple[tuple[str, int], ...]

    @property
    def names(self) -> frozenset[str]:
        """The names it reads."""
        return frozenset(name for name, _ in self.places)

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """Its value, where each name has the plain JSON-like value given.

        Raises:
            GuardError: a name or field is missing, or unlike things are compared.
        Cost: O(size of the text), plus the size of the data where lists, dicts or texts are compared.
        """
        try:
            return self.term.evaluate(values)
        except GuardError as error:
            raise GuardError(f"{error}, in `{self.text}`") from None

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether its value is true: null, false, zero and what is empty are not."""
        return is_true(self.evaluate(values))


def parse(text: str, names: Collection[str] | None = None) -> Expression:
    """The expression a text stands for. Parsed texts are remembered.

    Args:
        names: the fields that may be read; None allows every name.
    Raises:
        GraphError: not in the language, too long, too deep, or an unknown name; the message has the column.
    """
    expression = parsed(text)
    if names is not None:
        for name, column in expression.places:
            if name not in names:
                known = ", ".join(sorted(names)[:8]) or "none"
                fail(text, column, f"unknown name {name!r}{suggestion(name, names)} (known: {known})")
    return expression


@lru_cache(maxsize=4096)
def parsed(text: str) -> Expression:
    """`parse` with every name allowed."""
    if len(text) > MAX_CHARACTERS:
        size = f"{len(text)} characters, at most {MAX_CHARACTERS} are allowed"
        raise GraphError(f"this expression has {size}; make it a pure task")
    parser = Parser(text)
    return Expression(text, parser.whole(), tuple(parser.places.items()))
