"""ATIF trajectories (Harbor): one JSON object with `schema_version`, `agent` and `steps`.

    step of an agent    a model's turn, and a tool call for each of its calls with what came back
    other steps         a message; what was observed without a call is a step of its own
    subagent            its trajectory is inside the call that refers to it, as an agent with its steps

Source: Agent Trajectory Interchange Format, versions 1.0 to 1.8 (Harbor's RFC 0001). Read leniently: a later minor
version may add fields, and they are ignored. Ids and probabilities of tokens are left out.
"""

from __future__ import annotations

from typing import Any

from makespan.traces.importers.fields import count, fields, money, objects, text_of, wall_ns
from makespan.traces.importers.foreign import (
    AGENT,
    MESSAGE,
    MODEL,
    OTHER,
    TOOL,
    ForeignStep,
    ForeignTrace,
    NotReadable,
)
from makespan.values import Usage

PREFIX = "ATIF-v1."
MOST_DEPTH = 32
"""Of subagents in subagents."""
ERROR_FLAGS = ("is_error", "tool_result_is_error", "tool_use_is_error")
"""What agents write into `extra` of a call or a result that failed."""


def is_atif(data: Any) -> bool:
    """Whether a decoded file says that it is one."""
    return isinstance(data, dict) and isinstance(data.get("steps"), list) and "schema_version" in data


def read_atif(data: Any) -> ForeignTrace:
    """A decoded trajectory, with those of its subagents that are in the same file.

    Raises:
        NotReadable: it is of another version, or a field that holds steps, calls, results or figures holds none.
    """
    if not is_atif(data):
        raise NotReadable("an ATIF trajectory is a JSON object with `schema_version` and `steps`")
    version = data["schema_version"]
    if not isinstance(version, str) or not version.startswith(PREFIX):
        raise NotReadable(f"schema_version is {version!r}; {PREFIX}x can be read")
    reader = _Reader()
    reader.trajectory(data, "", -1)
    cost, usage = _left(fields(data.get("final_metrics"), "final_metrics"), reader.steps)
    answers = [step.output for step in reader.steps if step.kind == MODEL and step.parent < 0]
    return ForeignTrace(
        form="atif",
        name=_agent_name(data),
        session=text_of(data.get("session_id")),
        steps=reader.steps,
        in_file=steps_in(data),
        output=answers[-1] if answers else None,
        cost=cost,
        usage=usage,
    )


def _left(totals: dict[str, Any], steps: list[ForeignStep]) -> tuple[int, Usage | None]:
    """What the totals of the run say beyond what its own steps do, subagents apart."""
    own = [step for step in steps if step.parent < 0]
    names = ("total_prompt_tokens", "total_cached_tokens", "total_completion_tokens")
    total = Usage(*(count(totals.get(name), f"final_metrics.{name}") for name in names))
    said = sum((step.usage for step in own if step.usage is not None), Usage())
    left = Usage(*(max(getattr(total, name) - getattr(said, name), 0) for name in Usage.__struct_fields__))
    cost = money(totals.get("total_cost_usd"), "final_metrics.total_cost_usd") - sum(step.cost for step in own)
    return max(cost, 0), left if left != Usage() else None


def steps_in(data: Any) -> int:
    """Steps of a trajectory and of all subagents inside it, counted without reading them."""
    if not isinstance(data, dict):
        return 0
    own, inner = data.get("steps"), data.get("subagent_trajectories")
    return (len(own) if isinstance(own, list) else 0) + sum(map(steps_in, inner if isinstance(inner, list) else ()))


