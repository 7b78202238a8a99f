"""Plans as JSON tasks: a list, `{"tasks": [...]}`, or one object a line, with or without text and fences around.

    [{"name": "a", "tool": "search", "args": {"q": "K2"}},
     {"tool": "math", "args": ["$a / 2"], "depends_on": ["a"],}]

A task is found as soon as its object closes. Commas too many or too few, comments, other quotes, Python's words, keys
without quotes and a missing brace are repaired and reported. The bracket that closes the list is the plan's end.
Source: the robot plans of Wang et al., "DART-LLM" (2024), and the calls of common model interfaces; the table of
fields in `json_tasks`, the repairs and the reading in pieces are ours.
"""

from __future__ import annotations

import re

from makespan.planners.formats.json_tasks import Sorted, arguments, looks_like_task, meaning, said, sort_members
from makespan.planners.formats.literals import Linker, Literals, Mapping, Repair, Unreadable
from makespan.planners.formats.marks import Dialect
from makespan.planners.formats.numbered_lines import ENDS, ORNAMENT
from makespan.planners.formats.quotes import Scanner
from makespan.planners.formats.tail import MAX_TEXT_CHARS, Places, Tail
from makespan.planners.steps import Found, Join, Problem, Reference, Spot, Step, references

MAX_RESTARTS = 4
"""How often text with a brace that never closes is read anew behind that brace."""

MAX_COMMENT_CHARS = 500
"""Between the bracket of a list and its first task."""

WRAPPERS = ("tasks", "plan", "steps", "task_list", "actions", "tool_calls", "calls", "dag", "nodes", "subtasks")
"""Keys whose list is the plan."""

_WRAPPER_KEY = re.compile(
    r"""(?:^|[{,\s])["'“”‘’]?(?:""" + "|".join(WRAPPERS) + r""")["'“”‘’]?\s{0,20}:\s{0,40}\Z""", re.IGNORECASE
)
_TOOL_KEY = re.compile(r"""["'“”{,\s](?:tool|tool_name|function)["'“”]?\s{0,9}:""")
_BRACKET = re.compile(r"[\[{]")
_GAP = r"(?:\s|(?://|\#)[^\n]{0,400}\n|/\*.{0,400}?\*/)*"
_LIST_START = re.compile(r"\[" + _GAP + r"(?:\[" + _GAP + r"){0,2}(.?)", re.DOTALL)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)(?:\w*|[ \t]+json\w*)[ \t]*\r?$", re.MULTILINE)
_DECIDES = frozenset("{}[]")


