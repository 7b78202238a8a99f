"""Plans written as a program in Python: tool calls given to names, read by their syntax and never run.

    heights = await asyncio.gather(*[search(f"height of {x}") for x in ["Everest", "K2"]])
    total = add(heights[0], heights[1])
    return total

A statement is read when the next one begins at the left edge; its steps are found then. Comments are thoughts, and so
is text around a fenced program. What no plan can hold is a problem that says what is possible, and leaves no step.
Source: plans as code, Ren et al., "SwissNYF" (2024); they run the program on stubs, we only look at it.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings

from makespan.planners.formats.numbered_lines import ORNAMENT
from makespan.planners.formats.program_parts import POSSIBLE, Outcome, Unplannable
from makespan.planners.formats.program_values import Values
from makespan.planners.formats.quotes import SMART
from makespan.planners.formats.tail import MAX_TEXT_CHARS, Tail
from makespan.planners.steps import Argument, Found, Join, Problem, Spot, Step

MAX_NESTED = 60
"""Brackets inside brackets in one statement."""

_FENCE = re.compile(r"[ \t]*(?:```|~~~)(?:\w*|[ \t]+py\w*)[ \t]*\r?\Z")
_CONTINUES = re.compile(r"[)\]}]|(?:else|elif|except|finally)\b")
_NEW_STATEMENT = re.compile(
    r"(?:[A-Za-z_]\w*(?:, ?[A-Za-z_]\w*){0,20} = )|(?:return|await|async|for|import|from|def)\b"
)
_QUOTE_OR_BRACKET = re.compile(r"""\"""|\'\'\'|["'()\[\]{}#\\\n]""")
_PLAIN_QUOTES = str.maketrans(dict.fromkeys("“”„«»", '"') | dict.fromkeys("‘’‚", "'"))


