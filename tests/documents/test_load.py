"""Documents as workflows: the same graph as their twins in Python, the same results, targets that others find."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import makespan as ms
from makespan.authoring.trace import template_of
from makespan.documents.load import load_text
from makespan.errors import GraphError, UsageError
from makespan.graph.digest import digest
from makespan.graph.node import Kind, Node
from makespan.models.scripted import Scripted, calling
from makespan.ports import ModelRequest
from makespan.runtime.targets import load_target, load_task
from tests.documents import flow_tasks as tasks

FOLDER = Path(__file__).parent
T = "tests.documents.flow_tasks"


def document(text: str) -> Any:
    """A document beside this file."""
    return load_text(text.replace("T:", f"{T}:"), FOLDER / "w.yaml")


def nodes_of(workflow: Any) -> list[Node]:
    return list(template_of(workflow).nodes)


def output_of(workflow: Any, **inputs: Any) -> Any:
    return ms.run(workflow(**inputs), store="memory").output


# ---------------------------------------------------------------- parity


def chain(x: int) -> Any:
    return tasks.double(tasks.double(x))


def composite(x: int) -> Any:
    return {"a": tasks.double(x), "b": [x, 1, "${"], "c": tasks.find("q").text}


def branches(x: int) -> Any:
    a = tasks.double(x)
    return tasks.add(1, ms.when(a, lambda: tasks.double(a), lambda: tasks.add(a), test="value > 3"))


def branch_without_else(x: Any) -> Any:
    return tasks.add(1, ms.when(x, lambda: tasks.double(tasks.double(x)), test="value in [1, 2]"))


def two_conditions(x: Any, y: Any) -> Any:
    return ms.when(ms.gather(x, y), lambda: tasks.double(x), test="value[0] > 1 and value[1] > 2")


def maps(n: int) -> Any:
    outs = ms.map(lambda item: tasks.broken(tasks.add(item, n)), tasks.spread(n), errors="keep", limit=2)
    return tasks.successes(outs)


def nested_maps(n: int) -> Any:
    return ms.map(lambda i: tasks.total(ms.map(lambda j: tasks.add(j, i), tasks.spread(i))), tasks.spread(n))


def written_out_map(n: int) -> Any:
    items: list[Any] = [1, 2, tasks.double(n)]
    return tasks.total(ms.map(lambda item: tasks.add(item, n), items))


def first_of(x: int) -> Any:
    return ms.first(tasks.broken(x), tasks.double(x), accept="value > 1")


def first_gated(x: int) -> Any:
    return ms.first(tasks.double(x), tasks.add(x), n=2, accept=tasks.is_large)


def alternatives(x: int) -> Any:
    return ms.fallback(tasks.broken, tasks.broken.options(retries=1))(x)


def outcomes(x: int) -> Any:
    return tasks.fate(ms.outcome(tasks.broken(x)))


def options(x: int) -> Any:
    a = tasks.double.options(retries=2, timeout_s=1.5, needs={"gpu": 1}, effect="pure", cache_s=60, priority=3)(x)
    b = tasks.add.options(retry_on=(ValueError, tasks.Declined), executor="inline", version="2", key="plus")(a)
    return tasks.double.options(after=[a, b], approve=True, budget_usd=0.5, deadline_s=9.0)(b)


def limits(x: int) -> Any:
    with ms.scope("money", budget_usd=0.5, deadline_s=60):
        a = tasks.double(x)
        b = tasks.add(a, x)
    return ms.gather(a, b)


def inner_workflows(x: int) -> Any:
    return tasks.add(tasks.twice(x), tasks.live(tasks.double(x)))


def world(x: int) -> Any:
    paid = ms.receive("paid", tasks.Doc)
    said = ms.ask("Go on?", about={"x": x}, deadline_s=60.0, default=False)
    return ms.first(paid, said, ms.sleep(2.5))


TWINS: list[Callable[..., Any]] = [
    chain,
    composite,
    branches,
    branch_without_else,
    two_conditions,
    maps,
    nested_maps,
    written_out_map,
    first_of,
    first_gated,
    alternatives,
    outcomes,
    options,
    limits,
    inner_workflows,
    world,
]


def file_of(twin: Callable[..., Any]) -> Path:
    """The same workflow as a document."""
    return FOLDER / "twins" / f"{twin.__name__}.yaml"


@pytest.mark.parametrize("twin", TWINS)
def test_a_document_is_the_graph_of_its_twin_in_python(twin: Callable[..., Any]) -> None:
    said = ms.load(file_of(twin))

    assert digest(template_of(said).graph) == digest(template_of(ms.workflow(twin)).graph)


def test_running_a_document_gives_typed_values() -> None:
    found = document(
        "workflow: w\ninputs: {q: str}\ntasks: {d: {call: 'T:find', with: {q: '${inputs.q}'}}}\noutput: ${d}\n"
    )

    assert output_of(found, q="x") == tasks.Doc("x", "X")


def test_a_task_whose_condition_does_not_hold_is_null_and_otherwise_takes_its_place() -> None:
    text = (
        "workflow: w\ninputs: {x: int}\ntasks:\n"
        "  a: {call: 'T:double', with: {x: '${inputs.x}'}, when: '${inputs.x} > 3'}\n"
        "  b: {call: 'T:double', with: {x: '${inputs.x}'}, when: '${inputs.x} > 3', otherwise: {value: none}}\n"
        "output: ['${a}', '${b}']\n"
    )

    assert output_of(document(text), x=1) == [None, "none"]
    assert output_of(document(text), x=4) == [8, 8]


def test_a_plain_function_is_a_task_with_the_options_of_the_document() -> None:
    flow = document(
        "workflow: w\ntasks: {p: {call: 'T:plain', with: {a: 4}, effect: pure, retries: 1}}\noutput: ${p}\n"
    )

    (node,) = [each for each in nodes_of(flow) if each.declaration.kind == Kind.CALL]
    assert (node.key, node.declaration.options.retries) == ("plain", 1)
    assert output_of(flow) == 8


def test_words_of_yaml_1_1_stay_texts() -> None:
    flow = document(
        "workflow: w\ntasks: {v: {value: [no, on, off, yes, 1:30, 0o17, 1e3, ~, 2024-01-31]}}\noutput: ${v}\n"
    )

    assert output_of(flow) == ["no", "on", "off", "yes", "1:30", 15, 1000.0, None, "2024-01-31"]


def test_inputs_have_types_defaults_and_descriptions() -> None:
    text = """
