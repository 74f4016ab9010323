"""Every error code of the code stands in the documentation, and the documentation names no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"HNV-[A-Z]+-\d{3}")


def test_every_error_code_is_documented_and_no_other() -> None:
    sources = [path for room in ("lab", "gwnode") for path in (ROOT / room).rglob("*.py")]
    raised = {code for path in sources for code in CODE.findall(path.read_text())}
    pages = (ROOT / "docs" / "errors.md", ROOT / "docs" / "topology.md")
    documented = {code for page in pages for code in CODE.findall(page.read_text())}
    assert raised - documented == set()
    assert documented - raised == set()
