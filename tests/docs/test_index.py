"""Pages are found: every link leads somewhere, every page is in the index, and llms.txt is what the code says."""

import re
from pathlib import Path

import pytest

import makespan as ms
from tests.docs.llms_text import llms_text

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
LINK = re.compile(r"\]\((?P<target>[^)#\s]+)(?:#[\w-]+)?\)")


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "llms.txt", *PAGES], ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = [found["target"] for found in LINK.finditer(text) if "://" not in found["target"]]

    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_every_page_is_in_the_index_and_in_llms_txt() -> None:
    index, listed = (ROOT / "docs" / "README.md").read_text(encoding="utf-8"), llms_text()

    names = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page.name != "README.md"]
    assert [name for name in names if f"({name})" not in index] == []
    assert [name for name in names if f"(docs/{name})" not in listed] == []


def test_llms_txt_is_what_the_code_says() -> None:
    written = (ROOT / "llms.txt").read_text(encoding="utf-8")

    assert written == llms_text(), "make it again: python -m tests.docs.llms_text > llms.txt"


def test_llms_txt_names_the_whole_public_api() -> None:
    api = llms_text().partition("## API")[2]

    assert [name for name in ms.__all__ if not re.search(rf"(ms\.|class |^){name}\b", api, re.MULTILINE)] == []
