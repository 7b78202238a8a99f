"""Constellation (UFO³): a plan over devices that an editor keeps changing while it runs.

    planner ══steps══▶ plan on devices ──ends──▶ editor ──edit──▶ checked, applied ──▶ … until nothing is open
                          ▲ held: what reads these ends        refused: told to the editor, the plan stays valid

Source: the task constellations of UFO³ (Microsoft), from its public description: an editor is given the tasks that have
ended in one batch, what it may affect is held meanwhile. Parts: a live plan read while it is written, edit cycles
(`planners.cycles`), pools. What differs: unrelated steps go on and start while the editor thinks, there is no lock over
the whole plan; no edit is lost however slow the editor is; an edit is made against the revision that its editor saw;
devices are units of pools, so none is booked twice, by any run of the store.
Measured by `pytest tests/recipes/test_constellation.py tests/property/test_edit_cycles.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import msgspec

import makespan as ms
from makespan.authoring.ref import Ref
from makespan.authoring.task import Task
from makespan.planners.asking import asked_of
from makespan.planners.cycles import Cycle, Editor, When, Window, edit_cycle
from makespan.planners.known import Known, gaps, known
from makespan.planners.live import LivePlan
from makespan.planners.patches import Answer
from makespan.planners.schema import offers, signature
from makespan.planners.tools import text as in_text

VALUE_CHARS = 1_000
"""Characters of one result that the editor is shown."""
MAX_CALLS = 50
"""Times the editor is asked."""


class Device(msgspec.Struct, frozen=True):
    """Something that steps run on, one at a time unless it has more `slots`."""

    name: str
    capabilities: tuple[str, ...] = ()
    slots: int = 1

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(self.capabilities) or 'anything'}; {self.slots} at a time"


class Constellation(msgspec.Struct, frozen=True):
    """What came of a goal."""

    steps: tuple[Known, ...]
    edits: Cycle
    problems: tuple[str, ...] = ()
    """What of the plan could not be carried out, or only after a repair."""

    @property
    def missing(self) -> tuple[Known, ...]:
        """Steps without a result."""
        return gaps(self.steps)


def pools(devices: Iterable[Device]) -> dict[str, int]:
    """The pools of some devices, for `Engine(pools=)` or `makespan.toml`: one a device, and one a capability.

    A step takes a device by name (`needs: {laptop: 1}`), or any that can do something (`needs: {camera: 1}`).
    """
    found: dict[str, int] = {}
    for device in devices:
        for name in (device.name, *device.capabilities):
            found[name] = found.get(name, 0) + device.slots
    return found


@ms.prompt(max_tokens=1024)
def propose(goal: str, tools: list[str], devices: list[str]) -> AsyncIterator[str]:
    """The first plan, as JSON tasks."""
    there = "\nDevices, with what they can do:\n" + "\n".join(devices) if devices else ""
    needs = ', "needs": {"a device or a capability": 1}' if devices else ""
    ms.chat(
        "Plan the steps that reach a goal. Write a JSON list; a step is "
        '{"name": "1", "tool": "...", "args": {...}, "depends_on": ["names of steps that come before"]' + needs + "}. "
        "`${1}` in an argument stands for the result of step 1. Steps that do not need each other run at the same "
        "time. Write nothing but the list.\nTools:\n" + "\n".join(tools) + there + f"\n\nGoal: {goal}"
    )


@ms.prompt(max_tokens=1024)
def revise(window: Window) -> Answer:
    """What to change now that some steps have ended."""
    refused = "".join(f"\nYour edit was refused ({each.reason}): {each.detail}" for each in window.refused)
    ended = "\n".join(f"{each.name} {each.status}: {each.error or _text(each.value)}" for each in window.ended)
    tools = "\n".join(f"{tool['name']}: {tool['description']}" for tool in window.tools)
    plan = "\n".join(map(_line, window.plan))
    ms.chat(
        f"Goal: {window.goal}\n\nThe plan:\n{plan}\n\nJust ended:\n{ended}\n\nTools for new steps:\n{tools}\n\n"
        "Change the plan where that helps: add steps, drop or replace those that are waiting. What has started or "
        "ended stays. New steps need new names; `${1}` in an argument is the result of step 1. Most of the time "
        f"nothing needs to change: then give no edits.{refused}"
    )


def _line(step: Any) -> str:
    after = f", after {', '.join(step.after)}" if step.after else ""
    return f"{step.name}. {step.tool}({_text(step.args)}){after}: {step.status}"


def _text(value: Any) -> str:
    text = in_text.fn([value])
    return text if len(text) <= VALUE_CHARS else f"{text[: VALUE_CHARS - 1]}…"


async def constellation(
    goal: str,
    *,
    tools: Sequence[Task[..., Any]],
    devices: Sequence[Device] = (),
    planner: Task[..., list[str]] | str = propose,
    editor: Editor | None = revise,
    models: Sequence[str] = (),
    format: str = "json",
    when: When = "ended",
    editor_timeout_s: float | None = None,
    max_calls: int = MAX_CALLS,
) -> Constellation:
    """Reach a goal by a plan that an editor changes as its steps end; use it in an async workflow.

    Args:
        tools: tasks that steps call; with `needs=` where each call needs a device of a kind.
        devices: what there is, told to the planner; give the engine their `pools`.
        planner: a task or prompt with the parameters of `propose`, read as it writes; or a plan as text.
        editor: asked about a `Window`; a task, prompt or function. None leaves the plan as it is.
        when: which ends are a reason to ask it: `ended`, `failed`, or by name and outcome.
        editor_timeout_s: how long steps are held for one answer; a later one is judged all the same.
    Raises:
        TaskError: the planner failed.
    """
    plan = LivePlan(tools)
    if isinstance(planner, str):
        writing: Ref[list[str]] | str = planner
    else:
        offered = [signature(offer) for offer in offers(plan.tools)]
        writing = asked_of(planner, models)(goal, offered, [str(device) for device in devices])
    if isinstance(editor, Task):
        editor = asked_of(editor, models)
    ingesting = asyncio.ensure_future(plan.ingest(writing, format=format))
    await asyncio.sleep(0)  # it has begun to grow
    cycle = Cycle()
    try:
        if editor is not None:
            cycle = await edit_cycle(
                plan, editor, goal=goal, when=when, editor_timeout_s=editor_timeout_s, max_calls=max_calls
            )
        await ingesting
    finally:
        ingesting.cancel()
    await plan.settled()
    return Constellation(tuple(known(plan)), cycle, tuple(map(str, plan.problems)))
