"""TARGET to a workflow: `file.py:name`, `package.module:name`, `flow.yaml`, or a file with exactly one workflow."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from makespan.authoring.task import Task
from makespan.authoring.workflow import Workflow
from makespan.errors import UsageError, suggestion
from makespan.runtime.targets import load_module, split_target
from makespan.stored_runs import refuse_simulated

DOCUMENTS = (".yaml", ".yml")


def find_workflow(target: str) -> tuple[Task[..., Any], str]:
    """The workflow (or single task) and the target under which any other process finds it again.

    Raises:
        UsageError: no such file, module or name. GraphError: the import raised.
    """
    see_the_current_folder()
    refuse_simulated(target)
    if target.endswith(".md"):
        raise UsageError(f"{target}: a workflow is Python or YAML; write file.py:workflow or file.yaml")
    if target.endswith(DOCUMENTS):
        return _find_document(target)
    _refuse_goal(target)
    if target.rpartition(":")[0].endswith(DOCUMENTS):
        raise UsageError(f"{target}: a document is one workflow; write {target.rpartition(':')[0]}")
    source, name = split_target(target) if ":" in target else (target, "")
    with contextlib.redirect_stdout(sys.stderr):  # what a module prints while it is imported is no data of ours
        module = load_module(source)
    name = name or _only_workflow(module, source)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(_no_such_name(module, source, name))
        found = getattr(found, part)
    if not isinstance(found, Task):
        raise UsageError(f"{target} is {_a(found)}, not a workflow; decorate it with @ms.workflow")
    return found, f"{absolute(source)}:{name}"


def _refuse_goal(target: str) -> None:
    """Words are no target, and neither is a plan without its tools."""
    if target.endswith(".json"):
        if not Path(target).is_file():
            raise UsageError(f"there is no file {target}")
        raise UsageError(f"{target}: a kept plan runs with the tools that its steps call: add --tools MODULE")
    if any(letter.isspace() for letter in target.strip()) and not Path(target.rpartition(":")[0] or target).exists():
        raise UsageError(f"{target!r} is no workflow; if it is a goal, say what may be used for it: --tools MODULE")


def workflows_in(source: str) -> list[tuple[Workflow[..., Any], str]]:
    """All workflows that a file or module defines, each with its target. Raises as `find_workflow` does."""
    see_the_current_folder()
    if source.endswith(DOCUMENTS):
        workflow, target = _find_document(source)
        return [(cast("Workflow[..., Any]", workflow), target)]
    with contextlib.redirect_stdout(sys.stderr):
        module = load_module(source)
    return [(getattr(module, name), f"{absolute(source)}:{name}") for name in _names(module, Workflow)]


def _find_document(target: str) -> tuple[Task[..., Any], str]:
    from makespan.documents.load import load

    with contextlib.redirect_stdout(sys.stderr):
        workflow = load(target)
    return workflow, workflow.target


def see_the_current_folder() -> None:
    """As `python -m` does: modules beside the caller can be imported."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)


def _only_workflow(module: ModuleType, source: str) -> str:
    names = _names(module, Workflow)
    if len(names) == 1:
        return names[0]
    if not names:
        tasks = _names(module, Task)
        hint = f"; it has the tasks {', '.join(tasks[:5])}: name one" if tasks else "; mark one with @ms.workflow"
        raise UsageError(f"{source} has no workflow{hint}")
    raise UsageError(f"{source} has {len(names)} workflows: write {source}:NAME with one of {', '.join(names)}")


def _no_such_name(module: ModuleType, source: str, name: str) -> str:
    workflows, tasks = _names(module, Workflow), _names(module, Task)
    listed = f"; its workflows: {', '.join(workflows)}" if workflows else ""
    return f"{source} has no {name!r}{suggestion(name, [*workflows, *tasks]) or listed}"


def _names(module: ModuleType, kind: type) -> list[str]:
    """Names of what the module itself defines (not what it imports)."""
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, kind) and getattr(value, "module", "") == module.__name__
    ]


def absolute(source: str) -> str:
    """A module or file as any other process finds it."""
    is_file = source.endswith(".py") or "/" in source
    return str(Path(source).absolute()) if is_file else source


def _a(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
