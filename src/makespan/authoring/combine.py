"""Putting Refs together: gather, map, first, outcome, when, fallback, scope, cancel.

They make edges and nodes the machine runs itself, so they cost no attempt; each works in plain and async workflows
unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
from hashlib import blake2b
from operator import or_
from typing import Any, Literal, ParamSpec, TypeVar, Union, cast, overload

import msgspec

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.place import Guard, Place, current, here
from makespan.authoring.ref import Picked, Ref, outcome_ref, several, source_of, unbound
from makespan.authoring.signature import Pieces, bind_here
from makespan.authoring.task import HOOKS, Task
from makespan.authoring.trace import TraceBuilder
from makespan.codec import Outcome
from makespan.errors import GraphError
from makespan.graph.expression import parse
from makespan.graph.node import (
    Declaration,
    Errors,
    First,
    Kind,
    MapOver,
    Mode,
    Scope,
    Source,
    is_placeholder,
    item_placeholder,
)
from makespan.values import ScopeId, TaskId

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

_FIRST = Declaration("first", Kind.FIRST)
FAILED = "value.status == 'failed'"
"""The guard under which the next alternative of a fallback is tried."""


# ---------------------------------------------------------------- gather and outcome


@overload
def gather(a: Ref[A], b: Ref[B], /) -> Ref[tuple[A, B]]: ...
@overload
def gather(a: Ref[A], b: Ref[B], c: Ref[C], /) -> Ref[tuple[A, B, C]]: ...
@overload
def gather(a: Ref[A], b: Ref[B], c: Ref[C], d: Ref[D], /) -> Ref[tuple[A, B, C, D]]: ...
@overload
def gather(*refs: Ref[T]) -> Ref[list[T]]: ...
def gather(*refs: Ref[Any]) -> Ref[Any]:
    """All of them: a Ref to the list of values. Awaited, it raises the first failure that is delivered."""
    return several(here("ms.gather").builder, [_bound(ref) for ref in refs])


def outcome(ref: Ref[T], /) -> Ref[Outcome[T]]:
    """How a task ended, as data: never fails. Whoever takes the outcome has received the failure."""
    place = here("ms.outcome")
    leaf = _leaf(_bound(ref))
    return outcome_ref(leaf if leaf._pick is None else _held(place, leaf, "chosen"))


def cancel(ref: Ref[Any], /) -> None:
    """Cancel what a Ref stands for, if it has not ended (async workflows)."""
    _live("ms.cancel").cancel_ref(ref)


# ---------------------------------------------------------------- first


@overload
def first(a: Ref[A], b: Ref[B], /) -> Ref[A | B]: ...
@overload
def first(a: Ref[A], b: Ref[B], c: Ref[C], /) -> Ref[A | B | C]: ...
@overload
def first(*refs: Ref[T], accept: str | type[bool] | Task[..., bool] | None = None) -> Ref[T]: ...
@overload
def first(*refs: Ref[T], n: int, accept: str | type[bool] | Task[..., bool] | None = None) -> Ref[list[T]]: ...
def first(*refs: Ref[Any], n: int | None = None, accept: Any = None) -> Ref[Any]:
    """The first success (or the first `n`); the others are cancelled.

    Args:
        accept: what counts: an expression over `value`, `bool` for truthy values, or a task that judges: a gate.
    Raises:
        GraphError: no candidates, or fewer than `n`. Awaiting raises the last failure when all failed.
    """
    place = here("ms.first")
    candidates = [_leaf(_bound(ref)) for ref in refs]
    wanted = 1 if n is None else n
    if not 1 <= wanted <= len(candidates):
        raise GraphError(f"ms.first wants {wanted} of {len(candidates)} candidates")
    sources = [source_of(ref) for ref in candidates]
    join = First(wanted, "", n is not None)
    if isinstance(accept, Task):
        sources += [source_of(accept(ref)) for ref in candidates]
        join = First(wanted, "", n is not None, gated=True)
    elif accept is not None:
        text = "value" if accept is bool else accept
        if not isinstance(text, str):
            raise GraphError(
                "accept= is an expression over `value`, bool, or a task; a function is not durable, make it a task"
            )
        parse(text, ["value"])
        join = First(wanted, text, n is not None)
    task = place.special(_FIRST, (), tuple(sources), first=join)
    return _joined(place, task, candidates, many=n is not None)


def _joined(place: Place, task: TaskId, candidates: Sequence[Ref[Any]], *, many: bool) -> Ref[Any]:
    """The Ref to the value of a FIRST node; awaited, it decodes by the type of the winner."""
    kinds = [type(None) if ref._type is None else ref._type for ref in candidates]

    def pick(value: bytes) -> Any:
        which, won = msgspec.msgpack.decode(value, type=tuple[Any, msgspec.Raw])
        if which == -1:
            return None
        if not many:
            return HOOKS.codec(kinds[which]).decode(bytes(won))
        parts = msgspec.msgpack.decode(won, type=list[msgspec.Raw])
        return [HOOKS.codec(kinds[i]).decode(bytes(part)) for i, part in zip(which, parts, strict=True)]

    union = _union(kinds)
    ref: Ref[Any] = Ref(place.builder, task, list[union] if many else union, "first", (1,))  # type: ignore[valid-type]
    ref._special = Picked(pick)
    return ref


def _union(kinds: Sequence[Any]) -> Any:
    if any(kind is Any for kind in kinds):
        return Any
    try:
        return reduce(or_, kinds)
    except TypeError:
        return Union[tuple(kinds)]  # noqa: UP007 - built at run time


# ---------------------------------------------------------------- when and fallback


@overload
def when(
    condition: bool, then: Callable[[], Ref[A]], otherwise: Callable[[], Ref[B]], /, *, test: str = "value"
) -> Ref[A | B]: ...
@overload
def when(condition: bool, then: Callable[[], Ref[A]], /, *, test: str = "value") -> Ref[A | None]: ...
def when(
    condition: Any,
    then: Callable[[], Ref[Any]],
    otherwise: Callable[[], Ref[Any]] | None = None,
    /,
    *,
    test: str = "value",
) -> Ref[Any]:
    """One branch or the other, decided when the condition's value is there; the other branch is skipped.

    Args:
        condition: a Ref. `test` is an expression over its `value`; without one, its truth.
        then, otherwise: called at once; the calls they make are guarded. Without `otherwise` the value is None.
    """
    place = here("ms.when")
    if not isinstance(condition, Ref):
        raise GraphError("the condition of ms.when is a value already: write a plain `if`")
    parse(test, ["value"])
    source = source_of(_leaf(_bound(condition)))
    branches = [_branch(place, Guard(source, test, True), then)]
    if otherwise is not None:
        branches.append(_branch(place, Guard(source, test, False), otherwise))
    task = place.special(_FIRST, (), tuple(source_of(ref) for ref in branches), first=First(default=True))
    joined = _joined(place, task, branches, many=False)
    if otherwise is None:
        joined._type = _union([joined._type, type(None)])
    return joined


def _branch(place: Place, guard: Guard, make: Callable[[], Ref[Any]]) -> Ref[Any]:
    """The result of a branch, in a node of its own that shares the branch's guard."""
    inside = place.guarded(guard)
    token = current.set(inside)
    try:
        ref = make()
        if not isinstance(ref, Ref):
            raise GraphError(f"a branch of ms.when returned {type(ref).__name__}; return a Ref")
        return _held(inside, ref, "branch")
    finally:
        current.reset(token)


