"""End-to-end tests: each brings up, or shares, a whole lab in Docker."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs Docker."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.docker)
