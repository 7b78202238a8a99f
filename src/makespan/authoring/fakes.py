"""`Engine(fakes={...})`: what stands in for providers, secrets and tasks in a test.

{db: FakePool(), "env:KEY": "none", retrieve: lambda q: [], triage: fake_triage}
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Literal

from makespan.authoring.place import InsideTask, Registry, current
from makespan.authoring.provide import How, Provider
from makespan.authoring.task import HOOKS, Task
from makespan.authoring.yielding import collected
from makespan.codec import NotEncodable
from makespan.errors import UsageError, suggestion
from makespan.graph.node import Kind
from makespan.ports import AttemptInfo, Dependency, Produced, TaskCode
from makespan.references import Secret

Fakeable = Task[..., Any] | Provider[Any] | Secret


class Fakes:
    """Replacements by object or key.

    Raises:
        UsageError: a key that is no task, provider or secret, or a task's fake that cannot be called.
    """

    def __init__(self, given: Mapping[Any, Any]) -> None:
        self._by_object: dict[Any, Any] = {}
        self._by_key: dict[str, Any] = {}
        for target, fake in given.items():
            if isinstance(target, Task):
                self._by_object[target.fn] = _callable(target.key, fake)
            elif isinstance(target, Provider | Secret):
                self._by_object[target] = _Faked(target, fake)
            elif isinstance(target, str):
                self._by_key[target] = fake
            else:
                raise UsageError(
                    f"fakes: {target!r} is no task, provider or secret; give one of those, or its key as text"
                )

    def __bool__(self) -> bool:
        return bool(self._by_object or self._by_key)

    def check(self, registry: Registry, root: Any) -> None:
        """Refuse keys given as text that nothing the workflow can reach has. Raises UsageError with a suggestion."""
        if not self._by_key:
            return
        keys = {each.key for each in known_to(registry, root)}
        for key in self._by_key:
            if key not in keys and not (key.startswith(("env:", "file:", "keyring:"))):
                raise UsageError(
                    f"fakes: no task or provider of this workflow has the key {key!r}{suggestion(key, keys)}; "
                    "the object itself can be given instead of its key"
                )

    def dependency(self, dependency: Dependency) -> Dependency:
        """What stands in for a dependency: a fake, or itself."""
        found = self._by_object.get(dependency)
        if found is None and dependency.key in self._by_key:
            found = self._by_object[dependency] = _Faked(dependency, self._by_key[dependency.key])
        stand_in: Dependency = dependency if found is None else found
        return stand_in

    def code_of(self, task: Task[..., Any]) -> TaskCode | None:
        """The code that stands in for a task's own; None without a fake."""
        fn = self._of_task(task)
        return None if fn is None else FakeCode(task, fn)

    def stand_in(self, task: Task[..., Any]) -> Task[..., Any]:
        """What is called in place of a sub-workflow: one task of its key and types. Any other task as it is."""
        if task.kind != Kind.WORKFLOW:
            return task
        fn = self._of_task(task)
        return task if fn is None else StandIn(task, fn)

    def _of_task(self, task: Task[..., Any]) -> Callable[..., Any] | None:
        found: Callable[..., Any] | None = self._by_object.get(task.fn)
        if found is None and task.key in self._by_key:
            found = _callable(task.key, self._by_key[task.key])
        return found


class StandIn(Task[..., Any]):
    """A sub-workflow replaced by one call."""

    def __init__(self, workflow: Task[..., Any], fn: Callable[..., Any]) -> None:
        super().__init__(workflow.fn, {"key": workflow.key})
        self.original, self._overrides = workflow, workflow._overrides
        self._signature = workflow.signature
        self._fake = fn

    @property
    def code(self) -> TaskCode:
        return FakeCode(self, self._fake)


class FakeCode:
    """A fake behind the TaskCode port: it gets the arguments of the call, and its result meets the declared type."""

    def __init__(self, task: Task[..., Any], fn: Callable[..., Any]) -> None:
        self.key, self.target = task.key, task.target
        self._fn, self._signature = fn, task.signature
        item = task.signature.item
        self._item = HOOKS.codec(item).encode if item is not None and inspect.isasyncgenfunction(fn) else None
        is_async = inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004
        is_async = is_async or self._item is not None
        self.executor: Literal["inline", "asyncio", "thread", "process"] = "asyncio" if is_async else "inline"

    def invoke(self, args: bytes, info: AttemptInfo) -> Produced:
        """Call the fake here and now."""
        place = current.set(InsideTask(self.key, info))
        try:
            return self._produced(self._call(args))
        finally:
            current.reset(place)

    async def invoke_async(self, args: bytes, info: AttemptInfo) -> Produced:
        """Await an asynchronous fake."""
        current.set(InsideTask(self.key, info))
        called = self._call(args)
        return self._produced(await (called if self._item is None else collected(called, self._item, info)))

    def _call(self, args: bytes) -> Any:
        """In order, so that `lambda _: []` fits any name; by name after the first argument that was left out."""
        given = self._signature.decode(args)
        in_order: list[Any] = []
        for parameter in self._signature.parameters:
            if parameter.name not in given or parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                break
            in_order.append(given.pop(parameter.name))
        return self._fn(*in_order, **given)

    def _produced(self, value: Any) -> Produced:
        try:
            return Produced(self._signature.result.encode(value))
        except NotEncodable as error:
            raise NotEncodable(f"the result of the fake of {self.key}: {error}") from None


class _Faked:
    """A provider or secret replaced by a value, or by a function that gives (or yields) one."""

    is_quick = False
    needs: Mapping[str, Dependency] = {}

    def __init__(self, original: Dependency, fake: Any) -> None:
        self.key, self.scope = original.key, original.scope
        self.is_quick = original.is_quick
        self._fake = fake
        self.how: How = "value"
        if not self.is_quick and callable(fake):
            self.how = Provider(fake, "engine").how

    def make(self) -> Any:
        return self._fake() if callable(self._fake) else self._fake


def known_to(registry: Registry, root: Any) -> Iterator[Fakeable]:
    """Tasks of a run, what their modules name, and all that these are injected with."""
    tasks: dict[int, Task[..., Any]] = {id(each): each for each in (*registry.all(), root) if isinstance(each, Task)}
    waiting, modules = list(tasks.values()), set[int]()
    while waiting:
        names = getattr(waiting.pop().fn, "__globals__", {})
        if id(names) in modules:
            continue
        modules.add(id(names))
        around = list(names.values())
        around += [inner for each in around if isinstance(each, ModuleType) for inner in vars(each).values()]
        for each in around:
            if isinstance(each, Task) and id(each) not in tasks:
                tasks[id(each)] = each
                waiting.append(each)
            elif isinstance(each, Provider):
                yield each
    for task in tasks.values():
        yield task
        yield from _injected(task.signature.injected)


def _injected(needs: Mapping[str, Dependency]) -> Iterator[Fakeable]:
    for dependency in needs.values():
        if isinstance(dependency, Provider | Secret):
            yield dependency
        yield from _injected(dependency.needs)


def _callable(key: str, fake: Any) -> Callable[..., Any]:
    if isinstance(fake, Task):
        return fake.fn
    if not callable(fake):
        raise UsageError(
            f"fakes: {key} is a task, so its fake is a function with its arguments, not {type(fake).__name__}; "
            f"write `lambda *_: {fake!r}`"
        )
    found: Callable[..., Any] = fake
    return found
