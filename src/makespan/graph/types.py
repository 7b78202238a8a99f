"""Whether a result of one declared type may go where another type is declared.

Every value is copied through its encoding on the way, so containers are covariant: nobody can put a `Cat`
into your list of dogs. What cannot be known (`Any`, a type variable, a name that does not resolve) is assumed
to fit: the value is checked again when it is decoded.

    int -> float                        list[Cat] -> Sequence[Animal]
    T -> T | None                       tuple[int, str] -> Iterable[int | str]
    Literal["a"] -> str                 dict[str, int] -> Mapping[str, float]
    Cat -> Animal                       UserId (a NewType) -> str
"""

from __future__ import annotations

import collections.abc
import re
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, ForwardRef, Literal, TypeVar, Union

UNIONS = (Union, types.UnionType)
NONE_TYPE = type(None)
REMEMBERED = 8192
MODULE_NAMES = re.compile(r"\b(?:\w+\.|<locals>\.)+(?=\w)")


class Answers:
    """Answers of a pure function of two annotations, by the annotations' identity: 0.15 us a known pair.

    `functools.lru_cache` would hash them: up to 0.5 us for a union, impossible for some, and 1 equals True.
    Holding both keeps their ids their own.
    """

    def __init__(self, answer: Callable[[Any, Any], bool]) -> None:
        self.answer = answer
        self.known: dict[tuple[int, int], tuple[Any, Any, bool]] = {}

    def __call__(self, source: Any, target: Any) -> bool:
        found = self.known.get((id(source), id(target)))
        if found is not None:
            return found[2]
        verdict = self.answer(source, target)
        if len(self.known) >= REMEMBERED:
            self.known.clear()
        self.known[id(source), id(target)] = (source, target, verdict)
        return verdict


def fits(source: Any, target: Any) -> bool:
    """`assignable`, worked out."""
    source, target = plain(source), plain(target)
    if source is target or is_unknown(source) or is_unknown(target) or target is object:
        return True
    if typing.get_origin(source) in UNIONS:
        return all(fits(member, target) for member in typing.get_args(source))
    if typing.get_origin(source) is Literal:
        return all(literal_fits(value, target) for value in typing.get_args(source))
    if typing.get_origin(target) in UNIONS:
        return any(fits(source, member) for member in typing.get_args(target))
    if typing.get_origin(target) is Literal:
        return False
    return generic_fits(source, target)


assignable = Answers(fits)
"""Whether a value of the source annotation may go where the target annotation is declared.

Cost: 0.15 us for a pair seen before.
"""


def plain(annotation: Any) -> Any:
    """An annotation without `Annotated`, `NewType` and `None` spelled as a value."""
    while True:
        if typing.get_origin(annotation) in (Annotated, typing.Required, typing.NotRequired, typing.Final):
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        else:
            return NONE_TYPE if annotation is None else annotation


def is_unknown(annotation: Any) -> bool:
    """Nothing can be said of it before the value is there."""
    return annotation is Any or isinstance(annotation, str | ForwardRef | TypeVar)


def literal_fits(value: Any, target: Any) -> bool:
    """Whether one value of a `Literal` may go to a target."""
    target = plain(target)
    if typing.get_origin(target) in UNIONS:
        return any(literal_fits(value, member) for member in typing.get_args(target))
    if typing.get_origin(target) is Literal:
        return any(type(value) is type(each) and value == each for each in typing.get_args(target))
    return fits(type(value), target)


def generic_fits(source: Any, target: Any) -> bool:
    """Classes by inheritance, their arguments one by one."""
    source_class, target_class = class_of(source), class_of(target)
    if source_class is None or target_class is None:
        return bool(source == target)
    if target_class is float and issubclass(source_class, int):
        return True
    if not is_subclass(source_class, target_class):
        return False
    wanted = typing.get_args(target)
    given = arguments_as(source, source_class, target_class)
    if not wanted or given is None:
        return True
    if target_class is tuple:
        return tuples_fit(given, wanted)
    return len(given) != len(wanted) or all(map(fits, given, wanted))


def class_of(annotation: Any) -> type | None:
    """The class behind an annotation; None where it is something else."""
    origin = typing.get_origin(annotation) or annotation
    return origin if isinstance(origin, type) else None


def is_subclass(source: type, target: type) -> bool:
    """`issubclass`; but TypedDicts are dicts, Protocols always fit, and text is no list of letters."""
    if typing.is_typeddict(target):
        return typing.is_typeddict(source) and target.__annotations__.keys() <= source.__annotations__.keys()
    if typing.is_typeddict(source):
        source = dict
    if source in (str, bytes) and target not in (source, collections.abc.Hashable):
        return False
    if getattr(target, "_is_protocol", False):
        return True
    return issubclass(source, target)


def arguments_as(source: Any, source_class: type, target_class: type) -> tuple[Any, ...] | None:
    """What the source's arguments are when it is seen as the target's class; None where that is not known."""
    given = typing.get_args(source)
    if source_class is target_class or not given:
        return given or None
    if source_class is tuple:
        members = tuple(member for member in given if member is not Ellipsis)
        return (Union[members],) if members else None  # noqa: UP007 - made of a tuple
    if issubclass(source_class, collections.abc.Mapping) and not issubclass(target_class, collections.abc.Mapping):
        return given[:1]
    return given if source_class.__module__ in ("builtins", "collections", "collections.abc") else None


def tuples_fit(given: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    """Tuples of a fixed length place by place, of any length by their one type."""
    if wanted[-1] is Ellipsis:
        return all(fits(each, wanted[0]) for each in given if each is not Ellipsis)
    return given[-1] is not Ellipsis and len(given) == len(wanted) and all(map(fits, given, wanted))


def explain(source: Any, target: Any) -> str:
    """Why a source does not fit a target, and what to do; for the message of an error."""
    what = f"{shown(source)} does not fit {shown(target)}"
    left = [member for member in members_of(source) if not fits(member, target)]
    if len(members_of(source)) > 1 and len(left) < len(members_of(source)):
        what += f": {' and '.join(map(shown, left))} would be left over"
    return f"{what}; put a pure task in between that turns one into the other"


def members_of(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; any other annotation is its own only member."""
    return typing.get_args(annotation) if typing.get_origin(annotation) in UNIONS else (annotation,)


def shown(annotation: Any) -> str:
    """An annotation as its author wrote it, as nearly as possible."""
    if annotation is None or annotation is NONE_TYPE:
        return "None"
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__qualname__.rpartition("<locals>.")[2]
    text = str(annotation)
    return text if "'" in text else MODULE_NAMES.sub("", text)
