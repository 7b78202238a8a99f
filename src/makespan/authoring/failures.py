"""Failures as bodies see them: always made from the journal's record, live and resumed alike."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from makespan.errors import ErrorRecord, LimitError, TaskError, qualified_name
from makespan.values import TaskId

_LIMIT = "makespan.errors.LimitError"


def raisable(
    task: str, record: ErrorRecord, attempts: tuple[ErrorRecord, ...], declared: tuple[type[BaseException], ...]
) -> TaskError:
    """The exception for a recorded failure.

    It is a TaskError, and also an instance of the class that `raises=` declares for it (or LimitError), so that
    `except PaymentDeclined` works; the declared class's `__init__` is not called.
    """
    kinds: tuple[type[BaseException], ...] = (LimitError, *declared) if _LIMIT in record.lineage else declared
    for kind in kinds:
        if qualified_name(kind) in record.lineage:
            mixed: Any = _mixed(kind)  # type: ignore[arg-type]  # classes are hashable, their stubs say otherwise
            error: TaskError = mixed.__new__(mixed)
            TaskError.__init__(error, task, record, attempts)
            if kind is LimitError:
                error.args = (record.message,)  # it says itself what met a limit
                vars(error).update(record.details or {})
            return error
    return TaskError(task, record, attempts)


def culprit(error: BaseException) -> TaskId | None:
    """The task whose failure an exception is, or was raised for; None when it tells of none."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, TaskError) and error.task_id:
            return TaskId(error.task_id)
        if isinstance(error, BaseExceptionGroup):
            return next(filter(None, map(culprit, error.exceptions)), None)
        error = error.__cause__ or error.__context__ or error
    return None


@lru_cache(maxsize=256)
def _mixed(kind: type[BaseException]) -> type:
    own = {"__module__": kind.__module__, "__init__": TaskError.__init__, "__str__": Exception.__str__}
    return type(kind.__name__, (TaskError, kind), own)
