"""Charts read back: SVG as XML, PNG by its header."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


def parsed(path: Path) -> ElementTree.Element:
    """The SVG; raises where it is no XML."""
    return ElementTree.fromstring(path.read_bytes())


def shapes(svg: ElementTree.Element, prefix: str) -> int:
    """How many shapes the groups whose ids begin so draw."""
    groups = [group for group in svg.iter(f"{SVG}g") if group.get("id", "").startswith(prefix)]
    return sum(_drawn(group) for group in groups)


def texts(svg: ElementTree.Element) -> list[str]:
    """All text of the chart."""
    return ["".join(text.itertext()).strip() for text in svg.iter(f"{SVG}text")]


def png_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels; asserts that it is a PNG."""
    body = path.read_bytes()
    assert body[:8] == b"\x89PNG\r\n\x1a\n"
    assert body[12:16] == b"IHDR"
    return int.from_bytes(body[16:20], "big"), int.from_bytes(body[20:24], "big")


def _drawn(group: ElementTree.Element) -> int:
    """Shapes that are seen: those in `defs` only when something uses them."""
    count = 0
    for child in group:
        if child.tag == f"{SVG}g":
            count += _drawn(child)
        else:
            count += child.tag in (f"{SVG}path", f"{SVG}use")
    return count
