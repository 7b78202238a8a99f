"""Logs in the forms of other tools, written for these tests."""

from __future__ import annotations

from typing import Any

ATIF: dict[str, Any] = {
    "schema_version": "ATIF-v1.4",
    "session_id": "s-1",
    "agent": {"name": "shell-agent", "version": "2", "model_name": "openai/gpt-4o"},
    "steps": [
        {"step_id": 1, "timestamp": "2026-03-01T10:00:00Z", "source": "user", "message": "make hello.txt"},
        {
            "step_id": 2,
            "timestamp": "2026-03-01T10:00:02Z",
            "source": "agent",
            "message": "I look, and write.",
            "reasoning_content": "first look",
            "tool_calls": [
                {"tool_call_id": "a", "function_name": "bash", "arguments": {"command": "ls -la"}},
                {"tool_call_id": "b", "function_name": "bash", "arguments": {"command": "echo hi > hello.txt"}},
            ],
            "observation": {
                "results": [
                    {"source_call_id": "b", "content": ""},
                    {"source_call_id": "a", "content": "empty"},
                    {"content": "a bell rang"},
                ]
            },
            "metrics": {"prompt_tokens": 100, "cached_tokens": 40, "completion_tokens": 20, "cost_usd": 0.002},
        },
        {"step_id": 3, "timestamp": "2026-03-01T10:00:05Z", "source": "system", "message": "context was cut"},
        {"step_id": 4, "timestamp": "2026-03-01T10:00:06Z", "source": "agent", "message": "done"},
    ],
}

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "weather in "}, {"type": "text", "text": "Oslo?"}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}},
            {"id": "2", "type": "function", "function": {"name": "send_mail", "arguments": "not json"}},
        ],
    },
    {"role": "tool", "tool_call_id": "1", "content": "rain"},
    {"role": "tool", "tool_call_id": "2", "content": "sent"},
    {"role": "assistant", "content": "It rains."},
]


def attribute(key: str, value: Any) -> dict[str, Any]:
    kind = {str: "stringValue", int: "intValue", float: "doubleValue", bool: "boolValue"}[type(value)]
    return {"key": key, "value": {kind: str(value) if kind == "intValue" else value}}


def span(
    id: str, parent: str, name: str, start: int, end: int, said: dict[str, Any], error: str = ""
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "traceId": "t",
        "spanId": id,
        "parentSpanId": parent,
        "name": name,
        "startTimeUnixNano": str(10**18 + start),
        "endTimeUnixNano": str(10**18 + end),
        "attributes": [attribute(key, value) for key, value in said.items()],
    }
    return found | ({"status": {"code": 2, "message": error}} if error else {})


def otlp(*spans: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": [attribute("service.name", "shop")]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {}, "spans": list(spans)}]}]}


OPENINFERENCE = otlp(
    span("1", "", "agent", 0, 1000, {"openinference.span.kind": "AGENT"}, "no stock"),
    span(
        "2",
        "1",
        "ChatCompletion",
        0,
        400,
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o",
            "llm.token_count.prompt": 30,
            "llm.token_count.completion": 9,
            "input.value": '{"messages": ["sell it"]}',
            "output.value": "reserve",
        },
    ),
    span("3", "1", "check_stock", 400, 600, {"openinference.span.kind": "TOOL", "output.value": "0"}),
    span("4", "1", "read_price", 400, 700, {"openinference.span.kind": "TOOL", "output.value": "7"}),
    span("5", "1", "reserve_item", 700, 1000, {"gen_ai.operation.name": "execute_tool"}, "no stock"),
)


def subagent(id: str, *messages: str, inner: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    steps = [{"step_id": i, "source": "agent", "message": said} for i, said in enumerate(messages, 1)]
    return {
        "schema_version": "ATIF-v1.7",
        "trajectory_id": id,
        "agent": {"name": f"sub-{id}"},
        "steps": steps,
        "subagent_trajectories": inner or [],
    }


SUBAGENTS: dict[str, Any] = {
    "schema_version": "ATIF-v1.7",
    "agent": {"name": "boss"},
    "steps": [
        {"step_id": 1, "source": "user", "message": "go"},
        {
            "step_id": 2,
            "source": "agent",
            "message": "",
            "tool_calls": [{"tool_call_id": "t", "function_name": "Task", "arguments": {"prompt": "look"}}],
            "observation": {
                "results": [
                    {"source_call_id": "t", "content": "seen", "subagent_trajectory_ref": [{"trajectory_id": "x"}]}
                ]
            },
        },
        {"step_id": 3, "source": "agent", "message": "by itself", "llm_call_count": 0},
    ],
    "subagent_trajectories": [subagent("x", "a", "b", inner=[subagent("z", "deep")]), subagent("y", "nobody's")],
}

ITEMS: dict[str, Any] = {
    "model": "m",
    "input": [
        {"type": "message", "role": "user", "content": "hi"},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c", "name": "look_up", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "found"},
    ],
    "output": [
        {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"query": "oslo"}},
        {"type": "mcp_call", "id": "m", "name": "delete_page", "arguments": "{}", "error": "not allowed"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]},
    ],
    "usage": {"input_tokens": 7, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 3}},
}
