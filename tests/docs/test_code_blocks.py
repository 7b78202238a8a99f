"""Every code block that a reader may copy runs: Python in one namespace a document, and `makespan` commands.

A Python block whose first line is `# file: NAME` is also written to that file, in the temporary folder that
a document's blocks share, so that the commands after it find it. A Python block cannot opt out. Other
languages, and shell lines that do not start with `makespan`, are only shown.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if path.exists()]
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`\n]*)\n(?P<body>.*?)^(?P=indent)```[ ]*$", re.MULTILINE | re.DOTALL)
FILE_LINE = re.compile(r"# file: (?P<name>[\w./-]+)\s*$")
SHELLS = ("sh", "console", "bash")
COMMAND_LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a document."""

    document: str
    line: int
    language: str
    options: tuple[str, ...]
    text: str

    @property
    def place(self) -> str:
        """Where a reader finds it."""
        return f"{self.document}:{self.line}"

    @property
    def file_name(self) -> str | None:
        """The file that it wants to be written to."""
        named = FILE_LINE.match(self.text.partition("\n")[0])
        return named["name"] if named else None

    @property
    def commands(self) -> list[str]:
        """The makespan commands of a shell block, prompts and output left out."""
        joined = self.text.replace("\\\n", " ")
        lines = [line.strip().removeprefix("$ ") for line in joined.splitlines()]
        return [line for line in lines if line.startswith("makespan ")]


def blocks(text: str, document: str) -> Iterator[Block]:
    """The fenced blocks, top to bottom."""
    for found in FENCE.finditer(text):
        language, *options = found["info"].split() or [""]
        indent = len(found["indent"])
        body = "".join(line[indent:] for line in found["body"].splitlines(keepends=True))
        line = text.count("\n", 0, found.start()) + 1
        yield Block(document, line, language, tuple(options), body)


class Reader:
    """Someone who types a document's blocks in, one after the other, in one folder and one Python session."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.session = types.ModuleType("__main__")

    def type_in(self, block: Block) -> None:
        """Run one block; a failure names its place."""
        if block.language == "python":
            assert not block.options, f"{block.place}: a Python block runs as it is; remove {block.options}"
            self.run_python(block)
        elif block.language in SHELLS:
            for command in block.commands:
                self.run_command(block, command)

    def run_python(self, block: Block) -> None:
        if block.file_name:
            path = self.folder / block.file_name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        padding = "\n" * block.line
        code = compile(padding + block.text, block.document, "exec", dont_inherit=True)
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code, self.session.__dict__)

    def run_command(self, block: Block, command: str) -> None:
        executable = Path(sys.executable).with_name("makespan")
        assert executable.exists(), f"{block.place}: there is no makespan command beside {sys.executable}"
        done = subprocess.run(
            [str(executable), *shlex.split(command, comments=True)[1:]],
            cwd=self.folder,
            env={**os.environ, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_LIMIT_S,
        )
        assert done.returncode == 0, f"{block.place}: `{command}` exits with {done.returncode}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_of_a_document_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path)
    monkeypatch.setitem(sys.modules, "__main__", reader.session)

    for block in blocks(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))):
        reader.type_in(block)


def test_blocks_share_a_session_and_write_the_files_they_name(tmp_path: Path) -> None:
    text = "```python\n# file: flows/one.py\nx = 1\n```\nb\n\n```python\ny = x + 1\n```\n```text\nno code\n```\n"
    reader = Reader(tmp_path)

    for block in blocks(text, "sample.md"):
        reader.type_in(block)

    assert reader.session.__dict__["y"] == 2
    assert (tmp_path / "flows" / "one.py").read_text() == "# file: flows/one.py\nx = 1\n"


def test_a_failing_block_is_traced_to_its_line(tmp_path: Path) -> None:
    (block,) = blocks("one\n\n```python\nx = 1\nraise ValueError('here')\n```\n", "sample.md")

    with pytest.raises(ValueError, match="here") as raised:
        Reader(tmp_path).type_in(block)

    assert raised.traceback[-1].lineno + 1 == 5


def test_a_python_block_cannot_opt_out(tmp_path: Path) -> None:
    (block,) = blocks("```python no-run\nx\n```\n", "sample.md")

    with pytest.raises(AssertionError, match="runs as it is"):
        Reader(tmp_path).type_in(block)


def test_commands_are_found_without_prompts_and_output() -> None:
    text = "```console\n$ makespan run a.py:wf \\\n    --json\nsucceeded\n$ ls\n```\n- ```sh\n"
    (block,) = blocks(text, "sample.md")

    assert [shlex.split(command) for command in block.commands] == [["makespan", "run", "a.py:wf", "--json"]]
