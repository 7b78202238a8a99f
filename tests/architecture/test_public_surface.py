"""What `import makespan` promises and what it costs, asked of a fresh interpreter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINNED = Path(__file__).with_name("public_names.txt")
MAX_NAMES = 45
HEAVY = ("httpx", "rich", "click", "apsw", "numpy", "xllamacpp", "yaml")

INIT = ROOT / "src" / "makespan" / "__init__.py"
needs_package = pytest.mark.skipif(not INIT.exists(), reason="there is no package yet")
needs_task = pytest.mark.skipif(
    not INIT.exists() or '"task"' not in INIT.read_text(), reason="the package has no task yet"
)

ASK_NAMES = """
import json, makespan
missing = [name for name in makespan.__all__ if not hasattr(makespan, name)]
print(json.dumps([list(makespan.__all__), missing]))
"""
ASK_LOADED = """
import json, sys
import makespan
print(json.dumps([name for name in {heavy!r} if name in sys.modules]))
"""
ONE_TASK = """
import json, sys
import makespan as ms

@ms.task
def double(number: int) -> int:
    return 2 * number

print(json.dumps([name for name in {heavy!r} if name in sys.modules]))
"""


@needs_package
def test_public_names_are_the_pinned_ones(tmp_path: Path) -> None:
    public, missing = ask(ASK_NAMES, tmp_path)
    pinned = PINNED.read_text().split()

    assert not missing, f"makespan.__all__ promises names that do not exist: {missing}"
    assert len(public) <= MAX_NAMES, f"{len(public)} public names; a 46th needs two recipes that cannot do without it"
    assert sorted(public) == sorted(pinned), (
        f"public names are not those of public_names.txt: new {sorted(set(public) - set(pinned))}, "
        f"gone {sorted(set(pinned) - set(public))}; change that file and add a changes/ fragment"
    )


@needs_package
def test_import_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = ask(ASK_LOADED.format(heavy=HEAVY), tmp_path)

    assert not loaded, f"`import makespan` loads {loaded}; import them where they are used"


@needs_task
def test_one_task_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = ask(ONE_TASK.format(heavy=HEAVY), tmp_path)

    assert not loaded, f"one @ms.task loads {loaded}; import them where they are used"


def ask(program: str, folder: Path) -> list[list[str]]:
    """Run a program from a file in a fresh interpreter that sees src/, and read the JSON it prints."""
    script = folder / "ask.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(ROOT / 'src')!r})\n{program}")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: list[list[str]] = json.loads(done.stdout)
    return answer
