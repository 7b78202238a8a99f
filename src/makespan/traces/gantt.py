"""Spans as a chart of text, in a given width.

study     ──────────────────          1.80 s *      a workflow around its tasks
plan      ▇▇▇▇                        0.40 s *
search        ░░░░░░░                 0.71 s
search        ▇▇▇▇▇▇▇▇▇▇▇▇▇▇          1.40 s *      * and ▇: on the critical path
"""

from __future__ import annotations

from collections.abc import Sequence

from makespan.traces.spans import Span

CRITICAL, OTHER, AROUND, BAD = "▇", "░", "─", "✗"
MOST_ROWS = 60
NAME_WIDTH = 28
MIN_CHART = 10


def gantt(spans: Sequence[Span], width: int, now_s: float, rows: int = MOST_ROWS) -> list[str]:
    """Lines of at most `width` columns, in order of start; beyond `rows` the longest and the critical stay."""
    if not spans:
        return ["no attempt was started"]
    kept = _kept(spans, rows)
    start_s = min(span.start_s for span in spans)
    end_s = max(_end(span, now_s) for span in spans)
    name_width = min(NAME_WIDTH, max(len(_title(span)) for span in kept))
    chart = max(MIN_CHART, width - name_width - 14)
    scale = chart / max(end_s - start_s, 1e-9)
    lines = [_row(span, name_width, chart, scale, start_s, now_s) for span in kept]
    if len(kept) < len(spans):
        lines.append(f"… {len(spans) - len(kept)} shorter attempts are not shown")
    lines.append(f"{'* critical path':<{name_width + chart + 1}} {end_s - start_s:9.3f} s")
    return lines


def _kept(spans: Sequence[Span], rows: int) -> list[Span]:
    if len(spans) <= rows:
        return list(spans)
    ranked = sorted(spans, key=lambda span: (not span.critical, -_end(span, span.start_s) + span.start_s))
    chosen = {id(span) for span in ranked[:rows]}
    return [span for span in spans if id(span) in chosen]


def _row(span: Span, name_width: int, chart: int, scale: float, start_s: float, now_s: float) -> str:
    length_s = _end(span, now_s) - span.start_s
    left = min(chart - 1, int((span.start_s - start_s) * scale))
    size = max(1, min(chart - left, round(length_s * scale)))
    sign = AROUND if span.kind == "workflow" else CRITICAL if span.critical else OTHER
    bar = " " * left + sign * size
    if span.status not in ("succeeded", "cached", "running"):
        bar = bar[:-1] + BAD
    mark = "*" if span.critical else " "
    return f"{_cut(_title(span), name_width):<{name_width}} {bar:<{chart}} {length_s:9.3f} s{mark}".rstrip()


def _title(span: Span) -> str:
    name = f"{span.scope}/{span.name}" if span.scope else span.name
    return f"{name} #{span.attempt}" if span.attempt > 1 else name


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]


def _end(span: Span, now_s: float) -> float:
    return span.end_s if span.end_s is not None else max(now_s, span.start_s)