class _Reader:
    """Goes through a file once; `count` numbers its steps."""

    def __init__(self) -> None:
        self.steps: list[ForeignStep] = []
        self.count = 0
        self.inner: list[dict[str, tuple[str, dict[str, Any]]]] = []
        """For each trajectory that is open, its subagents that are not read yet: id → (where, trajectory)."""

    def trajectory(self, data: dict[str, Any], where: str, parent: int) -> None:
        """Add the steps of a trajectory inside an agent (-1: the run)."""
        if len(self.inner) > MOST_DEPTH:
            raise NotReadable(f"{where}steps are more than {MOST_DEPTH} subagents deep (atif.MOST_DEPTH)")
        agent, last = fields(data.get("agent"), f"{where}agent"), list[int]()
        self.inner.append({})
        for place, each in enumerate(objects(data.get("subagent_trajectories"), f"{where}subagent_trajectories")):
            id, there = text_of(each.get("trajectory_id")), f"{where}subagent_trajectories[{place}]."
            self.inner[-1][id if id and id not in self.inner[-1] else there] = there, each
        before_ns: int | None = None
        for place, said in enumerate(objects(data.get("steps"), f"{where}steps")):
            at = f"{where}steps[{place}]"
            step = _Step(said, at, parent, agent, last, before_ns, self.count)
            self.count += 1
            last = self._step(step)
            before_ns = step.at_ns if step.at_ns is not None else before_ns
        for name in list(self.inner[-1]):  # nobody refers to them
            self._subagent(name, parent, last)
        self.inner.pop()

    def _step(self, step: _Step) -> list[int]:
        """Add one step of the file; gives the places that the next one follows from."""
        if step.source == "agent":
            self.steps.append(step.turn())
        else:
            self.steps.append(step.message())
        place = len(self.steps) - 1
        return self._calls(step, place) or [place]

    def _calls(self, step: _Step, turn: int) -> list[int]:
        """The tool calls of a turn with their results; results of no call are steps of their own."""
        taken, added = set[int](), list[int]()
        for number, call in enumerate(step.calls):
            found = step.results_of(number)
            taken.update(found)
            results = [step.results[i] for i in found]
            self.steps.append(step.call(call, results, self._delegated(results, step, turn), turn))
            added.append(len(self.steps) - 1)
        for i, result in enumerate(step.results):
            if i not in taken:
                self.steps.append(step.observed(result, self._delegated([result], step, turn), turn))
                added.append(len(self.steps) - 1)
        return added

    def _delegated(self, results: list[dict[str, Any]], step: _Step, turn: int) -> list[int]:
        """The subagents that results refer to, where this file has them."""
        found = []
        for result in results:
            for ref in objects(result.get("subagent_trajectory_ref"), f"{step.where}.subagent_trajectory_ref"):
                place = self._subagent(text_of(ref.get("trajectory_id")), step.parent, [turn])
                found += [] if place is None else [place]
        return found

    def _subagent(self, id: str, parent: int, last: list[int]) -> int | None:
        """Add a subagent, with all that is in it; once, and of the nearest trajectory that has one of this id."""
        holder = next((each for each in reversed(self.inner) if id in each), None)
        if holder is None:
            return None
        where, data = holder.pop(id)
        if not steps_in(data):
            return None
        place = len(self.steps)
        self.steps.append(ForeignStep(kind=AGENT, name=_agent_name(data), of=self.count, sources=last, parent=parent))
        self.trajectory(data, where, place)
        inside = [step for step in self.steps[place + 1 :] if step.parent == place]
        answers = [step.output for step in inside if step.kind == MODEL]
        self.steps[place].output = answers[-1] if answers else None
        return place


