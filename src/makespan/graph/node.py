"""What a graph is made of: declarations (what kind of task), nodes (one task), scopes (a named part of a run).

A node says everything about *what to do* as data: its arguments as byte pieces with holes, where each hole's value
comes from, when it may start, and what joins do with many sources. Nothing here knows what happened.

    search ──value──▶ grade            Source(search, mode=VALUE): waits, needs success, takes the value
    search ──after──▶ log              Source(search, mode=AFTER): waits, needs success, takes nothing
    search ──outcome▶ report           Source(search, mode=OUTCOME): waits for any end, takes {status, value, error}
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec

from makespan.values import Nanos, NanoUsd, ScopeId, TaskId


class Kind(IntEnum):
    """What running a node means."""

    CALL = 0
    """Run the task's code once per attempt."""
    WORKFLOW = 1
    """Run a live body; ends when the body returned and all tasks of its scope ended."""
    VALUE = 2
    """No code: its value is its own arguments with the holes filled (a graph's output, a workflow's inputs)."""
    FIRST = 3
    """Ends when `wanted` of its sources passed `accept`; the others are cancelled."""
    MAP = 4
    """One copy of `template` for each item of its only VALUE source; its value is the list of their results."""
    TIMER = 5
    """Ends `delay_ns` after it became ready, or when its arguments say, with None."""
    SIGNAL = 6
    """Ends with the message it waits for; a question is one whose message is a person's answer."""
    EDIT = 7
    """Changes the graph as its arguments say, in the turn in which it is ready; its value is the verdict."""


class Mode(IntEnum):
    """What an edge takes from its source."""

    VALUE = 0
    AFTER = 1
    OUTCOME = 2


class Effect(IntEnum):
    """What repeating a task would do to the world."""

    PURE = 0
    IDEMPOTENT = 1
    IRREVERSIBLE = 2


class Errors(IntEnum):
    """What a map does with items that failed."""

    RAISE = 0
    KEEP = 1
    DROP = 2


class Source(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where one hole's value, or one thing to wait for, comes from."""

    task: TaskId
    path: tuple[str | int, ...] = ()
    mode: Mode = Mode.VALUE


class Options(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The options of a task as declared data. Durations are nanoseconds, money nano-USD."""

    effect: Effect = Effect.IDEMPOTENT
    retries: int = 0
    retry_on: tuple[str, ...] = ()
    """Qualified names of exceptions; empty means what the effect's default says."""
    raises: tuple[str, ...] = ()
    timeout_ns: Nanos | None = None
    needs: tuple[tuple[str, int], ...] = ()
    priority: int = 0
    executor: str = "auto"
    budget: NanoUsd | None = None
    deadline_ns: Nanos | None = None
    models: tuple[str, ...] = ()
    version: str = ""
    priced: bool = False
    """Whether an attempt costs money: its worst case is asked for and reserved before it starts."""
    approve: bool = False
    """Whether a person must allow each task before it starts."""
    cache_ns: Nanos | None = None
    """How long a result may stand in for another run of the same task with the same arguments."""
    stream: bool = False
    """Whether the pieces of a model's answer are passed on as they come."""
    heeds_retry: bool = True
    """Whether `Retry` is honoured without `retries`. Not for an agent's tool: its model hears of it at once."""
    hedge: float | None = None
    """Quantile of its duration after which a second attempt is started beside the first; None never."""


class Wait(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a SIGNAL waits for."""

    name: str = ""
    """Name of the message; empty for a question, which is answered by its task's id."""
    schema: bytes = b""
    """JSON Schema of the value, for forms and for senders that do not have the code."""
    has_default: bool = False
    """Whether `default` of its arguments is the answer when none came within `delay_ns`."""


class Declaration(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What all calls of one task share."""

    key: str
    kind: Kind = Kind.CALL
    options: Options = Options()
    returns: str = ""
    """The declared result type, for people."""
    code: str = ""
    """Digest of code and prompt text: stored beside results, never part of an id."""
    wait: Wait | None = None
    undo: Undo | None = None


class Undo(msgspec.Struct, frozen=True, gc=False):
    """How a task is compensated: one call of another task, with the result of the first for its parameter."""

    declaration: Declaration
    parameter: str
    target: str = ""
    """Where the code of the undo is: a run that was cancelled is resumed without its bodies, which name it."""
    undone: str = ""
    """Where the code of the task it undoes is."""


class First(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Join of a FIRST node. `accept` is an expression over `value`; empty accepts every success."""

    wanted: int = 1
    accept: str = ""
    many: bool = False
    """Whether the value is `[indexes, values]` of the accepted sources in their order, or `[index, value]` of one."""
    default: bool = False
    """Whether the value is `[-1, None]` when every source was skipped by a guard; otherwise the node is skipped too."""
    gated: bool = False
    """Whether the second half of the sources are gates: a candidate passes when its gate's value is true."""


class MapOver(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Template of a MAP node. Node ids in the template are placeholders, made real once per item."""

    nodes: tuple[Node, ...]
    output: Source
    """The result of one item: a node of the template (or the item itself, or a node outside)."""
    errors: Errors = Errors.RAISE
    limit: int = 0
    """Most items whose tasks may run at once; 0 is no limit."""
    items: tuple[Source, ...] = ()
    """Where the items of the maps around this one are, outermost first; filled in when those expand."""


class Node(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One task of a graph, as data.

    `args` are the encoded arguments: byte pieces, and for every hole the index of the source that fills it.
    `sources` hold the holes' sources first, then what the node only waits for. `when` is an expression over the sources
    by their index (`s0`, `s1`); false skips the node, and the skip ripples on.
    """

    id: TaskId
    declaration: Declaration
    scope: ScopeId
    args: tuple[bytes | int, ...] = ()
    sources: tuple[Source, ...] = ()
    when: str = ""
    label: str = ""
    first: First | None = None
    over: MapOver | None = None
    delay_ns: Nanos = Nanos(0)

    @property
    def key(self) -> str:
        return self.declaration.key


class Scope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A named part of a run: a sub-workflow, one item of a map, or `ms.scope`. Carries limits and cancellation."""

    id: ScopeId
    parent: ScopeId
    name: str
    budget: NanoUsd | None = None
    deadline_ns: Nanos | None = None
    """After the scope opened."""
    limit: int = 0
    """Most tasks of this scope (with its children) that may run at once; 0 is no limit."""
    undo: bool = False
    """Whether what was done in it is undone when it is left by an error or cancelled."""
    tolerant: bool = False
    """Whether failures in it are kept as data: a retry does them again."""


PLACEHOLDER_PREFIX = b"\xff" * 8
ITEM = TaskId(b"\xff" * 16)
"""Stands for the current item inside a map's template, in ids too: an item's place in its list is not part of an id."""


def item_placeholder(depth: int) -> TaskId:
    """What stands for the item of a map inside `depth` other maps; `ITEM` for the outermost."""
    return TaskId(PLACEHOLDER_PREFIX + (2**64 - 1 - depth).to_bytes(8, "big"))


def is_placeholder(task: TaskId) -> bool:
    """Whether an id stands for an item rather than a task."""
    return task[:8] == PLACEHOLDER_PREFIX


def copied(node: Node, **changes: Any) -> Node:
    """A node with some fields changed."""
    return msgspec.structs.replace(node, **changes)
