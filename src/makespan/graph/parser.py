"""Recursive descent from the tokens of one text to its term. The levels are the lines of this grammar:

    or       ::= and ('or' and)*
    and      ::= not ('and' not)*
    not      ::= 'not' not | compare
    compare  ::= postfix (('==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not' 'in') postfix)*
    postfix  ::= atom ('.' name | '[' or ']')*
    atom     ::= number | text | true | false | null | name | 'len' '(' or ')' | '[' or, ... ']' | '(' or ')'

The parser is our own rather than Python's `ast` behind a whitelist: that one accepts what is not in this
language and changes with each Python, gives no column for half of it, and its recursion is not ours to bound.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NoReturn

from makespan.graph.terms import Access, Compare, Every, Length, Literal, Name, Not, Several, Some, Term
from makespan.graph.tokens import Token, fail, tokens

MAX_DEPTH = 32
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
CONSTANTS: Mapping[str, bool | None] = {
    "true": True,
    "false": False,
    "null": None,
    "True": True,
    "False": False,
    "None": None,
}
WORDS = frozenset({"and", "or", "not", "in", "len", *CONSTANTS})
COMPARING = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})


class Parser:
    """Reads one text once. `places` are the names met, each with the column of its first use."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.at = 0
        self.depth = 0
        self.places: dict[str, int] = {}

    def whole(self) -> Term:
        """The term that the whole text stands for; `places` is complete then."""
        term = self.either()
        if self.token.kind != "end":
            self.fail(f"unexpected {self.token.text!r} after a whole expression")
        return term

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def fail(self, problem: str) -> NoReturn:
        fail(self.text, self.token.column, problem)

    def take(self, text: str) -> bool:
        """Whether the next token is this word or sign; it is taken then."""
        token = self.token
        if token.text == text and token.kind in ("word", "sign"):
            self.at += 1
            return True
        return False

    def need(self, text: str) -> None:
        if not self.take(text):
            self.fail(f"expected {text!r}, found {self.token.text or 'the end'!r}")

    def either(self) -> Term:
        self.enter()
        terms = [self.every()]
        while self.take("or"):
            terms.append(self.every())
        self.depth -= 1
        return terms[0] if len(terms) == 1 else Some(tuple(terms))

    def enter(self) -> None:
        """Go one level down, within the bound that keeps parsing and evaluating off the end of the stack."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"nested deeper than {MAX_DEPTH}")

    def every(self) -> Term:
        terms = [self.negation()]
        while self.take("and"):
            terms.append(self.negation())
        return terms[0] if len(terms) == 1 else Every(tuple(terms))

    def negation(self) -> Term:
        if not self.take("not"):
            return self.comparison()
        self.enter()
        term = Not(self.negation())
        self.depth -= 1
        return term

    def comparison(self) -> Term:
        first = self.postfix()
        rest: list[tuple[str, Term]] = []
        while symbol := self.symbol():
            rest.append((symbol, self.postfix()))
        return Compare(first, tuple(rest)) if rest else first

    def symbol(self) -> str:
        """The comparison that stands next, or nothing."""
        if self.token.kind in ("word", "sign") and self.token.text in COMPARING:
            self.at += 1
            return self.tokens[self.at - 1].text
        following = self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        if self.token.text == "not" and self.token.kind == "word" and following.text == "in":
            self.at += 2
            return "not in"
        return ""

    def postfix(self) -> Term:
        base = self.atom()
        steps: list[Term] = []
        while True:
            if self.take("."):
                steps.append(Literal(self.field()))
            elif self.take("["):
                steps.append(self.either())
                self.need("]")
            else:
                return Access(base, tuple(steps)) if steps else base

    def field(self) -> str:
        """The word after a dot. Words of the language are fields here: `s0.in` is fine."""
        token = self.token
        if token.kind != "word":
            self.fail("expected the name of a field after '.'")
        self.refuse_dunder()
        self.at += 1
        return token.text

    def refuse_dunder(self) -> None:
        if self.token.text.startswith("__"):
            self.fail(f"{self.token.text!r}: names that start with two underscores are refused")

    def atom(self) -> Term:
        token = self.token
        if token.kind == "end":
            self.fail("expected a value, found the end")
        if self.take("("):
            term = self.either()
            self.need(")")
            return term
        if self.take("["):
            return Several(self.until_bracket())
        if self.take("len"):
            self.need("(")
            term = self.either()
            self.need(")")
            return Length(term)
        return self.simple()

    def until_bracket(self) -> tuple[Term, ...]:
        terms: list[Term] = []
        while not self.take("]"):
            terms.append(self.either())
            if not self.take(","):
                self.need("]")
                break
        return tuple(terms)

    def simple(self) -> Term:
        """A literal or a name."""
        token = self.token
        if token.kind == "number":
            value: Term = Literal(self.number())
        elif token.kind == "text":
            value = Literal(self.unquoted())
        elif token.kind == "word" and token.text in CONSTANTS:
            value = Literal(CONSTANTS[token.text])
        elif token.kind == "word" and token.text not in WORDS:
            value = self.name()
        else:
            self.fail(f"expected a value, found {token.text!r}")
        self.at += 1
        return value

    def name(self) -> Name:
        self.refuse_dunder()
        token = self.token
        if self.tokens[self.at + 1].text == "(":
            self.fail(f"{token.text!r} cannot be called: `len` is the only function; make it a pure task")
        self.places.setdefault(token.text, token.column)
        return Name(token.text)

    def number(self) -> int | float:
        text = self.token.text
        if not set(text) & set(".eE"):
            return int(text)
        value = float(text)
        if value in (float("inf"), float("-inf")):
            self.fail("this number is too large")
        return value

    def unquoted(self) -> str:
        return ESCAPE.sub(self.escaped, self.token.text[1:-1])

    def escaped(self, match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        if match[2] not in ESCAPES:
            self.fail(f"unknown escape \\{match[2]} in this text; write \\\\ for a backslash")
        return ESCAPES[match[2]]
