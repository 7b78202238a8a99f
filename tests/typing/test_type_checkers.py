"""mypy --strict and basedpyright agree on the public API: they accept what is right and refuse what is not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def mypy_lines(file: Path, cache: Path) -> set[int]:
    """Lines on which mypy --strict reports an error."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", f"--cache-dir={cache}", str(file)]
    out = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent.parent)
    assert out.returncode in (0, 1), out.stdout + out.stderr
    found = [line.split(":") for line in out.stdout.splitlines() if ": error:" in line]
    return {int(parts[1]) for parts in found if Path(parts[0]).name == file.name}


def pyright_lines(file: Path, cache: Path) -> set[int]:
    """Lines on which basedpyright reports an error."""
    command = [sys.executable, "-m", "basedpyright", "--level", "error", "--outputjson", str(file)]
    out = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent.parent)
    report = json.loads(out.stdout)
    return {d["range"]["start"]["line"] + 1 for d in report["generalDiagnostics"] if d["severity"] == "error"}


CHECKERS = [pytest.param(mypy_lines, id="mypy"), pytest.param(pyright_lines, id="basedpyright")]


@pytest.mark.slow
@pytest.mark.parametrize("lines", CHECKERS)
def test_every_deliberate_error_is_refused(lines: Callable[[Path, Path], set[int]], tmp_path: Path) -> None:
    file = HERE / "deliberate_errors.py"
    wrong = {n for n, line in enumerate(file.read_text().splitlines(), 1) if line.endswith("# wrong")}

    assert lines(file, tmp_path) == wrong


@pytest.mark.slow
@pytest.mark.parametrize("lines", CHECKERS)
def test_what_is_right_is_accepted_with_the_right_types(
    lines: Callable[[Path, Path], set[int]], tmp_path: Path
) -> None:
    assert lines(HERE / "right.py", tmp_path) == set()
