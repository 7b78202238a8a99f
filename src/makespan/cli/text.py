"""Text for terminals: signs, counts and tables; durations, money and harmless text as everywhere."""

from __future__ import annotations

from makespan.traces.text import clean as clean
from makespan.traces.text import duration as duration
from makespan.traces.text import money as money
from makespan.traces.text import one_line as one_line

SIGNS = {
    "pending": "○",
    "running": "◐",
    "retrying": "◌",
    "succeeded": "●",
    "cached": "◉",
    "failed": "✗",
    "skipped": "–",
    "cancelled": "⊘",
    "lost": "⊖",
    "unknown": "?",
    "diverged": "≠",
}


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
