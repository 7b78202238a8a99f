"""What the model is asked about one log line, and the check that it only copied.

The verdict never depends on these facts: they word the evidence. A span that does not occur in the line is
dropped, so an invention of the model cannot reach the report.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import zip_longest

import msgspec

import makespan as ms
from examples.incident.evidence import Detail, Excerpt, GroundedFact, LogFact

INSTRUCTION = "Copy the fields from the log line into JSON."
ANSWERED = {
    "call to billing failed: HTTP 502 after 12 ms, giving up after 3 retries": LogFact("billing", "HTTP 502", "12 ms"),
    "no answer from geo within 250 ms, circuit open": LogFact("geo", "no answer", "250 ms"),
    "upstream mailer returned HTTP 504 Gateway Timeout in 90 ms": LogFact(
        "mailer", "HTTP 504 Gateway Timeout", "90 ms"
    ),
    "request from client-9 rejected: payload of 70 kB is too large": LogFact(
        "client-9", "payload of 70 kB is too large", "70 kB"
    ),
    "could not connect because quotes answered with HTTP 502, took 7 ms": LogFact("quotes", "HTTP 502", "7 ms"),
    "deadline passed while waiting for cards: limit 300 ms": LogFact("cards", "deadline passed", "300 ms"),
}
"""Lines of another shop, answered: every call begins with them, so the model reads them only once."""


def shots() -> list[ms.Message]:
    """The answered lines as turns of a conversation."""
    turns: list[ms.Message] = []
    for line, fact in ANSWERED.items():
        turns += [ms.Message.user(line), ms.Message.assistant(json.dumps(msgspec.to_builtins(fact)))]
    return turns


def choose_excerpts(details: Sequence[Detail], *, most: int = 12) -> tuple[Excerpt, ...]:
    """The log lines worth a model's reading, each once: the commonest of every suspect first."""
    ranked: dict[int, Excerpt] = {}
    lines = [zip_longest(detail.own_logs, detail.caller_logs) for detail in details]
    for turn in zip_longest(*lines, fillvalue=()):
        ranked |= {excerpt.id: excerpt for pair in turn for excerpt in pair if excerpt}
    return tuple(ranked.values())[:most]


def by_rule(line: str) -> LogFact:
    """What a regular expression gets out of a line: stands in where there is no model."""
    upstream = re.search(r"(?:call to|upstream|because|waiting for|from|reach|with) ([a-z][a-z-]+)", line)
    error = re.search(r"timed out|HTTP 5\d\d|certificate has expired|[\w ]+", line)
    value = re.search(r"\d+ (?:ms|kB|bytes)", line)
    return LogFact(
        upstream=upstream[1] if upstream else "",
        error=error[0].strip() if error else "",
        value=value[0] if value else "",
    )


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
