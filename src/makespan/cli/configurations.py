"""`run --config FILE --prefer NAME`: which mode each task has, out of what `makespan compile` found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from makespan.authoring.task import Task

DEFAULT_PREFERENCE = "balanced"


def chosen_modes(
    workflow: Task[..., Any],
    name: str | None,
    prefer: str | None,
    min_success: float | None,
    *,
    deadline_s: float | None,
    budget_usd: float | None,
    quiet: bool = False,
) -> dict[str, str]:
    """The modes of the configuration that fits best; says on stderr what it promises, unless `quiet`.

    Args:
        name: the file; without one there is nothing to choose.
    Raises:
        UsageError: no such file, made for another graph, or nothing in it fits the run's deadline and budget.
    """
    from makespan.authoring.trace import template_of
    from makespan.cli.failures import say
    from makespan.errors import UsageError
    from makespan.passes.compiled import described, read_compiled
    from makespan.values import nano_usd, nanos

    if name is None:
        if prefer is not None or min_success is not None:
            raise UsageError("--prefer and --min-success choose among the configurations of --config FILE: give one")
        return {}
    try:
        body = Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"--config {name} cannot be read: {error.strerror}") from None
    try:
        found = read_compiled(body)
    except UsageError as error:
        raise UsageError(f"--config {name}: {error}") from None
    found.check(template_of(workflow).graph)
    point = found.choose(
        prefer or DEFAULT_PREFERENCE,
        deadline_ns=None if deadline_s is None else nanos(deadline_s),
        budget=None if budget_usd is None else nano_usd(budget_usd),
        min_success=min_success or 0.0,
    )
    modes = ", ".join(f"{key}={mode}" for key, mode in point.modes.items())
    if not quiet:
        say(f"{modes or 'nothing to choose'}: {described(point)}, as predicted")
    return point.modes
