"""Graph to YAML and back: the digest stays, the answers stay, and what cannot be said is refused with its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import makespan as ms
from makespan.authoring.trace import template_of
from makespan.documents.export import export
from makespan.documents.load import load_text
from makespan.documents.problems import Problems
from makespan.documents.reader import read
from makespan.documents.write import write
from makespan.errors import GraphError
from makespan.graph.digest import digest
from tests.documents import flow_tasks as tasks
from tests.documents.test_load import TWINS, file_of
from tests.property.plain_programs import random_program
from tests.prove import prove_count

FOLDER = Path(__file__).parent
EXAMPLE = FOLDER.parents[1] / "examples" / "incident" / "incident.yaml"
PLACED_BY_ITEMS = {"written_out_map"}
"""Twins with tasks whose ids come from items that the graph does not show."""


def same_again(workflow: Any, folder: Path = FOLDER) -> Any:
    """The workflow of the exported text, which must be the same graph."""
    again = load_text(export(workflow, folder), folder / "again.yaml")

    assert digest(template_of(again).graph) == digest(template_of(workflow).graph)
    return again


SAYABLE = [twin for twin in TWINS if twin.__name__ not in PLACED_BY_ITEMS]


@pytest.mark.parametrize("twin", SAYABLE)
def test_a_workflow_in_python_comes_back_with_its_digest(twin: Any) -> None:
    same_again(ms.workflow(twin))


@pytest.mark.parametrize("twin", SAYABLE)
def test_a_document_comes_back_with_its_digest(twin: Any) -> None:
    same_again(ms.load(file_of(twin)))


@pytest.mark.parametrize("seed", range(25))
def test_random_workflows_come_back_with_their_digest(seed: int) -> None:
    same_again(random_program(seed))


@pytest.mark.prove
def test_many_random_workflows_come_back_with_their_digest() -> None:
    for seed in range(prove_count(1000)):
        same_again(random_program(seed))


@pytest.mark.parametrize("seed", [3, 7])
def test_what_comes_back_gives_the_same_answers(seed: int) -> None:
    program = random_program(seed)

    again = same_again(program)

    assert ms.run(again(x=5), store="memory").output == ms.run(program(5), store="memory").output


def test_workflows_without_any_python_come_back_with_their_digest() -> None:
    text = """
workflow: review
inputs: {q: str, topics: {type: 'list[str]', default: [a]}}
types: {Grade: {ok: bool, why: str = none}}
tasks:
  notes: {map: '${inputs.topics}', errors: drop, do: {prompt: 'On ${item}: ${inputs.q}', models: [fast], key: note}}
  answer:
    prompt:
      - user: "first:\\n  - ${notes[0]}"
      - assistant: ok
      - user: "a $${b} \\t and: ${inputs.q}"
    system: Be brief.
    max_tokens: 9
  grade: {prompt: 'Good? ${answer}', returns: Grade, retries: 1}
  best:
    when: ${grade.ok} and len(${inputs.q}) > 2
    value: {text: '${answer}', n: [1, 2.5, null, true, 'no', 'on: x']}
    otherwise: {first: [{prompt: 'again ${answer}', key: again}, {sleep: 5}]}
  paid: {receive: paid, returns: Grade}
  go: {ask: 'Send it?', deadline_s: 5, default: true}
output: {best: '${best}', paid: '${paid.ok}', go: '${go}'}
"""
    same_again(load_text(text, FOLDER / "w.yaml"))


def test_workflows_inside_come_back_as_calls(tmp_path: Path) -> None:
    flow = load_text(
        """
workflow: w
inputs: {x: int}
tasks:
  i: {call: ./good/inner.yaml, with: {x: 3}, when: '${inputs.x} > 1'}
  g: {scope: s, tasks: {t: {call: 'tests.documents.flow_tasks:twice', with: {x: '${inputs.x}'}}}, output: '${t}'}
  xs: {call: 'tests.documents.flow_tasks:spread', with: {n: '${g}'}}
  m: {map: '${xs}', do: {call: 'tests.documents.flow_tasks:twice', with: {x: '${item}'}}}
output: ['${i}', '${g}', '${m}']
""",
        FOLDER / "w.yaml",
    )

    text = export(flow, FOLDER)

    assert "call: ./good/inner.yaml" in text
    assert text.count("call: tests.documents.flow_tasks:twice") == 2
    same_again(flow)


def test_a_map_over_a_written_out_list_is_refused_with_the_name_of_a_task() -> None:
    flow = ms.workflow(next(twin for twin in TWINS if twin.__name__ in PLACED_BY_ITEMS))

    with pytest.raises(GraphError, match=r"the task add .* cannot be said in YAML"):
        export(flow)


def test_the_incident_example_comes_back_with_its_digest() -> None:
    same_again(ms.load(EXAMPLE), EXAMPLE.parent)


def test_files_are_named_from_the_folder_of_the_document() -> None:
    flow = load_text(
        "workflow: w\ntasks: {a: {call: './flow_tasks.py:double', with: {x: 1}}}\noutput: ${a}\n", FOLDER / "w.yaml"
    )

    assert "call: ./flow_tasks.py:double" in export(flow, FOLDER)


def test_what_yaml_cannot_say_is_refused_with_the_name_of_the_task() -> None:
    @ms.task
    def local(x: int) -> int:
        return x

    @ms.workflow
    def flow(x: int) -> int:
        return local(x)

    with pytest.raises(GraphError, match=r"the task .*local .* cannot be said in YAML: .*inside a function"):
        export(flow)


def test_what_undoes_a_plain_function_is_said_too() -> None:
    target = "tests.documents.flow_tasks"
    task = f"{{call: '{target}:plain', with: {{a: 1}}, undo: '{target}:double'}}"
    flow = load_text(f"workflow: w\ntasks: {{a: {task}}}\noutput: ${{a}}\n", FOLDER / "w.yaml")

    text = export(flow, FOLDER)

    assert f"undo: {target}:double" in text
    (node,) = template_of(load_text(text, FOLDER / "w.yaml")).nodes
    assert node.declaration.undo is not None


def test_an_async_workflow_is_refused_with_what_to_write_instead() -> None:
    with pytest.raises(GraphError, match=r"live is an async workflow.*`call: tests.documents.flow_tasks:live`"):
        export(tasks.live)


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text()
JSON: st.SearchStrategy[Any] = st.deferred(
    lambda: SCALARS | st.lists(JSON, max_size=3) | st.dictionaries(st.text(), JSON, max_size=3)
)


@given(st.dictionaries(st.text(), JSON, min_size=1, max_size=5))
def test_whatever_is_written_is_read_back(value: dict[str, Any]) -> None:
    problems = Problems("w.yaml")

    assert read(write(value), problems).plain == value
    assert not problems
