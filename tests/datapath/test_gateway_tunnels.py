"""Two tenants with the same addresses behind one gateway: real charon, BIRD and ExaBGP, in network namespaces."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.testing.eventually import eventually

from .gateway_world import RDIDS, World, compartment, kill

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
    pytest.mark.skipif(
        not all(shutil.which(tool) for tool in ("charon-systemd", "bird", "s6-svscan", "nft")),
        reason="the node's daemons are not installed on this machine",
    ),
]

TENANTS = tuple(RDIDS)
UP_S = 30
CLOUD, LAN = "10.0.0.4", "192.168.50.10"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world with both tenants up."""
    world = World(tmp_path_factory.mktemp("gw"))
    try:
        world.build()
        world.start_gateway()
        world.apply(*(compartment(tenant) for tenant in TENANTS))
        world.start_agent()
        for tenant in TENANTS:
            world.start_site(tenant)
        eventually(lambda: both_up(world), UP_S)
        yield world
    finally:
        world.close()


def both_up(world: World) -> None:
    assert world.answer()["error"] == "", world.answer()
    for tenant in TENANTS:
        up(world, tenant)


def up(world: World, tenant: str) -> None:
    assert world.connection(tenant).get("state") == "Connected", world.connection(tenant)
    assert world.peer(tenant).get("state") == "Connected", world.peer(tenant)
    assert world.learned(tenant) == ["192.168.50.0/24"]
    assert world.pings(f"vm-{tenant}", LAN)
    assert world.pings(f"lan-{tenant}", CLOUD)


def test_both_sites_are_reached_at_the_same_address(world: World) -> None:
    both_up(world)
