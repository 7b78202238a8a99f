"""The pytest plugin as a user's test run meets it: in a project of its own, in another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WORKFLOW = """
import makespan as ms
from makespan.models.scripted import Scripted

@ms.prompt()
def word(topic: str) -> str:
    return ms.chat(f"One word about {topic}")

@ms.workflow
async def talk(topic: str) -> str:
    return await word(topic)

def test_it_talks(run_workflow, cassette):
    model = MODEL
    assert run_workflow(talk("bees"), models={"default": cassette(model)}, crash_at="each").output == "buzz"
"""


def pytest_in(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "makespan.testing.plugin", "-p", "no:cacheprovider"]
    # Not loaded twice where the installation's entry point names it already.
    kept = {"PATH": "/usr/bin:/bin", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=kept)


def test_a_cassette_is_recorded_once_and_played_back_without_a_model(tmp_path: Path) -> None:
    test = tmp_path / "test_talk.py"
    test.write_text(WORKFLOW.replace("MODEL", 'Scripted("buzz")'))
    recorded = pytest_in(tmp_path, MAKESPAN_RECORD="1")
    assert recorded.returncode == 0, recorded.stdout
    assert [path.name for path in (tmp_path / "cassettes").iterdir()] == ["test_talk.test_it_talks.jsonl"]

    test.write_text(WORKFLOW.replace("MODEL", "None"))
    played = pytest_in(tmp_path)

    assert played.returncode == 0, played.stdout


def test_what_was_never_recorded_says_how_to_record_it(tmp_path: Path) -> None:
    (tmp_path / "test_talk.py").write_text(WORKFLOW.replace("MODEL", "None"))

    missing = pytest_in(tmp_path)

    assert missing.returncode == 1
    assert "record it with" in missing.stdout


def test_the_plugin_loads_nothing_of_the_engine(tmp_path: Path) -> None:
    program = "import sys, makespan.testing.plugin; print('makespan.app' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
