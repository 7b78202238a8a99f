"""Which format a text is in, and its reader."""

import pytest
from hypothesis import given

from makespan.errors import UsageError
from makespan.planners.formats.choose import READERS, detect, reader_for
from tests.planners.formats.reading import texts


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('1. search("a")', "numbered"),
        ("Thought: I need two heights\n1. search(", "numbered"),
        ("Sure, the plan:\n\n- **2)** `search(a)`", "numbered"),
        ("$1 = search('a')", "numbered"),
        ('[{"tool": "f"}]', "json"),
        ('Here it is:\n[\n  {"tool": "f"}', "json"),
        ('{"tasks": [', "json"),
        ("Plan:\n```json\n", "json"),
        ("```python\n", "program"),
        ("a = search('a')", "program"),
        ("import asyncio\n", "program"),
        ("a, b = await asyncio.gather(", "program"),
        ("async def main():\n", "program"),
        ("# first\nsearch('a')\n", "program"),
        ("- search('a')\n", "numbered"),
        ("I will think about it.", None),
        ("from here on, nothing.", None),
        ("", None),
    ],
)
def test_the_first_line_that_can_only_be_one_format_decides(text: str, name: str | None) -> None:
    assert detect(text) == name


def test_each_format_has_a_reader() -> None:
    assert [type(reader_for(name)) for name in READERS] == list(READERS.values())


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"'yaml'; there are .*json, numbered, program"):
        reader_for("yaml")


@given(texts)
def test_any_text_is_in_one_format_or_none(text: str) -> None:
    assert detect(text) in {*READERS, None}
