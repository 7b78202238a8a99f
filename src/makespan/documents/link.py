"""From what a document names to what it means: targets to tasks, options to their values, types to classes.

Runs once a document, when it is loaded; importing the modules it names is all that it does to the world.
"""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from makespan.authoring.schedule import Cron
from makespan.authoring.task import Task, TaskOptions, check_options
from makespan.authoring.workflow import Workflow
from makespan.documents.form import Key, keys_of, option_keys, prompt_keys, schedule_keys, scope_keys
from makespan.documents.problems import Mark, Problems, Skip
from makespan.documents.prompts import PromptText, document_prompt
from makespan.documents.reader import Tree
from makespan.documents.references import Reference, pieces, references
from makespan.documents.steps import Step
from makespan.documents.types import Types
from makespan.errors import GraphError, UsageError, suggestion
from makespan.graph.expression import parse
from makespan.runtime.targets import load_target

OF_TRACED = frozenset({"key", "models", "version"})
"""Options that mean something to a plain workflow inside another: it is no task, its tasks join the caller's."""
_COLUMN = re.compile(r"column (\d+) of `.*`: (.*)", re.DOTALL)


class Condition(msgspec.Struct, frozen=True):
    """What `when` says: the references it reads, and an expression over their `value`."""

    reads: tuple[Reference, ...]
    test: str


class Linked(msgspec.Struct, eq=False):
    """What a step means."""

    task: Any = None
    returns: Any = Any
    options: dict[str, Any] = {}
    """Arguments of the combinator it stands for: `scope`, `ask`, `map`, `first`."""
    condition: Condition | None = None


class PlainTask(Task[..., Any]):
    """A function without decorator that a document calls: its options are those the document gives."""

    def __init__(self, fn: Callable[..., Any], options: TaskOptions, file: str, name: str) -> None:
        super().__init__(fn, options)
        self._found_at = f"{file}:{name}"

    @property
    def target(self) -> str:
        return self._found_at


