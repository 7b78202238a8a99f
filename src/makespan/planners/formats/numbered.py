"""Plans of numbered calls, one a line, that refer to each other by number.

    Thought: both heights are needed
    1. search("height of Everest")
    2. search("height of K2"            <- repaired: the parenthesis
    3. math("${1} - ${2}")
    4. join()<END_OF_PLAN>

A call that is not closed at the end of its line goes on in the next ones, unless one of them begins a step, a thought
or the end, or the call is never closed; then it is closed at the end of its first line. A number that is stated again
for another call is taken over by it: the later step is called `2_2`, and `$2` means it from there on.
Source: the plan format of Kim et al., "An LLM Compiler for Parallel Function Calling" (2024); the repairs are ours.
"""

from __future__ import annotations

from makespan.planners.formats.literals import Linker, Literals, Raw, Repair, Unreadable
from makespan.planners.formats.marks import Dialect
from makespan.planners.formats.numbered_lines import (
    BEHIND,
    ENDS,
    ORNAMENT,
    Opening,
    end_mark_at,
    end_of,
    opening,
    starts_anew,
    thought_at,
)
from makespan.planners.formats.quotes import Scanner
from makespan.planners.formats.tail import MAX_TEXT_CHARS, Places, Tail
from makespan.planners.steps import Argument, Found, Join, Problem, Spot, Step

MAX_CALL_LINES = 400
"""Lines that one call may take."""

MAX_OPENING_CHARS = 400
"""Of an unfinished line, looked at to see that a step begins in it."""