workflow: w
types: {Point: {x: int, y: float = 0.5}}
inputs:
  p: Point
  names: {type: 'list[str]', default: [a], description: Who.}
  kind: {enum: [a, b]}
  n: int | null = null
tasks: {v: {value: ['${inputs.p.y}', '${inputs.names}', '${inputs.n}']}}
output: ${v}
"""
    flow = document(text)

    assert output_of(flow, p={"x": 1}, kind="a") == [0.5, ["a"], None]
    with pytest.raises(GraphError, match="Invalid enum value 'c'"):
        ms.run(flow(p={"x": 1}, kind="c"), store="memory")


def test_prompts_need_no_python_and_give_checked_data() -> None:
    asked: list[ModelRequest] = []

    def answer(request: ModelRequest) -> str:
        asked.append(request)
        return '{"ok": true, "label": "spam"}' if request.schema else "an answer"

    text = """
workflow: w
inputs: {q: str, tags: 'list[str]'}
tasks:
  a:
    prompt: Answer ${inputs.q} (${inputs.tags}), not $${this}.
    system: Be ${inputs.q}.
    models: fast
    max_tokens: 7
  g:
    prompt:
      - user: hi
      - assistant: ho
      - user: ${said}
    with: {said: "${a}"}
    models: [fast]
    returns: {ok: bool, label: {enum: [spam, ham]}}
