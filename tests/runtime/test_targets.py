"""Targets are found, or one message says what to write instead."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from makespan.errors import GraphError, UsageError
from makespan.runtime.targets import load_module, load_target, load_task


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a program in it; what it makes Python import is forgotten afterwards."""
    modules, path = dict(sys.modules), list(sys.path)
    (tmp_path / "target_app.py").write_text(
        "import target_helper\nclass Tools:\n    def fetch(self): ...\nfetch = target_helper.TASK\nCOUNT = []\n"
    )
    (tmp_path / "target_helper.py").write_text(
        "class Code:\n    key = 'fetch'\n    def invoke(self, args, info): ...\n"
        "class Task:\n    code = Code()\nTASK = Task()\n"
    )
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]


def test_a_file_is_imported_once_under_its_stem_with_its_neighbours(folder: Path) -> None:
    module = load_module(f"{folder}/target_app.py")

    assert module.__name__ == "target_app"
    assert load_module(f"{folder}/target_app.py") is module
    assert sys.modules["target_app"] is module


def test_a_task_is_found_through_its_code(folder: Path) -> None:
    assert load_task(f"{folder}/target_app.py:fetch").key == "fetch"
    assert load_target(f"{folder}/target_app.py:Tools.fetch").__name__ == "fetch"
    assert load_target("json.decoder:JSONDecoder").__name__ == "JSONDecoder"


def test_a_file_named_like_a_module_of_python_gets_a_name_of_its_own(folder: Path) -> None:
    (folder / "queue.py").write_text("OURS = True\n")

    module = load_module(f"{folder}/queue.py")

    assert module.OURS
    assert module.__name__.startswith("queue_")
    assert not hasattr(sys.modules.get("queue"), "OURS")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("target_app.py", "no target; write file.py:name"),
        (":fetch", "no target"),
        ("{folder}/target_ap.py:fetch", "no file .*target_ap.py; did you mean 'target_app.py'"),
        ("/nowhere/app.py:fetch", "no file /nowhere/app.py"),
        ("no_such_module_at_all:fetch", "no module 'no_such_module_at_all'"),
        ("json.nothing:fetch", "no module 'json.nothing'"),
        ("{folder}/target_app.py:fetsh", "has no 'fetsh'; did you mean 'fetch'"),
        ("{folder}/target_app.py:COUNT", "is a list, not a task"),
        ("{folder}/target_app.py:make.<locals>.fetch", "lambda or stands inside a function"),
        ("app:<lambda>", "lambda"),
    ],
)
def test_a_wrong_target_says_what_to_write(folder: Path, target: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_task(target.format(folder=folder))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\ny = x / 0\n", r"ZeroDivisionError: division by zero \(.*broken_app.py:2 in <module>\)"),
        ("x = 1\ny = = 2\n", r"SyntaxError: .*broken_app.py:2\)"),
        ("import no_such_dependency\n", r"No module named 'no_such_dependency' \(.*broken_app.py:1"),
        ("import sys\nsys.exit('usage')\n", r"SystemExit: usage \(.*broken_app.py:2"),
    ],
)
def test_a_file_that_raises_at_import_shows_the_line(folder: Path, code: str, message: str) -> None:
    (folder / "broken_app.py").write_text(code)

    with pytest.raises(GraphError, match=message):
        load_target(f"{folder}/broken_app.py:fetch")
    assert "broken_app" not in sys.modules
