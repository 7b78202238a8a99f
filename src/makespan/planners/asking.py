"""Asking a model for a plan: numbered lines where it can be trusted with them, JSON under a schema where it cannot.

    write_plan("goal", offers(tools))    ──▶  a Ref that yields the plan's text, for `LivePlan.ingest(…, format="auto")`

Which of the two is decided where the model is known, in the attempt: a model that does not take tools natively
(`native_tools` false: the embedded ones, and those declared so) is a small one, and is held to the schema of the plans
over these tools. So a list of models may hold both kinds, and a plan is always on record as it was written.
Invariant: the pieces that are told as the model writes are the pieces of the result.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar, cast

import msgspec

from makespan.authoring.model_task import ModelCode, ModelTask, Structured
from makespan.authoring.ref import Ref
from makespan.authoring.task import Task
from makespan.authoring.turn import DEFAULT_MODELS, MODEL_RETRIES
from makespan.authoring.yielding import Lines, Telling
from makespan.errors import GraphError, ProviderError
from makespan.graph.node import Effect, Options
from makespan.models.tool_choice import ToolChoice
from makespan.planners.schema import MAX_STEPS, Offer, offers, plan_schema, signature
from makespan.planners.tools import Tools
from makespan.ports import AttemptInfo, Message, ModelReply, ModelRequest, Services, TaskCode

FORMATS = ("auto", "numbered", "schema")
"""How a plan is asked for; `auto` by the model."""
PLAN_TOKENS = 1_024
"""Completion tokens of one plan."""

T = TypeVar("T")

_NUMBERED = """You write plans: calls of tools that together reach the user's goal. One call a line, numbered from 1:
1. tool(argument, name=argument)
An argument is a value, or $1 for the whole result of call 1, $1.field for a part of it; inside a text write ${1}.
Calls that do not need each other run at the same time, so refer only to what a call really needs. Use only these tools,
at most %d calls, and end with a line that says join(). Write nothing else.
Tools:
%s"""
_SCHEMA = """You write plans as JSON: {"steps": [{"why": WHAT IT DOES, "tool": NAME, "args": {...}}, ...]}. \
Each step calls
one tool. Never work out yourself what a tool can work out. \
To use the result of an earlier step as an argument, write "$1"
for the result of the first step, "$2" for the second; inside a text write ${1}. Stop when the goal is reached.
Tools:
%s"""
_EXAMPLES = (
    Message.user(
        "Tools for this example: age(name: string) -> integer; "
        'arithmetic(x: number, sign: "plus" | "times", y: number) -> number; say(text: string) -> string\n'
        "Goal: How old are Ann and Bob together, times 3? Say it in a sentence."
    ),
    Message.assistant(
        '{"steps": [{"why": "Ann\'s age", "tool": "age", "args": {"name": "Ann"}}, '
        '{"why": "Bob\'s age", "tool": "age", "args": {"name": "Bob"}}, '
        '{"why": "Ann\'s age plus Bob\'s age", "tool": "arithmetic", "args": {"x": "$1", "sign": "plus", "y": "$2"}}, '
        '{"why": "the sum times 3", "tool": "arithmetic", "args": {"x": "$3", "sign": "times", "y": 3}}, '
        '{"why": "the sentence the goal asks for", "tool": "say", '
        '"args": {"text": "Three times their age is ${4}."}}]}'
    ),
    Message.user(
        "Tools for this example: height(name: string) -> number; "
        'arithmetic(x: number, sign: "plus" | "times", y: number) -> number; '
        "to_feet(meters: number) -> number\nGoal: Twice the height of Tom, in feet."
    ),
    Message.assistant(
        '{"steps": [{"why": "Tom\'s height in meters", "tool": "height", "args": {"name": "Tom"}}, '
        '{"why": "Tom\'s height times 2", "tool": "arithmetic", "args": {"x": "$1", "sign": "times", "y": 2}}, '
        '{"why": "twice the height in feet", "tool": "to_feet", "args": {"meters": "$2"}}]}'
    ),
)
"""Made up: two goals with tools of their own, so that a small model sees results and plain numbers as arguments."""
_PIECES = re.compile(r"(?<=\n)|(?<=\}, )")


def check_format(format: str) -> None:
    """Raise GraphError for a way of asking that is none."""
    if format not in FORMATS:
        raise GraphError(f"format={format!r}: a plan is asked for as {', '.join(FORMATS)}")


def is_small(services: Services, name: str) -> bool:
    """Whether a model plans by schema: one that takes no tools as they are.

    Raises:
        ProviderError: there is no such model.
    """
    return isinstance(services.model(name), ToolChoice)


def _write_plan(
    goal: str,
    tools: list[Offer],
    max_steps: int = MAX_STEPS,
    format: str = "auto",
    problems: tuple[str, ...] = (),
    known: tuple[str, ...] = (),
) -> AsyncIterator[str]:
    """The parameters of the task; the work is done by PlanCode."""
    raise GraphError("a plan is written by a model")


class PlanTask(ModelTask[..., list[str]]):
    """A plan for a goal, by a model. Made by `write_plan`.

    Args:
        goal: in words.
        tools: `offers(...)` of what the plan may call.
        max_steps: calls at most; a schema allows no more, text is only told.
        format: `auto`, or `schema` or `numbered` whatever the model is.
        problems: what was wrong with the last plan for this goal, or why another one is needed.
        known: calls that were made before, with what came of them.
    """

    def __init__(self) -> None:
        options = Options(effect=Effect.IDEMPOTENT, retries=MODEL_RETRIES, models=DEFAULT_MODELS, priced=True)
        super().__init__(_write_plan, {"key": "makespan.write_plan"}, defaults=options)

    def code_with(self, structured: Structured) -> TaskCode:
        return PlanCode(self, structured)


class PlanCode(ModelCode):
    """Writing a plan behind the TaskCode port."""

    def request(self, args: bytes, seed: int) -> ModelRequest:
        """The request for numbered lines."""
        said = self._said(args)
        system = _NUMBERED % (said["max_steps"], _listed(said["tools"]))
        return ModelRequest(
            (Message.system(system), Message.user(_wish(said))), None, PLAN_TOKENS, 0.0, seed=seed % 2**31
        )

    def for_model(self, request: ModelRequest, args: bytes, services: Services, name: str) -> ModelRequest:
        """The same for JSON under a schema where the model is a small one."""
        said = self._said(args)
        if said["format"] == "numbered" or (said["format"] == "auto" and not _is_known_small(services, name)):
            return request
        system = Message.system(_SCHEMA % _listed(said["tools"]))
        messages = (system, *_EXAMPLES, Message.user(_wish(said, can_refer=False)))
        schema = plan_schema(said["tools"], said["max_steps"])
        return msgspec.structs.replace(request, messages=messages, schema=schema)

    def _said(self, args: bytes) -> dict[str, Any]:
        return {
            "max_steps": MAX_STEPS,
            "format": "auto",
            "problems": (),
            "known": (),
            **self._task.signature.decode(args),
        }

    def lines(self, info: AttemptInfo) -> Lines:
        return Pieces(Telling(info))

    def read(self, reply: ModelReply, request: ModelRequest) -> list[str]:
        """The pieces of the text. Under a schema a text that was cut is asked for again, shorter."""
        if request.schema is not None and reply.finish_reason == "length":
            raise ProviderError(
                f"the plan was cut off after {reply.usage.completion_tokens} tokens; ask for fewer steps",
                kind="truncated",
                retryable=False,
            )
        return [piece for piece in _PIECES.split(self._structured.read(reply, str)) if piece]


class Pieces(Lines):
    """A plan's text, told by lines and by the steps of a list that is written on one line."""

    def take(self, text: str) -> None:
        """More of the text."""
        *whole, self._rest = _PIECES.split(self._rest + text)
        for piece in whole:
            self._telling.tell(msgspec.msgpack.encode(piece))


