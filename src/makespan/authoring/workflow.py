"""`@workflow`: tasks put together. `def` is traced once into a graph; `async def` is live and grows as it goes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Unpack, overload

from makespan.authoring.place import Place, current
from makespan.authoring.ref import Ref
from makespan.authoring.task import P, R, T_co, Task, TaskOptions
from makespan.authoring.trace import inline
from makespan.errors import GraphError
from makespan.graph.node import Kind


class Workflow(Task[P, T_co]):
    """A workflow: call it like a task, or give the call to `ms.run`. Made by `@ms.workflow`."""

    kind = Kind.WORKFLOW

    def __init__(self, fn: Callable[..., Any], options: TaskOptions) -> None:
        super().__init__(fn, options)
        if inspect.isasyncgenfunction(fn) or inspect.isgeneratorfunction(fn):
            raise GraphError(f"the workflow {self.key} is a generator; return a value")
        for name in ("retries", "retry_on", "timeout_s", "needs", "executor", "models", "effect"):
            if name in options:
                hint = " (deadline_s bounds a workflow)" if name == "timeout_s" else ""
                raise GraphError(f"{name} belongs to tasks, not to the workflow {self.key}{hint}")
        self.is_traced = not inspect.iscoroutinefunction(fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Ref[T_co]:
        place = current.get()
        if type(place) is Place and self.is_traced:
            return inline(place, self, args, kwargs)
        return super().__call__(*args, **kwargs)


class _WorkflowDecorator:
    """What `@workflow(...)` with options gives."""

    def __init__(self, options: TaskOptions) -> None:
        self._given = options

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Workflow[P, R]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Workflow[..., Any]:
        return Workflow(fn, self._given)


@overload
def workflow(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
@overload
def workflow(fn: Callable[P, R], /) -> Workflow[P, R]: ...
@overload
def workflow(**options: Unpack[TaskOptions]) -> _WorkflowDecorator: ...
def workflow(fn: Callable[..., Any] | None = None, /, **options: Unpack[TaskOptions]) -> Any:
    """Declare a workflow: a plain function is traced into a graph, an async one plans live.

    Raises:
        GraphError: an option that does not exist or belongs to tasks, or a generator function.
    """
    return _WorkflowDecorator(options) if fn is None else Workflow(fn, options)
