"""Every code block that a reader may copy runs. What is done with which block: see `reader.py`."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.reader import Reader, blocks

ROOT = Path(__file__).parents[2]
DOCUMENTS = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if path.exists()]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    reader.close()


@pytest.mark.slow
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_of_a_document_runs(path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader.folder)
    monkeypatch.syspath_prepend(reader.folder)
    monkeypatch.setitem(sys.modules, "__main__", reader.session)

    for block in blocks(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))):
        reader.type_in(block)


def test_blocks_share_a_session_and_write_the_files_they_name(reader: Reader) -> None:
    text = "```python\n# file: flows/one.py\nx = 1\n```\nb\n\n```python\ny = x + 1\n```\n```text\nno code\n```\n"
    text += '```toml\n# file: a.toml\nstore = "x"\n```\n'

    for block in blocks(text, "sample.md"):
        reader.type_in(block)

    assert reader.session.__dict__["y"] == 2
    assert (reader.folder / "flows" / "one.py").read_text() == "# file: flows/one.py\nx = 1\n"
    assert (reader.folder / "a.toml").exists()


def test_a_failing_block_is_traced_to_its_line(reader: Reader) -> None:
    (block,) = blocks("one\n\n```python\nx = 1\nraise ValueError('here')\n```\n", "sample.md")

    with pytest.raises(ValueError, match="here") as raised:
        reader.type_in(block)

    assert raised.traceback[-1].lineno + 1 == 5


@pytest.mark.parametrize(
    "fence",
    [
        "```python no-run\nx\n```\n",
        '```python skip=""\nx\n```\n',
        '```python skip="needs langgraph"\nimport makespan, langgraph\n```\n',
        '```python skip="needs langgraph"\nx = 1\n```\n',
    ],
)
def test_our_python_cannot_opt_out(fence: str, reader: Reader) -> None:
    (block,) = blocks(fence, "sample.md")

    with pytest.raises(AssertionError, match=r"runs as it is|does not use"):
        reader.type_in(block)


def test_code_of_another_library_is_skipped_with_its_reason(reader: Reader) -> None:
    (block,) = blocks('```python skip="needs temporalio, not installed"\nimport temporalio_\n```\n', "sample.md")

    reader.type_in(block)


def test_commands_are_found_without_prompts_and_output() -> None:
    text = "```sh\n$ makespan run a.py:wf \\\n    --json\nsucceeded\n$ ls\n```\n- ```sh\n"
    (block,) = blocks(text, "sample.md")

    assert [shlex.split(command) for command in block.commands] == [["makespan", "run", "a.py:wf", "--json"]]


def test_a_console_shares_a_shell_and_checks_what_is_shown(reader: Reader) -> None:
    text = (
        '```console\n$ x=3\n$ echo one; echo two  $x four\none\n…  two … four\n$ false; echo "exit $?"\nexit 1\n```\n'
    )
    (block,) = blocks(text, "sample.md")

    reader.type_in(block)


@pytest.mark.parametrize("shown", ["three", "two\none"])
def test_a_console_that_prints_something_else_fails(shown: str, reader: Reader) -> None:
    (block,) = blocks(f"```console\n$ echo one; echo two\n{shown}\n```\n", "sample.md")

    with pytest.raises(AssertionError, match=r"sample\.md:1: .* does not print what is shown"):
        reader.type_in(block)


def test_a_command_of_a_console_that_fails_fails_the_document(reader: Reader) -> None:
    (block,) = blocks("```console\n$ cat nothing\n```\n", "sample.md")

    with pytest.raises(AssertionError, match=r"sample\.md:1: `cat nothing` exits with 1"):
        reader.type_in(block)


def test_a_command_in_the_background_is_waited_for_and_killed(reader: Reader) -> None:
    text = (
        '```console\n$ (echo begun; read x < fifo) &\nbegun\n$ kill -9 $!\n$ wait $!; echo "exit $?"\nexit 137\n```\n'
    )
    (block,) = blocks(text, "sample.md")
    reader.type_in(next(blocks("```console\n$ mkfifo fifo\n```\n", "sample.md")))

    reader.type_in(block)
