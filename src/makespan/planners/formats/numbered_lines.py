"""What one line of a numbered plan is: a step, a thought, an end mark, or nothing but ornament.

Numbers come as `1.`, `2)`, `(3)`, `4:`, `$5 =`, `Step 6:`, each with bullets, quotes, bold and code marks around.
All patterns are matched at a place and look at a bounded stretch, so that no line takes more than linear time.
"""

from __future__ import annotations

import re

import msgspec

from makespan.planners.steps import JOIN

ORNAMENT = " \t\r\ufeff*`_#>•·-–—|~"
"""Letters around a line that say nothing."""

ENDS = frozenset({JOIN, "finish"})
"""Tools whose call ends a plan."""

_ORNAMENT = re.compile(r"[ \t\r\ufeff*`#>•·\-–—|~+]*")
BEHIND = re.compile(r"[ \t\r\ufeff*`_#>•·\-–—|~.;,]*")
"""What may stand behind a call without being said."""

_NUMBER = re.compile(
    r"(?:(?:step|task|action)[ \t]{0,4}(?=[#0-9]))?"
    r"([$#(\[]?)\{?([0-9]{1,9})[\])}]?[*`_ \t]{0,8}(?:[.):=\]]|->)?[*`_ \t]{0,8}",
    re.IGNORECASE,
)
_SEPARATED = re.compile(r"[0-9][*`_ \t)}\]]{0,12}(?:[.):=\]]|->)")
_LABEL = re.compile(r"(?:action|tool|call)[ \t]{0,4}:[*`_ \t]{0,8}", re.IGNORECASE)
_ASSIGNED = re.compile(r"([A-Za-z_]\w{0,80})[ \t]{0,4}=[ \t]{0,4}(?=[A-Za-z_`*])")
_TOOL = re.compile(r"[*`]{0,3}([A-Za-z_][\w.\-]{0,120})[*`]{0,3}\(")
_SPACED_TOOL = re.compile(
    r"[*`]{0,3}([A-Za-z_][\w.\-]{0,60}(?:[ \t]{1,3}[A-Za-z_][\w\-]{0,60}){0,2})[*`]{0,3}[ \t]{0,3}\("
)
_LONE_END = re.compile(r"[*`]{0,3}(join|finish)[*`.;, \t\r]{0,8}\Z", re.IGNORECASE)
_THOUGHT = re.compile(
    r"(?:thoughts?|reason(?:ing)?|rationale|why|plan)[ \t]{0,4}[0-9]{0,3}[*`_]{0,3}[ \t]{0,4}:[*`_]{0,3}", re.IGNORECASE
)
_END_MARK = re.compile(r"<[^<>()\n]{0,40}(?:end|/plan)[^<>()\n]{0,40}>[ \t\r*`]{0,8}\Z", re.IGNORECASE)
_END_WORDS = re.compile(r"END[_ ]OF[_ ](?:PLAN|RESPONSE)[ \t\r.*`]{0,8}\Z")


class Opening(msgspec.Struct, frozen=True):
    """How a line begins a step."""

    number: str | None
    tool: str | None
    """None where a number stands but no call."""
    at: int
    """Index of the number or, without one, of the tool."""
    args_at: int | None
    """After the opening parenthesis; None for a lone `join`."""
    label: str = ""
    """A name the step is assigned to besides its number."""


def opening(line: str, at: int = 0) -> Opening | None:
    """How a step begins at a place of a line; None where no number and no call stands there."""
    start = end_of(_ORNAMENT, line, at)
    found = _NUMBER.match(line, start)
    if found is None or not _is_number(line, start, found.end()):
        return _unnumbered(line, start)
    number = found.group(2).lstrip("0") or "0"
    name_at = end_of(_LABEL, line, found.end())
    label = _ASSIGNED.match(line, name_at)
    name_at = name_at if label is None else label.end()
    tool = _SPACED_TOOL.match(line, name_at)
    said = "" if label is None else label.group(1)
    if tool is not None:
        return Opening(number, tool.group(1), start, tool.end(), said)
    lone = _LONE_END.match(line, name_at)
    if lone is not None:
        return Opening(number, lone.group(1).lower() if label is None else None, start, None)
    return Opening(number, None, start, None)


def _is_number(line: str, start: int, end: int) -> bool:
    """Whether what looks like the number of a step is one: a mark after it, or a call directly after a blank."""
    separated = _SEPARATED.search(line, start, end) is not None
    glued = line[end : end + 1].isdigit() or not (separated or line[end - 1 : end] in " \t*`_")
    return not glued and (separated or _TOOL.match(line, end) is not None)


def _unnumbered(line: str, start: int) -> Opening | None:
    start = end_of(_LABEL, line, start)
    label = _ASSIGNED.match(line, start)
    name_at = start if label is None else label.end()
    tool = _TOOL.match(line, name_at)
    if tool is None:
        lone = _LONE_END.match(line, start)
        return None if lone is None else Opening(None, lone.group(1).lower(), start, None)
    return Opening(None, tool.group(1), start, tool.end(), "" if label is None else label.group(1))


def starts_anew(line: str, *, complete: bool) -> bool | None:
    """Whether a line can be no part of a call that is still open; None where more of it must come to tell."""
    if thought_at(line) is not None or (complete and end_mark_at(line) is not None):
        return True
    found = opening(line)
    if found is not None and found.number is not None and found.args_at is not None:
        return True
    if complete:
        return found is not None and found.number is not None and found.tool is not None
    return None


def thought_at(line: str) -> int | None:
    """Where the words of a line that is marked as a thought begin."""
    found = _THOUGHT.match(line, end_of(_ORNAMENT, line, 0))
    return None if found is None else found.end()


def end_mark_at(line: str) -> int | None:
    """Where the mark that ends a plan begins, at the end of a line."""
    at = line.rfind("<", max(len(line) - 100, 0))
    if at >= 0 and _END_MARK.match(line, at):
        return at
    start = end_of(_ORNAMENT, line, 0)
    return start if _END_WORDS.match(line, start) else None


def end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where a match that begins at a place ends; the place itself where there is none."""
    found = pattern.match(text, at)
    return at if found is None else found.end()
