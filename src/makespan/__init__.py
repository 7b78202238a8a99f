"""makespan: compiles, schedules and runs AI workflows. Open me first.

    your functions ─▶ authoring ─▶ graph ─▶ machine ──commands──▶ runtime ─▶ models, threads, processes
                                              ▲  │                   │
                                              │  └─facts─▶ journal   │       facts are durable before they have effect
                                              └────observations──────┘

Map: `graph` says what to do, `machine` decides what happens next (both pure), `authoring` is what you write, `runtime`
obeys, `journal` remembers, `models` answer, `traces` explain, `app.Engine` wires them. The names below are the API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from makespan import errors as errors
    from makespan import evals as evals
    from makespan import testing as testing
    from makespan.app import Engine as Engine
    from makespan.authoring.combine import cancel as cancel
    from makespan.authoring.combine import fallback as fallback
    from makespan.authoring.combine import first as first
    from makespan.authoring.combine import gather as gather
    from makespan.authoring.combine import map as map
    from makespan.authoring.combine import outcome as outcome
    from makespan.authoring.combine import when as when
    from makespan.authoring.context import Context as Context
    from makespan.authoring.context import context as context
    from makespan.authoring.emit import emit as emit
    from makespan.authoring.model_task import chat as chat
    from makespan.authoring.prompt import prompt as prompt
    from makespan.authoring.provide import provide as provide
    from makespan.authoring.provide import use as use
    from makespan.authoring.ref import Ref as Ref
    from makespan.authoring.schedule import Cron as Cron
    from makespan.authoring.scope import scope as scope
    from makespan.authoring.state import state as state
    from makespan.authoring.task import Task as Task
    from makespan.authoring.task import task as task
    from makespan.authoring.waiting import ask as ask
    from makespan.authoring.waiting import receive as receive
    from makespan.authoring.waiting import sleep as sleep
    from makespan.authoring.workflow import Workflow as Workflow
    from makespan.authoring.workflow import workflow as workflow
    from makespan.codec import Outcome as Outcome
    from makespan.documents.load import load as load
    from makespan.entry import plan as plan
    from makespan.entry import resume as resume
    from makespan.entry import run as run
    from makespan.entry import send as send
    from makespan.entry import start as start
    from makespan.errors import Fatal as Fatal
    from makespan.errors import GraphError as GraphError
    from makespan.errors import LimitError as LimitError
    from makespan.errors import Retry as Retry
    from makespan.errors import TaskError as TaskError
    from makespan.files import File as File
    from makespan.graph.edit import Edit as Edit
    from makespan.graph.graph import Graph as Graph
    from makespan.handle import Run as Run
    from makespan.ports import Message as Message
    from makespan.references import secret as secret
    from makespan.result import Result as Result

_HOME = {
    "Engine": "app",
    "Run": "handle",
    "plan": "entry",
    "resume": "entry",
    "run": "entry",
    "send": "entry",
    "start": "entry",
    "cancel": "authoring.combine",
    "fallback": "authoring.combine",
    "first": "authoring.combine",
    "gather": "authoring.combine",
    "map": "authoring.combine",
    "outcome": "authoring.combine",
    "scope": "authoring.scope",
    "when": "authoring.combine",
    "Context": "authoring.context",
    "context": "authoring.context",
    "emit": "authoring.emit",
    "chat": "authoring.model_task",
    "prompt": "authoring.prompt",
    "provide": "authoring.provide",
    "use": "authoring.provide",
    "Ref": "authoring.ref",
    "state": "authoring.state",
    "Cron": "authoring.schedule",
    "Task": "authoring.task",
    "task": "authoring.task",
    "ask": "authoring.waiting",
    "receive": "authoring.waiting",
    "sleep": "authoring.waiting",
    "Workflow": "authoring.workflow",
    "workflow": "authoring.workflow",
    "Outcome": "codec",
    "Fatal": "errors",
    "GraphError": "errors",
    "LimitError": "errors",
    "Retry": "errors",
    "TaskError": "errors",
    "load": "documents.load",
    "Edit": "graph.edit",
    "File": "files",
    "Graph": "graph.graph",
    "Message": "ports",
    "Result": "result",
    "secret": "references",
}

_SUBMODULES = ("errors", "evals", "testing")
"""Reached by `ms.NAME` without an import of their own."""

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that `import makespan` costs next to nothing."""
    import importlib

    home = _HOME.get(name)
    if name in _SUBMODULES:
        return importlib.import_module(f"makespan.{name}")
    if home is None:
        raise AttributeError(f"module 'makespan' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"makespan.{home}"), name)
    globals()[name] = value
    return value
