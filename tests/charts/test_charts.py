"""Charts as files: what is in them, that the same input gives the same bytes, and what is refused."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from makespan.charts.burn import draw_burn, thinned
from makespan.charts.gantt import draw_gantt
from makespan.charts.grid import draw_grid
from makespan.charts.pareto import ParetoPoint, draw_pareto
from makespan.charts.spread import draw_spread
from makespan.errors import UsageError
from makespan.machine.state import State
from makespan.traces.burn import BurnPoint
from makespan.traces.grid import Grid
from makespan.traces.rows import Row, plan_of, rows_of
from makespan.traces.spans import Span, spans_of
from tests.charts.drawn import parsed, png_size, shapes, texts
from tests.traces.histories import crashed, diamond, hedged, retried

S = 1_000_000_000


def hedged_rows() -> list[Row]:
    spans = spans_of(hedged(), State())
    return rows_of(spans, 5.0, plan=plan_of(spans))


def gantt(path: Path) -> None:
    draw_gantt(path, hedged_rows(), title="study", deadline_s=6.0)


def burn(path: Path) -> None:
    points = [BurnPoint(0, 0, S, 5 * S), BurnPoint(S, S, S, 5 * S, S // 2), BurnPoint(3 * S, 2 * S, 0, 6 * S, S // 2)]
    draw_burn(path, points, 4 * S, title="study", deadline_ns=9 * S, is_final=False)


def pareto(path: Path) -> None:
    draw_pareto(
        path, [ParetoPoint("a", 1, 2), ParetoPoint("b", 2, 1, chosen=True), ParetoPoint("c", 3, 3, 0.5)], title="study"
    )


def grid(path: Path) -> None:
    draw_grid(path, Grid((0.1, 2.0), (10.0, 90.0), ((0.0, 0.05), (0.5, 1.0)), ((0.0, 0.01), (0.02, 0.0))))


def spread(path: Path) -> None:
    draw_spread(path, [1.0, 2.0, 2.5, math.inf], [0.1, 0.2, 0.3, 0.4], deadline_s=2.2, budget_usd=0.3, title="study")


CHARTS = [gantt, burn, pareto, grid, spread]


@pytest.mark.parametrize("draw", CHARTS)
def test_an_svg_is_xml_and_the_same_input_gives_the_same_bytes(draw: Callable[[Path], None], tmp_path: Path) -> None:
    draw(tmp_path / "one.svg")
    draw(tmp_path / "two.svg")

    assert len(texts(parsed(tmp_path / "one.svg"))) > 5
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


@pytest.mark.parametrize("draw", CHARTS)
def test_a_png_has_its_signature_and_the_width_of_a_page(draw: Callable[[Path], None], tmp_path: Path) -> None:
    draw(tmp_path / "chart.PNG")

    width, height = png_size(tmp_path / "chart.PNG")
    assert width == 1350
    assert 200 < height < 1000


@pytest.mark.parametrize("history", [diamond, retried, hedged, crashed])
def test_a_gantt_has_one_bar_an_attempt(history: Callable[[], list], tmp_path: Path) -> None:  # type: ignore[type-arg]
    spans = spans_of(history(), State())

    draw_gantt(tmp_path / "gantt.svg", rows_of(spans, 102.0))

    assert shapes(parsed(tmp_path / "gantt.svg"), "attempts-") == len(spans)


def test_a_gantt_of_a_thousand_tasks_still_has_one_bar_an_attempt(tmp_path: Path) -> None:
    chance = random.Random(1)
    starts = [chance.random() * 100 for _ in range(1000)]
    spans = [
        Span(f"t{i}", f"n{i % 9}", f"n{i % 9}", "", "call", 1, at, at + chance.random(), "succeeded")
        for i, at in enumerate(starts)
    ]

    draw_gantt(tmp_path / "gantt.svg", rows_of(spans, 102.0))

    svg = parsed(tmp_path / "gantt.svg")
    assert shapes(svg, "attempts-") == 1000
    assert sum(text.startswith("n") and " × " in text for text in texts(svg)) == 9


def test_a_gantt_shows_plan_waste_critical_path_and_deadline(tmp_path: Path) -> None:
    gantt(tmp_path / "gantt.svg")

    svg = parsed(tmp_path / "gantt.svg")
    assert [shapes(svg, f"attempts-{look}") for look in ("lost", "critical", "other")] == [1, 1, 0]
    assert shapes(svg, "planned") == 1
    assert {"critical path", "waste: lost to another attempt", "planned", "deadline 6.0 s", "search *"} <= set(
        texts(svg)
    )


def test_names_of_users_are_only_text(tmp_path: Path) -> None:
    name = "a<b>&\x1b[31m $x^2$ \x00\ud800 日本"
    span = Span("t", name, name, "", "call", 1, 0.0, 1.0, "succeeded")

    draw_gantt(tmp_path / "gantt.svg", rows_of([span], 1.0), title=name)
    draw_gantt(tmp_path / "gantt.png", rows_of([span], 1.0), title=name)

    assert texts(parsed(tmp_path / "gantt.svg")).count("a<b>& $x^2$ \ufffd 日本") == 2


def test_a_burn_down_names_budget_waste_and_pace(tmp_path: Path) -> None:
    burn(tmp_path / "burn.svg")

    said = set(texts(parsed(tmp_path / "burn.svg")))
    assert {"spent", "reserved", "of what is spent: waste", "spent, at this pace"} <= said
    assert {"budget $6.00", "deadline 9.0 s"} <= said


def test_limits_far_off_are_told_and_do_not_squeeze_the_chart(tmp_path: Path) -> None:
    draw_gantt(tmp_path / "gantt.svg", hedged_rows(), deadline_s=3600.0)
    draw_burn(tmp_path / "burn.svg", [BurnPoint(0, S, 0, 900 * S)], S, deadline_ns=3600 * S)
    draw_spread(tmp_path / "spread.svg", [1.0, 2.0], [1.0, 2.0], deadline_s=3600.0)

    for name, wanted in [
        ("gantt", {"deadline 1 h 00 m: beyond the chart", "time (s)"}),
        ("burn", {"deadline 1 h 00 m: beyond the chart", "budget $900.00: beyond the chart", "time (s)"}),
        ("spread", {"deadline: met in 100.0 % (34.2 to 100.0): beyond the chart", "makespan (s)"}),
    ]:
        assert wanted <= set(texts(parsed(tmp_path / f"{name}.svg")))


def test_a_long_series_is_thinned_without_losing_its_peaks_and_its_end() -> None:
    points = [BurnPoint(i, i, 10**9 if i == 7777 else 0) for i in range(20_000)]

    kept = thinned(points, 500)

    assert len(kept) <= 501
    assert points[7777] in kept
    assert kept[-1] == points[-1]


def test_a_front_names_its_points_and_the_choice(tmp_path: Path) -> None:
    pareto(tmp_path / "pareto.svg")

    said = texts(parsed(tmp_path / "pareto.svg"))
    assert {"a", "b", "chosen", "on the front"} <= set(said)
    assert "c" not in said


def test_figures_far_apart_are_on_axes_with_plain_numbers(tmp_path: Path) -> None:
    draw_pareto(tmp_path / "p.svg", [ParetoPoint(f"c{i}", 10.0**i, 10.0 ** (3 - i)) for i in range(4)])

    said = texts(parsed(tmp_path / "p.svg"))
    assert {"1", "10", "100", "1000"} <= set(said)
    assert not any("math" in text for text in said)


def test_a_grid_has_each_cells_number_and_error(tmp_path: Path) -> None:
    grid(tmp_path / "grid.svg")

    assert {"0 ±0.0", "5 ±1.0", "50 ±2.0", "100 ±0.0", "$0.10", "1 m 30 s"} <= set(texts(parsed(tmp_path / "grid.svg")))


def test_a_distribution_says_the_odds_of_each_limit_and_of_both(tmp_path: Path) -> None:
    spread(tmp_path / "spread.svg")

    said = " | ".join(texts(parsed(tmp_path / "spread.svg")))
    assert "deadline: met in 50.0 %" in said
    assert "budget: met in 75.0 %" in said
    assert "study: within both 50.0 %" in said


def test_empty_inputs_are_charts_that_say_so(tmp_path: Path) -> None:
    draw_gantt(tmp_path / "a.svg", [])
    draw_burn(tmp_path / "b.svg", [], 0)
    draw_pareto(tmp_path / "c.svg", [])
    draw_grid(tmp_path / "d.svg", Grid((), (), ()))

    said = [" ".join(texts(parsed(tmp_path / f"{name}.svg"))) for name in "abcd"]
    for text, wanted in zip(said, ("no attempt", "no money", "nothing to choose", "grid is empty"), strict=True):
        assert wanted in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("chart.pdf", "written as .svg or .png"),
        ("chart", "written as .svg or .png"),
        ("none/chart.svg", "does not exist"),
        ("folder.svg", "is a folder"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_drawing(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "folder.svg").mkdir()

    with pytest.raises(UsageError, match=said):
        gantt(tmp_path / name)


def test_without_matplotlib_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(UsageError, match=r"pip install 'makespan\[plot\]'"):
        gantt(tmp_path / "chart.svg")


def test_a_chart_leaves_the_callers_own_settings_alone(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)

    gantt(tmp_path / "chart.svg")

    assert dict(matplotlib.rcParams) == before
