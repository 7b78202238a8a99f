"""Types by name: `str`, `list[int]`, `Doc | null`, `module:Class`, `{field: type}`, `{enum: [spam, ham]}`.

    grade: {ok: bool, feedback: str, score: float = 0.5}          an object; a field with a default may be left out

Objects become Structs, so a prompt returns checked data without a line of Python. `yaml_type` goes the other way.
"""

from __future__ import annotations

import datetime
import decimal
import re
import types
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial, reduce
from operator import or_
from typing import Any, Literal, NoReturn

import msgspec

from makespan.authoring.task import HOOKS
from makespan.documents.problems import Mark, Problems, Skip
from makespan.documents.reader import Tree, kind_of, scalar
from makespan.errors import GraphError, suggestion

SCALARS: Mapping[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "bytes": bytes,
    "null": type(None),
    "any": Any,
    "date": datetime.date,
    "time": datetime.time,
    "datetime": datetime.datetime,
    "duration": datetime.timedelta,
    "decimal": decimal.Decimal,
    "uuid": uuid.UUID,
}
GENERICS: Mapping[str, tuple[Any, int]] = {"list": (list, 1), "dict": (dict, 2), "set": (set, 1), "tuple": (tuple, 0)}
"""Name to class and how many types stand in its brackets; 0 is any number."""
_ELSEWHERE: Mapping[str, str] = {
    "string": "str",
    "text": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
    "map": "dict",
    "None": "null",
    "Any": "any",
    "List": "list",
    "Dict": "dict",
    "optional": "null",
}
"""What other formats call them."""
_WORD = re.compile(r"\s*([A-Za-z0-9_./~-]+(?::[A-Za-z_][\w.]*)?|[\[\]|,?]|\S)")
_MOST_FIELDS = 100

Finder = Callable[[str], Any]
"""Gives the class that `module:Class` names; raises GraphError."""


class Types:
    """The types of one document: built in, declared under `types:`, or found in Python."""

    def __init__(self, problems: Problems, find: Finder) -> None:
        self._problems, self._find = problems, find
        self._declared: dict[str, Any] = {}

    def declare(self, name: str, at: Mark, tree: Tree) -> None:
        """Take one entry of `types:`; those above it may be used in it."""
        if name in SCALARS or name in GENERICS:
            raise self._problems.stop(at, f"{name!r} is a type already; choose another name")
        self._declared[name] = self.read(tree, name)

    def read(self, tree: Tree, name: str) -> Any:
        """The type a tree stands for; `name` is what an inline object is called."""
        if isinstance(tree.value, dict):
            return self._choice(tree) if self._is_choice(tree) else self._object(tree, name)
        if tree.value is None:
            return type(None)
        if not isinstance(tree.value, str):
            raise self._problems.stop(tree.at, f"a type is a name or a mapping of fields, this is {kind_of(tree)}")
        return self._checked(tree, _Expression(tree.value, self._named, self._fail_at(tree)).whole())

    def with_default(self, tree: Tree, name: str) -> tuple[Any, Any]:
        """The type and the default (or UNSET) of `type` or `type = default`."""
        if not isinstance(tree.value, str) or "=" not in tree.value:
            return self.read(tree, name), msgspec.UNSET
        said, _, default = tree.value.partition("=")
        kind = _Expression(said, self._named, self._fail_at(tree)).whole()
        return self._checked(tree, kind), self.default(tree.at, kind, _literal(default.strip(), kind))

    def default(self, at: Mark, kind: Any, value: Any) -> Any:
        """A default as a value of its type."""
        try:
            codec = HOOKS.codec(kind)
            return codec.decode(codec.encode(value))
        except GraphError as error:
            raise self._problems.stop(at, f"the default does not fit its type: {error}") from None

    # ------------------------------------------------------------ helpers

    def _fail_at(self, tree: Tree) -> Callable[[str, str], Skip]:
        return lambda word, message: self._problems.stop(tree.mark_of(word) if word else tree.at, message)

    def _checked(self, tree: Tree, kind: Any) -> Any:
        try:
            HOOKS.codec(kind)
        except GraphError as error:
            raise self._problems.stop(tree.at, f"{tree.value}: {error}") from None
        return kind

    def _named(self, word: str) -> Any:
        if word in self._declared:
            return self._declared[word]
        if word in SCALARS:
            return SCALARS[word]
        if ":" in word:
            return self._find(word)
        known = [*SCALARS, *GENERICS, *self._declared]
        hint = f"; did you mean {_ELSEWHERE[word]!r}?" if word in _ELSEWHERE else suggestion(word, known)
        listed = f" (known: {', '.join(known)}; or module:Class)"
        raise GraphError(f"there is no type {word!r}{hint or listed}")

    @staticmethod
    def _is_choice(tree: Tree) -> bool:
        return set(tree.value) == {"enum"} and isinstance(tree.value["enum"].value, list)

    def _choice(self, tree: Tree) -> Any:
        options = tree.value["enum"]
        values = [each.value for each in options.value if isinstance(each.value, str | int)]
        if not values or len(values) < len(options.value):
            raise self._problems.stop(options.at, "enum: is a list of texts or whole numbers, at least one")
        return Literal[tuple(values)]

    def _object(self, tree: Tree, name: str) -> Any:
        if not tree.value or len(tree.value) > _MOST_FIELDS:
            raise self._problems.stop(tree.at, f"an object has 1 to {_MOST_FIELDS} fields: `field: type`")
        needed: list[tuple[str, Any]] = []
        optional: list[tuple[str, Any, Any]] = []
        for field, kind in tree.value.items():
            if not field.isidentifier() or field.startswith("_"):
                at = tree.keys[field]
                raise self._problems.stop(at, f"the field {field!r}: letters, digits and `_`, no digit or `_` first")
            read, default = self.with_default(kind, f"{name}_{field}")
            if default is msgspec.UNSET:
                needed.append((field, read))
            else:
                immutable = isinstance(default, str | int | float | bool | type(None))
                made = default if immutable else msgspec.field(default_factory=partial(deepcopy, default))
                optional.append((field, read, made))
        struct = msgspec.defstruct(name, [*needed, *optional], frozen=True, module=__name__)
        return self._checked(tree, struct)