class Fallback(Task[P, T]):
    """Ordered alternatives: the next is tried when the one before has failed. Made by `ms.fallback`."""

    is_traced = True

    def __init__(self, tasks: Sequence[Task[P, T]]) -> None:
        super().__init__(tasks[0].fn, {"key": "|".join(task.key for task in tasks)})
        self._tasks = tuple(tasks)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Ref[T]:
        if current.get() is None:
            return unbound(self.alternatives, args, kwargs)
        return cast("Ref[T]", self.alternatives(*args, **kwargs))

    @property
    def alternatives(self) -> _Alternatives:
        return _Alternatives(self)


class _Alternatives:
    """What a call of a fallback does inside a workflow."""

    kind = Kind.WORKFLOW

    def __init__(self, fallback: Fallback[Any, Any]) -> None:
        self.key, self.target, self.returns = fallback.key, fallback._tasks[0].target, fallback._tasks[0].returns
        self._tasks = fallback._tasks

    def __call__(self, *args: Any, **kwargs: Any) -> Ref[Any]:
        return tried_in_order([partial(task, *args, **kwargs) for task in self._tasks])


def tried_in_order(calls: Sequence[Callable[[], Ref[Any]]]) -> Ref[Any]:
    """The value of the first call that does not fail; each is made under a guard that the one before has failed."""
    place = here("ms.fallback")
    refs = [_leaf(calls[0]())]
    for call in calls[1:]:
        failed = Guard(Source(refs[-1]._task, (), Mode.OUTCOME), FAILED, True)
        token = current.set(place.guarded(failed))
        try:
            refs.append(_leaf(call()))
        finally:
            current.reset(token)
    node = place.special(_FIRST, (), tuple(source_of(ref) for ref in refs), first=First())
    return _joined(place, node, refs, many=False)


