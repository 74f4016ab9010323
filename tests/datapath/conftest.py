"""What several files here start from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .scenario import policy
from .switch_rig import Rig, rig


@pytest.fixture(scope="module")
def bench() -> Iterator[Rig]:
    """A switch with the scenario's policy; a file that needs another has a fixture of that name itself."""
    with rig() as built:
        built.apply(policy(built))
        yield built
