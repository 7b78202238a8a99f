"""What prompts and the turns of agents share: one conversation with a model, its answer read, priced and passed on.

    request(args) ──▶ model ──▶ reply ──read──▶ value            once more when it does not fit, then the next model

Invariant: what a listener heard since the last `discard` is the text of the answer the attempt ends with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, Literal, Never

import msgspec

from makespan.authoring.place import InsideTask, current
from makespan.authoring.task import P, T_co, Task
from makespan.authoring.yielding import Lines, Telling
from makespan.codec import NotEncodable
from makespan.errors import GraphError, ProviderError
from makespan.ports import AttemptInfo, Message, Model, ModelReply, ModelRequest, Produced, Services, TaskCode, streamed
from makespan.values import NONE_VALUE, NanoUsd, Usage

REASKS = 1
"""Times an answer that does not fit its type is asked for again within one attempt."""
REASK_TOKENS = 512
"""Most that asking again adds to a prompt, besides the answer that did not fit."""


class Conversation(BaseException):
    """What `chat` raises: the messages, on their way out of the prompt's body."""

    def __init__(self, messages: tuple[Message, ...], system: str, stop: tuple[str, ...]) -> None:
        super().__init__("ms.chat() ends a prompt's body: nothing runs after it")
        self.messages, self.system, self.stop = messages, system, stop


def chat(*parts: str | Message | Iterable[Message], system: str = "", stop: Sequence[str] = ()) -> Never:
    """End a prompt's body with what to say to the model.

    Args:
        parts: texts (user messages), Messages, or lists of them, in order. None: the docstring is the template, where
            `{name}` stands for a parameter. An assistant's message at the end is the beginning of the answer, for
            models that go on with one.
        stop: texts that end the answer, which is what stands before the first of them.
    """
    messages: list[Message] = []
    for part in parts:
        if isinstance(part, str):
            messages.append(Message.user(part))
        elif isinstance(part, Message):
            messages.append(part)
        else:
            messages.extend(part)
    raise Conversation(tuple(messages), system, tuple(stop))


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

    def __init__(self, info: AttemptInfo, lines: Lines | None = None) -> None:
        self._emit = info.emit if info.stream else None
        self._lines = lines
        self._has_said = False

    async def reply(self, model: Any, request: ModelRequest) -> ModelReply:
        """The model's reply; what was heard before belongs to another one."""
        self.discard()
        if self._emit is None and self._lines is None:
            reply: ModelReply = await model.complete(request)
            return reply
        return await streamed(model, request, self._pass_on)

    def discard(self) -> None:
        """Take back what was heard."""
        if not self._has_said:
            return
        self._has_said = False
        if self._lines is not None:
            self._lines.start_over()
        if self._emit is not None:
            self._emit("discard", NONE_VALUE)

    def _pass_on(self, text: str) -> None:
        self._has_said = True
        if self._lines is not None:
            self._lines.take(text)
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

    def for_model(self, request: ModelRequest, args: bytes, services: Services, name: str) -> ModelRequest:
        """The request as one model of the list is asked it. Pure like `request`: it is priced too."""
        return request

    def lines(self, info: AttemptInfo) -> Lines:
        """Tells what the model writes, piece by piece; the pieces are those of `read`."""
        return Lines(Telling(info))

    async def invoke_async(self, args: bytes, info: AttemptInfo) -> Produced:
        """Ask the models in order until one gives an answer that fits."""
        assert info.services is not None
        current.set(InsideTask(self.key, info))
        lines = self.lines(info) if self._task.signature.item is not None else None
        request, heard = self.request(args, info.seed), Heard(info, lines)
        if request.temperature:
            request = msgspec.structs.replace(request, seed=sampling_seed(info))
        names, bill = info.models or self._task.declaration.options.models, Bill(info.services)
        try:
            for place, name in enumerate(names):
                try:
                    asked = self.for_model(request, args, info.services, name)
                    value = await self._ask(info.services, name, asked, heard, bill)
                    return Produced(self._encoded(value), bill.cost, bill.usage)
                except Spent as failure:
                    if place == len(names) - 1:
                        raise failure from failure.error
        except BaseException as error:
            bill.note_on(error)
            raise
        raise AssertionError("a prompt has at least one model")

    async def _ask(self, services: Services, name: str, request: ModelRequest, heard: Heard, bill: Bill) -> Any:
        """One model's answer, asked for again when it does not fit."""
        for asked in range(REASKS + 1):
            try:
                reply = await self._called(services, name, request, heard, bill)
            except ProviderError as error:
                raise Spent(error) from error
            try:
                value = self.read(reply, request)
                if reply.tool_calls:
                    heard.discard()  # what a model says before it calls a tool is not the answer
                return value
            except ProviderError as error:
                if asked == REASKS or error.kind not in self._structured.reaskable:
                    raise Spent(error) from error
                messages = self._structured.reask(request.messages, reply, error)
                # Without tools, because some services do not hold an answer to its schema beside them.
                request = msgspec.structs.replace(request, messages=messages, tools=())
        raise AssertionError("unreachable")

    async def _called(
        self, services: Services, name: str, request: ModelRequest, heard: Heard, bill: Bill
    ) -> ModelReply:
        """One call, past the breaker and onto the bill. Raises ProviderError."""
        breaker = services.breaker
        refusal = breaker.refusal(name) if breaker is not None else None
        if refusal is not None:
            raise refusal
        model = services.model(name)
        try:
            with bill.open(model, request) as call:
                reply = call.reply = await heard.reply(model, request)
        except ProviderError as error:
            if breaker is not None:
                breaker.note(name, error)
            raise
        if breaker is not None:
            breaker.note(name, None)
        return reply

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
            bound = model.worst_case(self.for_model(request, args, services, name))
            once = services.cost(model.name, bound)
            if once:
                prompt_tokens = bound.prompt_tokens + bound.completion_tokens + REASK_TOKENS
                total += once + REASKS * services.cost(model.name, Usage(prompt_tokens, 0, bound.completion_tokens))
        return NanoUsd(total)

    def worst_tokens(self, args: bytes, services: Services, models: Iterable[str] = (), reasks: int = REASKS) -> int:
        """Most tokens that one attempt can use, as `worst_case` counts them; its first call alone without `reasks`."""
        request = self.request(args, 0)
        total = 0
        for name in models or self._task.declaration.options.models:
            bound = services.model(name).worst_case(self.for_model(request, args, services, name))
            once = bound.prompt_tokens + bound.completion_tokens
            total += once + reasks * (once + REASK_TOKENS + bound.completion_tokens)
        return total


