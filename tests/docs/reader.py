"""A reader who types in a document: its Python in one session, its commands in one shell, in one folder.

What is done with a fenced block:

    python             runs as it is, in the document's session. It cannot opt out; code of *another* library may, and
                       says why: ```python skip="needs langgraph, which is not installed here"
    # file: NAME       as the first line of Python, TOML, YAML or text: it is also written to that file. Python with a
                       `__main__` guard is imported here, and started by the reader in a console
    sh, bash           lines that start with `makespan` run, each on its own, and must succeed; the others (installing,
                       editing) are only shown
    console            every line behind `$ ` runs, in one bash a document. The lines below it must stand in what it
                       prints, in their order; `…` stands for anything. A command that fails, fails the document: where
                       that is wanted, write `; echo "exit $?"`. After one in the background (`&`) the reader waits
                       until the lines below it have appeared, as a person would; `kill -9 $!` ends it then,
                       and the reader goes on when it is gone
    anything else      is only shown
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`\n]*)\n(?P<body>.*?)^(?P=indent)```[ ]*$", re.MULTILINE | re.DOTALL)
FILE_LINE = re.compile(r"# file: (?P<name>[\w./-]+)\s*$")
SKIP = re.compile(r'skip="needs (?P<library>\w+)[^"]*"$')
FILES = ("python", "toml", "yaml", "text")
SHELLS = ("sh", "bash", "console")
COMMAND_LIMIT_S = 60
MAIN_GUARD = 'if __name__ == "__main__":'
KILL = "kill -9 $!"
ANYTHING = "…"
SEPARATOR = "\x1e"
"""Around the exit status of each command of a console: nothing prints it."""
BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a document."""

    document: str
    line: int
    language: str
    options: str
    text: str

    @property
    def place(self) -> str:
        """Where a reader finds it."""
        return f"{self.document}:{self.line}"

    @property
    def file_name(self) -> str | None:
        """The file that it wants to be written to."""
        named = FILE_LINE.match(self.text.partition("\n")[0])
        return named["name"] if named and self.language in FILES else None

    @property
    def commands(self) -> list[str]:
        """The makespan commands of a shell block, prompts and output left out."""
        joined = self.text.replace("\\\n", " ")
        lines = [line.strip().removeprefix("$ ") for line in joined.splitlines()]
        return [line for line in lines if line.startswith("makespan ")]

    @property
    def typed(self) -> list[tuple[str, list[str]]]:
        """The commands of a console block, each with the lines shown below it."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            elif line.strip(f" {ANYTHING}"):
                assert found, f"{self.place}: a console block begins with a command: `$ ...`"
                found[-1][1].append(line)
        return found

    @property
    def is_skipped(self) -> bool:
        """Whether it is code of a library that is not ours, with the reason why it does not run."""
        reason = SKIP.match(self.options)
        assert reason or not self.options, f"{self.place}: a Python block runs as it is; remove {self.options!r}"
        if reason is None:
            return False
        assert "makespan" not in self.text, f"{self.place}: our own code runs as it is; remove {self.options!r}"
        assert f"{reason['library']}" in self.text, f"{self.place}: this block does not use {reason['library']}"
        return True


def blocks(text: str, document: str) -> Iterator[Block]:
    """The fenced blocks, top to bottom."""
    for found in FENCE.finditer(text):
        language, _, options = found["info"].strip().partition(" ")
        indent = len(found["indent"])
        body = "".join(line[indent:] for line in found["body"].splitlines(keepends=True))
        line = text.count("\n", 0, found.start()) + 1
        yield Block(document, line, language, options.strip(), body)


class Reader:
    """Someone who types a document's blocks in, one after the other, in one folder, one session and one shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.session = types.ModuleType("__main__")
        self._shell: Shell | None = None

    def type_in(self, block: Block) -> None:
        """Run one block; a failure names its place."""
        if block.file_name:
            path = self.folder / block.file_name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        if block.language == "python" and not block.is_skipped:
            self._run_python(block)
        elif block.language == "console":
            for command, shown in block.typed:
                self._shell = self._shell or Shell(self.folder)
                self._shell.type_in(block.place, command, shown)
        elif block.language in SHELLS:
            for command in block.commands:
                self._run_command(block, command)

    def close(self) -> None:
        """End the shell and what it left running; forget the modules, which other documents may call the same."""
        for name, module in list(sys.modules.items()):
            if Path(getattr(module, "__file__", None) or "/").is_relative_to(self.folder):
                del sys.modules[name]
        if self._shell is not None:
            self._shell.close()

    def _run_python(self, block: Block) -> None:
        padding = "\n" * block.line
        code = compile(padding + block.text, block.document, "exec", dont_inherit=True)
        with contextlib.redirect_stdout(io.StringIO()):
            if block.file_name and MAIN_GUARD in block.text:
                importlib.import_module(Path(block.file_name).stem)
            else:
                exec(code, self.session.__dict__)

    def _run_command(self, block: Block, command: str) -> None:
        executable = BIN / "makespan"
        assert executable.exists(), f"{block.place}: there is no makespan command beside {sys.executable}"
        done = subprocess.run(
            [str(executable), *shlex.split(command, comments=True)[1:]],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_LIMIT_S,
        )
        assert done.returncode == 0, f"{block.place}: `{command}` exits with {done.returncode}\n{done.stderr}"


