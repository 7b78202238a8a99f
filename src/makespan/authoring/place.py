"""Where a call goes: the scope it is made in and the builder that takes it (a trace, or the live bodies of a run).

`current` holds the place of the code that runs right now: a workflow's body or trace sets it, a running task sets
INSIDE_A_TASK, and outside of both it is empty, which makes calls unbound Refs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from makespan.authoring.ref import Ref
from makespan.errors import GraphError
from makespan.graph.digest import Identity, occurrence
from makespan.graph.node import Declaration, First, Kind, MapOver, Mode, Node, Scope, Source
from makespan.graph.tokens import tokens
from makespan.ports import AttemptInfo
from makespan.values import Nanos, ScopeId, TaskId

if TYPE_CHECKING:
    from makespan.authoring.task import Task

Args = tuple[bytes | int, ...]
_encode = msgspec.msgpack.encode


class Registry:
    """The code behind the keys of one run; two functions with one key are refused."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task[..., Any]] = {}
        self.inlined: list[Any] = []
        """Plain workflows that were called while tracing (`trace.Inlined`), inner ones first."""
        self.awaited: dict[Declaration, Any] = {}
        """What each SIGNAL's message must be: its declared type."""
        self.stand_in: Callable[[Task[..., Any]], Task[..., Any]] | None = None
        """Gives what is called in place of a task, where the engine has fakes."""

    def add(self, task: Task[..., Any]) -> None:
        known = self._tasks.setdefault(task.key, task)
        if known is not task and known.fn is not task.fn:
            raise GraphError(
                f"two functions have the key {task.key!r} ({known.where} and {task.where}); give one of them key=..."
            )
        if task.undo is not None and task.undo.key not in self:
            self.add(task.undo)

    def copy(self) -> Registry:
        """The same, for one more run: what that adds stays with it."""
        registry = Registry()
        registry._tasks.update(self._tasks)
        registry.awaited.update(self.awaited)
        registry.stand_in = self.stand_in
        return registry

    def get(self, key: str) -> Task[..., Any] | None:
        return self._tasks.get(key)

    def all(self) -> list[Task[..., Any]]:
        """Every task, in the order of their first calls."""
        return list(self._tasks.values())

    def __contains__(self, key: str) -> bool:
        return key in self._tasks


class Builder(Protocol):
    """Takes the nodes that calls make."""

    registry: Registry

    def add(self, node: Node) -> None: ...

    def open_scope(self, scope: Scope) -> None: ...

    def wait(self, ref: Ref[Any]) -> Generator[Any, None, Any]: ...

    def iterate(self, ref: Ref[Any]) -> AsyncIterator[Any]: ...


class Guard(msgspec.Struct, frozen=True):
    """Every node made under it starts only if `test` (an expression over `value`) holds for the condition."""

    condition: Source
    test: str
    wanted: bool


class Called:
    """What all calls of one task in one place share, looked up once."""

    __slots__ = ("after", "declaration", "encode", "identity", "key", "returns", "task")

    def __init__(self, inside: ScopeId, task: Task[..., Any]) -> None:
        self.task = task
        """Kept, so that its `id` stays its own."""
        self.identity = Identity(inside, task.identity)
        self.declaration = task.declaration
        self.encode = task.signature.encode
        self.returns = task.signature.returns
        self.key = task.key
        self.after = task.after


