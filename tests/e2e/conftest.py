"""End-to-end tests: each brings up, or shares, a whole lab in Docker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.testing import dissect

HERE = Path(__file__).parent

DEFECTS = "_ws.expert.severity >= 0x600000 && !(_ws.expert.group == 0x02000000)"
"""What tshark's experts warn of, but for TCP's own sequence numbers: on a busy machine TCP repeats itself."""


@pytest.fixture(autouse=True)
def captures_are_sound(tmp_path: Path) -> Iterator[None]:
    """Whatever a test captured, wherever in the lab, tshark finds no defect in it."""
    yield
    for file in sorted(tmp_path.rglob("*.pcap")):
        defects = dissect(file, ("frame.number", "_ws.expert.message", "_ws.col.Info"), DEFECTS)
        assert defects == [], f"tshark complains about {file.name}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs Docker."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.docker)