class _Step:
    """One step of a file, and where it stands."""

    def __init__(
        self,
        said: dict[str, Any],
        where: str,
        parent: int,
        agent: dict[str, Any],
        last: list[int],
        before_ns: int | None,
        of: int,
    ) -> None:
        self.said, self.where, self.parent, self.agent, self.last = said, where, parent, agent, last
        self.of, self.before_ns = of, before_ns
        self.at_ns = wall_ns(said.get("timestamp"), f"{where}.timestamp")
        self.source = text_of(said.get("source")) or "agent"
        observed = fields(said.get("observation"), f"{where}.observation")
        self.results = objects(observed.get("results"), f"{where}.observation.results")
        self.calls = objects(said.get("tool_calls"), f"{where}.tool_calls")

    def message(self) -> ForeignStep:
        said = self.said.get("message")
        return ForeignStep(
            kind=MESSAGE,
            name=self.source,
            of=self.of,
            arguments=said,
            output=said,
            sources=self.last,
            parent=self.parent,
            end_ns=self.at_ns,
        )

    def turn(self) -> ForeignStep:
        """What a model said; where the file says that none was asked, what the agent did by itself."""
        said, figures = self.said, fields(self.said.get("metrics"), f"{self.where}.metrics")
        output: dict[str, Any] = {"value": said.get("message")}
        output |= {"reasoning": said["reasoning_content"]} if said.get("reasoning_content") else {}
        if self.calls:
            output["tool_calls"] = [
                {"id": c.get("tool_call_id"), "name": c.get("function_name"), "arguments": c.get("arguments")}
                for c in self.calls
            ]
        output |= {"extra": said["extra"]} if said.get("extra") else {}
        asked = said.get("llm_call_count") != 0
        counts = ("prompt_tokens", "cached_tokens", "completion_tokens")
        return ForeignStep(
            kind=MODEL if asked else OTHER,
            name="turn" if asked else "dispatch",
            of=self.of,
            output=output,
            sources=self.last,
            parent=self.parent,
            start_ns=self.before_ns,
            end_ns=self.at_ns,
            model=text_of(said.get("model_name")) or text_of(self.agent.get("model_name")) if asked else "",
            usage=Usage(*(count(figures.get(name), f"{self.where}.metrics.{name}") for name in counts)),
            cost=money(figures.get("cost_usd"), f"{self.where}.metrics.cost_usd"),
        )

    def results_of(self, number: int) -> list[int]:
        """The places of what came back for a call: by its id, else the one in its place that names no call."""
        id = self.calls[number].get("tool_call_id")
        found = [i for i, result in enumerate(self.results) if result.get("source_call_id") == id is not None]
        if not found and number < len(self.results) and self.results[number].get("source_call_id") is None:
            return [number]
        return found

    def call(self, call: dict[str, Any], results: list[dict[str, Any]], agents: list[int], turn: int) -> ForeignStep:
        """A tool call, from its turn; where it was given to subagents, from these, and when they had ended."""
        given = [_content(each) for each in results]
        failed = _failed(call) or any(map(_failed, results))
        return ForeignStep(
            kind=TOOL,
            name=text_of(call.get("function_name")) or "tool",
            of=self.of,
            arguments=call.get("arguments"),
            output=given[0] if len(given) == 1 else given or None,
            error=_message(given) if failed else None,
            sources=agents or [turn],
            parent=self.parent,
            start_ns=None if agents else self.at_ns,
        )

    def observed(self, result: dict[str, Any], agents: list[int], turn: int) -> ForeignStep:
        return ForeignStep(
            kind=OTHER,
            name="observation",
            of=self.of,
            output=_content(result),
            error=_message([_content(result)]) if _failed(result) else None,
            sources=agents or [turn],
            parent=self.parent,
            start_ns=None if agents else self.at_ns,
        )


def _agent_name(data: dict[str, Any]) -> str:
    agent = data.get("agent")
    return (text_of(agent.get("name")) if isinstance(agent, dict) else "") or "agent"


def _content(result: dict[str, Any]) -> Any:
    others = {key: value for key, value in result.items() if key not in ("content", "source_call_id") and value}
    return {"content": result.get("content"), **others} if others else result.get("content")


def _failed(said: dict[str, Any]) -> bool:
    extra = said.get("extra")
    return isinstance(extra, dict) and any(extra.get(flag) is True for flag in ERROR_FLAGS)


def _message(given: list[Any]) -> str:
    """What a failed call said, as the message of its error."""
    said = [each.get("content") if isinstance(each, dict) else each for each in given]
    return "\n".join(each if isinstance(each, str) else repr(each) for each in said if each is not None) or "error"
