"""Finds what a target names: `package.module:name`, `file.py:name`, `/abs/file.py:Class.name`, `flow.yaml`.

A file is imported once, under the name of its stem, with its folder on `sys.path`: as if `python file.py` had
been a module. The running script itself is not imported again.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import sys
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from makespan.errors import GraphError, UsageError, record_of, suggestion
from makespan.ports import TaskCode

DOCUMENTS = {".yaml": "makespan.documents.load:load", ".yml": "makespan.documents.load:load"}
"""Who reads a workflow that is no Python, by the ending of its file; named, not imported, as it stands above."""


_importing: ContextVar[str] = ContextVar("makespan_importing", default="")
"""The source being imported for its workflows, in whose top level nothing may run."""


def refuse_while_importing() -> None:
    """Raises UsageError while a target's file is imported: a worker process would start workers without end."""
    if source := _importing.get():
        raise UsageError(
            f"{source} runs a workflow while it is imported; worker processes and the command line import it too, so "
            'put that under `if __name__ == "__main__":`'
        )


def load_target(target: str) -> Any:
    """The object that `target` names: a workflow for a document, one of its tasks for `document:task`.

    Raises:
        UsageError: it is not written as a target, or there is no such file, module or name.
        GraphError: importing it raised; the message names the line.
    """
    if Path(target).suffix in DOCUMENTS:
        return _load_document(target)
    source, name = split_target(target)
    if Path(source).suffix in DOCUMENTS:
        tasks: dict[str, Any] = _load_document(source).tasks
        if name not in tasks:
            raise UsageError(f"{source} has no task {name!r}{suggestion(name, tasks)}")
        return tasks[name]
    found: Any = load_module(source)
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{source} has no {name!r}{suggestion(part, _public_names(found))}")
        found = getattr(found, part)
    return found


def load_task(target: str) -> TaskCode:
    """The task code that `target` names: the object itself or its `code`. Raises as `load_target` does."""
    found = load_target(target)
    code = getattr(found, "code", found)
    if not callable(getattr(code, "invoke", None)):
        raise UsageError(f"{target} is a {type(found).__name__}, not a task; decorate it with @task")
    return cast(TaskCode, code)


def split_target(target: str) -> tuple[str, str]:
    """Source and name. Raises UsageError where another process could not find the object under that name."""
    source, colon, name = target.rpartition(":")
    if not (colon and source and name):
        raise UsageError(f"{target!r} is no target; write file.py:name or package.module:name")
    if "<locals>" in name or "<lambda>" in name:
        raise UsageError(
            f"{target} is a lambda or stands inside a function, where another process cannot find it; "
            "define it at the top level of a module"
        )
    return source, name


def load_module(source: str) -> ModuleType:
    """The module of a file (`app.py`, `/abs/app.py`) or of a dotted name. Raises as `load_target` does."""
    token = _importing.set(source)
    try:
        return _load_module(source)
    finally:
        _importing.reset(token)


def _load_module(source: str) -> ModuleType:
    if source.endswith(".py") or "/" in source or "\\" in source:
        return _load_file(Path(source))
    try:
        return importlib.import_module(source)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{source}.".startswith(f"{error.name}."):
            raise UsageError(_no_module(source)) from None
        raise _broken(source, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(source, error) from error


def _load_document(source: str) -> Any:
    path = Path(source).absolute()
    changed_ns = path.stat().st_mtime_ns if path.is_file() else 0
    return _read_document(source, str(path), changed_ns)


@lru_cache(maxsize=64)
def _read_document(source: str, path: str, changed_ns: int) -> Any:
    """A worker process asks for the same one at every attempt."""
    return load_target(DOCUMENTS[Path(source).suffix])(source)


def _load_file(file: Path) -> ModuleType:
    path = file.absolute()
    if not path.is_file():
        siblings = [near.name for near in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise UsageError(f"there is no file {file}{suggestion(file.name, siblings)}")
    name = _module_name(path)
    for known in ("__main__", name):
        if _is_module_of(sys.modules.get(known), path):
            return sys.modules[known]
    return _import_file(name, path)


def _import_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file; its name must end in .py")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    module = importlib.util.module_from_spec(spec)
    module.__makespan_file__ = str(path)  # type: ignore[attr-defined]  # tasks name it, so that others find them
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _broken(str(path), error) from error
    return module


def _module_name(path: Path) -> str:
    """The stem; where another module has that name already (`queue.py`), with a digest of the path."""
    holder = sys.modules.get(path.stem)
    is_taken = path.stem in sys.stdlib_module_names or (holder is not None and not _is_module_of(holder, path))
    return f"{path.stem}_{hashlib.blake2b(bytes(path), digest_size=4).hexdigest()}" if is_taken else path.stem


def _is_module_of(module: ModuleType | None, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).absolute() == path


def _no_module(source: str) -> str:
    top, *_ = source.split(".")
    near = difflib.get_close_matches(top, [entry.stem for entry in Path.cwd().glob("*.py")], n=1)
    hint = f"; did you mean {near[0]}.py?" if near else "; is it installed, or in the current folder?"
    return f"there is no module {source!r}{hint}"


def _broken(source: str, error: BaseException) -> GraphError:
    record = record_of(error)
    where = f"{error.filename}:{error.lineno}" if isinstance(error, SyntaxError) else record.where
    return GraphError(f"{source} cannot be imported: {record.type}: {record.message} ({where})")


def _public_names(owner: object) -> list[str]:
    return [name for name in dir(owner) if not name.startswith("_")]
