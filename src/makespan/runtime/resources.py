"""Opens what tasks are injected with, once a scope, and closes it in reverse order.

    engine ── run ── attempt        a scope looks outwards for what lives longer

Each asynchronous resource lives in one asyncio task from opening to closing: libraries bind their own scopes to it,
and an attempt that is cancelled while it waits cancels nobody else's. Plain providers run on threads; those of one
attempt of a plain task on the very thread the task runs on, as sqlite3 and its like demand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from makespan.logs import logger
from makespan.ports import AttemptInfo, Dependency, Produced, TaskCode, World
from makespan.runtime.opening import LOG, Here, NotOpened, afinish, afirst_value, finish, first_value, not_closed

CLOSE_S = 10.0
"""How long closing one scope may take; what has not closed by then is left behind, and the log says so."""

Replaced = Callable[[Dependency], Dependency]


class Spawner(Protocol):
    """The part of `World` that is used here."""

    def spawn(self, work: Any, name: str) -> Any: ...

    def in_thread(self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None: ...


class Opened:
    """One resource on its way from opening to closing."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[Any] = loop.create_future()
        self.leave: asyncio.Future[BaseException | None] = loop.create_future()
        self.over: asyncio.Future[None] = loop.create_future()
        self.task: Any = None


class Resources:
    """What is open in one scope."""

    def __init__(
        self, world: Spawner, scope: str = "engine", outer: Resources | None = None, replaced: Replaced | None = None
    ) -> None:
        self._world, self._scope, self._outer = world, scope, outer
        self.replaced: Replaced | None = replaced if outer is None else outer.replaced
        self._opened: dict[Dependency, Opened] = {}
        self._in_order: list[tuple[Dependency, Opened]] = []
        self._inner: dict[Resources, asyncio.Future[None]] = {}
        self._closing: Any = None

    @property
    def is_open(self) -> bool:
        """Whether anything has to be closed."""
        return bool(self._opened or self._inner)

    def inside(self, scope: str) -> Resources:
        """A scope that ends before this one."""
        return Resources(self._world, scope, self)

    # ------------------------------------------------------------ opening

    async def values_of(self, needs: Mapping[str, Dependency]) -> dict[str, Any]:
        """Values by parameter. Raises NotOpened."""
        return {name: await self.get(dependency) for name, dependency in needs.items()}

    async def get(self, dependency: Dependency) -> Any:
        """The value of one; many that ask at once share one opening."""
        if self._outer is not None and dependency.scope != self._scope:
            return await self._outer.get(dependency)
        opened = self._opened.get(dependency)
        if opened is None and dependency.is_quick:
            return self._read(dependency)
        if opened is None:
            opened = self._opened[dependency] = Opened()
            opened.task = self._world.spawn(self._keep(dependency, opened), f"provider {dependency.key}")
        return await asyncio.shield(opened.ready)

    def _source(self, dependency: Dependency) -> Dependency:
        return dependency if self.replaced is None else self.replaced(dependency)

    def _read(self, dependency: Dependency) -> Any:
        """What takes no time and needs no closing: a secret."""
        try:
            return self._source(dependency).make()
        except Exception as error:
            raise NotOpened(dependency, error) from error

    async def _keep(self, dependency: Dependency, opened: Opened) -> None:
        """The whole life of one resource."""
        try:
            source = self._source(dependency)
            values = await self.values_of(source.needs)
            value, generator = await self._begin(source, values)
        except BaseException as problem:  # noqa: BLE001 - told to all who wait; the next to ask tries again
            self._failed(dependency, opened, problem)
            return
        self._in_order.append((dependency, opened))
        if not opened.ready.done():
            opened.ready.set_result(value)
        try:
            error = await self._told_to_leave(opened)
            if generator is not None:
                await self._finish(source, generator, error)
        except GeneratorExit:  # dropped together with its loop: nobody is left to hear of it
            raise
        except BaseException:  # noqa: BLE001 - the results stand; the log says what was left behind
            not_closed(dependency)
        finally:
            opened.over.set_result(None)

    async def _told_to_leave(self, opened: Opened) -> BaseException | None:
        """What ended the scope. A loop that ends without closing its engine cancels: then it is time too."""
        try:
            return await opened.leave
        except asyncio.CancelledError:
            return None

    def _failed(self, dependency: Dependency, opened: Opened, error: BaseException) -> None:
        if self._opened.get(dependency) is opened:
            del self._opened[dependency]
        if not opened.ready.done():
            opened.ready.set_exception(error if isinstance(error, NotOpened) else NotOpened(dependency, error))
            opened.ready.exception()  # looked at: perhaps nobody waits any more
        opened.over.set_result(None)

    async def _begin(self, source: Dependency, values: dict[str, Any]) -> tuple[Any, Any]:
        match source.how:
            case "async_generator":
                made = source.make(**values)
                return await afirst_value(made), made
            case "coroutine":
                return await source.make(**values), None
            case "generator":
                made = source.make(**values)
                return await in_thread(self._world, lambda: first_value(made)), made
            case _ if source.is_quick:
                return source.make(**values), None
            case _:
                return await in_thread(self._world, lambda: source.make(**values)), None

    async def _finish(self, source: Dependency, generator: Any, error: BaseException | None) -> None:
        if source.how == "async_generator":
            await afinish(generator, error)
        else:
            await in_thread(self._world, lambda: finish(generator, error))

    # ------------------------------------------------------------ closing

    async def close(self, error: BaseException | None = None) -> None:
        """Close the scopes inside, then what is open here, the last opened first. Takes at most twice `CLOSE_S`.

        Args:
            error: what ended the attempt, raised at the `yield` of its generators.
        """
        if self._inner:
            await asyncio.wait(list(self._inner.values()), timeout=CLOSE_S)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._close_opened(error)
        except TimeoutError:
            for dependency, opened in self._opened.items():
                logger(LOG).warning("the provider %s did not close within %g s", dependency.key, CLOSE_S)
                opened.task.cancel()
        self._opened.clear()

    async def _close_opened(self, error: BaseException | None) -> None:
        for dependency, opened in list(self._opened.items()):
            if not opened.ready.done():
                if dependency.how in ("async_generator", "coroutine"):
                    opened.task.cancel()
                await asyncio.wait([opened.ready])
        while self._in_order:
            dependency, opened = self._in_order.pop()
            if not opened.leave.done():
                opened.leave.set_result(error)
            await asyncio.shield(opened.over)
            self._opened.pop(dependency, None)

    def then(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` when all is closed: at once when there is nothing to close."""
        if not self.is_open:
            go_on()
            return

        async def close() -> None:
            try:
                await self.close()
            finally:
                go_on()

        self._closing = self._world.spawn(close(), f"close what is open in the {self._scope}")

    # ------------------------------------------------------------ attempts

    def is_faked(self, code: TaskCode) -> bool:
        """Whether the task gets any fake: those are objects of this process, a worker cannot have them."""
        replaced = self.replaced
        needs: Mapping[str, Dependency] = code.injects  # type: ignore[attr-defined]  # whoever calls this has looked
        return replaced is not None and any(replaced(each) is not each for each in all_of(needs, replaced))

    async def call(self, code: TaskCode, args: bytes, info: AttemptInfo, is_stopped: Callable[[], bool]) -> Produced:
        """One attempt of a task with injected parameters, in this process.

        Args:
            is_stopped: whether the attempt was told to stop: a thread that goes on keeps what it uses until it is done.
        Raises:
            ProviderError: something could not be opened; the message names task and provider.
        """
        scope = self.inside("attempt")
        ended = self._inner[scope] = asyncio.get_running_loop().create_future()
        error: BaseException | None = None
        try:
            return await scope._invoke(code, args, info, is_stopped)
        except NotOpened as problem:
            error = problem
            raise problem.for_task(info.key) from problem.error
        except BaseException as raised:
            error = raised
            raise
        finally:
            if scope._opened:
                scope._closing = self._world.spawn(self._end(scope, ended, error), f"close what {info.key} used")
                await asyncio.shield(ended)
            else:
                self._inner.pop(scope)
                ended.set_result(None)

    async def _end(self, scope: Resources, ended: asyncio.Future[None], error: BaseException | None) -> None:
        try:
            await scope.close(error)
        finally:
            self._inner.pop(scope, None)
            ended.set_result(None)

    async def _invoke(self, code: TaskCode, args: bytes, info: AttemptInfo, is_stopped: Callable[[], bool]) -> Produced:
        needs: Mapping[str, Dependency] = code.injects  # type: ignore[attr-defined]  # whoever calls this has looked
        if code.executor == "asyncio":
            return await code.invoke_async(args, _with(info, await self.values_of(needs)))
        late = opened_in_place(needs, self.replaced)
        wanted = [*needs.values(), *(each for some in late for each in self._source(some).needs.values())]
        early = {each: await self.get(each) for each in wanted if each not in late}
        here = Here(values=early, replaced=self.replaced)

        def work() -> Produced:
            return _invoke_here(code, args, info, needs, here)

        if code.executor == "inline":
            return work()
        produced: Produced = await in_thread(self._world, work, is_stopped)
        return produced


def _invoke_here(
    code: TaskCode, args: bytes, info: AttemptInfo, needs: Mapping[str, Dependency], here: Here
) -> Produced:
    try:
        produced = code.invoke(args, _with(info, here.values_of(needs)))
    except BaseException as error:
        here.close(error)
        raise
    here.close()
    return produced


def all_of(needs: Mapping[str, Dependency], replaced: Replaced | None) -> list[Dependency]:
    """The dependencies and all that they need, each once, needs first."""
    found: dict[Dependency, None] = {}

    def walk(wanted: Mapping[str, Dependency]) -> None:
        for dependency in wanted.values():
            if dependency not in found:
                walk((dependency if replaced is None else replaced(dependency)).needs)
                found[dependency] = None

    walk(needs)
    return list(found)


def opened_in_place(needs: Mapping[str, Dependency], replaced: Replaced | None) -> set[Dependency]:
    """Plain providers of one attempt that nothing asynchronous and nothing longer-lived needs."""
    order = all_of(needs, replaced)
    late: set[Dependency] = set()
    barred: set[Dependency] = set()
    for dependency in reversed(order):
        source = dependency if replaced is None else replaced(dependency)
        if dependency.scope == "attempt" and source.how in ("value", "generator") and dependency not in barred:
            late.add(dependency)
        else:
            barred.update(all_of(source.needs, replaced))
    return late


def _with(info: AttemptInfo, injected: dict[str, Any]) -> AttemptInfo:
    return msgspec.structs.replace(info, injected=injected)


async def in_thread(
    world: Spawner | World, work: Callable[[], Any], may_wait: Callable[[], bool] = lambda: False
) -> Any:
    """Run `work` on a thread. A cancelled caller still waits for its end while `may_wait()`: it cannot be stopped."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def done(value: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)

    world.in_thread(work, done)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if future.done() or not may_wait():
            raise
    return await future