class JsonReader:
    """Reads JSON tasks; a step is found as soon as its object closes. Cost: linear in the text."""

    def __init__(self, *, max_text_chars: int = MAX_TEXT_CHARS) -> None:
        self._tail = Tail(max_text_chars)
        self._dialect = Dialect(self._meant, words=True)
        self._found: list[Found] = []
        self._names: dict[str, str] = {}
        """The step that each name means now."""
        self._taken: set[str] = set()
        """Names that steps have."""
        self._after: set[str] = set()
        """What the task in hand says it waits for."""
        self._calls: dict[str, object] = {}
        self._tasks = 0
        self._frames: list[str] = []
        """`[` for each list of tasks and `{` for each object around one that is open."""
        self._scanner: Scanner | None = None
        self._in_wrapper = False
        """Whether the scanner goes on inside an object around the list."""
        self._thoughts: list[tuple[Spot, str]] = []
        self._has_ended = False
        self._restarts = 0
        self._looked = 0
        """Of the text before a list or object, how much was searched for one."""
        self._gap: Scanner | None = None
        """Looks for the next task of a list."""
        self._cut_off = False

    def _meant(self, name: str) -> str | None:
        found = self._names.get(name)
        return name if found is None and name in self._after else found

    def feed(self, text: str) -> list[Found]:
        """The steps and problems of all objects that are complete now."""
        self._tail.add(text)
        if not _DECIDES.isdisjoint(text):
            self._advance(final=False)
        return self._flush()

    def close(self) -> list[Found]:
        """A last object that was cut off, and text that belongs to no task."""
        self._advance(final=True)
        self._text(len(self._tail.text))
        if self._frames and not self._cut_off:
            message = "the list of tasks is not closed; the plan may be cut off"
            self._found.append(Problem(self._tail.spot, "", message, repaired=True))
        if [text for _, text in self._thoughts] == ["[]"] and not self._found and not self._tasks:
            self._thoughts = []
            self._found.append(Join())
        for spot, said_there in self._thoughts:
            message = "said behind the last task; it belongs to none"
            self._found.append(Problem(spot, said_there, message, repaired=True))
        self._thoughts = []
        self._found += self._tail.over()
        return self._flush()

    def _flush(self) -> list[Found]:
        found, self._found = self._found, []
        return found

    # ------------------------------------------------------------ lists and objects

    def _advance(self, *, final: bool) -> None:
        """Read on until more text must come."""
        going = True
        while going:
            if self._scanner is not None:
                going = self._object(final=final)
            elif self._frames and self._frames[-1] == "{":
                self._scanner, self._in_wrapper = Scanner(inside="{", comments=True), True
            elif self._frames:
                going = self._in_list(final=final)
            else:
                going = self._prose(final=final)

    def _prose(self, *, final: bool) -> bool:
        text = self._tail.text
        while (found := _BRACKET.search(text, self._looked)) is not None:
            at = self._looked = found.start()
            if found.group() == "{":
                self._text(at)
                self._scanner, self._in_wrapper = Scanner(comments=True), False
                return True
            start = _LIST_START.match(text, at)
            assert start is not None
            is_open = not start.group(1) or (start.group(1) in "#/" and len(text) - start.start(1) <= MAX_COMMENT_CHARS)
            if is_open and not final:
                return False
            if start.group(1) == "{":
                self._text(at)
                self._tail.take(1)
                self._frames.append("[")
                return True
            self._looked += 1
        self._looked = len(text)
        return False

    def _in_list(self, *, final: bool) -> bool:
        """Between the tasks of a list, up to the next one or to its end."""
        if self._gap is None:
            self._gap = Scanner(inside="[", comments=True)
        gap, text = self._gap, self._tail.text
        opened = False

        def stops(at: int) -> bool:
            nonlocal opened
            opened = True
            return True

        end = gap.run(text, final=final, on_open=stops)
        if end is None and not opened:
            if final:
                self._between(len(text))
            return False
        self._gap = None
        if end is None:
            self._between(gap.at)
            if text[gap.at] == "{":
                self._scanner, self._in_wrapper = Scanner(comments=True, around="["), False
            else:
                self._tail.take(1)
                self._frames.append("[")
            return True
        self._between(end - 1)
        spot = self._tail.spot
        self._tail.take(1)
        self._frames.pop()
        self._end(spot)
        return True

    def _object(self, *, final: bool) -> bool:
        """Go on in an object, which is a task or stands around the list of tasks."""
        assert self._scanner is not None
        text = self._tail.text
        opened = -1

        def stops(at: int) -> bool:
            nonlocal opened
            opened = at if self._is_wrapper(text, at) else -1
            return opened >= 0

        end = self._scanner.run(text, final=final, on_open=stops)
        if opened >= 0:
            self._unwrap(opened)
            return True
        if end is None:
            return final and self._broken_object()
        self._scanner = None
        if self._in_wrapper:
            self._frames.pop()
            self._beside("{" + self._tail.text[:end], end)
        else:
            self._tasks_in(end, is_cut=False)
        return True

    def _is_wrapper(self, text: str, at: int) -> bool:
        """Whether the bracket at an index begins the list of tasks, or what is around it."""
        if not self._in_wrapper and self._frames:
            return False
        return bool(_WRAPPER_KEY.search(text, max(at - 90, 0), at)) and not _TOOL_KEY.search(text, 0, at)

    def _unwrap(self, at: int) -> None:
        """Enter a list of tasks; what stands before it in its object is about the whole plan."""
        before = self._tail.text[:at]
        bracket = self._tail.text[at]
        self._scanner = None
        if not self._in_wrapper:
            self._frames.append("{")
        self._beside(("{" if self._in_wrapper else "") + before, at, is_head=True)
        self._tail.take(1)
        self._frames.append(bracket)

    def _broken_object(self) -> bool:
        """An object that is still open at the end of the text."""
        assert self._scanner is not None
        self._scanner = None
        text = self._tail.text
        if self._in_wrapper:
            self._frames.pop()
            self._beside("{" + text, len(text))
            self._cut_off = True
            return True
        if not self._frames and self._restarts < MAX_RESTARTS and not self._may_be_task(text):
            self._restarts += 1
            self._text(1)
            return True
        self._cut_off = True
        self._tasks_in(len(text), is_cut=True)
        return True

    def _may_be_task(self, text: str) -> bool:
        try:
            mapping = Literals(text, dialect=self._dialect, comments=True).mapping()
        except Unreadable:
            return False
        return isinstance(mapping, Mapping) and looks_like_task(mapping)

    # ------------------------------------------------------------ text around

    def _text(self, count: int) -> None:
        """Words outside of the plan: a thought about the next task."""
        spot = self._tail.spot
        self._looked = 0
        words = _FENCE.sub("", self._tail.take(count)).strip()
        if words.strip(ORNAMENT):
            self._thoughts.append((spot, words))

    def _between(self, count: int) -> None:
        """What stands between two tasks of a list: commas, comments, or what is no task."""
        spot = self._tail.spot
        words = self._tail.take(count)
        places = Places(words, spot)
        reader = Literals(words, dialect=self._dialect, comments=True)
        while reader.skip():
            if words[reader.at] in ",;":
                reader.at += 1
                continue
            end = words.find("\n", reader.at)
            end = len(words) if end < 0 else end
            said_there = words[reader.at : end].strip().rstrip(",").rstrip()
            message = "a task is an object; write {'tool': ..., 'args': {...}}"
            self._found.append(Problem(places.spot(reader.at), said_there, message))
            reader.at = end
        self._thoughts += [(spot, remark) for remark in reader.remarks]

    def _beside(self, text: str, count: int, *, is_head: bool = False) -> None:
        """Members of the object around the list: thoughts count for the next task, others are reported."""
        spot = self._tail.spot
        self._tail.take(count)
        reader = Literals(text, dialect=self._dialect, comments=True)
        try:
            mapping = reader.mapping()
        except Unreadable as reason:
            self._found.append(Problem(spot, text, reason.message))
            return
        if not isinstance(mapping, Mapping):
            self._found.append(Problem(spot, text, "not a part of a task; it is left out", repaired=True))
            return
        self._thoughts += [(spot, remark) for remark in reader.remarks]
        for member in mapping.members:
            is_list = is_head and member.value is None and member.key.lower() in WRAPPERS
            if meaning(member.key) == "why":
                self._thoughts.append((spot, said(member.value)))
            elif not is_list:
                message = f"{member.key!r} is no part of a task; it is left out"
                self._found.append(Problem(spot, text[member.at : member.end], message, repaired=True))
        rest = (mapping.rest + text[reader.at :]).strip(" \t\r\n,")
        if rest:
            self._found.append(Problem(spot, rest, "not a part of a task; it is left out", repaired=True))

    def _end(self, spot: Spot) -> None:
        """The end of the outermost list is the end of the plan."""
        if "[" in self._frames or self._has_ended:
            return
        self._has_ended = True
        self._found.append(Join(spot, (), self._why()))

    # ------------------------------------------------------------ tasks

    def _tasks_in(self, count: int, *, is_cut: bool) -> None:
        """The task in a stretch of text; several where braces are missing between them."""
        spot = self._tail.spot
        text = self._tail.take(count)
        places = Places(text, spot)
        reader = Literals(text, dialect=self._dialect, comments=True)
        while reader.skip():
            if text[reader.at] != "{":
                following = text.find("{", reader.at)
                following = len(text) if following < 0 else following
                if rest := text[reader.at : following].strip(" \t\r\n,]})"):
                    self._found.append(Problem(places.spot(reader.at), rest, "not a part of a task"))
                reader.at = following
                continue
            self._thoughts += [(places.spot(reader.at), remark) for remark in reader.remarks]
            reader.remarks = []
            start, before = reader.at, len(reader.repairs)
            try:
                mapping = reader.mapping()
            except Unreadable as reason:
                self._found.append(Problem(places.spot(start), text[start:], reason.message))
                return
            repairs = reader.repairs[before:]
            remarks, reader.remarks = reader.remarks, []
            written = text[start : reader.at]
            if not isinstance(mapping, Mapping) or not self._is_task(mapping, text):
                self._no_task(places.spot(start), written)
                continue
            self._thoughts += [(places.spot(start), remark) for remark in remarks]
            self._task(mapping, text, places, repairs, is_cut=is_cut and reader.ended)
        self._thoughts += [(places.spot(len(text)), remark) for remark in reader.remarks]

    def _is_task(self, mapping: Mapping, text: str) -> bool:
        return bool(self._frames) or looks_like_task(mapping)

    def _no_task(self, spot: Spot, written: str) -> None:
        if self._frames:
            self._found.append(Problem(spot, written, "a task is an object with a tool and its arguments"))
        else:
            self._thoughts.append((spot, written))

    def _task(self, mapping: Mapping, text: str, places: Places, repairs: list[Repair], *, is_cut: bool) -> None:
        spot, written = places.spot(mapping.at), text[mapping.at : mapping.end].strip()
        try:
            found = sort_members(mapping, self._dialect)
        except Unreadable as reason:
            self._found.append(Problem(places.spot(reason.at), written, reason.message))
            return
        if not found.tool:
            self._found.append(Problem(spot, written, "the task names no tool; write {'tool': ..., 'args': {...}}"))
        elif is_cut and not (found.complete and (found.args or found.others)):
            self._found.append(Problem(spot, written, f"the task that calls {found.tool!r} is cut off"))
        elif self._has_ended:
            self._found.append(Problem(spot, written, "a task after the end of the plan"))
        else:
            self._step(found, spot, written, text, places, repairs)

    def _step(self, found: Sorted, spot: Spot, written: str, text: str, places: Places, repairs: list[Repair]) -> None:
        self._tasks += 1
        self._after = set(found.after)
        linker = Linker(self._dialect)
        made = arguments(found, linker, self._dialect)
        self._after = set()
        after = tuple(dict.fromkeys(self._names.get(name, name) for name in found.after))
        repairs = [*repairs, *linker.repairs]
        if found.tool.lower() in ENDS:
            self._report(repairs, text, places)
            self._has_ended = True
            waits = tuple(Reference(name) for name in after)
            values = (*made.args, *made.kwargs.values())
            named = {each.step for value in values for each in references(value)}
            self._found.append(
                Join(spot, (*values, *(each for each in waits if each.step not in named)), self._why(found.why))
            )
            return
        call = (found.tool, made.args, made.kwargs, found.after)
        if found.names and self._calls.get(found.names[0]) == call:
            message = f"task {found.names[0]!r} is said twice; it is made once"
            self._found.append(Problem(spot, written, message, repaired=True))
            return
        name = self._name(found, spot, written)
        self._calls[(found.names or [name])[0]] = call
        self._report(repairs, text, places)
        step = Step(name, found.tool, made.args, made.kwargs, after, found.needs, self._why(found.why), spot)
        self._found.append(step)

    def _name(self, found: Sorted, spot: Spot, written: str) -> str:
        """A name that no step has yet; every name of the task means it from here on."""
        own = next((name for name in found.names if not any(letter.isspace() for letter in name)), None)
        name = own or str(self._tasks)
        count = 2
        while name in self._taken:
            name = f"{own or self._tasks}_{count}"
            count += 1
        if own is not None and name != own:
            message = f"task {own!r} was stated before; this one is {name!r}, and {own!r} means it from here on"
            self._found.append(Problem(spot, written, message, repaired=True))
        self._taken.add(name)
        self._names |= dict.fromkeys([*found.names, name], name)
        return name

    def _why(self, own: list[str] | None = None) -> str:
        thoughts, self._thoughts = self._thoughts, []
        return "\n".join(text for text in dict.fromkeys([*(text for _, text in thoughts), *(own or [])]) if text)

    def _report(self, repairs: list[Repair], text: str, places: Places) -> None:
        for repair in repairs:
            written = text[repair.at : repair.end] or text[max(repair.at - 40, 0) : repair.at].strip()
            self._found.append(Problem(places.spot(repair.at), written, repair.message, repaired=True))
