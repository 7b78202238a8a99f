"""Text that forks and joins: parts that a model may write at the same time.

    text <Parallel><Outlines><Outline>1: ...</Outline>...</Outlines><Thread>1: ...</Thread>...</Parallel> text

    outside ── <Parallel> ──▶ before ── <Outlines> ... </Outlines> ──▶ between ⇄ <Thread> ... </Thread>
       ▲                                                                  │
       └───────────────────────── </Parallel> ────────────────────────────┘

A thread holds text and forks again. Tags out of this order make the fork they stand in plain text, with a problem; no
text is ever lost: the texts of all events together are the text without its tags, and the tree has all of it.
Source: the output format of Lian et al., "ThreadWeaver" (2025); the fallback is ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from makespan.planners.formats.tail import MAX_TEXT_CHARS, Places, Tail
from makespan.planners.steps import Problem, Spot

MAX_FORKS_DEEP = 16
"""Forks inside threads of forks."""

MAX_THREADS = 64
"""Threads of one fork."""

MAX_PIECE_CHARS = 2000
"""Of one event; a longer line comes in several."""

_TAG = re.compile(r"<(/?)(parallel|outlines|outline|thread)>", re.IGNORECASE)
_PART_OF_TAG = re.compile(r"</?[a-z]{0,8}\Z", re.IGNORECASE)
_NAMES = ("parallel", "outlines", "outline", "thread")
_LABEL = re.compile(r"\s{0,40}([0-9]{1,6})\s{0,10}[:.)]")
_CUT = re.compile(r"[\n<]")

Path = tuple[int, ...]
"""Which thread: the number from 1 of the fork in its text and of the thread in that fork, for each level in turn."""


class Plain(msgspec.Struct, frozen=True, tag="plain"):
    """Text outside of all threads."""

    text: str


class ThreadText(msgspec.Struct, frozen=True, tag="thread"):
    """Text of one thread."""

    path: Path
    text: str


class Outline(msgspec.Struct, frozen=True):
    """What one thread is to do."""

    label: str
    """The number that stands before it, else its place from 1."""
    text: str
    """As written, the number included."""


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """All outlines are known: the threads can be written, each without sight of the others."""

    path: Path
    """The thread it stands in and its number there; a thread of it has one number more."""
    outlines: tuple[Outline, ...]
    text: str
    """What stands in its tags up to here, the tags left out."""
    spot: Spot


class ThreadEnded(msgspec.Struct, frozen=True, tag="ended"):
    """A thread has said all."""

    path: Path


class Between(msgspec.Struct, frozen=True, tag="between"):
    """Blanks between the threads of a fork."""

    path: Path
    text: str


class Joined(msgspec.Struct, frozen=True, tag="joined"):
    """All threads of a fork have ended and the text goes on after it."""

    path: Path


Event = Plain | ThreadText | Fork | ThreadEnded | Between | Joined | Problem


class Parallel(msgspec.Struct, frozen=True):
    """A fork with its threads, as it stands in a text."""

    outlines: tuple[Outline, ...]
    pieces: tuple[str | Branch, ...]
    """Tags and blanks as written, and the threads between them: together the whole text."""

    @property
    def threads(self) -> tuple[Branch, ...]:
        return tuple(piece for piece in self.pieces if isinstance(piece, Branch))


class Branch(msgspec.Struct, frozen=True):
    """The inside of one thread."""

    parts: tuple[str | Parallel, ...]

    def text(self) -> str:
        """All of it, tags included."""
        return "".join(part if isinstance(part, str) else _text_of(part) for part in self.parts)

    def content(self) -> str:
        """What it says, without the tags and outlines of its forks."""
        return "".join(part if isinstance(part, str) else _content_of(part) for part in self.parts)


class Tree(Branch, frozen=True):
    """A whole text: strings and forks in order. `text()` is exactly what was read."""

    problems: tuple[Problem, ...] = ()


def _text_of(parallel: Parallel) -> str:
    return "".join(piece if isinstance(piece, str) else piece.text() for piece in parallel.pieces)


def _content_of(parallel: Parallel) -> str:
    return "".join(thread.content() for thread in parallel.threads)


def parse(text: str) -> Tree:
    """The tree of a whole text. A fork that is malformed or not closed is a string in it. Cost: linear in the text."""
    reader = ThreadReader(max_text_chars=max(len(text), 1))
    reader.feed(text)
    reader.close()
    return reader.tree()


def contents(events: list[Event]) -> str:
    """The text of events, one after the other: the text that was read, without its tags where they are in order."""
    return "".join(event.text for event in events if isinstance(event, Plain | ThreadText | Fork | Between))


class _Level:
    """The text of one thread, or the whole text."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts: list[str | Parallel] = []
        self.forks = 0
        self.orphans = 0
        """Forks in it that became plain text and whose other tags are still to come."""
        self.orphan_threads = 0
        """Threads of those that are still open."""


