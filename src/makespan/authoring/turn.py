"""One turn of an agent: a priced task that shows the model the conversation so far and takes its calls or its answer.

Its arguments name the call of the agent and, as Refs, the turns and tool results before it: the journal stores every
message once, and a turn is known after a restart by what led to it, not by how much of that it is shown.

    then = [{"turn": Ref}, {"call": id, "outcome": Ref}, {"call": id, "text": "no such tool"}, {"text": "not accepted"}]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from makespan.authoring.history import bounded
from makespan.authoring.model_task import ModelCode, ModelTask, Opening, Structured
from makespan.authoring.provide import refuse_injected
from makespan.authoring.task import Task, TaskOptions
from makespan.errors import GraphError, ProviderError
from makespan.graph.node import Declaration, Effect, Kind, Options
from makespan.machine.resolve import OutcomeRecord
from makespan.ports import Message, ModelReply, ModelRequest, TaskCode, Tool, ToolCall
from makespan.values import untyped

DEFAULT_MODELS = ("default",)
MODEL_RETRIES = 2
"""Times a prompt, or a turn of an agent, is tried again without `retries=`."""

LAST_TURN = "This is your last turn, and there are no more tools: give your answer now, with what you know."


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model did in one turn: calls, after some text maybe, or an answer."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """The answer by the agent's declared type."""


class Event(msgspec.Struct, frozen=True):
    """One thing that happened before a turn."""

    turn: Turn | None = None
    call: str = ""
    """Id of the call whose result this is; empty for a message to the model."""
    outcome: OutcomeRecord | None = None
    """How the call's task ended; None when it could not be made, and `text` says why."""
    text: str = ""


class _Arguments(msgspec.Struct, frozen=True):
    call: msgspec.Raw
    then: list[Event] = []
    last: bool = False


_arguments = msgspec.msgpack.Decoder(_Arguments)


def _turn(call: Any, then: list[Any] = [], last: bool = False) -> Turn:  # noqa: B006 - only its signature is used
    """The parameters of a turn; the work is done by TurnCode."""
    raise GraphError("the turn of an agent is no function")


def model_options(fn: Callable[..., Any], options: TaskOptions) -> Options:
    """What prompts and turns are declared with where nothing else is said."""
    refuse_injected(fn, f"the prompt {fn.__name__}", "its body only says what to ask; a task gets it, and passes it on")
    models = tuple(options.get("models", DEFAULT_MODELS))
    if not models:
        raise GraphError(f"the prompt {fn.__name__} has an empty list of models")
    return Options(effect=Effect.IDEMPOTENT, retries=MODEL_RETRIES, models=models, priced=True)


class TurnTask(ModelTask[..., Turn]):
    """The turns of one agent.

    Args:
        agent: whose body says how the conversation opens, and whose type the answer has.
        history: characters of the conversation a turn is shown at most.
    """

    takes_models = False  # its agent hands it its own

    def __init__(
        self, agent: Task[..., Any], tools: tuple[Tool, ...], history: int, max_tokens: int, temperature: float
    ) -> None:
        super().__init__(_turn, {"key": f"{agent.key} turn"})
        self.agent, self.tools, self.history = agent, tools, history
        self.max_tokens, self.temperature = max_tokens, temperature

    def under(self, options: Options) -> TurnTask:
        """The same turns with the options of one call of the agent: not in their identity, the agent's has them."""
        copy = object.__new__(TurnTask)
        copy.__dict__.update(self.__dict__)
        kept = Options(
            effect=Effect.IDEMPOTENT,
            retries=options.retries,
            retry_on=options.retry_on,
            timeout_ns=options.timeout_ns,
            needs=options.needs,
            priority=options.priority,
            models=options.models,
            priced=True,
            stream=options.stream,
        )
        copy._declaration = Declaration(self.key, Kind.CALL, kept, "Turn", self.agent.declaration.code)
        return copy

    def _declare(self) -> Declaration:
        return self.under(self.agent.declaration.options).declaration

    def code_with(self, structured: Structured) -> TaskCode:
        return TurnCode(self, structured)


class TurnCode(ModelCode):
    """A turn behind the TaskCode port."""

    def __init__(self, task: TurnTask, structured: Structured) -> None:
        super().__init__(task, structured)
        self._tools, self._history = task.tools, task.history
        self._opening = Opening(task.agent, structured, task.max_tokens, task.temperature)
        self._answer = task.agent.signature.result
        self._returns = task.agent.returns

    def request(self, args: bytes, seed: int) -> ModelRequest:
        """The conversation so far, within the limit of the history; the last turn has no tools."""
        said = _arguments.decode(args)
        opening = self._opening.request(bytes(said.call), seed)
        messages = bounded(opening.messages, conversation(said.then), self._history)
        if said.last:
            messages = (*messages, Message.user(LAST_TURN))
        return msgspec.structs.replace(opening, messages=messages, tools=() if said.last else self._tools)

    def read(self, reply: ModelReply, request: ModelRequest) -> Turn:
        if reply.tool_calls and request.tools:
            return Turn(reply.text, reply.tool_calls)
        if not reply.text.strip() and reply.finish_reason != "filter":
            raise self._nothing(reply, request)
        value = self._structured.read(reply, self._returns)
        return Turn(value=msgspec.Raw(self._answer.encode(value)))

    def _nothing(self, reply: ModelReply, request: ModelRequest) -> ProviderError:
        """A turn without text and without calls; one that was cut would only be cut again."""
        if reply.finish_reason == "length":
            why = (
                f"max_tokens={request.max_tokens} cut the model's turn before its call or answer was complete; raise it"
            )
            return ProviderError(why, kind="bad_request", retryable=False)
        return ProviderError("the model gave neither an answer nor a call", kind="malformed", retryable=True)


def conversation(then: list[Event]) -> tuple[Message, ...]:
    """What happened, as the messages in which a model is told of it."""
    return tuple(_message(event) for event in then)


def _message(event: Event) -> Message:
    if event.turn is not None:
        answer = event.turn.value
        return Message.assistant(event.turn.text if answer is msgspec.UNSET else _text(answer), event.turn.tool_calls)
    if not event.call:
        return Message.user(event.text)
    return Message.tool(event.call, event.text if event.outcome is None else _result(event.outcome))


def _result(outcome: OutcomeRecord) -> str:
    if outcome.status == "succeeded":
        return _text(outcome.value)
    if outcome.error is None:
        return f"Error: the call was {outcome.status}"
    kind = outcome.error.type.rpartition(".")[2]
    return f"Error: {kind}: {outcome.error.message}"


def _text(value: msgspec.Raw) -> str:
    plain = untyped(bytes(value))
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()