class Place:
    """One scope of one run as the code inside it sees it.

    `real` is the scope nodes belong to; `inside` is what their ids are made from: the same, except for the items of a
    map, which share the map's scope but are known by their content.
    """

    __slots__ = ("_called", "_seen", "builder", "depth", "guards", "inside", "real")

    def __init__(
        self,
        builder: Builder,
        real: ScopeId,
        inside: ScopeId | None = None,
        guards: tuple[Guard, ...] = (),
        depth: int = 0,
    ) -> None:
        self.builder = builder
        self.real = real
        self.inside = real if inside is None else inside
        self.guards = guards
        self.depth = depth
        """How many maps are around it."""
        self._called: dict[int, Called] = {}
        self._seen: dict[bytes, int] = {}

    def guarded(self, guard: Guard) -> Place:
        """The same place under one more guard."""
        place = Place(self.builder, self.real, self.inside, (*self.guards, guard), self.depth)
        place._called, place._seen = self._called, self._seen
        return place

    def call(self, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ref[Any]:
        """Make the call a node and give its Ref."""
        called = self._called.get(id(task))
        if called is None:
            registry = self.builder.registry
            chosen = task if registry.stand_in is None else registry.stand_in(task)
            models = models_here.get()
            if models and chosen.takes_models and not chosen.chosen_models:
                chosen = chosen.options(models=models)
            called = self._called[id(task)] = Called(self.inside, chosen)
            called.task = task
            registry.add(chosen)
        pieces, sources = called.encode(args, kwargs)
        if called.after:
            sources = [*sources, *(Source(ref._task, (), Mode.AFTER) for ref in called.after)]
        if sources or self.guards:
            content = called.identity.of(_encode((pieces, sources)))
        else:
            content = called.identity.of(pieces[0])  # type: ignore[arg-type]  # without holes it is one piece of bytes
        if content in self._seen:
            content = self._numbered(content)
        else:
            self._seen[content] = 0
        node = Node(content, called.declaration, self.real, pieces, tuple(sources))
        if self.guards:
            self._add(node)
        else:
            self.builder.add(node)
        return Ref(self.builder, content, called.returns, called.key)

    def special(
        self,
        declaration: Declaration,
        args: Args = (),
        sources: tuple[Source, ...] = (),
        *,
        first: First | None = None,
        over: MapOver | None = None,
        delay_ns: int = 0,
    ) -> TaskId:
        """A node the machine runs itself: a join, a map, a timer, a value."""
        said = _encode((args, sources, first, None if over is None else _said(over), delay_ns))
        task_id = self._numbered(Identity(self.inside, declaration.key.encode()).of(said))
        self._add(Node(task_id, declaration, self.real, args, sources, "", "", first, over, Nanos(delay_ns)))
        return task_id

    def value(self, args: Args, sources: tuple[Source, ...], kind: Any, name: str) -> Ref[Any]:
        """A node that only puts values together."""
        return Ref(self.builder, self.special(Declaration(name, Kind.VALUE), args, sources), kind, name)

    def scope_id(self, name: str) -> ScopeId:
        """The id of a named scope opened here; opened again, it is another one."""
        return ScopeId(self._numbered(Identity(self.inside, b"scope:").of(name.encode())))

    def _numbered(self, content: TaskId) -> TaskId:
        seen = self._seen
        times = seen.get(content)
        if times is None:
            seen[content] = 0
            return content
        seen[content] = times + 1
        return occurrence(content, times + 1)

    def _add(self, node: Node) -> None:
        """Hand the node over, under the guards of this place (a join needs none: what it joins has them)."""
        if self.guards and node.first is None:
            sources, tests = list(node.sources), [node.when] if node.when else []
            for guard in self.guards:
                tests.append(_test(guard, len(sources)))
                condition = guard.condition
                if node.over is not None:
                    condition = Source(condition.task, condition.path, Mode.AFTER)
                sources.append(condition)
            node = msgspec.structs.replace(node, sources=tuple(sources), when=" and ".join(f"({t})" for t in tests))
        self.builder.add(node)


def _said(over: MapOver) -> tuple[Any, ...]:
    """What a map does, as its id knows it: the calls of its template by their ids: changed code is no new map."""
    return [(node.id, node.when, node.sources) for node in over.nodes], over.output, over.errors, over.limit


def _test(guard: Guard, place: int) -> str:
    """The guard's expression with `value` named as the source it is."""
    text = with_name(guard.test, f"s{place}")
    return text if guard.wanted else f"not ({text})"


def with_name(expression: str, name: str) -> str:
    """An expression over `value` as one over another name."""
    out, at = [], 0
    previous = ""
    for token in tokens(expression):
        if token.kind == "word" and token.text == "value" and previous != ".":
            out.append(expression[at : token.column - 1] + name)
            at = token.column - 1 + len("value")
        previous = token.text
    return "".join(out) + expression[at:]


class InsideTask:
    """Marks that a task's code is running, and as which attempt."""

    __slots__ = ("info", "key", "workdir")

    def __init__(self, key: str, info: AttemptInfo | None = None) -> None:
        self.key, self.info = key, info
        self.workdir: Path | None = None
        """Made when the code first asks for it; removed when the attempt has ended."""


models_here: ContextVar[tuple[str, ...]] = ContextVar("makespan_models", default=())
"""What a workflow was told by `.options(models=...)`: for every prompt inside that was not told so itself."""
current: ContextVar[Place | InsideTask | None] = ContextVar("makespan_place", default=None)


def here(what: str) -> Place:
    """The place of the running workflow. Raises GraphError when `what` is used elsewhere."""
    place = current.get()
    if isinstance(place, Place):
        return place
    if isinstance(place, InsideTask):
        raise GraphError(
            f"{what} inside the task {place.key!r}: a task is one step; call it from a workflow and pass the result on"
        )
    raise GraphError(f"{what} works inside a workflow only")