class _Fork:
    """A fork that is open."""

    def __init__(self, path: Path, tag: str, spot: Spot) -> None:
        self.path, self.spot = path, spot
        self.state = "before"
        self.head = [tag]
        """All of its text since the opening tag, while no event has told of it."""
        self.head_content: list[str] = []
        self.outlines: list[Outline] = []
        self.outline: list[str] = []
        self.pieces: list[str | Branch] = []
        self.blanks: list[str] = []
        self.threads = 0


class ThreadReader:
    """Reads forks and joins as they come. The same text gives the same events however it is cut into pieces.

    A model that writes one thread writes it into a reader with `path`: it begins inside of that thread, and the tag
    that ends the thread is its end.
    """

    def __init__(self, *, path: Path = (), max_text_chars: int = MAX_TEXT_CHARS) -> None:
        self._tail = Tail(max_text_chars)
        self._levels = [_Level(path)]
        self._open: list[_Fork] = []
        self._in_thread = bool(path)
        self._events: list[Event] = []
        self._problems: list[Problem] = []
        self._spot = Spot()
        self._over: str | None = None
        """Of the text over the limit, the last line as far as it came."""

    @property
    def has_ended(self) -> bool:
        """Whether the thread that it began in has ended."""
        return bool(self._levels[0].path) and not self._in_thread

    def feed(self, text: str) -> list[Event]:
        """What is known now. Text comes line by line, and up to each tag."""
        room = self._tail.room
        self._tail.add(text[:room])
        if "\n" in text or ">" in text:
            self._read(final=False)
        if len(text) > room:
            self._pass_on(text[room:])
        return self._flush()

    def _pass_on(self, text: str) -> None:
        """Text over the limit is plain text, whatever stands in it."""
        if self._over is None:
            self._read(final=True)
            message = f"the text is longer than MAX_TEXT_CHARS={self._tail.limit}; the rest is not read for tags"
            while self._open:
                self._fall_back(message)
            self._problem("", message)
            self._over = ""
        lines = (self._over + text).split("\n")
        self._over = lines.pop()
        for line in lines:
            self._plain(line + "\n")

    def close(self) -> list[Event]:
        """The rest, and a problem for each fork that is still open."""
        self._read(final=True)
        if self._over:
            self._plain(self._over)
            self._over = ""
        while self._open:
            self._fall_back("the text ends inside of a fork; it stays plain text")
        return self._flush()

    def tree(self) -> Tree:
        """Everything that was read. Forks that are still open are strings in it."""
        return Tree(tuple(_merged(self._whole())), tuple(self._problems))

    def _whole(self) -> list[str | Parallel]:
        parts = list(self._levels[0].parts)
        for number, fork in enumerate(self._open):
            parts.append(self._written(fork))
            if number + 1 < len(self._levels):
                parts += [part if isinstance(part, str) else _text_of(part) for part in self._levels[number + 1].parts]
        return [*parts, self._tail.text, self._over or ""]

    def _flush(self) -> list[Event]:
        found, self._events = self._events, []
        return found

    # ------------------------------------------------------------ text and tags

    def _read(self, *, final: bool) -> None:
        pieces = list(self._pieces(final=final))
        spot = self._tail.spot
        places = Places(self._tail.take(sum(len(piece) for piece, _ in pieces)), spot)
        at = 0
        for piece, is_tag in pieces:
            self._spot = places.spot(at)
            at += len(piece)
            if is_tag:
                self._tag(piece)
            else:
                self._text(piece)

    def _pieces(self, *, final: bool) -> Iterator[tuple[str, bool]]:
        """Tags, and text up to the next tag, the end of the line or the limit of a piece."""
        text, start, at = self._tail.text, 0, 0
        while at < len(text):
            found = _CUT.search(text, at)
            at = len(text) if found is None else found.start()
            while at - start >= MAX_PIECE_CHARS:
                yield text[start : start + MAX_PIECE_CHARS], False
                start += MAX_PIECE_CHARS
            tag = _TAG.match(text, at)
            if tag is not None:
                if at > start:
                    yield text[start:at], False
                yield tag.group(), True
                start = at = tag.end()
            elif found is not None and found.group() == "\n":
                yield text[start : at + 1], False
                start = at = at + 1
            elif found is not None and not final and _may_be_tag(text, at):
                return
            else:
                at += 1
        if final and start < len(text):
            yield text[start:], False

    def _text(self, text: str) -> None:
        fork = self._open[-1] if self._open else None
        if fork is None or fork.state == "thread":
            self._plain(text)
        elif fork.state == "outline":
            fork.outline.append(text)
            fork.head.append(text)
        elif not text.strip():
            if fork.state == "between":
                fork.pieces.append(text)
                self._events.append(Between(fork.path, text))
            else:
                fork.blanks.append(text)
                fork.head.append(text)
        else:
            self._fall_back("text between the tags of a fork; the fork stays plain text")
            self._text(text)

    def _plain(self, text: str) -> None:
        level = self._levels[-1]
        level.parts.append(text)
        self._events.append(ThreadText(level.path, text) if level.path and not self.has_ended else Plain(text))

    def _tag(self, written: str) -> None:
        name = written.strip("</>").lower()
        name = "/" + name if written[1] == "/" else name
        fork = self._open[-1] if self._open else None
        state = "outside" if fork is None else fork.state
        if name == "parallel" and state in ("outside", "thread"):
            self._begin(written)
        elif fork is None:
            self._outside(name, written)
        elif name == "/thread" and state == "thread" and self._levels[-1].orphan_threads:
            self._orphan(name, written)
        elif (state, name) in _MOVES and self._fits(fork, name):
            _MOVES[state, name](self, fork, written)
        elif state == "thread" and self._levels[-1].orphans:
            self._orphan(name, written)
        else:
            self._fall_back(f"{written} is out of place; the fork stays plain text")
            self._tag(written)

    def _outside(self, name: str, written: str) -> None:
        if name == "/thread" and self._in_thread and not self._levels[0].orphan_threads:
            self._in_thread = False
            self._levels[0].parts.append(written)
            self._events.append(ThreadEnded(self._levels[0].path))
            return
        if not self._levels[-1].orphans:
            self._problem(written, f"{written} without a fork; it stays plain text")
        self._orphan(name, written)

    def _orphan(self, name: str, written: str) -> None:
        """A tag of a fork that became plain text, or of none: it is text too."""
        level = self._levels[-1]
        if name == "parallel":
            level.orphans += 1
        elif name == "/parallel" and level.orphans:
            level.orphans -= 1
        elif name == "thread":
            level.orphan_threads += 1
        elif name == "/thread" and level.orphan_threads:
            level.orphan_threads -= 1
        if not level.orphans:
            level.orphan_threads = 0
        self._plain(written)

    def _problem(self, text: str, message: str, *, repaired: bool = False, spot: Spot | None = None) -> None:
        problem = Problem(spot or self._spot, text, message, repaired=repaired)
        self._problems.append(problem)
        self._events.append(problem)

    # ------------------------------------------------------------ forks

    def _fits(self, fork: _Fork, name: str) -> bool:
        """Whether a move makes sense: outlines before threads, threads before the join."""
        if name == "/outlines":
            return bool(fork.outlines)
        if name == "outline":
            return len(fork.outlines) < MAX_THREADS
        if name == "thread":
            return fork.threads < MAX_THREADS
        return name != "/parallel" or fork.threads > 0

    def _begin(self, written: str) -> None:
        level = self._levels[-1]
        if len(self._open) >= MAX_FORKS_DEEP:
            self._problem(written, f"forks are nested deeper than MAX_FORKS_DEEP={MAX_FORKS_DEEP}; it stays plain text")
            self._orphan("parallel", written)
            return
        self._open.append(_Fork((*level.path, level.forks + 1), written, self._spot))

    def _outlines(self, fork: _Fork, written: str) -> None:
        fork.state = "outlines"
        fork.head.append(written)

    def _outline(self, fork: _Fork, written: str) -> None:
        fork.state = "outline"
        fork.outline = []
        fork.head.append(written)

    def _end_outline(self, fork: _Fork, written: str) -> None:
        text = "".join(fork.outline)
        label = _LABEL.match(text)
        fork.outlines.append(Outline(str(len(fork.outlines) + 1) if label is None else label.group(1), text))
        fork.blanks.append(text)
        fork.state = "outlines"
        fork.head.append(written)

    def _fork(self, fork: _Fork, written: str) -> None:
        fork.state = "between"
        fork.head.append(written)
        fork.pieces = ["".join(fork.head)]
        content, fork.head = "".join(fork.blanks), []
        self._levels[-1].forks += 1
        self._events.append(Fork(fork.path, tuple(fork.outlines), content, fork.spot))

    def _thread(self, fork: _Fork, written: str) -> None:
        fork.state = "thread"
        fork.threads += 1
        fork.pieces.append(written)
        self._levels.append(_Level((*fork.path, fork.threads)))

    def _end_thread(self, fork: _Fork, written: str) -> None:
        level = self._levels.pop()
        fork.state = "between"
        fork.pieces += [Branch(tuple(_merged(level.parts))), written]
        self._events.append(ThreadEnded(level.path))

    def _join(self, fork: _Fork, written: str) -> None:
        self._open.pop()
        fork.pieces.append(written)
        if fork.threads != len(fork.outlines):
            message = f"{len(fork.outlines)} outlines but {fork.threads} threads"
            self._problem(written, message, repaired=True)
        self._levels[-1].parts.append(Parallel(tuple(fork.outlines), tuple(fork.pieces)))
        self._events.append(Joined(fork.path))

    # ------------------------------------------------------------ falling back

    def _fall_back(self, message: str) -> None:
        """The innermost fork becomes plain text of what it stands in; what no event has told of it is told now."""
        fork = self._open.pop()
        inner = self._levels.pop() if fork.state == "thread" else None
        level = self._levels[-1]
        level.orphans += 1
        level.orphan_threads += inner is not None
        untold = "".join(fork.head)
        self._problem(untold or "<Parallel>", message, spot=fork.spot)
        level.parts.append(self._written(fork))
        if inner is not None:
            level.parts += [part if isinstance(part, str) else _text_of(part) for part in inner.parts]
        if untold:
            self._events.append(ThreadText(level.path, untold) if level.path else Plain(untold))

    def _written(self, fork: _Fork) -> str:
        if fork.head:
            return "".join(fork.head)
        return "".join(piece if isinstance(piece, str) else piece.text() for piece in fork.pieces)


_MOVES = {
    ("before", "outlines"): ThreadReader._outlines,
    ("outlines", "outline"): ThreadReader._outline,
    ("outline", "/outline"): ThreadReader._end_outline,
    ("outlines", "/outlines"): ThreadReader._fork,
    ("between", "thread"): ThreadReader._thread,
    ("thread", "/thread"): ThreadReader._end_thread,
    ("between", "/parallel"): ThreadReader._join,
}
"""What a tag does in each state; any other tag is out of place."""


def _may_be_tag(text: str, at: int) -> bool:
    """Whether the rest of the text can become a tag."""
    rest = text[at : at + 12]
    if at + len(rest) < len(text) or not _PART_OF_TAG.match(rest):
        return False
    name = rest.lstrip("</").lower()
    return any(each.startswith(name) for each in _NAMES)


def _merged(parts: list[str | Parallel]) -> list[str | Parallel]:
    """The same with strings beside each other as one."""
    merged: list[str | Parallel] = []
    run: list[str] = []
    for part in parts:
        if isinstance(part, str):
            run.append(part)
            continue
        if run:
            merged.append("".join(run))
        merged.append(part)
        run = []
    if "".join(run):
        merged.append("".join(run))
    return merged
