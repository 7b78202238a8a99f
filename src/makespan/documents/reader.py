"""YAML to a tree of plain values in which every value knows its line and column. Knows nothing of workflows.

The text is YAML 1.2 with its core scalars (`no`, `on` and `1:30` are texts, `0o17` is 15), within named limits.
Tags, several documents in a file, merge keys and repeated keys are refused: each has surprised somebody.
Only the parser's events are used, so nothing of the library makes objects from what a file says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn

import msgspec
import yaml

from makespan.documents.problems import Mark, Problems, Skip

MAX_BYTES = 256 * 1024
"""Largest document."""
MAX_NODES = 20_000
"""Most values in one document, those of aliases counted each time they are used."""
MAX_DEPTH = 32
"""Deepest nesting of lists and mappings."""

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_NAN = re.compile(r"\.(?:nan|NaN|NAN)")
_BARE = re.compile(r"""[{\[,:]\s*(\$\{[^{}]*\})\s*[,\]}]""")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Tree(msgspec.Struct, frozen=True, eq=False):
    """A value of a document: a scalar, a list of trees, or a dict of them. `start` and `end` are places in `source`."""

    value: Any
    at: Mark
    start: int
    end: int
    source: str
    keys: dict[str, Mark] = {}
    """Where the keys of a mapping stand."""
    size: int = 1

    @property
    def plain(self) -> Any:
        """The value without positions."""
        if isinstance(self.value, list):
            return [each.plain for each in self.value]
        if isinstance(self.value, dict):
            return {name: each.plain for name, each in self.value.items()}
        return self.value

    def mark_of(self, token: str, nth: int = 0) -> Mark:
        """Where a piece of a text stands in the file; the text's own place where it is written in another way."""
        found = self.start
        for _ in range(nth + 1):
            found = self.source.find(token, found, self.end)
            if found < 0:
                return self.at
            found += 1
        return mark_at(self.source, found - 1)


def mark_at(source: str, index: int) -> Mark:
    """Line and column of a place in a text."""
    return Mark(source.count("\n", 0, index) + 1, index - source.rfind("\n", 0, index))


def kind_of(tree: Tree) -> str:
    """What a message calls the value."""
    match tree.value:
        case None:
            return "nothing"
        case bool():
            return str(tree.value).lower()
        case int() | float():
            return f"the number {tree.value}"[:40]
        case str():
            return f"the text {tree.value[:40]!r}"
        case list():
            return "a list" if tree.value else "an empty list"
        case _:
            return "a mapping" if tree.value else "an empty mapping"