class NumberedReader:
    """Reads numbered calls; a step is found as soon as its line ends. Cost: linear in the text."""

    def __init__(self, *, max_text_chars: int = MAX_TEXT_CHARS) -> None:
        self._tail = Tail(max_text_chars)
        self._dialect = Dialect(self._meant, words=False)
        self._found: list[Found] = []
        self._names: dict[str, str] = {}
        """The step that each number means now."""
        self._calls: dict[str, tuple[str, object]] = {}
        """What each number calls, to tell a line that is said twice."""
        self._highest = 0
        self._thoughts: list[tuple[Spot, str]] = []
        self._open: _OpenCall | None = None
        self._line = ""
        self._has_ended = False

    def _meant(self, name: str) -> str | None:
        return self._names.get(name)

    def feed(self, text: str) -> list[Found]:
        """The steps, joins and problems of all lines that are complete now."""
        self._tail.add(text)
        if "\n" in text:
            self._take_lines(self._tail.text.rfind("\n") + 1)
        if self._open is not None and starts_anew(self._tail.head(MAX_OPENING_CHARS), complete=False):
            self._break_off()
        return self._flush()

    def close(self) -> list[Found]:
        """The last line, and the thoughts that no step follows."""
        self._take_lines(len(self._tail.text))
        if self._open is not None:
            self._break_off()
        message = "said after the last step of the plan; it belongs to none"
        self._found += [Problem(spot, text, message, repaired=True) for spot, text in self._thoughts]
        self._thoughts = []
        self._found += self._tail.over()
        return self._flush()

    def _flush(self) -> list[Found]:
        found, self._found = self._found, []
        return found

    # ------------------------------------------------------------ lines

    def _take_lines(self, count: int) -> None:
        spot = self._tail.spot
        lines = self._tail.take(count).split("\n")
        for line in lines if lines[-1] else lines[:-1]:
            self._take(line, spot)
            spot = Spot(spot.line + 1)

    def _take(self, line: str, spot: Spot) -> None:
        if self._open is not None:
            if starts_anew(line, complete=True) or len(self._open.lines) >= MAX_CALL_LINES:
                self._break_off()
            else:
                self._go_on(self._open, line, spot)
                return
        self._read_line(line, spot, may_go_on=True)

    def _go_on(self, call: _OpenCall, line: str, spot: Spot) -> None:
        call.lines.append((line, spot))
        call.scanned += "\n" + line
        if call.scanner.run(call.scanned + "\n") is not None:
            self._open = None
            self._read_unit(call.scanned, call.spot, call.opening)

    def _break_off(self) -> None:
        """The open call was never closed: its first line is closed at its end, the others are read by themselves."""
        assert self._open is not None
        call, self._open = self._open, None
        for line, spot in call.lines:
            self._read_line(line, spot, may_go_on=False)

    def _read_line(self, line: str, spot: Spot, *, may_go_on: bool) -> None:
        mark = end_mark_at(line)
        said = line if mark is None else line[:mark]
        thought = thought_at(said)
        begun = opening(said) if thought is None else None
        if begun is None:
            self._think(said if thought is None else said[thought:], spot)
        elif begun.tool is None:
            self._report(spot, said, "a numbered line without a call; write `1. tool(arguments)`")
        elif begun.args_at is None:
            self._join(spot, (), said)
        else:
            scanner = Scanner(begun.args_at, inside="(")
            is_closed = scanner.run(said + "\n", final=True) is not None
            if may_go_on and mark is None and not is_closed:
                self._open = _OpenCall(said, spot, begun)
            else:
                self._read_unit(said, spot, begun)
        if mark is not None and not self._has_ended:
            self._join(Places(line, spot).spot(mark), (), "")

    def _think(self, words: str, spot: Spot) -> None:
        if words.strip(ORNAMENT + "()[]{}.,;"):
            self._thoughts.append((spot, words.strip()))

    def _report(self, spot: Spot, text: str, message: str) -> None:
        self._found.append(Problem(spot, text.strip(), message))

    # ------------------------------------------------------------ calls

    def _read_unit(self, text: str, spot: Spot, begun: Opening | None) -> None:
        """One call after the other on one line, or one call over several lines, and what stands behind."""
        places = Places(text, spot)
        while begun is not None and begun.tool is not None and begun.args_at is not None:
            reader = Literals(text, begun.args_at, dialect=self._dialect)
            try:
                args, kwargs = reader.arguments()
            except Unreadable as reason:
                self._report(places.spot(begun.at), text[begun.at :], reason.message)
                return
            self._call(text, places, begun, reader, args, kwargs)
            behind = end_of(BEHIND, text, reader.at)
            if behind == len(text):
                return
            begun = opening(text, behind)
            if begun is not None and begun.tool is not None and begun.args_at is None:
                self._join(places.spot(behind), (), text[behind:])
                return
            if begun is None or begun.number is None or begun.args_at is None:
                message = "said behind the call; it is not part of it"
                self._found.append(Problem(places.spot(behind), text[behind:].strip(), message, repaired=True))
                return

    def _call(
        self, text: str, places: Places, begun: Opening, reader: Literals, args: list[Raw], kwargs: dict[str, Raw]
    ) -> None:
        assert begun.tool is not None
        spot, written = places.spot(begun.at), text[begun.at : reader.at]
        if begun.tool.lower() in ENDS:
            linker = Linker(self._dialect)
            self._join(spot, tuple(linker.linked(value) for value in (*args, *kwargs.values())), written)
            self._repairs(text, places, [*reader.repairs, *linker.repairs, *_label(begun)])
        elif self._has_ended:
            self._report(spot, written, "a step after the end of the plan")
        else:
            self._step(text, places, begun, reader, args, kwargs)

    def _step(
        self, text: str, places: Places, begun: Opening, reader: Literals, args: list[Raw], kwargs: dict[str, Raw]
    ) -> None:
        assert begun.tool is not None
        spot, written = places.spot(begun.at), text[begun.at : reader.at]
        linker = Linker(self._dialect)
        positional = tuple(linker.linked(value) for value in args)
        named = {key: linker.linked(value) for key, value in kwargs.items()}
        number = begun.number or str(self._highest + 1)
        call = (begun.tool, positional, named)
        if begun.number is not None and self._calls.get(number, ("", None))[1] == call:
            message = f"step {number} is said twice; it is made once"
            self._found.append(Problem(spot, written, message, repaired=True))
            return
        name = self._name(number, begun, spot, written, call)
        self._repairs(text, places, [*reader.repairs, *linker.repairs, *_label(begun)])
        self._found.append(Step(name, begun.tool, positional, named, why=self._why(), spot=spot))

    def _name(self, number: str, begun: Opening, spot: Spot, written: str, call: object) -> str:
        name = number
        if begun.number is None:
            message = f"a call without a number; it is step {number}"
            self._found.append(Problem(spot, written, message, repaired=True))
        elif number in self._names:
            count = 2
            _, _, last = self._names[number].partition("_")
            count = int(last) + 1 if last else 2
            name = f"{number}_{count}"
            message = f"step {number} was stated before; this one is {name}, and ${number} means it from here on"
            self._found.append(Problem(spot, written, message, repaired=True))
        self._names[number] = name
        self._calls[number] = (name, call)
        self._highest = max(self._highest, int(number))
        return name

    def _join(self, spot: Spot, args: tuple[Argument, ...], written: str) -> None:
        if self._has_ended:
            message = "the plan has ended before"
            self._found.append(Problem(spot, written.strip(), message, repaired=True))
            return
        self._has_ended = True
        self._found.append(Join(spot, args, self._why()))

    def _why(self) -> str:
        thoughts, self._thoughts = self._thoughts, []
        return "\n".join(text for _, text in thoughts)

    def _repairs(self, text: str, places: Places, repairs: list[Repair]) -> None:
        for repair in repairs:
            written = text[repair.at : repair.end] or _line_before(text, repair.at)
            self._found.append(Problem(places.spot(repair.at), written, repair.message, repaired=True))


def _label(begun: Opening) -> list[Repair]:
    """The report that a step has a name besides its number."""
    if not begun.label:
        return []
    return [Repair(begun.at, begun.args_at or begun.at, f"steps have numbers; {begun.label!r} is no name")]


def _line_before(text: str, at: int) -> str:
    """The line around a place, for what is missing there."""
    return text[text.rfind("\n", 0, at) + 1 : at].strip()


class _OpenCall:
    """A call whose closing parenthesis has not come yet."""

    def __init__(self, line: str, spot: Spot, begun: Opening) -> None:
        assert begun.args_at is not None
        self.spot, self.opening = spot, begun
        self.lines = [(line, spot)]
        self.scanned = line
        self.scanner = Scanner(begun.args_at, inside="(")
        self.scanner.run(line + "\n")
