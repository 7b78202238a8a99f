"""Broken documents: each file ends in what must be said of it, one `#! line:column message` for each problem."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import makespan as ms
from makespan.documents import problems, reader, steps
from makespan.documents.problems import DocumentError
from makespan.errors import UsageError

BROKEN = sorted((Path(__file__).parent / "broken").glob("*.yaml"))
EXPECTED = re.compile(r"^#! (\d+):(\d+) (.+)$", re.MULTILINE)


def error_of(path: Path) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        ms.load(path)
    return caught.value


def test_there_are_enough_of_them() -> None:
    assert len(BROKEN) >= 100


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_every_problem_is_said_at_its_place(path: Path) -> None:
    expected = [(int(line), int(column), message) for line, column, message in EXPECTED.findall(path.read_text())]

    error = error_of(path)

    found = [(each.at.line, each.at.column, each.message) for each in error.problems]
    assert expected
    assert [each[:2] for each in found] == [each[:2] for each in expected], str(error)
    for (_, _, message), (_, _, fragment) in zip(found, expected, strict=True):
        assert fragment in message
    assert f"{path}:{expected[0][0]}:{expected[0][1]}: " in str(error)


@pytest.mark.parametrize(
    ("content", "at", "fragment"),
    [
        (b"", (1, 1), "the file is empty"),
        (b"# only a comment\n", (1, 1), "the file is empty"),
        (b"workflow: w\ndescription: \xff\n", (2, 14), "not UTF-8"),
        (b"workflow: w\ndescription: " + b"x" * reader.MAX_BYTES, (1, 1), "MAX_BYTES"),
    ],
)
def test_bytes_that_are_no_document(tmp_path: Path, content: bytes, at: tuple[int, int], fragment: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_bytes(content)

    (problem,) = error_of(path).problems

    assert (problem.at.line, problem.at.column) == at
    assert fragment in problem.message


def test_a_workflow_has_at_most_so_many_tasks(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    tasks = "\n".join(f"  t{n}: {{value: 1}}" for n in range(steps.MAX_TASKS + 1))
    path.write_text(f"workflow: w\ntasks:\n{tasks}\noutput: 1\n")

    (problem,) = error_of(path).problems

    assert "MAX_TASKS" in problem.message
    assert problem.at.line == steps.MAX_TASKS + 3


def test_one_error_lists_so_many_problems_and_counts_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    tasks = "\n".join(f"  t{n}: {{valu: 1}}" for n in range(problems.MAX_PROBLEMS + 3))
    path.write_text(f"workflow: w\ntasks:\n{tasks}\noutput: 1\n")

    error = error_of(path)

    assert len(error.problems) == problems.MAX_PROBLEMS + 3
    assert str(error).count("did you mean 'value'") == problems.MAX_PROBLEMS
    assert str(error).endswith("and 3 more problems")


def test_a_module_that_cannot_be_imported_is_named_with_its_own_line(tmp_path: Path) -> None:
    (tmp_path / "bad_module.py").write_text("x = 1\nraise RuntimeError('no')\n")
    path = tmp_path / "w.yaml"
    path.write_text("workflow: w\ntasks: {a: {call: './bad_module.py:f'}}\noutput: ${a}\n")

    (problem,) = error_of(path).problems

    assert (problem.at.line, problem.at.column) == (2, 19)
    assert "bad_module.py:2" in problem.message
    assert "RuntimeError: no" in problem.message


def test_nothing_of_a_tag_is_made(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(f"workflow: !!python/object/apply:os.mkdir [{tmp_path / 'made'}]\ntasks: {{}}\n")

    error_of(path)

    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["nothing.yaml", "flow.json", "folder.yaml"])
def test_what_is_no_file_of_ours_is_a_usage_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.yaml").mkdir()

    with pytest.raises(UsageError, match=re.escape(name)):
        ms.load(tmp_path / name)
