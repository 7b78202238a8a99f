"""OTLP/JSON traces: GenAI spans, OpenInference spans, our own exports, and any other span as a step without a kind.

    span without spans below it   a step: a model's turn, a tool call, or another
    span with some                an agent: a sub-workflow that holds them

Which span took what from which is not in a trace: each follows from those of the same parent that ended before it began
and that nobody else followed from in between.

Source: OTLP 1.x JSON, semantic-conventions-genai, OpenInference's semantic conventions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from makespan.traces.importers.fields import count, fields, money, nanoseconds, objects, text_of
from makespan.traces.importers.foreign import (
    AGENT,
    MODEL,
    OTHER,
    TOOL,
    ForeignStep,
    ForeignTrace,
    NotReadable,
)
from makespan.values import Usage

ERROR_CODES = (2, "STATUS_CODE_ERROR")
MODEL_OPERATIONS = frozenset({"chat", "text_completion", "generate_content", "embeddings", "plan"})
MODEL_KINDS = frozenset({"LLM", "EMBEDDING", "RERANKER", "EVALUATOR"})
TOOL_KINDS = frozenset({"TOOL", "RETRIEVER"})
INPUTS = ("input.value", "gen_ai.tool.call.arguments", "gen_ai.input.messages", "makespan.task.arguments")
OUTPUTS = ("output.value", "gen_ai.tool.call.result", "gen_ai.output.messages", "makespan.task.value")
MOST_PREDECESSORS = 64


class _Span(msgspec.Struct):
    id: str
    parent: str
    name: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    error: str | None


def is_otlp(data: Any) -> bool:
    """Whether decoded data (of JSON lines: the list of them) hold resource spans."""
    return bool(_exports(data))


def _exports(data: Any) -> list[dict[str, Any]]:
    each = data if isinstance(data, list) else [data]
    found = [one for one in each if isinstance(one, dict) and isinstance(_either(one, "resourceSpans"), list)]
    return found if len(found) == len(each) else []


def read_otlp(data: Any) -> ForeignTrace:
    """Decoded OTLP.

    Raises:
        NotReadable: it holds no span, or one without times.
    """
    exports = _exports(data)
    if not exports:
        raise NotReadable('OTLP/JSON is an object with "resourceSpans"')
    spans = sorted(_spans(exports), key=lambda span: (span.start_ns, -span.end_ns))
    places = {span.id: place for place, span in enumerate(spans)}
    parents = [places.get(span.parent, -1) for span in spans]
    parents = [-1 if parent >= place else parent for place, parent in enumerate(parents)]
    holders = set(parents)
    asks = _asking(spans, parents)
    steps = [_step(span, i, parents[i], i in holders, i in asks) for i, span in enumerate(spans)]
    _follow(steps)
    roots = [place for place, parent in enumerate(parents) if parent < 0]
    service = next((name for one in exports for name in _services(one)), "")
    errors = [steps[place].error for place in roots if steps[place].error is not None]
    return ForeignTrace(
        form="otlp",
        name=spans[roots[0]].name if len(roots) == 1 else service or "trace",
        session=next((str(s.attributes[k]) for s in spans for k in _SESSIONS if s.attributes.get(k)), ""),
        steps=steps,
        in_file=len(spans),
        output=steps[roots[-1]].output if roots else None,
        error=errors[-1] if errors else None,
    )


_SESSIONS = ("session.id", "gen_ai.conversation.id")


def _spans(exports: list[dict[str, Any]]) -> Iterator[_Span]:
    for one in exports:
        for resource in objects(_either(one, "resourceSpans"), "resourceSpans"):
            for scope in objects(_either(resource, "scopeSpans"), "scopeSpans"):
                for said in objects(scope.get("spans"), "spans"):
                    yield _span(said)


def _span(said: dict[str, Any]) -> _Span:
    name = text_of(said.get("name")) or "span"
    start, end = (nanoseconds(_either(said, key), f"{key} of the span {name[:60]!r}") for key in _TIMES)
    status = fields(said.get("status"), f"status of the span {name[:60]!r}")
    attributes = _attributes(said.get("attributes"))
    error = None
    if status.get("code") in ERROR_CODES:
        error = str(status.get("message") or attributes.get("error.type") or "error")
    ids = [text_of(_either(said, key)) for key in ("spanId", "parentSpanId", "traceId")]
    return _Span(ids[2] + ids[0], ids[2] + ids[1] if ids[1] else "", name, start, end, attributes, error)


_TIMES = ("startTimeUnixNano", "endTimeUnixNano")


def _either(said: dict[str, Any], name: str) -> Any:
    """A field by its JSON name, or as protobuf writes it."""
    if name in said:
        return said[name]
    return said.get("".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name))


def _services(one: dict[str, Any]) -> Iterator[str]:
    for resource in _either(one, "resourceSpans"):
        said = resource.get("resource") if isinstance(resource, dict) else None
        found = _attributes(said.get("attributes")).get("service.name") if isinstance(said, dict) else None
        if found:
            yield str(found)


def _attributes(said: Any) -> dict[str, Any]:
    found = said if isinstance(said, list) else []
    return {str(one.get("key")): _value(one.get("value")) for one in found if isinstance(one, dict)}


def _value(said: Any) -> Any:
    """An AnyValue as plain data."""
    match said:
        case {"stringValue": value} | {"boolValue": value} | {"doubleValue": value} | {"bytesValue": value}:
            return value
        case {"intValue": value}:
            return _whole(value)
        case {"arrayValue": dict() as inner}:
            return [_value(each) for each in inner.get("values") or []]
        case {"kvlistValue": dict() as inner}:
            return _attributes(inner.get("values"))
    return None


def _whole(value: Any) -> Any:
    """JSON has whole numbers of 64 bits as text; what is no number stays what it is."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return value