class ProgramReader:
    """Reads a Python program as a plan. Cost: linear in the text, and in what loops unroll to."""

    def __init__(self, *, max_text_chars: int = MAX_TEXT_CHARS) -> None:
        self._tail = Tail(max_text_chars)
        self._values = Values()
        self._found: list[Found] = []
        self._lines: list[str] = []
        """Of the statement that is not complete yet."""
        self._spot = Spot()
        self._comments: list[tuple[str, Spot]] = []
        """At the left edge, after a statement that may be complete."""
        self._syntax = _Syntax()
        self._thoughts: list[tuple[Spot, str]] = []
        self._last: tuple[Argument, Spot] | None = None
        """The value of the last statement, where it is an expression."""
        self._idle: list[tuple[Outcome, Spot, str]] = []
        """Statements that made no steps, until it is known whether they are of use."""
        self._has_ended = False
        self._fenced: bool | None = None
        """Whether the text is inside a fence; None before the first one."""
        self._steps = 0

    def feed(self, text: str) -> list[Found]:
        """The steps of all statements that are complete now."""
        self._tail.add(text)
        if "\n" in text:
            self._take_lines(self._tail.text.rfind("\n") + 1)
        return self._flush()

    def close(self) -> list[Found]:
        """The last statement; its value, where it is an expression, is the plan's."""
        self._take_lines(len(self._tail.text))
        self._end_statement()
        self._uncalled()
        if self._last is not None and not self._has_ended:
            value, spot = self._last
            self._found.append(Join(spot, (value,)))
            self._idle = [each for each in self._idle if each[1] != spot]
        for outcome, spot, written in self._idle:
            if self._values.read.isdisjoint(outcome.bound):
                self._found.append(Problem(spot, written, "nothing uses the value of this statement", repaired=True))
        for spot, words in self._thoughts:
            message = "said behind the last statement; it belongs to none"
            self._found.append(Problem(spot, words, message, repaired=True))
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
            self._line(line.rstrip("\r"), spot)
            spot = Spot(spot.line + 1)

    def _line(self, line: str, spot: Spot) -> None:
        if not self._syntax.in_text and _FENCE.match(line):
            self._end_statement()
            self._fenced = not self._fenced
        elif self._fenced is False:
            self._think(line, spot)
        else:
            self._code(line, spot)

    def _code(self, line: str, spot: Spot) -> None:
        if self._lines and line.startswith("#") and not (self._syntax.in_text or self._syntax.depth):
            self._comments.append((line, spot))
            return
        if self._lines and line and line[0] not in " \t#" and self._begins(line):
            self._end_statement()
        if not self._lines and (line.lstrip().startswith("#") or not line.strip()):
            self._think(line.lstrip(" \t#"), spot)
            return
        if not self._lines:
            self._spot = spot
        for held in (*self._comments, (line, spot)):
            self._lines.append(held[0])
            self._syntax.take(held[0])
        self._comments = []

    def _begins(self, line: str) -> bool:
        """Whether a line at the left edge is no part of the statement before it."""
        if self._syntax.in_text:
            return False
        if self._syntax.depth:
            return _NEW_STATEMENT.match(line) is not None
        return not (self._syntax.goes_on or _CONTINUES.match(line) or self._lines[-1].startswith("@"))

    def _think(self, words: str, spot: Spot) -> None:
        if words.strip(ORNAMENT):
            self._thoughts.append((spot, words.strip()))

    # ------------------------------------------------------------ statements

    def _end_statement(self) -> None:
        """Read the statement that is complete now."""
        if not self._lines:
            return
        text, syntax = "\n".join(self._lines), self._syntax
        self._lines, self._syntax = [], _Syntax()
        self._last = None
        read = None
        if syntax.deepest > MAX_NESTED:
            message = f"brackets are nested deeper than MAX_NESTED={MAX_NESTED}"
            self._found.append(Problem(self._spot, text.rstrip(), message))
        elif (read := _parsed(text, syntax)) is None:
            self._unreadable(text)
        nodes, text, message = read or ([], "", "")
        if message:
            self._found.append(Problem(self._spot, text, message, repaired=True))
        comments, lines = _comments(text), text.split("\n")
        for node in nodes:
            why = "\n".join([*(words for _, words in self._thoughts), *comments])
            written = text.strip() if len(nodes) == 1 else _unparsed(node, text)
            if self._statement(node, lines, written, why):
                self._thoughts, comments = [], []
        self._thoughts += [(self._spot, comment) for comment in comments]
        held, self._comments = self._comments, []
        for line, spot in held:
            self._think(line.lstrip("# \t"), spot)

    def _unreadable(self, text: str) -> None:
        if self._fenced is None and not self._steps and not re.search(r"[(=]", text):
            self._think(text, self._spot)  # words before the program
            return
        self._found.append(Problem(self._spot, text.rstrip(), f"this is no Python; {POSSIBLE}"))

    def _statement(self, node: ast.stmt, lines: list[str], written: str, why: str) -> bool:
        """Take in one statement; whether it made steps or ended the plan, to which the thoughts belong."""
        if isinstance(node, ast.AnnAssign) and node.value is None:
            self._think(written, self._spot)  # `Thought: words` is an annotation to the parser
            return False
        try:
            outcome = self._values.statement(node, lines, self._spot, why)
        except Unplannable as reason:
            self._found.append(Problem(self._values.spot(reason.node), written, reason.message))
            self._last = None
            return False
        spot = self._values.spot(node)
        self._last = (outcome.last, spot) if outcome.has_value else None
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            self._think(str(node.value.value), spot)
        elif not any(isinstance(each, Step) for each in outcome.found) and (outcome.bound or outcome.has_value):
            self._idle.append((outcome, spot, written))
        return self._take_in(outcome, written)

    def _take_in(self, outcome: Outcome, written: str) -> bool:
        tells = False
        for each in outcome.found:
            if isinstance(each, Problem):
                self._found.append(each)
            elif self._has_ended:
                self._found.append(Problem(each.spot, written, "a statement after the end of the plan"))
            else:
                tells = True
                self._has_ended = isinstance(each, Join)
                self._steps += isinstance(each, Step)
                self._found.append(each)
        return tells

    def _uncalled(self) -> None:
        """A function that nothing calls is what the plan is meant to do, where nothing else is."""
        for name, function in self._values.functions.items():
            if name in self._values.called:
                continue
            written = "\n".join(function.lines)
            if self._steps:
                self._found.append(Problem(function.start, written, f"nothing calls the function {name!r}; call it"))
                continue
            message = f"nothing calls the function {name!r}; it is taken as the plan"
            self._found.append(Problem(function.start, written, message, repaired=True))
            call = ast.copy_location(ast.Expr(ast.Call(ast.Name(name), [], [])), function.node)
            why = "\n".join(words for _, words in self._thoughts)
            self._spot = function.start
            if self._statement(call, function.lines, written, why):
                self._thoughts = []