def scalar(text: str) -> Any:
    """What an unquoted scalar means in YAML 1.2. Raises ValueError for a number that nothing can hold."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        number = int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if not -(2**63) <= number < 2**64:
            raise ValueError("this number does not fit into 64 bits; quote it to make it a text")
        return number
    if _FLOAT.fullmatch(text):
        return float(text)
    infinite = _INFINITE.fullmatch(text)
    if infinite:
        return float(f"{infinite[1]}inf")
    return float("nan") if _NAN.fullmatch(text) else text


def read(text: str | bytes, problems: Problems) -> Tree:
    """The tree of a document. Raises Skip after noting why there is none.

    Cost: about 0.1 ms a line; the parser is pure Python.
    """
    source = _decoded(text, problems)
    try:
        return _Reader(source, problems).document()
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, source, problems) from None
    except yaml.reader.ReaderError as error:
        at = mark_at(source, min(error.position, len(source)))
        raise problems.stop(at, f"the character U+{error.character:04X} is not allowed in YAML") from None


def _decoded(text: str | bytes, problems: Problems) -> str:
    if len(text) > MAX_BYTES:
        message = f"the file has {len(text):,} bytes, at most {MAX_BYTES:,} are read (MAX_BYTES); split the workflow"
        raise problems.stop(Mark(1, 1), message)
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        column = error.start - text.rfind(b"\n", 0, error.start)
        raise problems.stop(Mark(line, column), "the file is not UTF-8; save it as UTF-8") from None


def _not_yaml(error: yaml.MarkedYAMLError, source: str, problems: Problems) -> Skip:
    """A syntax error of the parser, with what usually causes it."""
    bare = _bare_reference(source, error)
    if bare is not None:
        message = f'inside {{ }} and [ ] a reference stands in quotes: "{bare[1]}"'
        return problems.stop(bare[0], message)
    mark = error.problem_mark or error.context_mark
    if "unexpected end of stream" in str(error.problem) and error.context_mark is not None:
        mark = error.context_mark
    at = Mark(1, 1) if mark is None else Mark(mark.line + 1, mark.column + 1)
    said = f"{error.context}: {error.problem}" if error.context else str(error.problem)
    hints = {
        "\\t": "; indent with spaces, YAML allows no tabs",
        "mapping values are not allowed": "; quote a text that holds `: `, and look whether the line above ends",
        "expected <block end>": "; look at the indentation of this line",
        "could not find expected ':'": "; a key ends in `: `",
        "cannot start any token": "; quote a text that starts with this character",
        "unexpected end of stream": "; the quote that opens here is never closed",
        "undefined alias": "; no `&name` stands before it",
    }
    hint = next((hint for sign, hint in hints.items() if sign in said), "")
    return problems.stop(at, f"this is not YAML: {said}{hint}")


def _bare_reference(source: str, error: yaml.MarkedYAMLError) -> tuple[Mark, str] | None:
    """An unquoted `${...}` in a flow collection, on the line of a syntax error or the one it began in: YAML reads its
    brace as the start of a mapping."""
    for mark in (error.problem_mark, error.context_mark):
        lines = source.splitlines()
        line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
        found = _BARE.search(line)
        if mark is not None and found:
            return Mark(mark.line + 1, found.start(1) + 1), found[1]
    return None


class _Reader:
    """Builds the tree of one document from the parser's events."""

    def __init__(self, source: str, problems: Problems) -> None:
        self.source, self.problems = source, problems
        self.events: Iterator[Any] = iter(yaml.parse(source, Loader=yaml.SafeLoader))
        self.anchors: dict[str, Tree] = {}
        self.nodes = 0

    def document(self) -> Tree:
        next(self.events)  # the stream's start
        if isinstance(next(self.events), yaml.StreamEndEvent):
            raise self.problems.stop(Mark(1, 1), "the file is empty; a workflow begins with `workflow: NAME`")
        tree = self.node(next(self.events), 0)
        next(self.events)  # the document's end
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            self.fail(after, "a second document starts here; one file holds one workflow")
        return tree

    def node(self, event: Any, depth: int) -> Tree:
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        self.count(event, 1)
        if depth > MAX_DEPTH:
            self.fail(event, f"nested deeper than {MAX_DEPTH} (MAX_DEPTH)")
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.fail(event, f"the tag {tag} is refused: types follow from where a value stands; take it away")
        if isinstance(event, yaml.ScalarEvent):
            tree = self.scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            tree = self.sequence(event, depth)
        else:
            tree = self.mapping(event, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = tree
        return tree

    def scalar(self, event: Any) -> Tree:
        value: Any = event.value
        if event.style is None:
            try:
                value = scalar(value)
            except ValueError as error:
                self.fail(event, str(error))
        return self.tree(value, event, event)

    def sequence(self, event: Any, depth: int) -> Tree:
        items: list[Tree] = []
        while not isinstance(following := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(following, depth + 1))
        return self.tree(items, event, following, size=1 + sum(each.size for each in items))

    def mapping(self, event: Any, depth: int) -> Tree:
        items: dict[str, Tree] = {}
        keys: dict[str, Mark] = {}
        while not isinstance(following := next(self.events), yaml.MappingEndEvent):
            key = self.node(following, depth + 1)
            value = self.node(next(self.events), depth + 1)
            if not isinstance(key.value, str):
                message = f"a key is a text, this is {kind_of(key)}; write it in quotes"
                self.problems.add(key.at, message)
            elif key.value == "<<" and getattr(following, "style", "") is None:
                self.problems.add(key.at, "merge keys (`<<`) are not part of YAML 1.2; write the keys out")
            elif key.value in items:
                first = keys[key.value]
                self.problems.add(key.at, f"the key {key.value!r} stands here twice, first in line {first.line}")
            else:
                items[key.value], keys[key.value] = value, key.at
        return self.tree(items, event, following, keys, 1 + sum(each.size for each in items.values()))

    def alias(self, event: Any) -> Tree:
        found = self.anchors.get(event.anchor)
        if found is None:
            self.fail(event, f"the alias *{event.anchor} has no anchor &{event.anchor} before it")
        self.count(event, found.size)
        return found

    def count(self, event: Any, size: int) -> None:
        self.nodes += size
        if self.nodes > MAX_NODES:
            message = f"more than {MAX_NODES:,} values, aliases counted each time (MAX_NODES); split the workflow"
            self.fail(event, message)

    def tree(self, value: Any, first: Any, last: Any, keys: dict[str, Mark] | None = None, size: int = 1) -> Tree:
        mark = first.start_mark
        at = Mark(mark.line + 1, mark.column + 1)
        return Tree(value, at, mark.index, last.end_mark.index, self.source, keys or {}, size)

    def fail(self, event: Any, message: str) -> NoReturn:
        mark = event.start_mark
        raise self.problems.stop(Mark(mark.line + 1, mark.column + 1), message)
