"""What must not be shown: the values of the secrets this process knows, in every form they are likely to travel in.

One object for the process, `KNOWN`: a log line or an exception does not say which engine it belongs to. It only grows,
so that a rotated key stays masked. Whoever writes or shows text asks `KNOWN.text`; whoever stores a value asks
`KNOWN.found`. Knowing nothing costs one look at an empty table.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

import msgspec

MIN_SECRET_CHARS = 6
"""A shorter value is not masked: it would take ordinary words out of ordinary text."""
MIN_LINE_CHARS = 16
"""Lines of a secret of several lines (a private key) are masked one by one from this length on."""
MASK = "***"
MAX_DEPTH = 200
CHUNK_BYTES = 1 << 20
SHORT = 4096
"""Up to here one pattern of all forms is faster, above it a look for each form."""

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PASSWORD_IN_URL = re.compile(r"^[A-Za-z][\w+.-]*://[^/?#@]*?:([^/?#]*)@")


class Redactor:
    """Known secrets and their forms. Any thread may use it: a table is replaced whole, never changed in place."""

    def __init__(self) -> None:
        self._references: dict[str, str] = {}
        self._watched: dict[str, Callable[[], str | None]] = {}
        self._seen: dict[str, str] = {}
        self._texts: tuple[str, ...] = ()
        self._bytes: tuple[bytes, ...] = ()
        self._pattern: re.Pattern[str] = re.compile("(?!)")
        self._byte_pattern: re.Pattern[bytes] = re.compile(b"(?!)")
        self.has_any = False
        """Whether any secret is known: all that most programs ever ask."""

    def __bool__(self) -> bool:
        return self.has_any

    # ------------------------------------------------------------ what is secret

    def watch(self, reference: str, read: Callable[[], str | None]) -> None:
        """Remember where a secret can be read, without reading it: `look` does, before anything is written."""
        self._watched[reference] = read

    def look(self) -> None:
        """Learn the present values of all that is watched. Cost: a look-up each, and a read of each `file:`."""
        for reference, read in list(self._watched.items()):
            value = read()
            if value and self._seen.get(reference) != value:
                self._seen[reference] = value
                self.learn(value, reference)

    def learn(self, value: str, reference: str) -> bool:
        """Mask `value` from now on; False when it is too short for that.

        Args:
            reference: what to call it when a value that holds it is refused, like `env:DSN`.
        Cost: 0.1 µs for one that is known, else about 100 µs.
        """
        if value in self._references:
            return True
        secrets = [part for part in _parts(value) if len(part) >= MIN_SECRET_CHARS]
        forms = {form: reference for secret in secrets for form in _forms(secret) if len(form) >= MIN_SECRET_CHARS}
        if not forms.keys() <= self._references.keys():
            known = {**forms, **self._references}
            longest_first = sorted(known, key=len, reverse=True)
            self._pattern = re.compile("|".join(re.escape(form) for form in longest_first))
            self._texts = tuple(longest_first)
            self._bytes = tuple(form.encode("utf-8", "surrogateescape") for form in longest_first)
            self._byte_pattern = re.compile(b"|".join(re.escape(form) for form in self._bytes))
            self._references = known
            self.has_any = True
        return bool(secrets)

    # ------------------------------------------------------------ what is shown

    def text(self, text: str) -> str:
        """The text with every form of every known secret masked."""
        if len(text) < SHORT or any(form in text for form in self._texts):
            return self._pattern.sub(MASK, text) if self.has_any else text
        return text

    def value(self, value: Any, depth: int = 0) -> Any:
        """JSON-like data with its texts masked, keys too."""
        if not self.has_any or depth > MAX_DEPTH:
            return value
        match value:
            case str():
                return self.text(value)
            case bytes():
                for form in self._bytes:
                    value = value.replace(form, MASK.encode())
                return value
            case dict():
                return {self.value(key, depth + 1): self.value(each, depth + 1) for key, each in value.items()}
            case list() | tuple():
                return type(value)([self.value(each, depth + 1) for each in value]) if _is_plain(value) else value
            case _:
                return value

    def encoded(self, data: bytes) -> bytes:
        """msgpack data with its texts masked: for what may be altered (a chunk, progress), never for a result."""
        if self.found((data,)) is None:
            return data
        return msgspec.msgpack.encode(self.value(msgspec.msgpack.decode(data)))

    def found(self, pieces: Iterable[bytes | int]) -> str | None:
        """The reference of the first known secret inside encoded data; None when there is none."""
        for piece in pieces:
            if isinstance(piece, int):
                continue
            form = self._first_in(piece)
            if form is not None:
                return self._references.get(form.decode("utf-8", "surrogateescape"), "a secret")
        return None

    def _first_in(self, data: bytes) -> bytes | None:
        """Some form that the data holds. Cost with 5 secrets: 13 µs for 100 B, 12 ms for 1 MB."""
        if len(data) < SHORT:
            hit = self._byte_pattern.search(data)
            return None if hit is None else hit.group()
        return next((form for form in self._bytes if form in data), None)

    def found_in(self, content: IO[bytes]) -> str | None:
        """As `found`, for an open file of any size, read a megabyte at a time."""
        longest = len(self._bytes[0]) * 4 if self._bytes else 0
        rest = b""
        while self.has_any and (chunk := content.read(CHUNK_BYTES)):
            reference = self.found((rest + chunk,))
            if reference is not None:
                return reference
            rest = (rest + chunk)[-longest:]
        return None


def _is_plain(value: Any) -> bool:
    return type(value) in (list, tuple)


def _parts(value: str) -> Iterator[str]:
    """The value, what of it is a secret by itself (the password of a URL), and the lines of a longer one."""
    yield value
    yield value.strip()
    password = _PASSWORD_IN_URL.match(value.strip())
    if password is not None:
        yield password.group(1)
        yield _unquoted(password.group(1))
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= MIN_LINE_CHARS and not line.startswith("--"))


def _forms(secret: str) -> Iterator[str]:
    """A secret as it is, as code and markup write it, in URLs, in base64 at each offset, and in hexadecimal."""
    data = secret.encode("utf-8", "surrogateescape")
    yield secret
    yield repr(secret)[1:-1]
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield _escaped(secret)
    for safe in (b"", b"/", b" "):
        quoted = _quoted(data, safe)
        yield quoted
        yield re.sub("%..", lambda hit: hit.group().lower(), quoted)
    for offset in range(3):
        core = _base64_core(data, offset)
        yield core
        yield core.replace("+", "-").replace("/", "_")
    yield data.hex()
    yield data.hex().upper()


def _escaped(text: str) -> str:
    """As markup has it."""
    for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;")):
        text = text.replace(sign, name)
    return text


def _quoted(data: bytes, safe: bytes) -> str:
    """Percent-encoded; a space that is safe becomes `+`, as in forms."""
    return "".join(
        ("+" if byte == 32 else chr(byte)) if byte in _UNRESERVED or byte in safe else f"%{byte:02X}" for byte in data
    )


def _unquoted(text: str) -> str:
    said = re.sub(
        rb"%([0-9A-Fa-f]{2})", lambda hit: bytes([int(hit.group(1), 16)]), text.encode("utf-8", "surrogateescape")
    )
    return said.decode("utf-8", "surrogateescape")


def _base64_core(data: bytes, offset: int) -> str:
    """The characters that `data` has in base64 whatever stands before (`offset` bytes, mod 3) and after it."""
    encoded = base64.b64encode(bytes(offset) + data).decode().rstrip("=")
    mixed_at_end = 1 if (offset + len(data)) % 3 else 0
    return encoded[(0, 2, 3)[offset] : len(encoded) - mixed_at_end]


KNOWN = Redactor()
"""The secrets of this process."""
