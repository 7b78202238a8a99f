"""What `--plan` names: a file with planned times, or an earlier run, real or simulated."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from makespan.errors import UsageError

if TYPE_CHECKING:
    from makespan.store_port import Journal
    from makespan.traces.spans import Span

FORMS = 'write {"<task id>": [start_ns, end_ns], ...}, or what `makespan trace RUN --json` prints'


def planned_times(said: str, journal: Journal, tasks: Collection[str]) -> dict[str, tuple[int, int]]:
    """Start and end by task id, nanoseconds since a run's start.

    Args:
        said: a JSON file, or a run of the store. tasks: short ids of the run at hand.
    Raises:
        UsageError: there is no such file or run, it is no plan, or it plans none of these tasks.
    """
    from makespan.traces.rows import ID_CHARS, plan_of

    file = Path(said)
    if file.suffix == ".json" or file.is_file():
        plan = _in_file(file)
    else:
        plan = plan_of(_spans_of_run(said, journal))
    if tasks and not {task[:ID_CHARS] for task in plan} & set(tasks):
        raise UsageError(
            f"the plan {said!r} has {len(plan)} tasks, none of them in this run: is it another workflow's?"
        )
    return plan


def _in_file(file: Path) -> dict[str, tuple[int, int]]:
    import msgspec

    from makespan.traces.rows import plan_of
    from makespan.traces.spans import Span

    try:
        said: Any = msgspec.json.decode(file.read_bytes())
        if isinstance(said, dict) and "spans" in said:
            return plan_of(msgspec.convert(said["spans"], list[Span]))
        plan = msgspec.convert(said, dict[str, tuple[int, int]])
    except OSError as error:
        raise UsageError(f"cannot read the plan {str(file)!r}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise UsageError(f"{str(file)!r} is no plan: {error}; {FORMS}") from error
    backwards = next((task for task, (start, end) in plan.items() if end < start or start < 0), None)
    if backwards is not None:
        raise UsageError(f"{str(file)!r}: task {backwards!r} ends before it starts, or starts before 0; {FORMS}")
    return plan


def _spans_of_run(said: str, journal: Journal) -> list[Span]:
    from makespan.cli.stored import facts_of, find_run
    from makespan.machine.state import State
    from makespan.traces.spans import spans_of

    return spans_of(facts_of(journal, find_run(journal, said).run_id), State(journal.blob))
