"""What the model is asked about one log line, and the check that it only copied.

The verdict never depends on these facts: they word the evidence. A span that does not occur in the line is
dropped, so an invention of the model cannot reach the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from examples.incident.evidence import Detail, Excerpt, GroundedFact, LogFact

EXTRACT_PROMPT = """\
Copy three spans from the log line: "upstream" is the service or client blamed, "error" is what went wrong,
"value" is a number with its unit. Copy the words exactly. Use "" when the line does not say.

Line: call to billing timed out after 250 ms
{{"upstream": "billing", "error": "timed out", "value": "250 ms"}}

Line: upstream geo returned HTTP 502 Bad Gateway in 12 ms
{{"upstream": "geo", "error": "HTTP 502 Bad Gateway", "value": "12 ms"}}

Line: disk full while writing the index, 0 bytes left
{{"upstream": "", "error": "disk full", "value": "0 bytes"}}

Line: {line}
"""
"""Braces are doubled where literal; `{line}` is an excerpt's message. The answer is one `LogFact` as JSON."""


def choose_excerpts(details: Sequence[Detail], *, most: int = 12) -> tuple[Excerpt, ...]:
    """The log lines worth a model's reading, each once: the commonest of every suspect first."""
    ranked: dict[int, Excerpt] = {}
    lines = [zip_longest(detail.own_logs, detail.caller_logs) for detail in details]
    for turn in zip_longest(*lines, fillvalue=()):
        ranked |= {excerpt.id: excerpt for pair in turn for excerpt in pair if excerpt}
    return tuple(ranked.values())[:most]


def ground(excerpt: Excerpt, fact: LogFact) -> GroundedFact | None:
    """`fact` with every span removed that the line does not contain; None if no error span is left."""
    kept = LogFact(
        upstream=_span(fact.upstream, excerpt),
        error=_span(fact.error, excerpt),
        value=_span(fact.value, excerpt),
    )
    return GroundedFact(excerpt, kept) if kept.error else None


def _span(text: str, excerpt: Excerpt) -> str:
    span = text.strip()
    return span if span and span in excerpt.message else ""
