"""`@prompt`: a task whose work is one conversation with a model, its answer decoded to the declared type.

    @prompt(models=["fast", "main"])                       the first model; the next when it fails
    def grade(question: str, answer: str) -> Grade:
        return chat(f"Is {answer} a good answer to {question}?", system="Be strict.")

The body is pure Python and ends in `chat(...)`; `chat()` alone takes the docstring as the template. The answer is
constrained by the type's JSON Schema where the model can, validated always, and asked for again when it does not fit,
before it is a failure. With `tools=` or `check=` it is an agent: see `agent.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, ParamSpec, TypeVar, Unpack, overload

from makespan.authoring.agent import CHECK_TURNS, MAX_TURNS, Agent, AgentLimits
from makespan.authoring.history import HISTORY_CHARACTERS
from makespan.authoring.model_task import ModelCode, ModelTask, Opening, Structured
from makespan.authoring.task import Task, TaskOptions
from makespan.authoring.turn import model_options
from makespan.authoring.yielding import lines_of
from makespan.errors import GraphError
from makespan.ports import ModelReply, ModelRequest, TaskCode

P = ParamSpec("P")
R = TypeVar("R")

MAX_TOKENS = 512


class Prompt(ModelTask[P, R]):
    """A task answered by a model."""

    def __init__(self, fn: Callable[P, R], options: TaskOptions, max_tokens: int, temperature: float) -> None:
        super().__init__(fn, options, defaults=model_options(fn, options))
        self.max_tokens, self.temperature = max_tokens, temperature

    def code_with(self, structured: Structured) -> TaskCode:
        return PromptCode(self, structured)


class PromptCode(ModelCode):
    """A prompt behind the TaskCode port."""

    def __init__(self, task: Prompt[..., Any], structured: Structured) -> None:
        super().__init__(task, structured)
        self._opening = Opening(task, structured, task.max_tokens, task.temperature)
        self.request = self._opening.request  # type: ignore[method-assign]  # a prompt asks what its body says

    def read(self, reply: ModelReply, request: ModelRequest) -> Any:
        if self._task.signature.item is not None:
            return lines_of(self._structured.read(reply, str))
        return self._structured.read(reply, self._task.returns)


class _PromptDecorator:
    """What `@prompt(...)` gives."""

    def __init__(self, make: Callable[[Callable[..., Any]], Task[..., Any]]) -> None:
        self._make = make

    @overload
    def __call__(self, fn: Callable[P, AsyncIterator[str]], /) -> Task[P, list[str]]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Task[..., Any]:
        return self._make(fn)


def prompt(
    *,
    max_tokens: int = MAX_TOKENS,
    temperature: float = 0.0,
    tools: Sequence[Task[..., Any]] = (),
    check: Callable[[Any], object] | Task[[Any], Any] | None = None,
    max_turns: int | None = None,
    history: int | None = None,
    **options: Unpack[TaskOptions],
) -> _PromptDecorator:
    """Declare a prompt. `models` are names from the configuration, best first choice first.

    With `tools` or `check` it is an agent: a workflow whose model turns and tool calls are tasks of the run. Its
    `models`, `retries`, `timeout_s`, `needs` and `stream` are each turn's, its `budget_usd` and `deadline_s` the whole.

    Args:
        max_tokens: completion tokens of one answer at most.
        tools: tasks and workflows the model may call, under their function's name.
        check: a function or task of the answer; `ms.Retry("why")` from it sends the reason back to the model,
            anything else it raises fails the agent. What it returns is ignored.
        max_turns: model turns at most, the last without tools; 8, without tools 3.
        history: characters of the conversation a turn is shown, 100,000; see `history.py` for what is left out.
    Raises:
        GraphError: an option that makes no sense, or a tool whose parameters have no JSON Schema.
    """
    if not tools and check is None:
        for name, value in (("max_turns", max_turns), ("history", history)):
            if value is not None:
                raise GraphError(f"{name}={value!r} belongs to prompts with tools= or check=")
        return _PromptDecorator(lambda fn: Prompt(fn, options, max_tokens, temperature))
    turns = (MAX_TURNS if tools else CHECK_TURNS) if max_turns is None else max_turns
    limits = AgentLimits(turns, HISTORY_CHARACTERS if history is None else history, max_tokens, temperature)
    return _PromptDecorator(lambda fn: Agent(fn, options, tuple(tools), check, limits))


__all__ = ["Prompt", "PromptCode", "prompt"]
