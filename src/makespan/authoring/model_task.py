"""What prompts and the turns of agents share: one conversation with a model, its answer read, priced and passed on.

    request(args) ──▶ model ──▶ reply ──read──▶ value            once more when it does not fit, then the next model

Invariant: what a listener heard since the last `discard` is the text of the answer the attempt ends with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, Literal, Never

import msgspec

from makespan.authoring.place import InsideTask, current
from makespan.authoring.task import P, T_co, Task
from makespan.codec import NotEncodable
from makespan.errors import GraphError, ProviderError
from makespan.ports import AttemptInfo, Message, ModelReply, ModelRequest, Produced, Services, TaskCode, streamed
from makespan.values import NONE_VALUE, NanoUsd, Usage

REASKS = 1
"""Times an answer that does not fit its type is asked for again within one attempt."""
REASK_TOKENS = 512
"""Most that asking again adds to a prompt, besides the answer that did not fit."""


class Conversation(BaseException):
    """What `chat` raises: the messages, on their way out of the prompt's body."""

    def __init__(self, messages: tuple[Message, ...], system: str) -> None:
        super().__init__("ms.chat() ends a prompt's body: nothing runs after it")
        self.messages, self.system = messages, system


def chat(*parts: str | Message | Iterable[Message], system: str = "") -> Never:
    """End a prompt's body with what to say to the model.

    Args:
        parts: texts (user messages), Messages, or lists of them, in order. None: the docstring is the template, where
            `{name}` stands for a parameter.
    """
    messages: list[Message] = []
    for part in parts:
        if isinstance(part, str):
            messages.append(Message.user(part))
        elif isinstance(part, Message):
            messages.append(part)
        else:
            messages.extend(part)
    raise Conversation(tuple(messages), system)


class Structured:
    """How answers are asked for and read: filled in by the engine with the functions of the models layer."""

    def __init__(
        self,
        schema_of: Callable[[Any], dict[str, Any] | None],
        read: Callable[[ModelReply, Any], Any],
        reask: Callable[[tuple[Message, ...], ModelReply, ProviderError], tuple[Message, ...]],
        reaskable: frozenset[str],
        render: Callable[[str, dict[str, str]], str],
    ) -> None:
        self.schema_of, self.read, self.reask, self.reaskable, self.render = schema_of, read, reask, reaskable, render


class ModelTask(Task[P, T_co]):
    """A task whose work is done by a model."""

    takes_models = True

    def code_with(self, structured: Structured) -> TaskCode:
        """Its code: only the engine knows how answers are read."""
        raise NotImplementedError


class Heard:
    """Passes the pieces of an attempt's answer on, if anybody listens."""

    def __init__(self, info: AttemptInfo) -> None:
        self._emit = info.emit if info.stream else None
        self._has_said = False

    async def reply(self, model: Any, request: ModelRequest) -> ModelReply:
        """The model's reply; what was heard before belongs to another one."""
        self.discard()
        if self._emit is None:
            reply: ModelReply = await model.complete(request)
            return reply
        return await streamed(model, request, self._pass_on)

    def discard(self) -> None:
        """Take back what was heard."""
        if self._has_said and self._emit is not None:
            self._has_said = False
            self._emit("discard", NONE_VALUE)

    def _pass_on(self, text: str) -> None:
        self._has_said = True
        if self._emit is not None:
            self._emit("chunk", msgspec.msgpack.encode(text))


