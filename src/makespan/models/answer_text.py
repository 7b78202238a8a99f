"""The answer inside `{"answer": ...}` while it is being written: its text, as soon as it is known to be the answer's.

Invariant: what was passed on is a prefix of the answer's final text, whatever the pieces' borders.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_HEAD = re.compile(r'\s*\{\s*"answer"\s*:\s*')
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class AnswerText:
    """Takes the pieces of a choice and passes on those of its answer's text.

    Args:
        is_plain: whether the answer is a JSON string to be passed on as the text it stands for; any other answer is
            only known to be whole at the end, so nothing of it is passed on before.
    """

    def __init__(self, on_text: Callable[[str], None], *, is_plain: bool) -> None:
        self._on_text, self._is_plain = on_text, is_plain
        self._raw = ""
        self._at: int | None = None
        """Where the unread part of the string begins; None before its opening quote."""
        self._is_over = not is_plain
        self.said = ""
        """All that was passed on."""

    def take(self, piece: str) -> None:
        """The next piece of the model's text."""
        if self._is_over:
            return
        self._raw += piece
        if self._at is None and not self._found():
            return
        text = self._read()
        if text:
            self.said += text
            self._on_text(text)

    def _found(self) -> bool:
        head = _HEAD.match(self._raw)
        if head is None or head.end() == len(self._raw):
            return False
        if self._raw[head.end()] != '"':
            self._is_over = True
            return False
        self._at = head.end() + 1
        return True

    def _read(self) -> str:
        """The characters that are complete; stops before an escape that is not."""
        assert self._at is not None
        text, raw, at = [], self._raw, self._at
        while at < len(raw):
            character = raw[at]
            if character == '"':
                self._is_over = True
                break
            if character != "\\":
                text.append(character)
                at += 1
                continue
            if at + 1 >= len(raw):
                break
            short = _ESCAPES.get(raw[at + 1])
            if short is None:  # \uXXXX, maybe half of a pair: the final text has it
                self._is_over = True
                break
            text.append(short)
            at += 2
        self._at = at
        return "".join(text)
