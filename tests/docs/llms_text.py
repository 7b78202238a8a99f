"""`llms.txt`, for programs that read: the pages, and the public API in one block, made from the code.

    python -m tests.docs.llms_text > llms.txt

Pages are described by the tables of docs/README.md, names by their signatures and the first line of their docstrings.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import makespan as ms
from makespan.authoring.state import Slot
from makespan.authoring.task import Task, TaskOptions
from makespan.authoring.workflow import WorkflowOptions
from makespan.run_options import ResumeOptions, RunOptions
from makespan.traces.questions import Question
from makespan.traces.updates import Update

ROOT = Path(__file__).parents[2]
SUMMARY = """# makespan

> A Python library (3.11 or newer) that compiles, schedules and durably runs AI workflows: plain Python functions become
> a typed task graph that runs in parallel, under a deadline and a budget, and survives `kill -9` without doing anything
> twice. No server: runs live in an SQLite file, on one machine.

- `import makespan as ms`. `@ms.task`, `@ms.prompt()` and `@ms.workflow` declare; calling one gives a `Ref`, and runs
  nothing.
- In an `async def` workflow `await ref` is the value, so branches and loops are plain Python. In a `def` workflow every
  parameter is a Ref; branch with `ms.when`, loop with `ms.map`.
- No I/O, clock or chance in a workflow's body: do it in tasks, or by `ms.context()`. No task is called inside a task.
- `ms.run(call)` outside an event loop, `await ms.start(call)` inside one, `async with ms.Engine() as engine` in
  services.
