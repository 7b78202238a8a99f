"""Arguments as planners write them: Python, JSON, and what lies between, read with repairs that are written down.

The result is a raw tree whose strings and marks keep their places; `linked` turns it into arguments once it is known
which steps there are. Invariant: what was read, repaired or not, is all of the text that was passed over.
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from makespan.planners.formats.marks import Dialect, Mark, joined
from makespan.planners.formats.quotes import CLOSER_OF, END_OR_ESCAPE, ENDS_WITH, SMART, begins_string, ends_string
from makespan.planners.formats.tail import MAX_DEPTH
from makespan.planners.steps import Argument, Reference, Text

MAX_DIGITS = 300
"""A longer number is kept as a string."""

Raw = Any
"""None, bool, int, float, Quoted, Bare, Sum, Mapping or a list of them."""


class Quoted(msgspec.Struct, frozen=True):
    """A string and where it begins."""

    text: str
    at: int


class Bare(msgspec.Struct, frozen=True):
    """A mark outside of strings."""

    mark: Mark


class Sum(msgspec.Struct, frozen=True):
    """Strings and marks with plus signs between them."""

    parts: tuple[Raw, ...]


class Member(msgspec.Struct, frozen=True):
    """One key of a mapping."""

    key: str
    value: Raw
    at: int
    end: int
    complete: bool
    """Whether the value came to its end before the text did."""


class Mapping(msgspec.Struct, frozen=True):
    """Keys and values in order."""

    members: tuple[Member, ...]
    at: int
    end: int
    rest: str = ""
    """What the text broke off in."""


class Repair(msgspec.Struct, frozen=True):
    """What was taken otherwise than it is written."""

    at: int
    end: int
    message: str


class Unreadable(Exception):
    """Not an argument, and not to be repaired: the message says why."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at, self.message = at, message


_WORDS: dict[str, bool | None] = {
    "True": True,
    "true": True,
    "TRUE": True,
    "False": False,
    "false": False,
    "FALSE": False,
    "None": None,
    "null": None,
    "undefined": None,
}
_INT = re.compile(r"[+-]?(?:0|[1-9](?:_?[0-9])*)")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3}){1,5}(?:\.[0-9]{1,9})?(?=\s*[,)\]}]|\s*\Z)")
_KEYWORD = re.compile(r"([A-Za-z_]\w*)\s*(=(?!=)|:(?=\s*[\"'“‘\[{$0-9-]))")
_KEY = re.compile(r"""[^\s:,{}\[\]"'“”‘’=()]+""")
_SEPARATOR = re.compile(r"\s*(=>|=|:)")
_PREFIX = re.compile(r"""(?:[rR][bBfF]?|[uUbBfF][rR]?)(?=["'])""")
_BLANK = re.compile(r"[\s​﻿]*")
_STOP = re.compile(r"[,\n()\[\]{}]")
_CALL = re.compile(r"[A-Za-z_][\w.]*\(.*\)", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "/": "/", "\n": ""}