def sampling_seed(info: AttemptInfo) -> int:
    """A seed of this attempt alone, 31 bits: two samples of one prompt differ, and so does the next attempt. Only where
    there is a temperature; without one equal requests stay equal, and share a recording."""
    which = f"{info.seed}:{info.task_id.hex()}:{info.generation}:{info.attempt}"
    return int.from_bytes(blake2b(which.encode(), digest_size=4).digest(), "big") >> 1


class Spent(ProviderError):
    """A model's failure on its way out of an attempt, which puts its whole bill on it."""

    def __init__(self, error: ProviderError) -> None:
        super().__init__(str(error), kind=error.kind, retryable=error.retryable, retry_after_s=error.retry_after_s)
        self.error = error
        if error.kind in ("quota", "auth"):
            self.details = {"kind": error.kind}


BILL_UNKNOWN = frozenset({"timeout", "malformed"})
"""Failures of calls that the service may have worked at, and billed: they are charged their worst case."""


class OpenCall:
    """A call that is under way."""

    reply: ModelReply | None = None


class Bill:
    """What the calls of one attempt cost; of a call that was cut nobody can tell, so its worst case counts."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.cost, self.usage = NanoUsd(0), Usage()

    @contextmanager
    def open(self, model: Model, request: ModelRequest) -> Iterator[OpenCall]:
        """While inside, one call is under way; its price is added at the end, whatever that is."""
        call = OpenCall()
        try:
            yield call
        except ProviderError as error:
            if error.kind in BILL_UNKNOWN:
                self._add(model, model.worst_case(request))
            raise
        except BaseException:
            self._add(model, model.worst_case(request))
            raise
        if call.reply is not None:
            self._add(model, call.reply.usage)

    def _add(self, model: Model, used: Usage) -> None:
        self.usage = self.usage + used
        self.cost = NanoUsd(self.cost + self._services.cost(model.name, used))

    def note_on(self, error: BaseException) -> None:
        """Let whoever hears of the failure, or of the cancellation, know what it cost."""
        error.cost, error.usage = self.cost, self.usage  # type: ignore[attr-defined]  # read by `runtime.attempts`


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
        self._schema = None if task.signature.item is not None else structured.schema_of(task.returns)
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
            return ModelRequest(
                (*system, *messages),
                self._schema,
                self._max_tokens,
                self._temperature,
                seed % 2**31,
                stop=said.stop,
            )
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
