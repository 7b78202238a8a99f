"""The small examples stay small, and every command their docstrings name is one that works."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from makespan.cli.inputs import read_inputs
from makespan.cli.targets import find_workflow

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
MOST_LINES = 35


def code_lines(source: str) -> int:
    """Lines that are neither blank, nor a comment, nor part of a docstring."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                documented |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(n not in documented and bool(line.strip()) and not line.strip().startswith("#") for n, line in lines)


def commands() -> list[list[str]]:
    """`makespan run ...` as the docstrings say it, up to two spaces in a row."""
    found = []
    for name in EXAMPLES:
        doc = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text())) or ""
        for line in doc.splitlines():
            for part in line.split("   "):
                _, marker, rest = part.partition("makespan run ")
                if marker:
                    found.append(shlex.split(rest))
    return found


@pytest.fixture
def own_modules() -> Iterator[None]:
    """What a test imports as the command line does, `order` and not `examples.order`, is forgotten after it."""
    modules, path = dict(sys.modules), list(sys.path)
    yield
    for name in sys.modules.keys() - modules.keys():
        if name in EXAMPLES:
            del sys.modules[name]
    sys.path[:] = path


def test_there_are_fourteen_and_the_list_names_each() -> None:
    listed = re.findall(r"^\| \[(\w+)\.py\]\(\1\.py\)", (FOLDER / "README.md").read_text(), re.MULTILINE)

    assert len(EXAMPLES) == 14
    assert sorted(listed) == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_at_most_35_lines_of_code(name: str) -> None:
    assert 0 < code_lines((FOLDER / f"{name}.py").read_text()) <= MOST_LINES


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_docstring_says_how_to_run_its_example(name: str) -> None:
    assert any(words[0].partition(":")[0] == f"examples/{name}.py" for words in commands())


@pytest.mark.usefixtures("own_modules")
@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_of_a_docstring_names_a_workflow_and_its_arguments(words: list[str]) -> None:
    target, *rest = words

    workflow, _ = find_workflow(str(FOLDER.parent / target))

    said = [value for flag, value in pairwise(rest) if flag == "-i"]
    assert set(read_inputs(workflow, said)) == {text.partition("=")[0] for text in said}


WAITING = ("examples/order.py", "examples/support.py:support")
"""Those that wait for another shell; their tests send what they wait for."""


@pytest.mark.embedded
@pytest.mark.parametrize("words", [words for words in commands() if words[0] not in WAITING], ids=" ".join)
def test_a_command_of_a_docstring_runs_to_the_end_with_the_built_in_model(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "makespan.cli.main", "run", *words, "-q", "--store", str(tmp_path / "store")]

    done = subprocess.run(
        command,
        cwd=FOLDER.parent,
        env={"PATH": "/usr/bin:/bin", "MAKESPAN_POOLS_GPU": "2"},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
