"""A prompt that a document declares: texts with references, which become the parameters of an ordinary prompt.

Is ${answer.text} a good answer to ${inputs.q}?        parameters answer_text, q; rendered when the attempt starts
"""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from makespan.authoring.model_task import chat
from makespan.authoring.prompt import prompt
from makespan.authoring.task import HOOKS, Task
from makespan.documents.references import Reference, pieces
from makespan.ports import Message

Pieces = tuple[str | Reference, ...]


class PromptText(msgspec.Struct, frozen=True):
    """What a document says of a prompt; kept for export."""

    messages: tuple[tuple[str, str], ...]
    """Role and text with references, in order."""
    system: str
    returns: Any
    """The type as the document writes it; None is `str`."""
    options: dict[str, Any]
    """Its other keys, as the document writes them."""

    @property
    def texts(self) -> list[str]:
        return [self.system, *(text for _, text in self.messages)]


def parameters_of(texts: Iterable[str]) -> dict[tuple[str, tuple[str | int, ...]], str]:
    """The parameter that stands for each reference, in order of appearance."""
    found: dict[tuple[str, tuple[str | int, ...]], str] = {}
    for text in texts:
        for piece in pieces(text):
            if isinstance(piece, Reference):
                found.setdefault((piece.name, piece.path), _parameter(piece, found.values()))
    return found


def _parameter(reference: Reference, taken: Iterable[str]) -> str:
    """`q` for `inputs.q`, `answer_text` for `answer.text`; a number behind it where that is taken."""
    steps = reference.path if reference.name == "inputs" else (reference.name, *reference.path)
    name = re.sub(r"\W", "_", "_".join(str(step) for step in steps)) or "value"
    if name[0].isdigit() or keyword.iskeyword(name):
        name = f"_{name}"
    number, unique = 2, name
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    return unique


def document_prompt(
    name: str, file: str, line: int, said: PromptText, returns: Any, options: dict[str, Any]
) -> Task[..., Any]:
    """The prompt as a task. Raises GraphError for options that make no sense."""
    parameters = parameters_of(said.texts)
    messages = [(role, tuple(pieces(text))) for role, text in said.messages]
    system = tuple(pieces(said.system))

    def body(**values: Any) -> Any:
        by_reference = {reference: _shown(values[name]) for reference, name in parameters.items()}
        chat(
            *[_message(role, _rendered(text, by_reference)) for role, text in messages],
            system=_rendered(system, by_reference),
        )

    _dress(body, name, file, line)
    names = {reference: f"{{{parameter}}}" for reference, parameter in parameters.items()}
    # What the code digest is made of: the same whatever the tasks are called that the texts read.
    body.__doc__ = "\n\n".join(_rendered(tuple(pieces(text)), names) for text in said.texts if text)
    body.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, annotation=Any) for each in parameters.values()],
        return_annotation=returns,
    )
    body.__annotations__ = {**dict.fromkeys(parameters.values(), Any), "return": returns}
    body.said = said  # type: ignore[attr-defined]
    task: Task[..., Any] = prompt(**options)(body)
    return task


def _dress(body: Callable[..., Any], name: str, file: str, line: int) -> None:
    """Name and place of a function that a document stands for: messages and other processes go by them."""
    body.__name__ = body.__qualname__ = name
    body.__module__ = file
    body.__code__ = body.__code__.replace(co_filename=file, co_firstlineno=line, co_name=name)


def _message(role: str, text: str) -> Message:
    make: Callable[[str], Message] = getattr(Message, role)
    return make(text)


def _rendered(text: Pieces, values: dict[tuple[str, tuple[str | int, ...]], str]) -> str:
    return "".join(values[piece.name, piece.path] if isinstance(piece, Reference) else piece for piece in text)


def _shown(value: Any) -> str:
    """Texts as they are, everything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=HOOKS.encode).decode()