write_plan: Task[..., list[str]] = PlanTask()


def planner(models: Sequence[str] = ()) -> Task[..., list[str]]:
    """`write_plan`, asked of these models."""
    return write_plan.options(models=list(models)) if models else write_plan


def asked_of(asked: T, models: Sequence[str]) -> T:
    """A planner, joiner or the like with other models; a function, a task without models, or no models: as it is."""
    if not (models and isinstance(asked, Task) and asked.takes_models):
        return asked
    return cast(T, asked.options(models=list(models)))


def _is_known_small(services: Services, name: str) -> bool:
    try:
        return is_small(services, name)
    except ProviderError:
        return False  # asking it says what is wrong, past the breaker and onto the bill


def _listed(tools: list[Offer]) -> str:
    return "\n".join(f"- {signature(offer)}" for offer in tools)


def by_model(tools: Tools, format: str = "auto", models: Sequence[str] = ()) -> Callable[..., Ref[list[str]]]:
    """`write_plan` for recipes whose planner is asked for (goal, tools, calls so far, why once more, problems)."""

    def ask(goal: str, _: Sequence[str], calls: Sequence[object], why: str, wrong: Sequence[str]) -> Ref[list[str]]:
        problems, known = ((why,) if why else ()) + tuple(wrong), tuple(map(str, calls))
        return planner(models)(goal, offers(tools), MAX_STEPS, format, problems, known)

    check_format(format)
    return ask


def _wish(said: dict[str, Any], *, can_refer: bool = True) -> str:
    """The user's message."""
    parts = [f"Goal: {said['goal']}"]
    if said["known"]:
        how = "use them as $1, $2 and so on" if can_refer else "write those again whose results are needed: nothing is"
        how += ", and go on with the next free number" if can_refer else " called twice"
        parts += [f"Calls made so far; {how}:", *said["known"]]
    if said["problems"]:
        parts += ["Another plan is needed. Write it whole. What was wrong:"]
        parts += [f"- {problem}" for problem in said["problems"]]
    return "\n".join(parts)
