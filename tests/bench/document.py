"""Writes results into docs/performance.md between markers, and nothing else of the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "performance.md"
IMAGES = DOCS / "images"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; all columns but the first stand at the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def replaced(page: str, section: str, text: str) -> str:
    """A page with the text of one generated section replaced.

    Raises:
        ValueError: the page has no such section.
    """
    begin, end = f"<!-- generated: {section} -->", f"<!-- end: {section} -->"
    pattern = re.compile(f"(?<={re.escape(begin)}\n).*?(?={re.escape(end)})", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"{PAGE} has no section between {begin} and {end}")
    return pattern.sub(lambda _: f"\n{text.strip()}\n\n", page)


def write(section: str, text: str) -> None:
    """Replace one generated section of docs/performance.md.

    Raises:
        ValueError: the page has no such section.
    """
    PAGE.write_text(replaced(PAGE.read_text(), section, text))
