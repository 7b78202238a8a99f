"""Opens dependencies where the call is made: on the thread of a plain task, and in a worker process.

    Here(process) ── Here(call) ── get(db) ── get(dsn)          closed in reverse order of opening

No asyncio here: a worker process starts without it, and few need it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from makespan.errors import EngineError, Fatal, ProviderError, record_of
from makespan.logs import logger
from makespan.ports import Dependency
from makespan.references import Secret

LOG = "makespan.resources"


class NotOpened(EngineError):
    """A dependency could not be opened; what it said is the cause."""

    def __init__(self, dependency: Dependency, error: BaseException) -> None:
        super().__init__(f"{dependency.key} could not be opened")
        self.dependency, self.error = dependency, error

    def for_task(self, key: str) -> ProviderError:
        """The attempt's error, with task and provider. Tried again unless the provider itself says otherwise."""
        error, record = self.error, record_of(self.error)
        said = record.message if isinstance(error, EngineError) else f"{record.type}: {record.message}"
        is_secret = isinstance(self.dependency, Secret)
        what = "" if is_secret else f"the provider {self.dependency.key} could not be opened: "
        failure = ProviderError(
            f"task {key}: {what}{said}",
            kind=error.kind if isinstance(error, ProviderError) else "unavailable",
            retryable=error.retryable if isinstance(error, ProviderError) else not isinstance(error, Fatal),
            retry_after_s=record.retry_after_s,
        )
        return failure.with_traceback(error.__traceback__)


class Here:
    """Dependencies opened in this thread.

    Args:
        outer: has those of the other scopes.
        scopes: the scopes that live as long as this object.
        values: what is open already.
    """

    def __init__(
        self,
        outer: Here | None = None,
        scopes: frozenset[str] = frozenset({"engine", "run", "attempt"}),
        values: Mapping[Dependency, Any] | None = None,
        replaced: Callable[[Dependency], Dependency] | None = None,
    ) -> None:
        self._outer, self._scopes, self._replaced = outer, scopes, replaced
        self._values: dict[Dependency, Any] = dict(values or {})
        self._open: list[tuple[Dependency, Any]] = []

    def values_of(self, needs: Mapping[str, Dependency]) -> dict[str, Any]:
        """Values by parameter, opened where they are not. Raises NotOpened."""
        return {name: self.get(dependency) for name, dependency in needs.items()}

    def get(self, dependency: Dependency) -> Any:
        """The value of one."""
        if dependency in self._values:
            return self._values[dependency]
        if self._outer is not None and dependency.scope not in self._scopes:
            return self._outer.get(dependency)
        source = dependency if self._replaced is None else self._replaced(dependency)
        values = self.values_of(source.needs)
        try:
            value, generator = _begin(source, values)
        except NotOpened:
            raise
        except Exception as error:
            raise NotOpened(dependency, error) from error
        if generator is not None:
            self._open.append((source, generator))
        self._values[dependency] = value
        return value

    def close(self, error: BaseException | None = None) -> None:
        """Let all go, the last opened first. What they raise is logged.

        Args:
            error: what ended the attempt, raised at the `yield` of its generators.
        """
        self._values.clear()
        while self._open:
            dependency, generator = self._open.pop()
            try:
                _finish(dependency, generator, error)
            except Exception as problem:  # noqa: BLE001 - the result stands; the log says what was left behind
                if problem is not error:
                    not_closed(dependency)


def _begin(dependency: Dependency, values: dict[str, Any]) -> tuple[Any, Any]:
    made = dependency.make(**values)
    match dependency.how:
        case "generator":
            return first_value(made), made
        case "async_generator":
            return in_loop(afirst_value(made)), made
        case "coroutine":
            return in_loop(made), None
        case _:
            return made, None


def _finish(dependency: Dependency, generator: Any, error: BaseException | None) -> None:
    if dependency.how != "async_generator":
        finish(generator, error)
    else:
        in_loop(afinish(generator, error))


def first_value(generator: Any) -> Any:
    """What a generator yields. Raises ValueError when it yields nothing."""
    for value in generator:
        return value
    raise ValueError("the provider ended without a `yield`")


def finish(generator: Any, error: BaseException | None) -> None:
    """Run what stands after the `yield`; raises what that raises, but not `error` itself."""
    try:
        if error is None:
            next(generator)
        else:
            generator.throw(error)
    except StopIteration:
        return
    except BaseException as raised:
        if raised is error:
            return
        raise
    generator.close()
    raise ValueError("the provider has more than one `yield`")


async def afinish(generator: Any, error: BaseException | None) -> None:
    """`finish` for an async generator."""
    try:
        if error is None:
            await anext(generator)
        else:
            await generator.athrow(error)
    except StopAsyncIteration:
        return
    except BaseException as raised:
        if raised is error:
            return
        raise
    await generator.aclose()
    raise ValueError("the provider has more than one `yield`")


async def afirst_value(generator: Any) -> Any:
    """`first_value` for an async generator."""
    async for value in generator:
        return value
    raise ValueError("the provider ended without a `yield`")


def not_closed(dependency: Dependency) -> None:
    """Log the exception being handled: closing failed."""
    logger(LOG).warning("the provider %s could not be closed", dependency.key, exc_info=True)


_loops: list[Any] = []


def in_loop(work: Any) -> Any:
    """Run a coroutine in this process's own loop: asynchronous providers of a worker. One for all, made at need."""
    if not _loops:
        # Not at the top: asyncio costs the start of every worker 25 ms.
        _loops.append(importlib.import_module("asyncio").Runner())
    return _loops[0].run(work)


def close_loop() -> None:
    """The end of a worker."""
    while _loops:
        _loops.pop().close()
