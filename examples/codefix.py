"""A code agent: three tries at once, each patches and tests in a worktree of its own; the first that passes wins.

The model may only choose an item (its type is the schema of the answer), so nothing else it says is executed.

    makespan run examples/codefix.py:fix -i issue="middle([1, 2, 3]) must be 2"
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import makespan as ms

Patch = Literal["first", "last", "middle"]
INDEX = {"first": "0", "last": "-1", "middle": "len(x) // 2"}
TEST = "def middle(x): return sorted(x)[{}]\nassert middle([5, 1, 4, 2, 3]) == 3, 'wrong item'"


@ms.provide(scope="attempt")
def worktree() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder)


@ms.prompt(temperature=1.5, max_tokens=30)
def patch(issue: str, failures: list[str]) -> Patch:
    ms.chat(f"Which item of the sorted list is it? {issue}", *failures)


@ms.task(effect="idempotent", timeout_s=60)
def run_tests(item: Patch, tree: Path = ms.use(worktree)) -> str:
    (tree / "check.py").write_text(TEST.format(INDEX[item]))
    return subprocess.run([sys.executable, "-I", "check.py"], cwd=tree, capture_output=True, text=True).stderr.strip()


@ms.workflow
async def try_fix(issue: str) -> Patch:
    failures: list[str] = []
    for _ in range(5):
        item = await patch(issue, failures)
        problem = await run_tests(item)
        if not problem:
            return item
        failures.append(f"{item} was wrong: {problem.splitlines()[-1]}")
    raise ms.Fatal(f"not mended; {failures[-1]}")


@ms.workflow
async def fix(issue: str) -> Patch:
    return await ms.first(*[try_fix.options(key=f"try {number}")(issue) for number in range(3)])
