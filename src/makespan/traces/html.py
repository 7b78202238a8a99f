"""A run as a small table for notebooks: status, totals, what it asks, what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from makespan.machine.state import State
from makespan.traces.outline import outline
from makespan.traces.questions import open_questions
from makespan.traces.summary import summarise

MOST_ROWS = 30
"""Lines of tasks and of gaps that are shown."""


def run_html(state: State, gaps: Sequence[str]) -> str:
    """HTML without script or style sheet; all text of users is escaped."""
    return "".join(_parts(state, gaps))


def _parts(state: State, gaps: Sequence[str]) -> Iterator[str]:
    summary = summarise(state)
    workflow = state.started.workflow if state.started else ""
    why = f" ({summary.reason})" if summary.reason else ""
    yield f"<div><b>{escape(state.run_id)}</b> {escape(workflow)}: <b>{escape(state.status + why)}</b>"
    if summary.detail:
        yield f"<br>{escape(summary.detail)}"
    if state.error is not None:
        yield f"<br>{escape(state.error.type)}: {escape(state.error.message)}"
    tokens = summary.tokens.prompt + summary.tokens.completion
    totals = f"{summary.makespan_s:.3f} s, critical path {summary.critical_path_s:.3f} s, "
    yield f"<br>{totals}{summary.cost_usd:.4f} USD, {tokens} tokens, {summary.attempts} attempts"
    for question in open_questions(state):
        yield f"<br>asks: {escape(question.text)} <code>run.answer({question.task!r}, ...)</code>"
    yield "<table><tr><th>task</th><th>status</th><th>s</th><th>USD</th></tr>"
    for place, entry in enumerate(outline(state)):
        if place == MOST_ROWS:
            yield "<tr><td>…</td></tr>"
            break
        count = f" × {entry.count}" if entry.count > 1 else ""
        name = "&nbsp;" * 2 * entry.depth + escape(entry.name) + count
        yield f"<tr><td>{name}</td><td>{escape(entry.status)}</td>"
        yield f"<td>{entry.duration_s or 0:.3f}</td><td>{entry.cost_usd or 0:.4f}</td></tr>"
    yield "</table>"
    for gap in gaps[:MOST_ROWS]:
        yield f"<div>gap: {escape(gap)}</div>"
    yield "</div>"