def _unparsed(node: ast.stmt, text: str) -> str:
    try:
        return ast.unparse(node)
    except RecursionError:
        return text


class _Syntax:
    """Whether a statement may be complete: what is open at the end of its lines."""

    def __init__(self) -> None:
        self.stack: list[str] = []
        self.deepest = 0
        self.in_text = False
        """Inside a string over several lines."""
        self.goes_on = False
        """After a backslash at the end of a line."""
        self._until = ""

    @property
    def depth(self) -> int:
        return len(self.stack)

    def take(self, line: str) -> None:
        """One more line."""
        self.goes_on = False
        at = 0
        text = line.translate(_PLAIN_QUOTES) + "\n"
        while (found := _QUOTE_OR_BRACKET.search(text, at)) is not None:
            mark, at = found.group(), found.end()
            if mark == "\\":
                self.goes_on = text[at : at + 1] == "\n" and not self._until
                at += 1
            elif self._until:
                self._inside(mark)
            elif mark == "#":
                break
            else:
                self._outside(mark)
        if len(self._until) == 1:
            self._until = ""
        self.in_text = bool(self._until)

    def _inside(self, mark: str) -> None:
        if mark == self._until or (len(self._until) == 1 and mark == self._until * 3):
            self._until = ""

    def _outside(self, mark: str) -> None:
        if mark in "([{":
            self.stack.append(mark)
            self.deepest = max(self.deepest, len(self.stack))
        elif mark in ")]}":
            if self.stack:
                self.stack.pop()
        elif mark != "\n":
            self._until = mark


def _parsed(text: str, syntax: _Syntax) -> tuple[list[ast.stmt], str, str] | None:
    """The statements of a text, the text as it was read, and what was repaired in it."""
    dedented = text.lstrip(" \t") if "\n" not in text else text
    closing = "".join({"(": ")", "[": "]", "{": "}"}[mark] for mark in reversed(syntax.stack))
    tries = [(dedented, "")]
    if not SMART.isdisjoint(text):
        tries.append((dedented.translate(_PLAIN_QUOTES), "typographic quotes are taken as plain ones"))
    plain = tries[-1][0].rstrip()
    if closing:
        tries.append((plain + closing, "the closing bracket is missing"))
    inner = plain[:-1] if closing and plain.endswith(closing[-1]) else plain
    tries += [(inner + mark + closing, "the closing quote is missing") for mark in "\"'"]
    for candidate, message in tries:
        nodes = _syntax_tree(candidate)
        if nodes is not None:
            return nodes, candidate, message
    return None


def _syntax_tree(text: str) -> list[ast.stmt] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of backslashes that mean nothing in a planner's strings
            return ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _comments(text: str) -> list[str]:
    """What the comments of a statement say."""
    if "#" not in text:
        return []
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, IndentationError, SyntaxError):
        return []
    return [token.string.lstrip("# ").rstrip() for token in tokens if token.type == tokenize.COMMENT]