class ModelCode:
    """A model's work behind the TaskCode port. Subclasses say what is asked and how the reply is read."""

    executor: Literal["inline", "asyncio", "thread", "process"] = "asyncio"

    def __init__(self, task: ModelTask[..., Any], structured: Structured) -> None:
        self._task, self._structured = task, structured
        self.key, self.target = task.key, task.target

    def request(self, args: bytes, seed: int) -> ModelRequest:
        """What is asked for these arguments. Pure: it is asked for again to know the price."""
        raise NotImplementedError

    def read(self, reply: ModelReply, request: ModelRequest) -> Any:
        """The value of a reply. Raises ProviderError when it does not fit."""
        raise NotImplementedError

    def invoke(self, args: bytes, info: AttemptInfo) -> Produced:
        raise GraphError("prompts are asynchronous")

    async def invoke_async(self, args: bytes, info: AttemptInfo) -> Produced:
        """Ask the models in order until one gives an answer that fits."""
        assert info.services is not None
        current.set(InsideTask(self.key, info))
        request, heard = self.request(args, info.seed), Heard(info)
        if request.temperature:
            request = msgspec.structs.replace(request, seed=sampling_seed(info))
        spent, usage = NanoUsd(0), Usage()
        names = info.models or self._task.declaration.options.models
        for place, name in enumerate(names):
            try:
                value, cost, used = await self._ask(info.services, name, request, heard)
                return Produced(self._encoded(value), NanoUsd(spent + cost), usage + used)
            except Spent as failure:
                spent, usage = NanoUsd(spent + failure.cost), usage + failure.usage
                if place == len(names) - 1:
                    raise failure.with_totals(spent, usage) from failure.error
        raise AssertionError("a prompt has at least one model")

    async def _ask(
        self, services: Services, name: str, request: ModelRequest, heard: Heard
    ) -> tuple[Any, NanoUsd, Usage]:
        """One model's answer, asked for again when it does not fit."""
        cost, usage = NanoUsd(0), Usage()
        for asked in range(REASKS + 1):
            try:
                model = services.model(name)
                reply = await heard.reply(model, request)
                usage = usage + reply.usage
                cost = NanoUsd(cost + services.cost(model.name, reply.usage))
            except ProviderError as error:
                raise Spent(error, cost, usage) from error
            try:
                value = self.read(reply, request)
                if reply.tool_calls:
                    heard.discard()  # what a model says before it calls a tool is not the answer
                return value, cost, usage
            except ProviderError as error:
                if asked == REASKS or error.kind not in self._structured.reaskable:
                    raise Spent(error, cost, usage) from error
                messages = self._structured.reask(request.messages, reply, error)
                # Without tools, because some services do not hold an answer to its schema beside them.
                request = msgspec.structs.replace(request, messages=messages, tools=())
        raise AssertionError("unreachable")

    def _encoded(self, value: Any) -> bytes:
        try:
            return self._task.signature.result.encode(value)
        except NotEncodable as error:
            raise NotEncodable(f"the result of {self.key}: {error}") from None

    def worst_case(self, args: bytes, services: Services, models: Iterable[str] = ()) -> NanoUsd:
        """Most that one attempt can cost: every model of the list, every re-ask, at its bound."""
        request = self.request(args, 0)
        total = 0
        for name in models or self._task.declaration.options.models:
            model = services.model(name)
            bound = model.worst_case(request)
            once = services.cost(model.name, bound)
            if once:
                prompt_tokens = bound.prompt_tokens + bound.completion_tokens + REASK_TOKENS
                total += once + REASKS * services.cost(model.name, Usage(prompt_tokens, 0, bound.completion_tokens))
        return NanoUsd(total)


def sampling_seed(info: AttemptInfo) -> int:
    """A seed of this attempt alone, 31 bits: two samples of one prompt differ, and so does the next attempt. Only where
    there is a temperature; without one equal requests stay equal, and share a recording."""
    which = f"{info.seed}:{info.task_id.hex()}:{info.generation}:{info.attempt}"
    return int.from_bytes(blake2b(which.encode(), digest_size=4).digest(), "big") >> 1


class Spent(ProviderError):
    """A model call that failed after it used something."""

    def __init__(self, error: ProviderError, cost: NanoUsd, usage: Usage) -> None:
        super().__init__(str(error), kind=error.kind, retryable=error.retryable, retry_after_s=error.retry_after_s)
        self.error, self.cost, self.usage = error, cost, usage

    def with_totals(self, cost: NanoUsd, usage: Usage) -> Spent:
        return Spent(self.error, cost, usage)


class Opening:
    """What a prompt's body says to the model: its messages, from its arguments.

    Args:
        task: the prompt or agent; its function runs here, and is pure.
    """

    def __init__(self, task: Task[..., Any], structured: Structured, max_tokens: int, temperature: float) -> None:
        if task.signature.injected:
            name = next(iter(task.signature.injected))
            raise GraphError(
                f"the prompt {task.key} takes {name!r} as ms.use(...): its body is pure and runs more than once; "
                f"use it in a task and give the prompt the result"
            )
        self._task, self._structured = task, structured
        self._max_tokens, self._temperature = max_tokens, temperature
        self._schema = structured.schema_of(task.returns)
        self._inside = InsideTask(task.key)

    def request(self, args: bytes, seed: int) -> ModelRequest:
        """The request for these arguments; runs the prompt's body. Raises GraphError when it ends without `chat`."""
        values = self._task.signature.decode(args)
        place = current.set(self._inside)
        try:
            self._task.fn(**values)
        except Conversation as said:
            messages = said.messages or self._from_template(args)
            system = (Message.system(said.system),) if said.system else ()
            return ModelRequest((*system, *messages), self._schema, self._max_tokens, self._temperature, seed % 2**31)
        finally:
            current.reset(place)
        raise GraphError(f"the prompt {self._task.key} returned without ms.chat(...)")

    def _from_template(self, args: bytes) -> tuple[Message, ...]:
        template = (self._task.fn.__doc__ or "").strip()
        if not template:
            raise GraphError(
                f"the prompt {self._task.key} calls ms.chat() without texts and has no docstring to use as the template"
            )
        values = self._task.signature.decode(args)
        shown = {name: _shown(value) for name, value in values.items()}
        return (Message.user(self._structured.render(template, shown)),)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
