"""The code of tasks as the runtime runs it: encoded arguments in, encoded result out."""

from __future__ import annotations

from typing import Any, Literal

from makespan.authoring.place import InsideTask, current
from makespan.authoring.task import Task
from makespan.codec import NotEncodable
from makespan.ports import AttemptInfo, Produced


class FunctionCode:
    """A plain task's function behind the TaskCode port."""

    def __init__(self, task: Task[..., Any]) -> None:
        self._task = task
        self._signature = task.signature
        self._fn = task.fn
        self.key = task.key
        self.target = task.target
        self.executor = _executor(task)

    def invoke(self, args: bytes, info: AttemptInfo) -> Produced:
        """Run the function here and now."""
        values = self._signature.decode(args)
        place = current.set(InsideTask(self.key, info))
        try:
            return Produced(self._encode(self._fn(**values)))
        finally:
            current.reset(place)

    async def invoke_async(self, args: bytes, info: AttemptInfo) -> Produced:
        """Run the coroutine function; the caller gives every attempt a context of its own."""
        current.set(InsideTask(self.key, info))
        return Produced(self._encode(await self._fn(**self._signature.decode(args))))

    def _encode(self, value: Any) -> bytes:
        try:
            return self._signature.result.encode(value)
        except NotEncodable as error:
            raise NotEncodable(f"the result of {self.key}: {error}") from None


def _executor(task: Task[..., Any]) -> Literal["inline", "asyncio", "thread", "process"]:
    wanted = task.declaration.options.executor
    if task.is_async:
        return "asyncio"
    if wanted in ("inline", "process"):
        return "inline" if wanted == "inline" else "process"
    return "thread"
