"""Calls of the command line, in this process or in one of its own, and the workflows that tests run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from makespan.cli.main import cli

WORKFLOWS = '''
import asyncio
import dataclasses
import pathlib
import time

import makespan as ms


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0


print("imported")


@ms.task
def double(n: int) -> int:
    print("doubling")
    return 2 * n


@ms.task
async def note(n: int) -> int:
    """Leaves a line in `ran.txt`, then waits for `go.txt` where its number is above 2."""
    with open("ran.txt", "a") as file:
        file.write(f"{n}\\n")
    while n > 2 and not pathlib.Path("go.txt").exists():
        await asyncio.sleep(0.01)
    return n


@ms.task
def fails(n: int) -> int:
    raise ValueError(f"no [red]{n}[/red] \\x1b[31mtoday")


@ms.task(retries=1)
def fails_twice(n: int) -> int:
    raise ValueError(n)


@ms.task(effect="irreversible")
async def pay(n: int) -> int:
    with open("paid.txt", "a") as file:
        file.write(f"{n}\\n")
    while not pathlib.Path("go.txt").exists():
        await asyncio.sleep(0.01)
    return n


@ms.task(executor="thread")
def stubborn(n: int) -> int:
    time.sleep(30)
    return n


@ms.prompt(models=["fast"])
def say(text: str) -> str:
    ms.chat(text)


@ms.workflow
def twice(n: int) -> int:
    return double(n)


@ms.workflow
def chain(n: int = 4) -> int:
    return double(double(n))


@ms.workflow
def shout(text: str, times: int = 1, at: Point | None = None, loud: bool = False) -> str:
    return say(text)


@ms.workflow
async def notes(n: int) -> list[int]:
    first = [await note(i) for i in range(3)]
    return first + await ms.gather(*[note(i) for i in range(3, n)])


@ms.workflow
async def many(n: int) -> int:
    return len(await ms.gather(*[double(i) for i in range(n)]))


@ms.workflow
async def booking(n: int) -> int:
    async with ms.scope("money"):
        return await pay(n)


@ms.workflow
def failing(n: int) -> int:
    return double(fails(n))


@ms.workflow
def failing_twice(n: int) -> int:
    return fails_twice(n)


@ms.task
async def blocks() -> int:
    time.sleep(1.6)
    return 1


@ms.workflow
def blocking() -> int:
    return blocks()


@ms.workflow
async def clinging() -> int:
    while True:
        try:
            await note(3)
        except GeneratorExit:
            pass


@ms.workflow
def hanging(n: int) -> int:
    return stubborn(n)


@ms.workflow
async def talk(n: int) -> list[str]:
    return [await say(f"{i}" * 100) for i in range(n)]


@ms.workflow
async def echo(point: Point) -> Point:
    return point
'''

MOST_S = 20.0

PRICED = """
[models.fast]
model = "scripted"
[prices.scripted]
prompt = 1000
cached = 0
completion = 1000
"""


@dataclass(frozen=True)
class Said:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def makespan(*arguments: str) -> Said:
    """Call the command line in this process."""
    result = CliRunner().invoke(cli, list(arguments), prog_name="makespan")
    assert "Traceback" not in result.stderr, result.stderr
    return Said(result.exit_code, result.stdout, result.stderr)


PROCESSES: list[Process] = []
"""Those that the running test started."""


class Process:
    """The command line as a process of its own; killed when a test waits too long for it."""

    def __init__(self, *arguments: str, folder: Path) -> None:
        environment = {**os.environ, "COLUMNS": "100", "PYTHONUNBUFFERED": "1"}
        self.child = subprocess.Popen(
            [sys.executable, "-m", "makespan.cli.main", *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._looked_at, self._is_over = 0, False
        self._has_more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._limit = threading.Timer(MOST_S, self.child.kill)
        self._limit.start()
        PROCESSES.append(self)

    def _read(self) -> None:
        assert self.child.stderr is not None
        for line in self.child.stderr:
            with self._has_more:
                self.lines.append(line)
                self._has_more.notify_all()
        with self._has_more:
            self._is_over = True
            self._has_more.notify_all()

    def until(self, pattern: str) -> str:
        """Wait until its stderr has a line that matches, behind the last one that did."""
        while True:
            with self._has_more:
                while self._looked_at >= len(self.lines):
                    if self._is_over:
                        raise AssertionError(f"{pattern!r} never came: {''.join(self.lines)}")
                    self._has_more.wait()
                line = self.lines[self._looked_at]
                self._looked_at += 1
            if re.search(pattern, line):
                return line

    def clear_away(self) -> None:
        """For tests that failed before its end."""
        if self.child.stdout is not None and not self.child.stdout.closed:
            self.child.kill()
            self.end()

    def send(self, number: int) -> None:
        self.child.send_signal(number)

    def end(self) -> Said:
        """Wait for its end."""
        assert self.child.stdout is not None
        assert self.child.stderr is not None
        out = self.child.stdout.read()
        self._reader.join()
        self.child.wait()
        self.child.stdout.close()
        self.child.stderr.close()
        self._limit.cancel()
        self._limit.join()
        return Said(self.child.returncode, out, "".join(self.lines))
