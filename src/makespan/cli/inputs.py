"""`-i name=value` to a workflow's arguments, converted to the declared types of its parameters.

A value is JSON where the parameter's type wants it, else text; a `str` parameter always gets the text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from makespan.authoring.signature import MISSING, Parameter
from makespan.authoring.task import Task
from makespan.codec import NotEncodable
from makespan.errors import UsageError, suggestion
from makespan.files import File


def read_inputs(workflow: Task[..., Any], said: Iterable[str], *, complete: bool = True) -> dict[str, Any]:
    """Keyword arguments for the workflow.

    Args:
        complete: whether a missing argument is an error.
    Raises:
        UsageError: unknown, missing, doubled, or of the wrong type; the parameter is named.
    """
    known = {parameter.name: parameter for parameter in workflow.signature.parameters}
    values: dict[str, Any] = {}
    for name, text in _pairs(said):
        if name not in known:
            hint = suggestion(name, known) or f"; it takes {', '.join(known) or 'no arguments'}"
            raise UsageError(f"{workflow.key} has no parameter {name!r}{hint}")
        if name in values:
            raise UsageError(f"-i {name}=… is given twice")
        values[name] = _converted(workflow, known[name], text)
    missing = [p for p in known.values() if p.default is MISSING and p.name not in values]
    if missing and complete:
        raise UsageError(_missing(workflow, missing))
    return values


def has_all(workflow: Task[..., Any], values: dict[str, Any]) -> bool:
    """Whether every parameter without a default has a value."""
    return all(p.default is not MISSING or p.name in values for p in workflow.signature.parameters)


def _missing(workflow: Task[..., Any], missing: list[Parameter]) -> str:
    names = ", ".join(f"{p.name!r} ({_type_name(p.annotation)})" for p in missing)
    fix = " ".join(f"-i {p.name}=…" for p in missing)
    return f"{workflow.key} misses its argument{'s' if len(missing) > 1 else ''} {names}; add {fix}"


def _pairs(said: Iterable[str]) -> Iterable[tuple[str, Any]]:
    """Names with their text (or bytes of a file, or a value of a JSON object)."""
    for each in said:
        if each.lstrip().startswith("{"):
            yield from _object(each, "-i").items()
        elif each.startswith("@"):
            yield from _object(_file(each[1:], each), each).items()
        elif "=" in each:
            name, _, text = each.partition("=")
            yield name.strip(), _file(text[1:], each) if text.startswith("@") else text
        else:
            raise UsageError(f"-i {each}: write name=value, name=@file, or a JSON object")


class _Plain(msgspec.Struct, frozen=True):
    """A value that came as JSON already."""

    value: Any


def _object(text: str | bytes, where: str) -> dict[str, _Plain]:
    try:
        values = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise UsageError(f"{where}: this is no JSON object: {error}") from None
    return {name: _Plain(value) for name, value in values.items()}


def _file(name: str, where: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"-i {where}: {name} cannot be read: {error.strerror}") from None


def _converted(workflow: Task[..., Any], parameter: Parameter, text: Any) -> Any:
    problem: Exception | None = None
    if parameter.annotation is File:
        return _given_file(parameter, text)
    for candidate in _candidates(parameter, text):
        try:
            return parameter.codec.decode(parameter.codec.encode(candidate))
        except NotEncodable as error:
            problem = problem or error
    kind = _type_name(parameter.annotation)
    shown = text.value if isinstance(text, _Plain) else text
    raise UsageError(
        f"parameter {parameter.name!r} of {workflow.key} wants {kind}: {_shown(shown)} does not fit ({problem})"
    )


def _given_file(parameter: Parameter, text: Any) -> File:
    """A file given by its path."""
    said = text.value if isinstance(text, _Plain) else text
    if not isinstance(said, str):
        raise UsageError(f"parameter {parameter.name!r} takes a file: write its path, {parameter.name}=PATH")
    return File(said)


def _candidates(parameter: Parameter, text: Any) -> Iterable[Any]:
    """What the text may mean, best first."""
    if isinstance(text, _Plain):
        yield text.value
        return
    if parameter.annotation is bytes:
        yield text if isinstance(text, bytes) else text.encode()
        return
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError:
            raise UsageError(f"-i {parameter.name}=@…: the file is not text (UTF-8)") from None
    if parameter.annotation is not str:
        with contextlib.suppress(msgspec.MsgspecError):
            yield msgspec.json.decode(text)
    yield text


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
