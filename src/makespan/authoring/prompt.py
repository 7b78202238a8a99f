"""`@prompt`: a task whose work is one conversation with a model, its answer decoded to the declared type.

    @prompt(models=["fast", "main"])                       the first model; the next when it fails
    def grade(question: str, answer: str) -> Grade:
        return chat(f"Is {answer} a good answer to {question}?", system="Be strict.")

The body runs once, is pure Python and ends in `chat(...)`; `chat()` alone takes the docstring as the template. The
answer is constrained by the type's JSON Schema where the model can, validated always, and asked for again when it does
not fit, before it is a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, Never, ParamSpec, TypeVar, Unpack

import msgspec

from makespan.authoring.place import InsideTask, current
from makespan.authoring.task import Task, TaskOptions
from makespan.errors import GraphError, ProviderError
from makespan.graph.node import Effect, Options
from makespan.ports import AttemptInfo, Message, Model, ModelReply, ModelRequest, Produced, Services
from makespan.values import NanoUsd, Usage

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_MODELS = ("default",)
PROMPT_RETRIES = 2
REASKS = 1
"""Times an answer that does not fit its type is asked for again within one attempt."""
MAX_TOKENS = 512


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


class Prompt(Task[P, R]):
    """A task answered by a model."""

    def __init__(self, fn: Callable[P, R], options: TaskOptions, max_tokens: int, temperature: float) -> None:
        models = tuple(options.get("models", DEFAULT_MODELS))
        if not models:
            raise GraphError(f"the prompt {fn.__name__} has an empty list of models")
        defaults = Options(effect=Effect.IDEMPOTENT, retries=PROMPT_RETRIES, models=models, priced=True)
        super().__init__(fn, options, defaults=defaults)
        self.max_tokens, self.temperature = max_tokens, temperature


class _PromptDecorator:
    """What `@prompt(...)` gives."""

    def __init__(self, options: TaskOptions, max_tokens: int, temperature: float) -> None:
        self._given = (options, max_tokens, temperature)

    def __call__(self, fn: Callable[P, R], /) -> Task[P, R]:
        return Prompt(fn, *self._given)


def prompt(
    *, max_tokens: int = MAX_TOKENS, temperature: float = 0.0, **options: Unpack[TaskOptions]
) -> _PromptDecorator:
    """Declare a prompt. `models` are names from the configuration, best first choice first."""
    return _PromptDecorator(options, max_tokens, temperature)


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


class PromptCode:
    """A prompt behind the TaskCode port."""

    executor: Literal["inline", "asyncio", "thread", "process"] = "asyncio"

    def __init__(self, task: Prompt[..., Any], structured: Structured) -> None:
        self._task = task
        self._structured = structured
        self.key, self.target = task.key, task.target
        self._schema = structured.schema_of(task.returns)
        self._inside = InsideTask(task.key)

    def invoke(self, args: bytes, info: AttemptInfo) -> Produced:
        raise GraphError("prompts are asynchronous")

    async def invoke_async(self, args: bytes, info: AttemptInfo) -> Produced:
        """Ask the models in order until one gives an answer that fits."""
        services = info.services
        assert services is not None
        current.set(InsideTask(self.key, info))
        request = self.request(args, info.seed)
        spent, usage = NanoUsd(0), Usage()
        names = self._task.declaration.options.models
        for place, name in enumerate(names):
            try:
                answer, cost, used = await self._ask(services, name, request)
                return Produced(self._task.signature.result.encode(answer), NanoUsd(spent + cost), usage + used)
            except Spent as failure:
                spent, usage = NanoUsd(spent + failure.cost), usage + failure.usage
                if place == len(names) - 1:
                    raise failure.with_totals(spent, usage) from failure.error
        raise AssertionError("a prompt has at least one model")

    async def _ask(self, services: Services, name: str, request: ModelRequest) -> tuple[Any, NanoUsd, Usage]:
        """One model's answer, asked for again when it does not fit."""
        cost, usage = NanoUsd(0), Usage()
        messages = request.messages
        for asked in range(REASKS + 1):
            try:
                model: Model = services.model(name)
                reply = await model.complete(msgspec.structs.replace(request, messages=messages))
                usage = usage + reply.usage
                cost = NanoUsd(cost + services.cost(model.name, reply.usage))
            except ProviderError as error:
                raise Spent(error, cost, usage) from error
            try:
                return self._structured.read(reply, self._task.returns), cost, usage
            except ProviderError as error:
                if asked == REASKS or error.kind not in self._structured.reaskable:
                    raise Spent(error, cost, usage) from error
                messages = self._structured.reask(messages, reply, error)
        raise AssertionError("unreachable")

    def request(self, args: bytes, seed: int) -> ModelRequest:
        """The request for these arguments; runs the prompt's body. Raises GraphError when it ends without `chat`."""
        values = self._task.signature.decode(args)
        place = current.set(self._inside)
        try:
            self._task.fn(**values)
        except Conversation as said:
            messages = said.messages or self._from_template(args)
            system = (Message.system(said.system),) if said.system else ()
            return ModelRequest(
                (*system, *messages), self._schema, self._task.max_tokens, self._task.temperature, seed % 2**31
            )
        finally:
            current.reset(place)
        raise GraphError(f"the prompt {self.key} returned without ms.chat(...)")

    def _from_template(self, args: bytes) -> tuple[Message, ...]:
        template = (self._task.fn.__doc__ or "").strip()
        if not template:
            raise GraphError(
                f"the prompt {self.key} calls ms.chat() without texts and has no docstring to use as the template"
            )
        values = self._task.signature.decode(args)
        return (
            Message.user(self._structured.render(template, {name: _shown(value) for name, value in values.items()})),
        )

    def worst_case(self, args: bytes, services: Services) -> NanoUsd:
        """Most that one attempt can cost: every model of the list, every re-ask, at its bound."""
        request = self.request(args, 0)
        total = 0
        for name in self._task.declaration.options.models:
            model = services.model(name)
            bound = model.worst_case(request)
            once = services.cost(model.name, bound)
            if once:
                longer = Usage(bound.prompt_tokens + bound.completion_tokens + 512, 0, bound.completion_tokens)
                total += once + REASKS * services.cost(model.name, longer)
        return NanoUsd(total)


class Spent(ProviderError):
    """A model call that failed after it used something."""

    def __init__(self, error: ProviderError, cost: NanoUsd, usage: Usage) -> None:
        super().__init__(str(error), kind=error.kind, retryable=error.retryable, retry_after_s=error.retry_after_s)
        self.error, self.cost, self.usage = error, cost, usage

    def with_totals(self, cost: NanoUsd, usage: Usage) -> Spent:
        return Spent(self.error, cost, usage)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


__all__ = ["Conversation", "Prompt", "PromptCode", "Spent", "Structured", "chat", "prompt"]
