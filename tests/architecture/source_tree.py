"""The modules of a source tree and the imports in them, read by `ast`: nothing is imported or run.

It knows Python's syntax, not this project's rules; those are in `rules.py`.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = "makespan"
TYPE_CHECKING_NAMES = ("TYPE_CHECKING", "typing.TYPE_CHECKING")


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, as its importer wrote it."""

    target: str
    line: int
    is_guarded: bool
    """Stands under `if TYPE_CHECKING`."""
    function: str | None
    """The innermost function that the import stands in."""


@dataclass(frozen=True, slots=True)
class Module:
    """One source file."""

    name: str
    path: Path
    text: str
    tree: ast.Module
    imports: tuple[Import, ...]

    @property
    def package(self) -> str:
        """The part of the layer table it belongs to: `graph` for `makespan.graph.edit`, "" for the root."""
        return package_of(self.name)

    @property
    def is_init(self) -> bool:
        """Whether it is some package's `__init__.py`."""
        return self.path.name == "__init__.py"

    def at(self, line: int) -> str:
        """Where a reader finds this line, from the root package on."""
        return f"{ROOT}/{self.path.as_posix()}:{line}"


def package_of(module_name: str) -> str:
    """The second part of a dotted name, or "" for the root package."""
    return module_name.split(".")[1] if "." in module_name else ""


def read_modules(source: Path) -> list[Module]:
    """Every Python file under `source`, the root package; none where it does not exist."""
    paths = sorted(path.relative_to(source) for path in source.rglob("*.py"))
    names = {module_name(path) for path in paths}
    return [read_module(source, path, names) for path in paths]


def read_module(source: Path, path: Path, known: set[str]) -> Module:
    """Parse one file; `known` names all modules, to tell `from package import module` from a name."""
    text = (source / path).read_text(encoding="utf-8")
    tree = ast.parse(text, filename=str(path))
    finder = ImportFinder(module_name(path), path.name == "__init__.py", known)
    finder.visit(tree)
    return Module(module_name(path), path, text, tree, tuple(finder.found))


def module_name(path: Path) -> str:
    """`graph/edit.py` is `makespan.graph.edit`; a package is named by its folder."""
    parts = path.with_suffix("").parts
    return ".".join((ROOT, *(parts[:-1] if parts[-1] == "__init__" else parts)))


@dataclass
class ImportFinder(ast.NodeVisitor):
    """Collects imports with the function and the TYPE_CHECKING guard they stand in."""

    module: str
    is_init: bool
    known: set[str]
    found: list[Import] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    guards: int = 0

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self.absolute(node)
        submodules = {f"{base}.{alias.name}" for alias in node.names} & self.known
        for target in sorted(submodules):
            self.add(target, node.lineno)
        if len(submodules) < len(node.names):
            self.add(base, node.lineno)

    def visit_If(self, node: ast.If) -> None:
        is_guard = ast.unparse(node.test) in TYPE_CHECKING_NAMES
        self.guards += is_guard
        for child in node.body:
            self.visit(child)
        self.guards -= is_guard
        for child in node.orelse:
            self.visit(child)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_function(node)

    def visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.functions.append(node.name)
        self.generic_visit(node)
        self.functions.pop()

    def add(self, target: str, line: int) -> None:
        function = self.functions[-1] if self.functions else None
        self.found.append(Import(target, line, self.guards > 0, function))

    def absolute(self, node: ast.ImportFrom) -> str:
        """The module a `from` names, relative dots resolved."""
        if not node.level:
            return node.module or ""
        parts = self.module.split(".") if self.is_init else self.module.split(".")[:-1]
        kept = parts[: len(parts) - node.level + 1]
        return ".".join([*kept, *([node.module] if node.module else [])])


def calls_by_name(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every call of a plain or dotted name in the tree, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield ast.unparse(node.func), node.lineno