def fallback(*tasks: Task[P, T]) -> Task[P, T]:
    """A task of the same signature that tries these in order until one succeeds."""
    if not tasks:
        raise GraphError("ms.fallback needs at least one task")
    return Fallback(tasks)


# ---------------------------------------------------------------- map


@overload
def map(
    fn: Callable[[A], Ref[T]],
    items: Iterable[A],
    /,
    *,
    errors: Literal["raise", "drop"] = ...,
    limit: int | None = None,
    key: Callable[[A], str] | None = None,
) -> Ref[list[T]]: ...
@overload
def map(
    fn: Callable[[A], Ref[T]],
    items: Iterable[A],
    /,
    *,
    errors: Literal["keep"],
    limit: int | None = None,
    key: Callable[[A], str] | None = None,
) -> Ref[list[Outcome[T]]]: ...
def map(fn: Any, items: Any, /, *, errors: str = "raise", limit: int | None = None, key: Any = None) -> Ref[Any]:
    """`fn` for each item: a Ref to the list of results, in the items' order.

    Args:
        items: a list, or a Ref to one (then a template is made and copied when the list is known).
        errors: raise fails the map at the first failed item (the others go on), keep gives Outcomes, drop leaves
            failed items out.
        limit: most items at once.
        key: what an item is known by across restarts; its content unless given (async workflows).
    """
    place = here("ms.map")
    try:
        tolerance = Errors[errors.upper()]
    except KeyError:
        raise GraphError(f"errors={errors!r}: it is one of raise, keep, drop") from None
    if isinstance(items, Ref):
        items = _leaf(_bound(items))
        if key is not None:
            raise GraphError("key= needs the items themselves: await the list first")
        return _template_map(place, fn, items, tolerance, limit or 0)
    return _eager_map(place, fn, list(items), tolerance, limit or 0, key)


def _eager_map(place: Place, fn: Any, items: list[Any], errors: Errors, limit: int, key: Any) -> Ref[Any]:
    real = place.real
    if limit or errors != Errors.RAISE:
        real = place.scope_id("map")
        tolerant = errors != Errors.RAISE
        place.builder.open_scope(Scope(real, place.real, "map", None, None, limit, tolerant=tolerant))
    seen: dict[bytes, int] = {}
    refs = []
    for item in items:
        inside = _item_scope(place.inside, item, key, seen)
        token = current.set(Place(place.builder, real, inside, place.guards, place.depth))
        try:
            ref = fn(item)
            if not isinstance(ref, Ref):
                raise GraphError(f"the function of ms.map returned {type(ref).__name__}; return the Ref of a call")
            leaf = _leaf(ref)
            refs.append(outcome_ref(_whole(leaf)) if errors == Errors.KEEP else leaf)
        finally:
            current.reset(token)
    return several(place.builder, refs, errors)