- Options never stand among a call's arguments: they go to the decorator, to `task.options(...)`, or to `run`/`start`.
- Test with `ms.testing.run(call, fakes=, inbox=, answers=, models=, crash_at="each").output`.
"""
ROW = re.compile(r"^\| \[(?P<page>[\w/-]+\.md)\]\([\w./-]+\) \| (?P<about>.+?) \|$", re.MULTILINE)
HEADING = re.compile(r"^## (?P<title>.+)$", re.MULTILINE)
ATTRIBUTES = re.compile(r"self\.([a-z]\w*)(?::[^=]+)? = ")
INNER = {
    "Cron": {"local", "ticks", "latest"},
    "Engine": {"ask", "is_free"},
    "File": {"to_plain", "from_plain"},
    "Graph": {
        "named",
        "flat",
        "reverse",
        "new_scopes",
        "changed",
        "known",
        "add",
        "add_all",
        "remove",
        "replace",
        "of",
    },
    "Run": {"task_of", "decided", "code_of", "decide", "watch", "observed"},
}
"""Public methods that the engine calls, and its users do not."""
MADE_BY_USERS = ("Cron", "Engine", "File", "scope")
_QUALIFIED = re.compile(
    r"\b(?:makespan|typing|collections\.abc|datetime|pathlib|logging|uuid|os)\.(?:\w+\.)*(?=[A-Za-z])"
)


def llms_text() -> str:
    """The whole file."""
    return "\n".join([SUMMARY, *_pages(), "## API", "", "```python", *_api(), "```", ""])


def _pages() -> Iterator[str]:
    """The index as lists of links."""
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    yield "## Start"
    yield ""
    yield "- [Your first workflow](docs/first-workflow.md): install, write, run, kill, resume, test"
    yield "- [Examples](examples): fourteen workflows of at most 35 lines, each with a test"
    yield ""
    for section in re.split(r"(?=^## )", index, flags=re.MULTILINE)[1:]:
        heading, rows = HEADING.search(section), list(ROW.finditer(section))
        if heading is None or not rows:
            continue
        yield f"## {heading['title']}"
        yield ""
        yield from (f"- [{row['page'].removesuffix('.md')}](docs/{row['page']}): {row['about']}" for row in rows)
        yield ""
    yield "## Coming from elsewhere"
    yield ""
    yield from (f"- [{name}](docs/coming-from-{name.lower()}.md): the same workflow in both" for name in _others())
    yield ""


def _others() -> list[str]:
    return ["LangGraph", "Temporal"]


def _api() -> Iterator[str]:
    for name in sorted(ms.__all__, key=lambda name: (name[0].isupper(), name)):
        yield from _described(name, getattr(ms, name))
    for kind in (Slot, Question, Update):
        yield from _described(kind.__name__, kind)
    yield "class Task:  # what @ms.task gives; workflows and prompts are tasks, too"
    yield from _methods(Task, ("options",))
    yield ""
    for title, options in (
        ("of tasks, prompts, .options(...)", TaskOptions),
        ("of workflows, besides", WorkflowOptions),
        ("of run, start, Engine.start", RunOptions),
        ("of resume", ResumeOptions),
    ):
        yield f"# options {title}"
        yield from _options(options)
    yield ""
    yield from _described("testing.run", ms.testing.run)


def _described(name: str, thing: Any) -> Iterator[str]:
    if typing.get_args(thing):
        yield f"{name} = {_plain(str(thing))}"
        return
    said = _first_line(thing)
    if not inspect.isclass(thing):
        forms = typing.get_overloads(thing) or [thing]
        yield f"# {said}"
        yield from dict.fromkeys(f"ms.{name}{_signature(form)}" for form in forms)
    elif issubclass(thing, BaseException):
        yield f"class {name}({', '.join(base.__name__ for base in thing.__bases__)})  # {said}"
    elif thing is not Task:
        yield f"class {name}:  # {said}"
        yield from _fields(thing)
        yield from _methods(thing, tuple(vars(thing)))


def _fields(kind: type) -> Iterator[str]:
    """How an instance is made, if users make it, and what it holds, in a line each."""
    if kind.__name__ in MADE_BY_USERS:
        yield f"    __init__{_signature(vars(kind)['__init__'])}"
    held = list(getattr(kind, "__struct_fields__", ()))
    if kind is ms.Result:
        held = ATTRIBUTES.findall(inspect.getsource(kind.__init__))
    held += ["id"] if kind is ms.Run else []
    held += [name for name, value in vars(kind).items() if _is_field(value)]
    inner = {"result", "failure", *INNER.get(kind.__name__, ())}
    shown = [name for name in dict.fromkeys(held) if not name.startswith("_") and name not in inner]
    if shown:
        yield f"    {', '.join('.' + name for name in shown)}"


def _is_field(value: object) -> bool:
    return isinstance(value, property) or type(value).__name__ == "cached_property"


def _methods(kind: type, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        value = vars(kind).get(name)
        made = isinstance(value, classmethod | staticmethod)
        function = value.__func__ if made else value  # type: ignore[union-attr]  # one of the two, as was just seen
        if name.startswith("_") or name in INNER.get(kind.__name__, ()) or not inspect.isfunction(function):
            continue
        said = _first_line(function)
        wait = "await " * inspect.iscoroutinefunction(function)
        yield f"    {wait}.{name}{_signature(function)}" + (f"  # {said}" if said else "")


def _options(kind: Any) -> Iterator[str]:
    inherited = TaskOptions.__annotations__ if kind is WorkflowOptions else {}
    own = {name: said for name, said in kind.__annotations__.items() if name not in inherited}
    shown = {name: getattr(said, "__forward_arg__", str(said)) for name, said in own.items()}
    yield "    " + ", ".join(f"{name}: {_plain(said)}" for name, said in shown.items())


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    kept = signature.replace(parameters=[p.replace(default=_default(p.default)) for p in parameters])
    return _plain(str(kept))


class _Shown:
    """A default as a reader writes it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _default(value: Any) -> Any:
    if value is inspect.Parameter.empty or isinstance(value, str | int | float | bool | tuple) or value is None:
        return value
    return _Shown("...")


def _plain(text: str) -> str:
    """Annotations without quotes and modules."""
    text = re.sub(r"(: |-> )'((?:[^'\\]|\\.)*)'", lambda m: m[1] + m[2].replace("\\'", "'"), text)
    text = re.sub(r"(: |-> )\"([^\"]*'[^\"]*)\"", r"\1\2", text)
    return _QUALIFIED.sub("", text).replace("/, ", "/, ")


def _first_line(thing: Any) -> str:
    text = inspect.cleandoc(getattr(thing, "__doc__", None) or "")
    return " ".join(text.partition("\n\n")[0].split("\n")).strip()


if __name__ == "__main__":
    print(llms_text(), end="")
