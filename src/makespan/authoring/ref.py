"""A Ref stands for a value that is not there yet: what calling a task gives.

Pass it on and it is an edge; `await` it in a workflow's body and it is the value; `ref.x` and `ref[i]` are edges to a
part. Anything else that would need the value now (formatting, comparing, `if`) raises one error that names it, because
silently using the Ref itself would put an object's address into a paid prompt or make a comparison always false.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from makespan.codec import Outcome
from makespan.errors import GraphError
from makespan.graph.fields import field_type
from makespan.graph.node import Errors, Mode, Source
from makespan.values import TaskId

if TYPE_CHECKING:
    from makespan.authoring.place import Builder

    class _Stands(Any):  # type: ignore[misc]  # on purpose: a Ref goes into any parameter
        """A Ref may stand wherever its value may: type checkers see it as anything."""
else:

    class _Stands:
        __slots__ = ()


T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")


class Unbound:
    """What a call outside of any workflow asked for: a task and its arguments, for `run`, `start` and `plan`."""

    __slots__ = ("args", "kwargs", "task")

    def __init__(self, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.task, self.args, self.kwargs = task, args, kwargs


class Several:
    """Parts of a composite Ref: what `gather` and a live `map` give."""

    __slots__ = ("errors", "refs")

    def __init__(self, refs: list[Ref[Any]], errors: Errors = Errors.RAISE) -> None:
        self.refs, self.errors = refs, errors


class Picked:
    """How a body decodes the value of a FIRST node: by the type of the one that won."""

    __slots__ = ("decode",)

    def __init__(self, decode: Callable[[bytes], Any]) -> None:
        self.decode = decode


class Ref(Awaitable[T_co], _Stands):
    """Stands for a value of type T. No public attribute of its own: `ref.x` is an edge to field x."""

    __slots__ = ("_builder", "_mode", "_name", "_path", "_special", "_task", "_type")

    if TYPE_CHECKING:
        _builder: Builder | None
        _task: TaskId
        _path: tuple[str | int, ...]
        _mode: Mode
        _type: Any
        _name: str
        _special: Several | Unbound | Picked | None

    def __init__(
        self,
        builder: Builder | None,
        task: TaskId,
        kind: Any,
        name: str,
        path: tuple[str | int, ...] = (),
        mode: Mode = Mode.VALUE,
    ) -> None:
        self._builder = builder
        self._task = task
        self._type = kind
        self._name = name
        self._path = path
        self._mode = mode
        self._special = None

    @property
    def _several(self) -> Several | None:
        special = self._special
        return special if type(special) is Several else None

    @property
    def _unbound(self) -> Unbound | None:
        special = self._special
        return special if type(special) is Unbound else None

    @property
    def _pick(self) -> Callable[[bytes], Any] | None:
        special = self._special
        return special.decode if type(special) is Picked else None

    def __await__(self) -> Generator[Any, None, T_co]:
        if self._builder is None:
            raise GraphError(f"{self!r} was made outside of a workflow: pass it to ms.run(...) or ms.start(...)")
        return self._builder.wait(self)

    def __aiter__(self: Ref[list[U]]) -> AsyncIterator[U]:
        if self._builder is None:
            raise GraphError(f"{self!r} was made outside of a workflow: pass it to ms.run(...) or ms.start(...)")
        return self._builder.iterate(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return part_of(self, name)

    def __getitem__(self, key: Any) -> Any:
        if type(key) not in (int, str):
            refuse(self, f"[{key!r}]")
        if self._several is not None and type(key) is int:
            return self._several.refs[key]
        return part_of(self, key)

    def __repr__(self) -> str:
        where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self._path)
        return f"<Ref {self._name}{where}>"

    __hash__ = object.__hash__

    def _refused(operation: str) -> Callable[..., Any]:  # noqa: N805 - a helper of the class body
        def refused(self: Ref[Any], *_: object) -> NoReturn:
            refuse(self, operation)

        return refused

    __str__ = _refused("str()")
    __format__ = _refused("an f-string or format()")
    __eq__ = _refused("==")
    __ne__ = _refused("!=")
    __lt__ = _refused("<")
    __le__ = _refused("<=")
    __gt__ = _refused(">")
    __ge__ = _refused(">=")
    __len__ = _refused("len()")
    __contains__ = _refused("in")
    __int__ = _refused("int()")
    __float__ = _refused("float()")
    __index__ = _refused("range() or an index")
    __iter__ = _refused("a for loop or unpacking")
    __bool__ = _refused("if, and, or, not")
    __add__ = _refused("+")
    __radd__ = _refused("+")
    __sub__ = _refused("-")
    __mul__ = _refused("*")
    __truediv__ = _refused("/")
    __call__ = _refused("a call")

    del _refused


def refuse(ref: Ref[Any], operation: str) -> NoReturn:
    """The one error for using a Ref as if it were its value."""
    raise GraphError(
        f"{operation} on {ref!r}: the value is not there yet. In an async workflow write `await` first; "
        f"in a plain one pass the Ref to a task that does this (or to `ms.map`), or make the workflow `async`"
    )


def part_of(ref: Ref[Any], step: str | int) -> Ref[Any]:
    """The Ref to a field or item of what a Ref stands for. Raises GraphError for a field the type does not have."""
    if ref._unbound is not None:
        raise GraphError(f"{ref!r} was made outside of a workflow: take `.{step}` inside one")
    if ref._several is not None:
        raise GraphError(f"{step!r} of several Refs: index them with an int, or await them first")
    kind = field_type(ref._type, (step,)) if ref._type is not Any else None
    return Ref(ref._builder, ref._task, Any if kind is None else kind, ref._name, (*ref._path, step), ref._mode)


def outcome_ref(ref: Ref[Any]) -> Ref[Any]:
    """A Ref that reads how a task ended instead of its value."""
    if ref._path:
        raise GraphError(f"outcome of a part ({ref!r}): take the outcome of the task, then the part of its value")
    return Ref(ref._builder, ref._task, Outcome[ref._type], ref._name, (), Mode.OUTCOME)  # type: ignore[name-defined]


def source_of(ref: Ref[Any]) -> Source:
    """The edge a Ref stands for."""
    return Source(ref._task, ref._path, ref._mode)


def unbound(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ref[Any]:
    """The Ref of a call outside of any workflow."""
    ref: Ref[Any] = Ref(None, TaskId(b""), task.returns, task.key)
    ref._special = Unbound(task, args, kwargs)
    return ref


def several(builder: Builder, refs: list[Ref[Any]], errors: Errors = Errors.RAISE) -> Ref[Any]:
    """A Ref for a list of Refs."""
    kinds = {id(ref._type): ref._type for ref in refs}
    item = next(iter(kinds.values())) if len(kinds) == 1 else Any
    ref: Ref[Any] = Ref(builder, TaskId(b""), list[item], "gather")  # type: ignore[valid-type]
    ref._special = Several(refs, errors)
    return ref
