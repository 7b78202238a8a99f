"""Which form a file has, and its content in the neutral form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from makespan.traces.importers.atif import is_atif, read_atif
from makespan.traces.importers.foreign import ForeignTrace, NotReadable
from makespan.traces.importers.openai import is_openai, read_openai
from makespan.traces.importers.otlp import is_otlp, read_otlp

FORMS: dict[str, tuple[Callable[[Any], bool], Callable[[Any], ForeignTrace]]] = {
    "atif": (is_atif, read_atif),
    "otlp": (is_otlp, read_otlp),
    "openai": (is_openai, read_openai),
}
"""Form → whether decoded data have it, and what reads them."""


def read_foreign(content: bytes, form: str | None = None) -> ForeignTrace:
    """The trace in a file of JSON or JSON lines.

    Args:
        form: of `FORMS`; found out unless given.
    Raises:
        NotReadable: it is no JSON, has no form that is known, or is not what its form says.
    """
    data = _decoded(content)
    if form is not None:
        return FORMS[form][1](data)
    for fits, read in FORMS.values():
        if fits(data):
            return read(data)
    raise NotReadable(
        "it is neither an ATIF trajectory (schema_version, steps), nor OTLP/JSON (resourceSpans), nor a log of "
        "messages (role, content); say --format to see what is missing"
    )


def _decoded(content: bytes) -> Any:
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return msgspec.json.decode(content)
    except RecursionError:
        raise NotReadable("it is nested too deeply to be a log") from None
    except msgspec.DecodeError as error:
        lines = [(number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip()]
        if len(lines) < 2:
            raise NotReadable(f"it is no JSON: {error}") from None
    found = []
    for number, line in lines:
        try:
            found.append(msgspec.json.decode(line))
        except msgspec.DecodeError as error:
            raise NotReadable(f"it is neither JSON nor JSON lines: line {number}: {error}") from None
        except RecursionError:
            raise NotReadable(f"line {number} is nested too deeply to be a log") from None
    return found