class _Expression:
    """Recursive descent over `list[str] | null`."""

    def __init__(self, text: str, named: Callable[[str], Any], fail: Callable[[str, str], Skip]) -> None:
        self.text, self.named, self.fail = text, named, fail
        self.words = [match[1] for match in _WORD.finditer(text)]
        self.at = 0
        self.depth = 0

    def whole(self) -> Any:
        kind = self.union()
        if self.at < len(self.words):
            self.unexpected()
        return kind

    def unexpected(self) -> NoReturn:
        word = self.words[self.at] if self.at < len(self.words) else ""
        what = f"unexpected {word!r}" if word else "it ends too early"
        raise self.fail(word, f"{self.text!r} is no type: {what}; write e.g. str, list[int], dict[str, float] | null")

    def take(self, word: str) -> bool:
        if self.at < len(self.words) and self.words[self.at] == word:
            self.at += 1
            return True
        return False

    def union(self) -> Any:
        self.depth += 1
        if self.depth > 16:
            raise self.fail("", "types nest at most 16 deep")
        members = [self.single()]
        while self.take("|"):
            members.append(self.single())
        self.depth -= 1
        try:
            return members[0] if len(members) == 1 else reduce(or_, members)
        except TypeError:
            return typing.Union[tuple(members)]  # noqa: UP007 - made of a list

    def single(self) -> Any:
        if self.at >= len(self.words):
            self.unexpected()
        word = self.words[self.at]
        if not re.match(r"[A-Za-z_./]", word):
            self.unexpected()
        self.at += 1
        kind = self.generic(word) if word in GENERICS else self.name(word)
        return kind | None if self.take("?") else kind

    def name(self, word: str) -> Any:
        try:
            return self.named(word)
        except GraphError as error:
            raise self.fail(word, str(error)) from None

    def generic(self, word: str) -> Any:
        kind, count = GENERICS[word]
        if not self.take("["):
            return kind
        arguments = [self.union()]
        while self.take(","):
            arguments.append(self.union())
        if not self.take("]"):
            self.unexpected()
        if count and len(arguments) != count:
            raise self.fail(word, f"{word} takes {count} type{'s' * (count > 1)} in brackets, not {len(arguments)}")
        return kind[tuple(arguments) if len(arguments) > 1 else arguments[0]]


def _literal(text: str, kind: Any) -> Any:
    """A default written behind `=`: JSON, or a scalar as anywhere else in the document."""
    if kind is str and not text.startswith('"'):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        try:
            return scalar(text)
        except ValueError:
            return text


# ---------------------------------------------------------------- the other way

_NAMES: dict[Any, str] = {kind: name for name, kind in SCALARS.items() if kind is not Any}


def yaml_type(kind: Any) -> Any:
    """The plain YAML that stands for a type. Raises GraphError where there is none."""
    if kind is Any or isinstance(kind, typing.TypeVar):
        return "any"
    if kind is None:
        return "null"
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return " | ".join(_inline(each) for each in arguments)
    if origin is typing.Annotated:
        return yaml_type(arguments[0])
    if kind in _NAMES:
        return _NAMES[kind]
    if kind in (list, dict, set, tuple):
        return kind.__name__
    name = {list: "list", dict: "dict", set: "set", tuple: "tuple", Sequence: "list", Mapping: "dict"}.get(origin)
    if name and arguments[-1] is not Ellipsis:
        return f"{name}[{', '.join(_inline(each) for each in arguments)}]"
    if origin is tuple:
        return f"list[{_inline(arguments[0])}]"
    return _class(kind)


def _class(kind: Any) -> Any:
    module, name = getattr(kind, "__module__", ""), getattr(kind, "__qualname__", "")
    if module == __name__ and issubclass(kind, msgspec.Struct):
        return {each.name: _field(each) for each in msgspec.structs.fields(kind)}
    if not name or "<locals>" in name or module in ("__main__", "builtins", ""):
        raise GraphError(f"the type {kind} has no name that another process finds")
    return f"{module}:{name}"


def _field(field: Any) -> Any:
    kind = yaml_type(field.type)
    value = field.default if field.default is not msgspec.NODEFAULT else None
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    elif field.default is msgspec.NODEFAULT:
        return kind
    if not isinstance(kind, str):
        raise GraphError(f"the field {field.name!r} has a default and a type without a name")
    return f"{kind} = {msgspec.json.encode(value).decode()}"


def _inline(kind: Any) -> str:
    said = yaml_type(kind)
    if not isinstance(said, str):
        raise GraphError(f"the type {kind} stands inside another; declare it under `types:`")
    return said