output: {label: "${g.label}", answer: "${a}"}
"""

    async def run() -> Any:
        async with ms.Engine("memory", models={"fast": Scripted(answer)}) as engine:
            return (await engine.start(document(text)(q="kind", tags=["x", "y"]))).output

    output = asyncio.run(run())

    first, second = asked
    assert output == {"label": "spam", "answer": "an answer"}
    assert [(m.role, m.text) for m in first.messages] == [
        ("system", "Be kind."),
        ("user", 'Answer kind (["x","y"]), not ${this}.'),
    ]
    assert first.max_tokens == 7
    assert [(m.role, m.text) for m in second.messages] == [("user", "hi"), ("assistant", "ho"), ("user", "an answer")]


def test_another_document_is_a_workflow_inside() -> None:
    inner = FOLDER / "good" / "inner.yaml"
    flow = document("workflow: w\ntasks: {i: {call: ./good/inner.yaml, with: {x: 3}}}\noutput: ${i}\n")

    assert output_of(flow) == 12
    assert output_of(ms.load(inner), x=1) == 4


def test_a_loaded_workflow_is_called_in_python_like_any_other() -> None:
    inner = ms.load(FOLDER / "good" / "inner.yaml")

    @ms.workflow
    def outer(x: int) -> int:
        return tasks.double(inner(x=tasks.double(x)))

    assert output_of(outer, x=1) == 16


def test_its_target_and_those_of_its_tasks_are_found_by_other_processes() -> None:
    path = FOLDER / "good" / "inner.yaml"
    target = ms.load(path).target

    assert target == str(path)
    assert output_of(load_target(target), x=1) == 4
    assert load_task(f"{target}:last").key == "plain"
    with pytest.raises(UsageError, match="did you mean 'last'"):
        load_target(f"{target}:lats")


def test_a_function_without_decorator_runs_in_a_worker_process() -> None:
    path = FOLDER / "good" / "process.yaml"

    assert output_of(ms.load(path), x=4) == 8


def test_schedule_and_on_end_are_those_of_the_workflow() -> None:
    text = """
workflow: w
schedule: {cron: '30 2 * * *', tz: Europe/Berlin}
on_end: T:fate
tasks: {a: {value: 1}}
output: ${a}
"""
    flow = document(text)

    assert flow.schedule.rule == "30 2 * * * Europe/Berlin"
    assert flow.on_end is tasks.fate


# ---------------------------------------------------------------- what waits and what decides


def test_a_document_waits_for_a_message_and_asks_a_person_wherever_it_is_killed() -> None:
    flow = document("""
workflow: order
tasks:
  paid: {receive: paid, returns: float}
  go: {ask: 'Ship?', about: '${paid}'}
output: {paid: '${paid}', go: '${go}'}
""")

    result = ms.testing.run(flow(), inbox={"paid": 2.5}, answers={"Ship?": True}, crash_at="each")

    assert result.output == {"paid": 2.5, "go": True}


def test_a_documents_prompt_with_tools_is_an_agent_whose_calls_are_tasks() -> None:
    flow = document("""
workflow: helper
inputs: {q: int}
tasks:
  said: {prompt: 'Double ${inputs.q} twice', tools: ['T:twice'], max_turns: 3}
output: ${said}
""")
    model = Scripted([calling(("twice", {"x": 4})), "it is 16"])

    result = ms.testing.run(flow(q=4), models=model)

    assert result.output == "it is 16"
    assert [m.text for m in model.calls[-1].messages if m.role == "tool"] == ["16"]


def test_units_may_be_needed_by_name() -> None:
    found = document(
        "workflow: w\ntasks: {a: {call: 'T:double', with: {x: 1}, needs: {truck: [t1], gpu: 2}}}\noutput: ${a}"
    )

    (node,) = template_of(found).graph.nodes.values()
    assert node.declaration.options.needs == (("gpu", 2), ("truck:t1", 1))
