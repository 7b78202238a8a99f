"""The published JSON Schema: fresh, valid, true to good documents, and able to find what an editor can find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from makespan.authoring.task import TaskOptions
from makespan.documents import schema
from makespan.documents.form import KINDS, keys_of, option_keys
from makespan.documents.problems import Problems
from makespan.documents.reader import read

FOLDER = Path(__file__).parent
EXAMPLE = FOLDER.parents[1] / "examples" / "incident" / "incident.yaml"
GOOD = [*sorted(FOLDER.glob("good/*.yaml")), *sorted(FOLDER.glob("twins/*.yaml")), EXAMPLE]
FOUND_BY_EDITORS = [
    "unknown_top_key", "tasks_is_a_list", "task_is_a_text", "task_without_kind", "task_with_two_kinds", "misspelt_kind",
    "misspelt_option", "option_of_another_kind", "wrong_forms", "wrong_effect", "map_with_wrong_errors",
    "map_with_a_bare_name", "sleep_as_a_duration", "message_with_a_wrong_role", "no_tasks_no_output",
]  # fmt: skip


def plain(text: str) -> Any:
    return read(text, Problems("w.yaml")).plain


def problems_of(value: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(schema.schema()).iter_errors(value)]


def test_the_shipped_file_is_the_schema_of_the_table() -> None:
    message = "write it again: makespan schema > src/makespan/documents/workflow.schema.json"
    assert schema.FILE.read_text() == schema.text(), message


def test_it_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.schema())


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_documents_pass(path: Path) -> None:
    assert problems_of(plain(path.read_text())) == []


@pytest.mark.parametrize("name", FOUND_BY_EDITORS)
def test_it_finds_what_needs_no_python(name: str) -> None:
    assert problems_of(plain((FOLDER / "broken" / f"{name}.yaml").read_text()))


def test_every_option_of_tasks_can_be_written() -> None:
    assert set(option_keys()) == set(TaskOptions.__annotations__)
    assert set(option_keys()) <= set(keys_of("call"))
    assert set(option_keys()) <= set(keys_of("prompt"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_has_its_keys_in_the_schema(kind: str) -> None:
    assert set(schema.schema()["$defs"][kind]["properties"]) == set(keys_of(kind))
