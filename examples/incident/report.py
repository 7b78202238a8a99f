"""The report: one Markdown text from a verdict and the figures of the run that reached it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from examples.incident.verdict import Verdict


class RunFigures(msgspec.Struct, frozen=True):
    """What the investigation itself cost; None where it was not measured."""

    tasks: int
    makespan_s: float
    critical_path_s: float
    cost_usd: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


def render(verdict: Verdict, figures: RunFigures | None = None) -> str:
    """The report as Markdown, ending in a newline; the cost section only where `figures` are given."""
    sections = [_head(verdict)]
    if verdict.service:
        sections += [_bullets("Evidence", verdict.evidence), _timeline(verdict), _rejected(verdict)]
    if figures is not None:
        sections.append(_cost(figures))
    return "\n\n".join(section for section in sections if section) + "\n"


def clock(at_s: float) -> str:
    """UTC time of day, to the second."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%H:%M:%S")


def _head(verdict: Verdict) -> str:
    if not verdict.service:
        return "# Incident report\n\nNo incident: " + "; ".join(verdict.evidence) + "."
    cause = verdict.cause_kind.replace("_", " ")
    change = "no known change"
    if verdict.change:
        change = f"`{verdict.change.id}` at {clock(verdict.change.at_s)} UTC: {verdict.change.summary}"
    return (
        "# Incident report\n\n"
        f"**Verdict:** the incident began at **{verdict.service}**; cause: **{cause}**.\n\n"
        f"- Change: {change}\n"
        f"- Confidence: {verdict.confidence:.0%} (the score of this explanation against the next best)"
    )


def _bullets(title: str, lines: tuple[str, ...]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines)


def _timeline(verdict: Verdict) -> str:
    rows = [f"| {clock(moment.at_s)} | {_cell(moment.what)} |" for moment in verdict.timeline]
    return "\n".join(["## Timeline", "", "| UTC | what |", "| --- | --- |", *rows]) if rows else ""


def _rejected(verdict: Verdict) -> str:
    rows = [f"| {_cell(r.hypothesis)} | {_cell(r.reason)} |" for r in verdict.rejected]
    return "\n".join(["## Rejected", "", "| hypothesis | why not |", "| --- | --- |", *rows]) if rows else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _cost(figures: RunFigures) -> str:
    cost = "unknown" if figures.cost_usd is None else f"${figures.cost_usd:.4f}"
    path_s = figures.critical_path_s
    ratio = f"{figures.makespan_s / path_s:.2f}" if path_s > 0 else "unknown"
    return (
        "## Cost of this investigation\n\n"
        f"- Money: {cost}; tokens: {figures.prompt_tokens} in, {figures.completion_tokens} out\n"
        f"- Time: {figures.makespan_s:.2f} s over {figures.tasks} tasks; critical path "
        f"{path_s:.2f} s; makespan ÷ critical path {ratio}"
    )
