"""The live display on a terminal: a tree of tasks with counts, and below it time, money, tokens and ETA.

rich draws from its own thread five times a second; the engine only counts (`view`). User text becomes `Text`, never
markup, and is cleaned of control characters before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.live import Live
from rich.text import Text

from makespan.cli.text import duration, money, one_line, sign
from makespan.cli.view import Group, View, shielded
from makespan.cli.waits import Waits
from makespan.handle import Run
from makespan.machine.facts import Fact
from makespan.machine.state import State
from makespan.traces.lines import Line

REFRESH_PER_S = 5
COLOURS = {
    "succeeded": "green",
    "cached": "green",
    "failed": "red",
    "running": "cyan",
    "unknown": "yellow",
    "diverged": "yellow",
    "retrying": "yellow",
}
_ENDED = ("succeeded", "cached", "failed", "skipped", "cancelled")
ORDER = ("running", "retrying", *_ENDED, "unknown", "diverged", "pending")
KEPT_LINES = 5
"""Lines of the terminal that the tree leaves free."""


class LiveProgress:
    """A `Progress` for terminals."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._live: Live | None = None
        self._view: View | None = None
        self._title = ""
        self._waits = Waits()

    def attach(self, run: Run[object], usual_s: float | None) -> None:
        self._view = View(run.state, usual_s)
        name = run.state.started.workflow if run.state.started else ""
        self._title = f"{one_line(name, 60)}  {run.id}"
        run.watch(shielded(self._view.take))
        run.watch(shielded(self._tell_waits))
        self._live = Live(
            console=self._console,
            refresh_per_second=REFRESH_PER_S,
            get_renderable=self.render,  # what tasks print appears above it
        )
        self._live.start()
        self._say(self._waits.already(run.state))

    def _tell_waits(self, facts: Sequence[Fact], state: State) -> None:
        self._say(self._waits.begun(facts, state))

    def _say(self, lines: Iterator[Line]) -> None:
        for line in lines:
            self.note(line.text)

    def note(self, text: str) -> None:
        self._console.print(Text(one_line(text, 400)))

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()

    def render(self) -> Text:
        """The whole picture."""
        view = self._view
        if view is None:
            return Text("")
        room = max(3, self._console.size.height - KEPT_LINES)
        groups = list(view.groups.values())
        lines = [Text(self._title, style="bold")]
        lines += [self._line(group) for group in _most_telling(groups, room)]
        if len(groups) > room:
            lines.append(Text(f"  … {len(groups) - room} more groups of tasks", style="dim"))
        lines.append(Text(footer(view)))
        return Text("\n").join(lines)

    def _line(self, group: Group) -> Text:
        indent = "  " * (group.depth + 1)
        name = one_line(group.name, max(12, self._console.size.width - 50))
        counts = {word: group.counts[word] for word in ORDER if group.counts.get(word)}
        if group.total == 1:
            word = next(iter(counts), "pending")
            return Text.assemble(indent, (sign(word), COLOURS.get(word, "dim")), f" {name} {_took(group)}")
        text = Text.assemble(indent, f"{name} × {group.total}  ")
        for word, count in counts.items():
            text.append(f"{sign(word)} {count}  ", style=COLOURS.get(word, "dim"))
        return text


def footer(view: View) -> str:
    """Elapsed, critical path, money, tokens, ETA."""
    spent, reserved, left = view.money()
    usage = view.state.usage
    parts = [
        f"{duration(view.elapsed_s)} elapsed",
        f"critical path {duration(view.critical_path_s())}",
        f"{money(spent)} spent",
    ]
    if reserved or left is not None:
        parts.append(f"{money(reserved)} reserved")
    if left is not None:
        parts.append(f"{money(left)} left")
    if usage.total_tokens:
        parts.append(f"{usage.total_tokens} tokens")
    return " · ".join([*parts, f"ETA {view.eta()}"])


def _took(group: Group) -> str:
    task = group.latest
    if task is None or task.started_at < 0 or task.ended_at < task.started_at:
        return ""
    return duration((task.ended_at - task.started_at) / 1e9)


def _most_telling(groups: list[Group], room: int) -> Iterator[Group]:
    """In order, leaving out finished and not yet started ones where there is no room for all."""
    if len(groups) <= room:
        yield from groups
        return
    active = [g for g in groups if g.counts.get("running") or g.counts.get("failed") or g.counts.get("retrying")]
    chosen = {id(g) for g in [*active, *reversed(groups)][:room]}
    yield from (g for g in groups if id(g) in chosen)
