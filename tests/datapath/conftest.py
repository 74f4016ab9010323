"""What several files here start from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.datapath.build import PACKAGE, SOURCES, compile_object

from .bgp_world import BgpWorld, Build, Site, bgp_world
from .scenario import policy
from .switch_rig import Rig, rig


@pytest.fixture(scope="module")
def bench() -> Iterator[Rig]:
    """A switch with the scenario's policy; a file that needs another has a fixture of that name itself."""
    with rig() as built:
        built.apply(policy(built))
        yield built


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """BGP routers of some sites, and a tenant's."""
    with ExitStack() as stack:

        def enter(*sites: Site) -> BgpWorld:
            return stack.enter_context(bgp_world(tmp_path, *sites))

        yield enter


@pytest.fixture(scope="session", autouse=True)
def objects() -> None:
    """Have the data plane compiled where agents look for it that a test starts as processes of their own."""
    newest = max(path.stat().st_mtime for path in SOURCES[0].parent.iterdir())
    for source in SOURCES:
        made = PACKAGE / source.with_suffix(".o").name
        if not made.exists() or made.stat().st_mtime < newest:
            compile_object(source=source)
