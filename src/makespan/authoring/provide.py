"""`provide` and `use`: what a task needs besides its data. Injected parameters are no arguments of the task.

    @ms.provide                                             opened at its first use, closed with the engine
    async def db(dsn: str = ms.use(ms.secret("env:DSN"))) -> AsyncIterator[Pool]:
        async with connect(dsn) as pool:
            yield pool

    @ms.task
    async def retrieve(q: str, pool: Pool = ms.use(db)) -> list[Doc]: ...

They stand in no id, journal, schema or input of the command line. `retrieve.fn(q, pool=mine)` calls the plain function.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any, Generic, Literal, Never, TypeVar, get_args, overload

from makespan.errors import GraphError
from makespan.ports import Dependency
from makespan.references import Secret

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Scope = Literal["engine", "run", "attempt"]
How = Literal["value", "coroutine", "generator", "async_generator"]
SCOPES: tuple[str, ...] = get_args(Scope)
"""From the longest life to the shortest."""


class Provider(Generic[T_co]):
    """A function that gives one dependency: returns it, or yields it and cleans up afterwards. Made by `ms.provide`."""

    is_quick = False

    def __init__(self, fn: Callable[..., Any], scope: Scope) -> None:
        self.fn, self.scope = fn, scope
        self.key: str = getattr(fn, "__qualname__", type(fn).__name__).replace("<locals>.", "")
        self.__doc__ = fn.__doc__
        self.__name__ = getattr(fn, "__name__", self.key)
        self.__module__ = getattr(fn, "__module__", "")
        self.how: How = _how(fn, self.key)
        self._needs: Mapping[str, Dependency] | None = None
        if scope not in SCOPES:
            raise GraphError(f"the provider {self.key}: scope={scope!r}; it is one of {', '.join(SCOPES)}")
        injections(fn, f"the provider {self.key}")
        for parameter in _parameters(fn):
            if parameter.default is parameter.empty and parameter.kind not in _VARIADIC:
                raise GraphError(
                    f"the provider {self.key} is called by the engine: give its parameter {parameter.name!r} "
                    "a default, like ms.use(other_provider) or ms.use(ms.secret('env:NAME'))"
                )

    @property
    def needs(self) -> Mapping[str, Dependency]:
        """Its own injected parameters."""
        if self._needs is None:
            self._needs = injections(self.fn, f"the provider {self.key}")
        return self._needs

    def make(self, **values: Any) -> Any:
        """Call the function: the value, or what has to be awaited or iterated for it."""
        return self.fn(**values)

    def __call__(self, *_: object, **__: object) -> Never:
        raise GraphError(
            f"the provider {self.key} is called: write ms.use({self.__name__}) as a parameter's default, "
            f"or {self.__name__}.fn() for the plain function"
        )

    def __repr__(self) -> str:
        return f"<provider {self.key}>"


class Injection:
    """The default value of an injected parameter: what `ms.use` really returns."""

    __slots__ = ("dependency",)

    def __init__(self, dependency: Dependency) -> None:
        self.dependency = dependency

    def __repr__(self) -> str:
        return f"ms.use({self.dependency!r})"

    def __getattr__(self, name: str) -> Never:
        raise AttributeError(
            f"no {name!r} here: this is {self!r}, which only the engine fills in; "
            "a plain call `task.fn(...)` passes the value itself"
        )


@overload
def use(source: Provider[T], /) -> T: ...
@overload
def use(source: Secret, /) -> str: ...
def use(source: Any, /) -> Any:
    """Mark a parameter as injected: `pool: Pool = ms.use(db)`, `key: str = ms.use(ms.secret("env:KEY"))`.

    Raises:
        GraphError: the source is neither a provider nor a secret.
    """
    if isinstance(source, Provider | Secret):
        return Injection(source)
    name = getattr(source, "__name__", type(source).__name__)
    hint = f"; decorate {name} with @ms.provide" if callable(source) else "; write ms.use(ms.secret('env:NAME'))"
    raise GraphError(f"ms.use takes what @ms.provide made, or ms.secret(...), not {name}{hint}")


class _ProvideDecorator:
    """What `@provide(scope=...)` gives."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    @overload
    def __call__(self, fn: Callable[..., AsyncIterator[T]], /) -> Provider[T]: ...
    @overload
    def __call__(self, fn: Callable[..., Iterator[T]], /) -> Provider[T]: ...
    @overload
    def __call__(self, fn: Callable[..., Coroutine[Any, Any, T]], /) -> Provider[T]: ...
    @overload
    def __call__(self, fn: Callable[..., T], /) -> Provider[T]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Provider[Any]:
        return Provider(fn, self._scope)