def _step(span: _Span, place: int, parent: int, holds: bool, asks: bool) -> ForeignStep:
    """A span as a step. `holds`: spans are below it. `asks`: its figures are its own, and a model's."""
    said = span.attributes
    kind = AGENT if holds else _kind(said)
    return ForeignStep(
        kind=kind,
        name=text_of(said.get("gen_ai.tool.name") or said.get("tool.name")) or span.name,
        of=place,
        arguments=_content(said, INPUTS),
        output=_content(said, OUTPUTS),
        error=span.error,
        parent=parent,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        model=text_of(said.get("gen_ai.request.model") or said.get("llm.model_name")) if asks else "",
        usage=_usage(said) if asks else None,
        cost=_cost(said) if asks else 0,
    )


def _kind(said: dict[str, Any]) -> str:
    operation, kind = text_of(said.get("gen_ai.operation.name")), text_of(said.get("openinference.span.kind"))
    if operation == "execute_tool" or kind in TOOL_KINDS:
        return TOOL
    return MODEL if operation in MODEL_OPERATIONS or kind in MODEL_KINDS else OTHER


def _content(said: dict[str, Any], names: tuple[str, ...]) -> Any:
    found = next((said[name] for name in names if name in said), None)
    if isinstance(found, str) and found[:1] in ("{", "["):
        try:
            return msgspec.json.decode(found)
        except msgspec.DecodeError:
            return found
    return found


def _usage(said: dict[str, Any]) -> Usage:
    pairs = (
        ("gen_ai.usage.input_tokens", "llm.token_count.prompt"),
        ("gen_ai.usage.cache_read.input_tokens", "llm.token_count.prompt_details.cache_read"),
        ("gen_ai.usage.output_tokens", "llm.token_count.completion"),
    )
    return Usage(*(next((count(said[name], name) for name in pair if name in said), 0) for pair in pairs))


def _cost(said: dict[str, Any]) -> int:
    return money(said.get("makespan.cost_usd", said.get("llm.cost.total")), "llm.cost.total")


def _asking(spans: list[_Span], parents: list[int]) -> set[int]:
    """Spans of models whose figures count: not those around another one of a model, which say them twice."""
    asks = {place for place, span in enumerate(spans) if _kind(span.attributes) == MODEL}
    around = set[int]()
    for place in asks:
        parent = parents[place]
        while parent >= 0 and parent not in around:
            around.add(parent)
            parent = parents[parent]
    return asks - around


def _follow(steps: list[ForeignStep]) -> None:
    """Each step takes from the latest ones beside it that had ended when it began."""
    beside: dict[int, list[int]] = {}
    for place, step in enumerate(steps):
        others = beside.setdefault(step.parent, [])
        start = step.start_ns or 0
        ended = [each for each in others if (steps[each].end_ns or 0) <= start]
        latest_start = max((steps[each].start_ns or 0 for each in ended), default=0)
        step.sources = [each for each in ended if (steps[each].end_ns or 0) > latest_start or each == ended[-1]]
        others.append(place)
        del others[:-MOST_PREDECESSORS]