class Literals:
    """Reads values at one place of a text after the other."""

    def __init__(self, text: str, at: int = 0, *, dialect: Dialect, comments: bool = False) -> None:
        self.text, self.at = text, at
        self.dialect, self.comments = dialect, comments
        self.repairs: list[Repair] = []
        self.remarks: list[str] = []
        """What comments say."""
        self.ended = False
        """Whether the text broke off inside of something."""
        self._depth = 0

    def repair(self, at: int, end: int, message: str) -> None:
        self.repairs.append(Repair(at, end, message))

    def skip(self) -> str:
        """Pass blanks and comments; the next character, or nothing at the end."""
        while True:
            found = _BLANK.match(self.text, self.at)
            assert found is not None
            self.at = found.end()
            if not (self.comments and self._comment()):
                return self.text[self.at : self.at + 1]

    def _comment(self) -> bool:
        for opener, closer in (("//", "\n"), ("#", "\n"), ("/*", "*/")):
            if self.text.startswith(opener, self.at):
                end = self.text.find(closer, self.at + len(opener))
                if end < 0:
                    end, self.ended = len(self.text), self.ended or closer == "*/"
                if remark := self.text[self.at + len(opener) : end].strip(" \t\r*"):
                    self.remarks.append(remark)
                self.at = min(end + len(closer), len(self.text))
                return True
        return False

    def arguments(self) -> tuple[list[Raw], dict[str, Raw]]:
        """What stands in the parentheses of a call, from after the opening to after the closing one."""
        args: list[Raw] = []
        kwargs: dict[str, Raw] = {}
        while (following := self.skip()) != ")":
            if not following:
                self.repair(self.at, self.at, "the closing parenthesis is missing")
                return args, kwargs
            if following in ",;]}":
                if following != ",":
                    self.repair(self.at, self.at + 1, "nothing was opened that this closes")
                self.at += 1
                continue
            self._argument(args, kwargs)
        self.at += 1
        return args, kwargs

    def _argument(self, args: list[Raw], kwargs: dict[str, Raw]) -> None:
        start = self.at
        named = _KEYWORD.match(self.text, self.at)
        if named is not None:
            self.at = named.end()
            key: str | None = named.group(1)
            if named.group(2) == ":":
                self.repair(start, self.at, "an argument is named with `=`")
            self.skip()
            value = self.value()
        else:
            value, key = self.value(), None
            following = self.skip()
            if isinstance(value, Quoted) and following and following in ":=":
                self.at += 1
                self.repair(start, self.at, "the name of an argument needs no quotes and is followed by `=`")
                self.skip()
                key, value = value.text, self.value()
        if key is None:
            args.append(value)
        else:
            if key in kwargs:
                self.repair(start, self.at, f"the argument {key!r} is given twice; the last one counts")
            kwargs[key] = value
        self._comma(",)")

    def _comma(self, closers: str) -> None:
        following = self.skip()
        if following == ",":
            self.at += 1
        elif following and following not in closers:
            self.repair(self.at, self.at + 1, "a comma is missing")

    def value(self) -> Raw:
        """One value; passes at least one character unless the text ends or a closing bracket stands here."""
        value = self._operand()
        if not isinstance(value, Quoted | Bare) or self.skip() != "+":
            return value
        parts = [value]
        while self.skip() == "+":
            self.at += 1
            self.skip()
            parts.append(self._operand())
        return Sum(tuple(parts))

    def _operand(self) -> Raw:
        following = self.text[self.at : self.at + 1]
        if not following:
            self.ended = True
            return None
        if following == "{":
            return self._nested(self.mapping)
        if following in "[(":
            return self._nested(self._sequence)
        if following in ENDS_WITH and begins_string(self.text, self.at):
            return self._string()
        if following in "rRuUbBfF" and (prefix := _PREFIX.match(self.text, self.at)) is not None:
            self.at = prefix.end()
            return self._string(is_raw="r" in prefix.group().lower())
        return self._bare()

    def _nested(self, read: Any) -> Raw:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unreadable(self.at, f"brackets are nested deeper than MAX_DEPTH={MAX_DEPTH}")
        value = read()
        self._depth -= 1
        return value

    def _sequence(self) -> list[Raw]:
        closer = CLOSER_OF[self.text[self.at]]
        self.at += 1
        found: list[Raw] = []
        while (following := self.skip()) != closer:
            if not following or following in ")]}":
                self._unclosed(closer)
                return found
            if following == ",":
                self.at += 1
                continue
            found.append(self.value())
            self._comma(")]}")
        self.at += 1
        return found

    def _unclosed(self, closer: str) -> None:
        """The text ends, or a bracket around this one is closed."""
        self.ended = self.ended or self.at >= len(self.text)
        self.repair(self.at, self.at, f"the closing {closer!r} is missing")

    def mapping(self) -> Mapping | list[Raw]:
        """What stands in braces: keys and values, or single values, which become a list.

        An opening brace where a key should be means that the closing one before it is missing.
        """
        start = self.at
        self.at += 1
        members: list[Member] = []
        alone: list[Raw] = []
        rest = ""
        while (following := self.skip()) != "}":
            if not following or following in ")]{":
                self._unclosed("}")
                break
            if following in ",;:":
                self.at += 1
                continue
            key_at = self.at
            key = self._key()
            separator = _SEPARATOR.match(self.text, self.at)
            if separator is None:
                if not self.skip():
                    self.ended, rest = True, self.text[key_at:]
                    continue
                self.at = key_at
                alone.append(self.value())
                self._comma("}")
                continue
            self.at = separator.end()
            if separator.group(1) != ":":
                self.repair(key_at, self.at, "a key is followed by `:`")
            self.skip()
            value = self.value()
            members.append(Member(key, value, key_at, self.at, not self.ended))
            self._comma(")]}")
        else:
            self.at += 1
        if alone:
            self.repair(start, self.at, "a value without a key stands between braces")
            if not members:
                return alone
            members.append(Member("", alone, start, self.at, True))
        return Mapping(tuple(members), start, self.at, rest)

    def _key(self) -> str:
        if self.text[self.at] in ENDS_WITH:
            return str(self._string().text)
        found = _KEY.match(self.text, self.at)
        if found is None:
            self.at += 1
            return self.text[self.at - 1]
        self.at = found.end()
        return found.group()

    # ------------------------------------------------------------ strings

    def _string(self, *, is_raw: bool = False) -> Quoted:
        start = self.at
        mark = self.text[start]
        if mark in "\"'" and self.text.startswith(mark * 3, start):
            return self._triple(mark * 3, start, is_raw)
        at, inner = start + 1, False
        while (found := END_OR_ESCAPE[mark].search(self.text, at)) is not None:
            at = found.start()
            if found.group() == "\\":
                at += 2
                continue
            if ends_string(self.text, at, final=True):
                break
            at, inner = at + 1, True
        else:
            return self._cut_off(start, is_raw)
        self.at = at + 1
        if inner:
            self.repair(start, self.at, "quotes inside a string have no backslash before them")
        if mark in SMART or self.text[at] in SMART:
            self.repair(start, self.at, "typographic quotes are taken as plain ones")
        return self._quoted(start + 1, at, is_raw)

    def _triple(self, mark: str, start: int, is_raw: bool) -> Quoted:
        end = self.text.find(mark, start + 3)
        if end < 0:
            end, self.at, self.ended = len(self.text), len(self.text), True
            self.repair(start, start + 3, "the closing quotes are missing")
        else:
            self.at = end + 3
        return self._quoted(start + 3, end, is_raw)

    def _cut_off(self, start: int, is_raw: bool) -> Quoted:
        """A string without an end goes to the end of the text, but for the brackets that close what is around it."""
        inside = self.text[start + 1 :]
        end = len(inside.rstrip())
        excess = {closer: inside.count(closer) - inside.count(opener) for opener, closer in CLOSER_OF.items()}
        while end and not self.comments and excess.get(inside[end - 1], 0) > 0:
            excess[inside[end - 1]] -= 1
            end -= 1
        self.at = start + 1 + end
        if end and inside[end - 1] in ENDS_WITH:
            end -= 1
        self.ended = self.ended or self.at >= len(self.text)
        self.repair(start, self.at, "the closing quote is missing")
        return self._quoted(start + 1, start + 1 + end, is_raw)

    def _quoted(self, at: int, end: int, is_raw: bool) -> Quoted:
        text = self.text[at:end]
        return Quoted(text if is_raw or "\\" not in text else _unescaped(text), at)

    # ------------------------------------------------------------ words and numbers

    def _bare(self) -> Raw:
        start = self.at
        if (thousands := _THOUSANDS.match(self.text, start)) is not None and ",0" in thousands.group():
            self.at = thousands.end()
            self.repair(start, self.at, "a number with commas is kept as a string")
            return Quoted(thousands.group(), start)
        if self.text[start] in "$":
            mark = self.dialect.mark_at(self.text, start)
            if mark is not None and mark.exact and not mark.escaped and self._is_end(mark.end):
                self.at = mark.end
                return Bare(mark)
        end = self._end_of_words(start)
        run = self.text[start:end].rstrip()
        self.at = max(end, start + 1)
        if end == len(self.text):
            self.ended = True
        return self._meaning(run or self.text[start], start)

    def _is_end(self, at: int) -> bool:
        found = _BLANK.match(self.text, at)
        assert found is not None
        return found.end() == len(self.text) or self.text[found.end()] in ",)]}+\n;" or "\n" in found.group()

    def _end_of_words(self, at: int) -> int:
        depth = 0
        while (found := _STOP.search(self.text, at)) is not None:
            mark = found.group()
            if mark in CLOSER_OF:
                depth += 1
            elif mark == "\n" or (mark == "," and not depth):
                return found.start()
            elif mark != ",":
                depth -= 1
                if depth < 0:
                    return found.start()
            at = found.end()
        return len(self.text)

    def _meaning(self, run: str, at: int) -> Raw:
        if run in _WORDS:
            return _WORDS[run]
        if len(run) <= MAX_DIGITS:
            if _INT.fullmatch(run):
                return int(run)
            if _FLOAT.fullmatch(run) and math.isfinite(float(run)):
                return float(run)
        if _CALL.fullmatch(run) and not self.comments:
            raise Unreadable(at, "a call stands inside a call; give it a step of its own and refer to that")
        self.repair(at, at + len(run), "words without quotes are taken as a string")
        return Quoted(run, at)


