"""Plain data to YAML that `reader` reads back as the same data: block style, texts quoted only where they must be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from makespan.documents.reader import scalar

_PLAIN = re.compile(r"[A-Za-z_$./(][^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]*")
_RISKY = re.compile(r": |:$| #|\s$")
_BLOCK = re.compile(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]+")


def write(value: Any) -> str:
    """The YAML of data made of dicts with text keys, lists, and scalars."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _entry(f"{_text(name)}:", each)
    elif isinstance(value, list) and value:
        for each in value:
            yield from _item(each)
    else:
        yield _scalar(value)


def _entry(head: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield head
        yield from (f"  {line}" for line in _lines(value))
    elif isinstance(value, str) and _is_block(value):
        yield f"{head} {_sign(value)}"
        yield from (f"  {line}" if line else "" for line in value.rstrip("\n").split("\n"))
    else:
        yield f"{head} {_scalar(value)}"


def _item(value: Any) -> Iterator[str]:
    """A list's item; a mapping begins on the line of its dash."""
    if isinstance(value, dict | list) and value:
        for number, line in enumerate(_lines(value)):
            yield f"{'- ' if number == 0 else '  '}{line}"
    else:
        yield f"- {_scalar(value)}"


def _is_block(text: str) -> bool:
    """Whether a text is best shown line by line."""
    inner = text.rstrip("\n")
    return (
        "\n" in inner
        and len(text) - len(inner) <= 1
        and not inner.startswith((" ", "\n"))
        and bool(_BLOCK.fullmatch(text))
    )


def _sign(text: str) -> str:
    return "|" if text.endswith("\n") else "|-"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and value != value:
        return ".nan"
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    return msgspec.json.encode(value).decode()


def _text(text: str) -> str:
    is_plain = _PLAIN.fullmatch(text) and not _RISKY.search(text) and text != "<<"
    if is_plain and isinstance(scalar(text), str) and not text.startswith((".inf", ".nan")):
        return text
    quoted = msgspec.json.encode(text).decode()
    return re.sub(r"[\x7f-\x9f\u2028\u2029\ufeff]", lambda match: f"\\u{ord(match[0]):04x}", quoted)