def _item_scope(parent: ScopeId, item: Any, key: Any, seen: dict[bytes, int]) -> ScopeId:
    said = b"key:" + key(item).encode() if key is not None else _content(item)
    times = seen[said] = seen.get(said, -1) + 1
    return ScopeId(blake2b(parent + b"item:%d:" % times + said, digest_size=16).digest())


def _content(item: Any) -> bytes:
    holder = Pieces()
    holder.put(item, type(item) if not isinstance(item, (list, dict, tuple, Ref)) else Any, "an item of ms.map", HOOKS)
    return msgspec.msgpack.encode((holder.done(), holder.sources))


def _template_map(place: Place, fn: Any, items: Ref[Any], errors: Errors, limit: int) -> Ref[Any]:
    """Trace `fn` once with a placeholder for the item."""
    inner = TraceBuilder()
    inner.registry = place.builder.registry
    item_type = _element(items._type)
    stand_in: Ref[Any] = Ref(inner, item_placeholder(place.depth), item_type, "item")
    token = current.set(Place(inner, place.real, ScopeId(b"\0" * 15 + b"\1"), (), place.depth + 1))
    try:
        result = fn(stand_in)
        if not isinstance(result, Ref):
            raise GraphError(f"the function of ms.map returned {type(result).__name__}; return the Ref of a call")
        leaf = _leaf(result) if result._mode == Mode.VALUE else _held(cast("Place", current.get()), result, "item")
        if errors == Errors.KEEP:
            leaf = _whole(leaf)
    finally:
        current.reset(token)
    if inner.scopes:
        raise GraphError("ms.scope inside the function of ms.map: await the list first, then map over it")
    over = MapOver(tuple(inner.nodes), source_of(leaf), errors, limit)
    name = getattr(fn, "key", None) or "map"
    own = {node.id for node in inner.nodes}
    needed = {source_of(items): None}
    for edge in (edge for node in inner.nodes for edge in node.sources):
        if edge.task not in own and not is_placeholder(edge.task):
            mode = Mode.OUTCOME if edge.mode == Mode.OUTCOME else Mode.AFTER
            needed[Source(edge.task, (), mode)] = None
    task = place.special(Declaration(f"map {name}", Kind.MAP), (), tuple(needed), over=over)
    kind = list[Outcome[leaf._type]] if errors == Errors.KEEP else list[leaf._type]  # type: ignore[name-defined]
    return Ref(place.builder, task, kind, f"map {name}")


def _element(kind: Any) -> Any:
    arguments = getattr(kind, "__args__", ())
    return arguments[0] if arguments else Any


# ---------------------------------------------------------------- helpers


def _live(what: str) -> LiveBodies:
    builder = here(what).builder
    if not isinstance(builder, LiveBodies):
        raise GraphError(f"{what} works in async workflows only")
    return builder


def _bound(ref: Any) -> Ref[Any]:
    if not isinstance(ref, Ref):
        raise GraphError(f"{type(ref).__name__} is a value, not a Ref: pass the call itself")
    return bind_here(ref) if ref._unbound is not None else ref


def _leaf(ref: Ref[Any]) -> Ref[Any]:
    """A Ref to one task: itself, or a node that puts several together."""
    if ref._several is None:
        return ref
    return _held(here("a group of Refs"), ref, "gather")


def _held(place: Place, ref: Ref[Any], name: str) -> Ref[Any]:
    """A node of its own whose value is what the Ref stands for."""
    holder = Pieces()
    holder.put(ref, Any, name, HOOKS)
    held = place.value(holder.done(), tuple(holder.sources), ref._type, name)
    if ref._pick is not None:
        held._type = Any if not _decodable(ref._type) else ref._type
    return held


def _whole(ref: Ref[Any]) -> Ref[Any]:
    """A Ref to all of a task's value: itself, or a node that holds the part or the item it stands for."""
    if not ref._path and not is_placeholder(ref._task):
        return ref
    return _held(here("a part"), ref, "part")


def _decodable(kind: Any) -> bool:
    try:
        HOOKS.codec(kind)
    except GraphError:
        return False
    return True