def _unescaped(text: str) -> str:
    """A string with its escapes read; those that mean nothing stay as they are."""
    plain = _ESCAPE.sub(_escape, text)
    if any("\ud800" <= letter <= "\udfff" for letter in plain):  # halves of a pair, each written by itself
        plain = plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return plain


def _escape(found: re.Match[str]) -> str:
    said = found.group(1)
    if len(said) > 1:
        code = int(said[1:], 16)
        return chr(code) if code <= 0x10FFFF else found.group()
    return _SIMPLE.get(said, found.group())


class Linker:
    """Turns raw values into arguments: marks become references to the steps they mean now."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.repairs: list[Repair] = []

    def linked(self, raw: Raw) -> Argument:
        if isinstance(raw, Quoted):
            return self._string(raw)
        if isinstance(raw, Bare):
            return self.dialect.reference(raw.mark)
        if isinstance(raw, Sum):
            return self._sum(raw)
        if isinstance(raw, Mapping):
            return self._mapping(raw)
        if isinstance(raw, list):
            return [self.linked(item) for item in raw]
        return raw

    def _string(self, raw: Quoted) -> Argument:
        value, kept = self.dialect.linked(raw.text)
        for mark in kept:
            message = f"{mark.written} names no step stated before it; it stays text"
            self.repairs.append(Repair(raw.at + mark.at, raw.at + mark.at + len(mark.written), message))
        return value

    def _sum(self, raw: Sum) -> Argument:
        parts: list[str | Reference] = []
        for part in raw.parts:
            value = self.linked(part)
            if isinstance(value, Text):
                parts.extend(value.parts)
            elif isinstance(value, str | Reference):
                parts.append(value)
            else:
                parts.append(str(value))
        return joined(parts)

    def _mapping(self, raw: Mapping) -> Argument:
        values = {member.key: member.value for member in raw.members}
        target = values.get("$ref")
        if isinstance(target, Quoted) and set(values) <= {"$ref", "path"}:
            return self._pointer(target, values.get("path"))
        return {key: self.linked(value) for key, value in values.items()}

    def _pointer(self, target: Quoted, path: Raw) -> Reference:
        """`{"$ref": "name"}`, with the path in the name or beside it."""
        mark = self.dialect.mark_at("${" + target.text.removeprefix("$") + "}", 0)
        if mark is None or not mark.exact:
            return Reference(target.text)
        found = self.dialect.reference(mark)
        parts = path if isinstance(path, list) else [] if path is None else [path]
        plain = tuple(part.text if isinstance(part, Quoted) else part for part in parts)
        return Reference(found.step, (*found.path, *(part for part in plain if isinstance(part, str | int))))