def environment() -> dict[str, str]:
    """The reader's environment: this installation, no colours, nobody else's settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKESPAN_", "PYTEST_"))}
    return {**own, "NO_COLOR": "1", "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}


class Shell:
    """One bash with its output kept, so that commands in the background can be waited for and killed."""

    def __init__(self, folder: Path) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._printed = ""
        self._news = threading.Condition()
        self._count = 0
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def type_in(self, place: str, command: str, shown: list[str]) -> None:
        """Run one command and check what is shown below it."""
        assert self._bash.stdin is not None
        begin, self._count = len(self._printed), self._count + 1
        marker = f"{SEPARATOR}{self._count} "
        gone = " && { wait $! || true; }" if command == KILL else ""
        self._bash.stdin.write(f'{{ {command}{gone}\n}} </dev/null; echo "{marker}$?{SEPARATOR}"\n')
        self._bash.stdin.flush()
        done = self._wait_for(re.compile(rf"{marker}(\d+){SEPARATOR}\n"), begin, f"{place}: `{command}` has not ended")
        assert done[1] == "0", f"{place}: `{command}` exits with {done[1]}:\n{self._printed[begin:]}"
        problem = f"{place}: `{command}` does not print what is shown, in that order: {shown}"
        if shown and command.endswith("&"):
            self._wait_for(pattern_of(shown), begin, problem)
        elif shown:
            assert pattern_of(shown).search(self._printed, begin), f"{problem}; it prints:\n{self._printed[begin:]}"

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.wait()
        self._listener.join()
        for stream in (self._bash.stdin, self._bash.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _listen(self) -> None:
        assert self._bash.stdout is not None
        for line in self._bash.stdout:
            with self._news:
                self._printed += line
                self._news.notify_all()

    def _wait_for(self, wanted: re.Pattern[str], begin: int, problem: str) -> re.Match[str]:
        found: list[re.Match[str]] = []

        def is_there() -> bool:
            found.extend(wanted.finditer(self._printed, begin))
            return bool(found)

        with self._news:
            assert self._news.wait_for(is_there, COMMAND_LIMIT_S), f"{problem}; so far:\n{self._printed[begin:]}"
        return found[0]


def pattern_of(shown: list[str]) -> re.Pattern[str]:
    """Lines as a reader sees them: each a part of a line, in this order, blanks are blanks, `…` is anything."""
    lines = []
    for line in shown:
        parts = [r"[ \t]+".join(map(re.escape, part.split())) for part in line.split(ANYTHING)]
        lines.append(".*?".join(rf"[ \t]*{part}[ \t]*" if part else "" for part in parts))
    return re.compile(r".*\n(?:.*\n)*?.*?".join(lines))
