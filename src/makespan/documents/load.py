"""`load`: a workflow from a file, ready to be called, run and resumed like one in Python.

    tree ──steps──▶ outline ──link──▶ tasks, types ──build──▶ body of a plain workflow ──trace──▶ graph

Everything that can be wrong with the file is found before `load` returns, and said in one error.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from makespan.authoring.ref import Ref
from makespan.authoring.task import HOOKS, Task
from makespan.authoring.trace import template_of
from makespan.authoring.workflow import Workflow, WorkflowOptions
from makespan.documents.build import Build
from makespan.documents.link import Linker
from makespan.documents.problems import Problems, Skip
from makespan.documents.reader import MAX_BYTES, read
from makespan.documents.steps import INPUTS, Outline, Parser, Step, all_steps
from makespan.errors import GraphError, UsageError, suggestion

SUFFIXES = (".yaml", ".yml")


class DocumentWorkflow(Workflow[..., Any]):
    """A plain workflow that a file describes. `tasks` are those it declares or calls, by name."""

    def __init__(self, fn: Any, options: WorkflowOptions, file: Path, tasks: dict[str, Task[..., Any]]) -> None:
        super().__init__(fn, options)
        self.file, self.tasks = file, tasks

    @property
    def parts(self) -> tuple[Task[..., Any], ...]:
        return tuple(self.tasks.values())

    @property
    def target(self) -> str:
        """The file: any other process finds the workflow there."""
        return str(self.file)


def load(path: str | Path, /) -> Workflow[..., Any]:
    """The workflow that a YAML file describes. The modules it calls are imported, nothing runs.

    Raises:
        UsageError: no such file, or one of another kind.
        GraphError: the file is wrong; the message has `file:line:column` for every problem in it.
    Cost: 20 to 50 ms for a file of a few hundred lines, besides its imports.
    """
    return _load(Path(path), ())


def _load(path: Path, around: tuple[Path, ...]) -> Workflow[..., Any]:
    file = path.absolute()
    if file.resolve() in around:
        circle = " -> ".join(each.name for each in (*around[around.index(file.resolve()) :], file))
        raise UsageError(f"these documents call each other: {circle}; make one of them an async workflow in Python")
    return load_text(_bytes(path), file, shown=str(path), around=(*around, file.resolve()))


def load_text(text: str | bytes, file: Path, *, shown: str = "", around: tuple[Path, ...] = ()) -> Workflow[..., Any]:
    """As `load`, of a text that stands, or could stand, in `file`."""
    problems = Problems(shown or str(file))
    try:
        outline = Parser(problems).outline(read(text, problems))
    except Skip:
        raise problems.error() from None
    linker = Linker(file, problems, lambda path: _load(path, around))
    loader = _Loader(outline, linker, problems)
    return loader.workflow()


class _Loader:
    """Turns one outline into a workflow."""

    def __init__(self, outline: Outline, linker: Linker, problems: Problems) -> None:
        self.outline, self.linker, self.problems = outline, linker, problems
        self.more_options: dict[str, Any] = {}
        self.output: Any = None
        """The type of what the body gave last, where it is one reference."""

    def workflow(self) -> Workflow[..., Any]:
        self.declare_types()
        for step in all_steps(self.outline.block):
            self.linker.link(step)
        with suppress(Skip):
            outline = self.outline
            self.more_options = self.linker.workflow_options(outline.schedule, outline.schedule_keys, outline.on_end)
        parameters = self.parameters()
        returns = self.returns()
        draft = self.made(parameters, Any if returns is None else returns)
        try:
            template_of(draft)
        except Skip:
            pass
        except GraphError as error:
            at = self.outline.block.output.at if self.outline.block.output is not None else self.outline_at()
            if not self.problems or str(error) != str(self.problems.error()):
                self.problems.add(at, str(error))
        if self.problems:
            raise self.problems.error()
        return draft if returns is not None else self.made(parameters, self.output)

    def outline_at(self) -> Any:
        return self.outline.block.steps[0].at

    def declare_types(self) -> None:
        tree = self.outline.types
        for name, each in tree.value.items() if tree is not None else ():
            try:
                self.linker.types.declare(name, tree.keys[name] if tree is not None else each.at, each)
            except Skip:
                continue

    def parameters(self) -> list[inspect.Parameter]:
        """The inputs as parameters of a function; those without a default first, as a signature wants it."""
        found: list[inspect.Parameter] = []
        for each in self.outline.inputs:
            try:
                kind, default = self.linker.types.with_default(each.kind, each.name)
                if each.default is not None:
                    default = self.linker.types.default(each.default.at, kind, each.default.plain)
            except Skip:
                kind, default = Any, None
            value = inspect.Parameter.empty if default is msgspec.UNSET else default
            found.append(inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=kind))
        return found

    def returns(self) -> Any:
        if self.outline.returns is None:
            return None
        try:
            return self.linker.types.read(self.outline.returns, f"{self.outline.name}_output")
        except Skip:
            return Any

    def made(self, parameters: list[inspect.Parameter], returns: Any) -> DocumentWorkflow:
        """The workflow, as if a function had been decorated."""
        outline, linked = self.outline, self.linker.linked
        drafts = [self.problems]

        def body(**inputs: Any) -> Any:
            problems = drafts.pop() if drafts else Problems(self.problems.file)
            build = Build(linked, problems)
            names = build.block(outline.block, {INPUTS: inputs})
            if outline.block.output is None:
                raise Skip  # noted as a missing key
            output = build.data(outline.block.output, names)
            self.output = _decodable(output._type) if isinstance(output, Ref) else Any
            if problems:
                raise problems.error()
            return output

        body.__name__ = body.__qualname__ = outline.name
        body.__module__ = str(self.linker.file)
        body.__doc__ = outline.about or None
        body.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
        body.__annotations__ = {**{each.name: each.annotation for each in parameters}, "return": returns}
        options: WorkflowOptions = {"key": outline.name, **self.more_options}  # type: ignore[typeddict-item]
        if outline.version:
            options["version"] = outline.version
        return DocumentWorkflow(body, options, self.linker.file, self.linker.tasks)


def _decodable(kind: Any) -> Any:
    """The type, or Any where values of it cannot be told apart (a union of two Structs)."""
    try:
        HOOKS.codec(kind)
    except GraphError:
        return Any
    return kind


def _bytes(path: Path) -> bytes:
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: ms.load reads {' and '.join(SUFFIXES)}; a workflow in Python is imported")
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        folder = path.absolute().parent
        siblings = [each.name for each in folder.glob("*.y*ml")] if folder.is_dir() else []
        raise UsageError(f"there is no file {path}{suggestion(path.name, siblings)}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


__all__ = ["SUFFIXES", "DocumentWorkflow", "Step", "load", "load_text"]
