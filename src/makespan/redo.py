"""What a resumed run does again: what failed (`retry=`), and what has other code now (`on_change="rerun"`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from makespan.errors import UsageError, suggestion
from makespan.graph.node import Effect, Node
from makespan.logs import logger
from makespan.machine import retrying
from makespan.machine.records import TaskState
from makespan.machine.state import State

MOST_NAMED = 5


def tasks_to_redo(
    state: State, *, retry: bool | Sequence[str], nodes: Iterable[Node] = (), on_change: str = "stop"
) -> list[int]:
    """Numbers of the tasks to open again.

    Args:
        retry: True for what failed; or ids (or their beginning, or keys) of tasks that have ended.
        nodes: the traced graph as the code is now.
    Raises:
        UsageError: there is nothing to do again, a name is unknown, or something irreversible stands in the way.
    """
    chosen: list[int] = []
    if retry:
        chosen = retrying.failures(state) if retry is True else [_named(state, name) for name in retry]
        problem = retrying.problem(state, chosen)
        if problem is not None:
            raise UsageError(f"run {state.run_id} cannot be retried: {problem}")
    if on_change == "rerun":
        changed = [n for n in retrying.stale(state, nodes) if _may_repeat(state.tasks[n])]
        chosen += [n for n in changed if retrying.problem(state, [n]) is None]
    return sorted(set(chosen))


def _may_repeat(task: TaskState) -> bool:
    return task.declaration.options.effect != Effect.IRREVERSIBLE


def _named(state: State, name: str) -> int:
    by_id = [t for t in state.tasks if len(name) >= 4 and t.spec.id.hex().startswith(name.lower())]
    found = by_id or [t for t in state.tasks if name in (t.declaration.key, t.spec.label)]
    if len(found) == 1:
        return found[0].number
    if found:
        listed = ", ".join(t.spec.id.hex()[:12] for t in found[:6])
        raise UsageError(f"{len(found)} tasks of run {state.run_id} are called {name!r}; give the id of one: {listed}")
    hint = suggestion(name, sorted({t.declaration.key for t in state.tasks}))
    raise UsageError(f"run {state.run_id} has no task {name!r}{hint}")


def tell_stale(state: State, numbers: Sequence[int], on_change: str) -> None:
    """Say which results came from other code than today's, and what becomes of them."""
    kept = [n for n in numbers if on_change != "rerun" or not _may_repeat(state.tasks[n])]
    if not kept:
        return
    names = sorted({state.tasks[number].declaration.key for number in kept})
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    is_repeatable = any(_may_repeat(state.tasks[number]) for number in kept)
    hint = "on_change='rerun' does them again" if is_repeatable else "they are irreversible and stay as they are"
    logger("makespan").warning(
        "run %s: the code of %d finished tasks has changed (%s%s); their results are used: %s",
        state.run_id,
        len(kept),
        ", ".join(names[:MOST_NAMED]),
        more,
        hint,
    )
