"""Text that people read: durations, money; and user data made harmless before it is shown."""

from __future__ import annotations

import math
import re

_HARMFUL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links
    r"|\x1b[@-_]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # turns the direction of what follows
)


def clean(text: str) -> str:
    """Without ANSI sequences, control characters (new lines and tabs stay) and direction marks."""
    return _HARMFUL.sub("", text)


def one_line(text: str, width: int = 160) -> str:
    """Clean, on one line, at most `width` characters."""
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def duration(seconds: float | None) -> str:
    """`0.3 ms`, `120 ms`, `12.3 s`, `3 m 05 s`, `2 h 03 m`; `unknown` for None, `never` for infinity."""
    if seconds is None:
        return "unknown"
    if math.isinf(seconds):
        return "never"
    if seconds < 1:
        return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} m {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} m"


def money(usd: float | None) -> str:
    """Dollars with as many places as matter, at least two; `unknown` for None."""
    if usd is None:
        return "unknown"
    if 0 < abs(usd) < 1e-6:
        return f"${usd:.9f}".rstrip("0")
    whole, _, places = f"{usd:.2f}".partition(".") if abs(usd) >= 1 else f"{usd:.6f}".rstrip("0").partition(".")
    return f"${whole}.{places:0<2}"


def percent(share: float) -> str:
    """`93.2 %`; never 0 or 100 for what is only close to it."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 < share < 1:
        return "> 99.9 %"
    return f"{share * 100:.1f} %"


def fitted(text: str, width: int) -> str:
    """The end of a text that is too long: paths and names differ at their ends."""
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]