@overload
def provide(fn: Callable[..., AsyncIterator[T]], /) -> Provider[T]: ...
@overload
def provide(fn: Callable[..., Iterator[T]], /) -> Provider[T]: ...
@overload
def provide(fn: Callable[..., Coroutine[Any, Any, T]], /) -> Provider[T]: ...
@overload
def provide(fn: Callable[..., T], /) -> Provider[T]: ...
@overload
def provide(*, scope: Scope = "engine") -> _ProvideDecorator: ...
def provide(fn: Callable[..., Any] | None = None, /, *, scope: Scope = "engine") -> Any:
    """Declare a dependency: a function, plain or async, that returns it, or yields it once and cleans up after that.

    Args:
        scope: how long one lives. `engine`: opened at its first use, closed with the engine (in a worker process: with
            the process). `run`: for one run, opened again when the run is resumed. `attempt`: for one attempt; a
            generator sees the attempt's exception at its `yield`.
    Raises:
        GraphError: a parameter that nobody can fill, or a context manager instead of a generator.
    """
    return _ProvideDecorator(scope) if fn is None else Provider(fn, scope)


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def injections(fn: Callable[..., Any], owner: str) -> dict[str, Dependency]:
    """The injected parameters of a function. Raises GraphError for a default that forgot `ms.use`."""
    found: dict[str, Dependency] = {}
    for parameter in _parameters(fn):
        default = parameter.default
        if isinstance(default, Injection):
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise GraphError(f"{owner}: the injected parameter {parameter.name!r} cannot be positional-only")
            found[parameter.name] = default.dependency
        elif isinstance(default, Provider | Secret):
            raise GraphError(f"{owner}: write ms.use(...) around the default of {parameter.name!r}, {default!r}")
    return found


def check_order(fn: Callable[..., Any], owner: str) -> None:
    """Injected parameters come last: a positional argument must mean the same with and without them."""
    injected = ""
    for parameter in _parameters(fn):
        if isinstance(parameter.default, Injection):
            injected = parameter.name
        elif injected and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            raise GraphError(
                f"{owner}: the parameter {parameter.name!r} stands after the injected {injected!r}; "
                "put injected parameters last, or behind a `*`"
            )


def check_needs(needs: Mapping[str, Dependency], owner: str, around: tuple[Dependency, ...] = ()) -> None:
    """Refuse providers that need each other in a circle, or something that lives shorter than they do.

    Raises:
        GraphError: naming the circle, or both providers.
    """
    for dependency in needs.values():
        if dependency in around:
            circle = " -> ".join(each.key for each in (*around[around.index(dependency) :], dependency))
            raise GraphError(f"{owner}: these providers need each other: {circle}")
        holder = around[-1] if around and not isinstance(dependency, Secret) else None
        if holder is not None and SCOPES.index(dependency.scope) > SCOPES.index(holder.scope):
            raise GraphError(
                f"{owner}: the provider {holder.key} (scope {holder.scope}) needs {dependency.key} "
                f"(scope {dependency.scope}), which lives shorter; give {holder.key} scope={dependency.scope!r}"
            )
        check_needs(dependency.needs, owner, (*around, dependency))


def refuse_injected(fn: Callable[..., Any], what: str, instead: str) -> None:
    """Raise GraphError when a function that cannot have injected parameters has one."""
    for name in injections(fn, what):
        raise GraphError(f"{what} cannot have the injected parameter {name!r}: {instead}")


def not_an_argument(name: str, dependency: Dependency, key: str) -> GraphError:
    """The error for a call that passes an injected parameter."""
    return GraphError(
        f"{name!r} of {key} is injected ({dependency.key}), a call cannot pass it; in tests replace it with "
        f"Engine(fakes={{...}}), or call the plain function: {key}.fn(..., {name}=...)"
    )


def _parameters(fn: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):  # a builtin that does not say
        return []


def _how(fn: Callable[..., Any], key: str) -> How:
    if not callable(fn):
        raise GraphError(f"@ms.provide takes a function, not {type(fn).__name__}")
    inner = inspect.unwrap(fn)
    if inner is not fn and _is_generator(inner) and not _is_generator(fn):
        raise GraphError(f"the provider {key} is a context manager already; drop @(async)contextmanager")
    if inspect.isasyncgenfunction(fn):
        return "async_generator"
    if inspect.isgeneratorfunction(fn):
        return "generator"
    return "coroutine" if inspect.iscoroutinefunction(fn) else "value"


def _is_generator(fn: Callable[..., Any]) -> bool:
    return inspect.isasyncgenfunction(fn) or inspect.isgeneratorfunction(fn)
