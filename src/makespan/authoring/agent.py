"""An agent: a prompt with tools or a check, as a live workflow whose model turns and tool calls are tasks of the run.

    question ─▶ turn ─calls─▶ tool, tool ─▶ turn ─calls─▶ … ─▶ turn ─answer─▶ check ─▶ value
                 ▲                            │                                 │
                 └──── results, or what went wrong, or why it was not accepted ─┘

A turn and a call that finished never run again, whatever crashes between them. What a tool cannot do is told to the
model; only `Fatal` ends the agent. Invariant: the last allowed turn has no tools, so an agent ends.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

import msgspec

from makespan.authoring.place import Place, here
from makespan.authoring.ref import Ref, outcome_ref
from makespan.authoring.task import P, Task, TaskOptions
from makespan.authoring.toolbox import Misuse, Toolbox
from makespan.authoring.turn import Turn, TurnTask, model_options
from makespan.errors import Fatal, GraphError, Retry, TaskError
from makespan.graph.node import Kind, Options
from makespan.ports import ToolCall

T_co = TypeVar("T_co", covariant=True)

MAX_TURNS = 8
"""Turns of an agent without `max_turns=`."""
CHECK_TURNS = 3
"""Turns of a prompt with a check and no tools."""
CALLS_PER_TURN = 32
"""Tool calls that one turn may ask for; those above are answered with a message."""

_FATAL = "makespan.errors.Fatal"
_MISPLACED = ("cache_s", "executor", "undo", "effect", "raises")


class AgentLimits(msgspec.Struct, frozen=True):
    """The bounds of an agent and of its turns."""

    turns: int
    history: int
    max_tokens: int
    temperature: float


class Agent(Task[P, T_co]):
    """A prompt with tools or a check. Made by `@ms.prompt(tools=..., check=...)`."""

    kind = Kind.WORKFLOW
    takes_models = True

    def __init__(
        self,
        fn: Callable[..., Any],
        options: TaskOptions,
        tools: tuple[Task[..., Any], ...],
        check: Callable[[Any], object] | Task[[Any], Any] | None,
        limits: AgentLimits,
    ) -> None:
        model = msgspec.structs.replace(model_options(fn, options), priced=False)
        super().__init__(fn, options, defaults=model)
        _check_limits(self.key, limits, bool(tools))
        _check_options(self.key, options)
        self.limits, self.tools = limits, tools
        self._toolbox = Toolbox(self.key, tools)
        self._turn = TurnTask(self, self._toolbox.tools, limits.history, limits.max_tokens, limits.temperature)
        self._check = None if check is None else Check(self, check)

    @property
    def parts(self) -> tuple[Task[..., Any], ...]:
        """The tasks it calls."""
        return (self._turn, *self.tools, *(() if self._check is None else (self._check.task,)))

    def options(self, **options: Any) -> Task[P, T_co]:
        _check_options(self.key, options)
        return super().options(**options)

    def body(self, values: dict[str, Any], options: Options) -> Coroutine[Any, Any, Any]:
        return _converse(self, values, options)


async def _converse(agent: Agent[..., Any], values: dict[str, Any], options: Options) -> Any:
    """The body of an agent: turns and calls until an answer is accepted."""
    place, turn = here("an agent"), agent._turn.under(options)
    call = place.value(agent.signature.encode((), values)[0], (), Any, f"{agent.key} call")
    then: list[dict[str, Any]] = []
    reason = ""
    for number in range(1, agent.limits.turns + 1):
        ref = turn(call, then, bool(agent.tools) and number == agent.limits.turns)
        said: Turn = await ref
        then.append({"turn": ref})
        if said.value is msgspec.UNSET:
            then += await _results(agent._toolbox, place, said.tool_calls)
            continue
        reason = await _objection(agent, place, ref)
        if not reason:
            return agent.signature.result.decode(bytes(said.value))
        then.append({"text": f"That answer was not accepted: {reason}"})
    raise Fatal(
        f"no answer of {agent.key} was accepted within max_turns={agent.limits.turns}; "
        f"what was wrong with the last: {reason}"
    )


async def _results(toolbox: Toolbox, place: Place, calls: tuple[ToolCall, ...]) -> list[dict[str, Any]]:
    """Make all calls at once, wait for them in order; one event a call, in the order of the calls.

    Raises:
        TaskError: a tool said that nothing can help (`Fatal`).
    """
    begun = [_begun(toolbox, place, call, number) for number, call in enumerate(calls)]
    for event in begun:
        ref = event.get("outcome")
        if ref is None:
            continue
        outcome = await ref
        if outcome.failure is not None and _FATAL in outcome.failure.lineage:
            raise outcome.error or TaskError(outcome.task, outcome.failure)
    return begun


def _begun(toolbox: Toolbox, place: Place, call: ToolCall, number: int) -> dict[str, Any]:
    if number >= CALLS_PER_TURN:
        text = f"this call was not made: a turn may make {CALLS_PER_TURN}; ask again in the next one"
        return {"call": call.id, "text": f"Error: {text}"}
    try:
        return {"call": call.id, "outcome": outcome_ref(toolbox.call(place, call))}
    except Misuse as problem:
        return {"call": call.id, "text": f"Error: {problem}"}


async def _objection(agent: Agent[..., Any], place: Place, turn: Ref[Any]) -> str:
    """Why the answer of a turn is not accepted; empty when it is."""
    if agent._check is None:
        return ""
    answer: Ref[Any] = Ref(place.builder, turn._task, agent.returns, turn._name, ("value",))
    said: str | None = await agent._check.task(answer)
    return said or ""


# ---------------------------------------------------------------- checks


class Check:
    """The check of an agent as a task whose result is the reason of a `Retry`: asking again is the model's business.

    Raises:
        GraphError: it is neither a function nor a task.
    """

    def __init__(self, agent: Task[..., Any], check: Callable[[Any], object] | Task[[Any], Any]) -> None:
        self._agent, self._options = agent, cast("TaskOptions", {})
        self._fn: Callable[..., Any] = check
        if isinstance(check, Task):
            if check.kind != Kind.CALL:
                raise GraphError(f"check= of {agent.key} is a workflow: give a function or a task")
            self._options, self._fn = cast("TaskOptions", check._options), check.fn
        if self._options.get("executor") == "process":
            raise GraphError(f"check= of {agent.key} runs in this process: give it without executor='process'")
        if not callable(self._fn):
            raise GraphError(
                f"check= of {agent.key} is {type(check).__name__}: give a function or a task of the answer"
            )

    @functools.cached_property
    def task(self) -> Task[[Any], str | None]:
        """Made at its first use, so that annotations may be defined later."""
        said, answer = _reasoned(self._fn), next(iter(inspect.signature(self._fn).parameters), "")
        declared = getattr(self._fn, "__annotations__", {})
        said.__annotations__ = {answer: self._agent.returns, **declared, "return": str | None}
        return Task(said, {**self._options, "key": f"{self._agent.key} check"})


def _reasoned(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, giving the reason of a Retry instead of raising it."""
    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def judge_later(*args: Any, **kwargs: Any) -> str | None:
            try:
                await fn(*args, **kwargs)
            except Retry as wish:
                return str(wish) or "try again"
            return None

        return judge_later

    @functools.wraps(fn)
    def judge(*args: Any, **kwargs: Any) -> str | None:
        try:
            fn(*args, **kwargs)
        except Retry as wish:
            return str(wish) or "try again"
        return None

    return judge


# ---------------------------------------------------------------- what makes no sense


def _check_limits(key: str, limits: AgentLimits, has_tools: bool) -> None:
    least = 2 if has_tools else 1
    if type(limits.turns) is not int or limits.turns < least:
        why = ": the last turn has no tools" if has_tools else ""
        raise GraphError(f"{key}: max_turns={limits.turns!r}: it is a whole number, at least {least}{why}")
    if type(limits.history) is not int or limits.history < 1:
        raise GraphError(f"{key}: history={limits.history!r}: it is a whole number of characters above 0")


def _check_options(key: str, options: Any) -> None:
    for name in _MISPLACED:
        if name in options:
            raise GraphError(
                f"{name} belongs to tasks: give it to the tools of {key}, not to a prompt with tools or check"
            )