class Linker:
    """Resolves the names of one document."""

    def __init__(self, file: Path, problems: Problems, load: Callable[[Path], Workflow[..., Any]]) -> None:
        self.file, self.problems = file, problems
        self._load = load
        self._documents: dict[Path, Workflow[..., Any]] = {}
        self.types = Types(problems, self.find)
        self.linked: dict[int, Linked] = {}
        self.tasks: dict[str, Task[..., Any]] = {}

    def link(self, step: Step) -> None:
        """Find out what one step means; what is wrong is noted, and the step then has no meaning."""
        try:
            found = Linked(condition=self.condition(step.keys.get("when")))
            kind: Callable[[Step, Linked], None] | None = getattr(self, f"_{step.kind}", None)
            if kind is not None:
                kind(step, found)
            self.linked[id(step)] = found
        except Skip:
            return

    # ------------------------------------------------------------ kinds

    def _call(self, step: Step, found: Linked) -> None:
        tree = step.keys["call"]
        target = self._at(tree.at, lambda: self.find(tree.value))
        options = self.options(step, option_keys())
        if not isinstance(target, Task):
            if not callable(target) or not hasattr(target, "__code__"):
                raise self.problems.stop(tree.at, f"{tree.value} is {type(target).__name__}, not a task or function")
            name = self._unique(step.name)
            target = self._at(tree.at, lambda: PlainTask(target, options, str(self.file), name))
            self.tasks[name] = target
        elif options:
            self._fits(step, target, options)
            target = self._at(step.at, lambda: target.options(**options))
        found.task = target
        self.tasks.setdefault(step.name, target)

    def _unique(self, name: str) -> str:
        """A name under which a task is found again: those inside two groups may be called the same."""
        number, unique = 2, name
        while unique in self.tasks:
            unique, number = f"{name}_{number}", number + 1
        return unique

    def _fits(self, step: Step, target: Task[..., Any], options: TaskOptions) -> None:
        """Refuse options that would silently do nothing."""
        is_traced = getattr(target, "is_traced", False)
        for name in options:
            if is_traced and name not in OF_TRACED:
                hint = "give it to the tasks in there, or put a group with `scope:` around the call"
                raise self.problems.stop(
                    step.marks[name], f"{target.key} is a plain workflow, `{name}` does nothing to it; {hint}"
                )
            if isinstance(target, Workflow) and name != "models":
                self._at(step.marks[name], lambda name=name: Workflow(target.fn, {name: options[name]}))  # type: ignore[misc]

    def _prompt(self, step: Step, found: Linked) -> None:
        text, returns = step.keys["prompt"], str
        messages = (
            [("user", text.value)]
            if isinstance(text.value, str)
            else [(role, each.value) for message in text.value for role, each in message.value.items()]
        )
        if "returns" in step.keys:
            returns = self.types.read(step.keys["returns"], f"{step.name}_answer")
        known = {**prompt_keys(), **option_keys()}
        options: dict[str, Any] = {**self.options(step, option_keys()), **self.values(step, prompt_keys())}
        said = PromptText(
            tuple(messages),
            step.keys["system"].value if "system" in step.keys else "",
            step.keys["returns"].plain if "returns" in step.keys else None,
            {
                name: tree.plain
                for name, tree in step.keys.items()
                if name in known and known[name].form != "references"
            },
        )
        at = step.at
        found.task = self._at(at, lambda: document_prompt(step.name, str(self.file), at.line, said, returns, options))
        self._at(at, lambda: found.task.declaration)
        self.tasks[self._unique(step.name)] = found.task

    def _tasks(self, step: Step, found: Linked) -> None:
        limits = self.values(step, scope_keys())
        for name, value in limits.items():
            wanted = value <= 0 if isinstance(value, int | float) and not isinstance(value, bool) else False
            if wanted:
                raise self.problems.stop(step.keys[name].at, f"`{name}` is a number above 0")
        if limits or "scope" in step.keys:
            found.options = {"name": step.keys["scope"].value if "scope" in step.keys else step.name, **limits}

    def _value(self, step: Step, found: Linked) -> None:
        found.returns = self.types.read(step.keys["returns"], step.name) if "returns" in step.keys else None

    def _map(self, step: Step, found: Linked) -> None:
        found.options = self.values(step, {name: keys_of("map")[name] for name in ("errors", "limit", "key")})
        if found.options.get("limit", 1) < 1:
            raise self.problems.stop(step.keys["limit"].at, "`limit` is at least 1; leave it out for no limit")

    def _first(self, step: Step, found: Linked) -> None:
        if "n" in step.keys:
            found.options["n"] = step.keys["n"].value
        accept = step.keys.get("accept")
        if accept is None:
            return
        if isinstance(accept.value, str):
            self.expression(accept, accept.value, ["value"])
            found.options["accept"] = accept.value
        elif step.inner["accept"].kind != "call" or "with" in step.inner["accept"].keys:
            message = "a task that judges is `call: target` without `with`: it gets the candidate's value"
            raise self.problems.stop(accept.at, message)

    def _receive(self, step: Step, found: Linked) -> None:
        found.returns = self.types.read(step.keys["returns"], step.name) if "returns" in step.keys else Any

    def _ask(self, step: Step, found: Linked) -> None:
        found.returns = self.types.read(step.keys["returns"], step.name) if "returns" in step.keys else bool
        found.options = self.values(step, {"deadline_s": keys_of("ask")["deadline_s"]})
        if "default" in step.keys:
            tree = step.keys["default"]
            found.options["default"] = self.types.default(tree.at, found.returns, tree.plain)

    def workflow_options(
        self, schedule: Tree | None, schedule_values: dict[str, Tree], on_end: Tree | None
    ) -> dict[str, Any]:
        """`schedule` and `on_end` of the document."""
        found: dict[str, Any] = {}
        if schedule is not None:
            values = {name: self.value(schedule_keys()[name], tree) for name, tree in schedule_values.items()}
            expression = values.pop("cron", "")
            found["schedule"] = self._at(schedule.at, lambda: Cron(expression, **values))
        if on_end is not None:
            found["on_end"] = self._task(on_end)
        return found

    # ------------------------------------------------------------ options

    def options(self, step: Step, known: Any) -> TaskOptions:
        """The options of a task, each checked by itself."""
        found: dict[str, Any] = self.values(step, known)
        is_wrong = False
        for name, value in found.items():
            try:
                check_options({name: value}, step.name)
            except GraphError as error:
                self.problems.add(step.keys[name].at, str(error))
                is_wrong = True
        if is_wrong:
            raise Skip
        return found  # type: ignore[return-value]  # its keys are those of the table

    def values(self, step: Step, known: Any) -> dict[str, Any]:
        """The values of those keys that the step has and that are known before anything runs."""
        return {
            name: self.value(key, step.keys[name])
            for name, key in known.items()
            if name in step.keys and key.form != "references"
        }

    def value(self, key: Key, tree: Tree) -> Any:
        """One option as Python has it."""
        listed = tree.value if isinstance(tree.value, list) else [tree]
        match key.form:
            case "errors":
                return tuple(self._at(each.at, lambda each=each: self.exception(each.value)) for each in listed)  # type: ignore[misc]
            case "function":
                return self._at(tree.at, lambda: self.find(tree.value))
            case "target":
                return self._task(tree)
            case "targets":
                return [self._task(each) for each in listed]
            case "texts":
                return tuple(each.value for each in listed)
        return tree.plain

    def _task(self, tree: Tree) -> Any:
        found = self._at(tree.at, lambda: self.find(tree.value))
        if not isinstance(found, Task):
            raise self.problems.stop(
                tree.at, f"{tree.value} is {type(found).__name__}, not a task; decorate it with @ms.task"
            )
        return found

    def exception(self, name: str) -> type[BaseException]:
        """The exception class of a name: built in, or `module:Class`."""
        found = self.find(name) if ":" in name else getattr(builtins, name, None)
        if isinstance(found, type) and issubclass(found, BaseException):
            return found
        known = [
            each for each, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, Exception)
        ]
        raise GraphError(f"{name!r} is no exception{suggestion(name, known) or '; write ValueError or module:Class'}")

    # ------------------------------------------------------------ names, expressions

    def find(self, target: str) -> Any:
        """What a target names; files are looked for beside the document. Raises GraphError."""
        source, _, name = target.rpartition(":")
        if target.endswith((".yaml", ".yml")):
            return self._document((self.file.parent / target).resolve())
        if source.endswith(".py"):
            target = f"{(self.file.parent / source).resolve()}:{name}"
        folder = str(self.file.parent)
        if folder not in sys.path:
            sys.path.append(folder)  # last: a file of ours must not hide a module of Python's
        try:
            return load_target(target)
        except UsageError as error:
            raise GraphError(str(error)) from error

    def _document(self, path: Path) -> Workflow[..., Any]:
        if path not in self._documents:
            try:
                self._documents[path] = self._load(path)
            except UsageError as error:
                raise GraphError(str(error)) from error
        return self._documents[path]

    def condition(self, tree: Tree | None) -> Condition | None:
        """What a `when` says; each reference becomes `value`, or `value[i]` where there are several."""
        if tree is None:
            return None
        try:
            parts = list(pieces(tree.value))
        except ValueError:
            raise Skip from None  # noted when the text was read
        reads = tuple({(each.name, each.path): each for each in parts if isinstance(each, Reference)}.values())
        if not reads:
            raise self.problems.stop(tree.at, "`when` reads no reference: write e.g. ${task.field} > 3")
        places = {(each.name, each.path): number for number, each in enumerate(reads)}
        self.expression(tree, *_same_length(tree.value))
        names = ["value" if len(reads) == 1 else f"value[{number}]" for number in range(len(reads))]
        test = "".join(names[places[each.name, each.path]] if isinstance(each, Reference) else each for each in parts)
        self._at(tree.at, lambda: parse(test, ["value"]))
        return Condition(reads, test)

    def expression(self, tree: Tree, text: str, names: list[str]) -> None:
        """Note what is wrong with an expression, at its column."""
        try:
            parse(text, names)
        except GraphError as error:
            found = _COLUMN.match(str(error))
            message = found[2] if found else str(error)
            if "unknown name" in message and "value" not in names:
                message = f"{message.partition(' (')[0].partition(';')[0]}; references are written ${{name}}"
            index = tree.source.find(tree.value, tree.start, tree.end) if found and "\n" not in tree.value else -1
            at = tree.at if index < 0 or found is None else _shifted(tree, index, int(found[1]))
            raise self.problems.stop(at, f"the expression: {message}") from None

    def _at(self, at: Mark, make: Callable[[], Any]) -> Any:
        """What `make` gives; what it refuses is noted at this place."""
        try:
            return make()
        except GraphError as error:
            raise self.problems.stop(at, str(error)) from None


def _shifted(tree: Tree, index: int, column: int) -> Mark:
    quotes = index - tree.start
    return (
        Mark(tree.at.line, tree.at.column + quotes + column - 1)
        if tree.source.count("\n", tree.start, index) == 0
        else tree.at
    )


def _same_length(text: str) -> tuple[str, list[str]]:
    """An expression with a name of the same length for each reference, so that columns stay; and those names."""
    names = []
    for number, each in enumerate(references(text)):
        name = f"r{number}".ljust(len(each.token), "_")[: len(each.token)]
        names.append(name)
        text = text.replace(each.token, name, 1)
    return text, names
