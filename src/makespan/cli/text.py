"""Text for terminals: durations, money, counts; and user data made harmless before it is shown."""

from __future__ import annotations

import re

_HARMFUL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links
    r"|\x1b[@-_]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # turns the direction of what follows
)

SIGNS = {
    "pending": "○",
    "running": "◐",
    "retrying": "◌",
    "succeeded": "●",
    "cached": "◉",
    "failed": "✗",
    "skipped": "–",
    "cancelled": "⊘",
    "unknown": "?",
    "diverged": "≠",
}


def clean(text: str) -> str:
    """Without ANSI sequences, control characters (new lines and tabs stay) and direction marks."""
    return _HARMFUL.sub("", text)


def one_line(text: str, width: int = 160) -> str:
    """Clean, on one line, at most `width` characters."""
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def duration(seconds: float | None) -> str:
    """`0.3 ms`, `120 ms`, `12.3 s`, `3 m 05 s`, `2 h 03 m`; `unknown` for None."""
    if seconds is None:
        return "unknown"
    if seconds < 1:
        return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} m {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} m"


def money(usd: float | None) -> str:
    """Dollars with as many places as matter; `unknown` for None."""
    if usd is None:
        return "unknown"
    return f"${usd:.2f}" if usd >= 1 or usd == 0 else f"${usd:.6f}".rstrip("0")


def sign(status: str) -> str:
    """The sign of a status in a list."""
    return SIGNS.get(status, "·")


def counted(counts: dict[str, int]) -> str:
    """`480 succeeded, 2 failed`, without zeros."""
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing yet"


def table(rows: list[list[str]]) -> list[str]:
    """Rows as aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows]
    return [line.rstrip() for line in lines]
