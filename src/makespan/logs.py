"""What a process says, with known secrets masked: loggers `makespan.*` before any handler sees a record, and the
standard streams of the command line and of worker processes, so what tasks print too."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, cast

from makespan.redaction import KNOWN, Redactor

_PLAIN = logging.Formatter()
_OURS = frozenset(vars(logging.makeLogRecord({}))) - {"msg", "args", "exc_info", "exc_text"}


class Masking(logging.Filter):
    """Masks a record in place: message, arguments, traceback, `extra`. A record without secrets stays as it is."""

    def __init__(self, known: Redactor = KNOWN) -> None:
        super().__init__()
        self._known = known

    def filter(self, record: logging.LogRecord) -> bool:
        if self._known.has_any:
            self._mask_message(record)
            self._mask_traceback(record)
            for name, value in list(vars(record).items()):
                if name not in _OURS and name not in ("msg", "args", "exc_info", "exc_text"):
                    setattr(record, name, self._known.value(value))
        return True

    def _mask_message(self, record: logging.LogRecord) -> None:
        try:
            said = record.getMessage()
        except (TypeError, ValueError):  # wrong arguments: the handler reports it, and prints both
            said = f"{record.msg} {record.args}"
        masked = self._known.text(said)
        if masked != said:
            record.msg, record.args = masked, None

    def _mask_traceback(self, record: logging.LogRecord) -> None:
        """The text stays, the exception goes: whoever formats it again would find the secret."""
        for name in ("exc_text", "stack_info"):
            said = getattr(record, name)
            if said:
                setattr(record, name, self._known.text(said))
        if record.exc_info and record.exc_info[0] is not None:
            said = _PLAIN.formatException(record.exc_info)
            masked = self._known.text(said)
            if masked != said:
                record.exc_info, record.exc_text = None, masked


_MASKING = Masking()


def logger(name: str) -> logging.Logger:
    """The logger `name`, its records masked. Cost: 0.5 µs after the first call."""
    found = logging.getLogger(name)
    if _MASKING not in found.filters:
        found.addFilter(_MASKING)
    return found


class MaskedStream:
    """A text stream that masks what is written to it; in all else it is the stream it stands before."""

    def __init__(self, stream: TextIO, known: Redactor = KNOWN) -> None:
        self._stream, self._known = stream, known

    def write(self, text: str) -> int:
        """Write the text, masked. A secret that is written in pieces is not found."""
        self._stream.write(self._known.text(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)


def mask_output() -> None:
    """Put both streams of this process behind a mask."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, MaskedStream):
            setattr(sys, name, cast(TextIO, MaskedStream(stream)))
