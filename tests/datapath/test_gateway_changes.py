"""What a goal state changes in place: a connection's kind, while its name stays."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from lab.southbound import southbound_pb2 as pb
from lab.testing.eventually import eventually

from .guests import Guest, Kind
from .many_world import ManyWorld, many_world

pytestmark = pytest.mark.root

GUESTS = {kind: Guest(kind, 1) for kind in Kind}
TENANT = GUESTS[Kind.GRE]
WITHIN_S = 40


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManyWorld]:
    """One gateway, and a far end of every kind; one of the tenants will use them all."""
    with many_world(tmp_path_factory.mktemp("gw"), list(GUESTS.values())) as built:
        yield built


def with_kind(kind: Kind) -> pb.Compartment:
    """The tenant with a connection of this kind, always called the same."""
    made = TENANT.compartment()
    made.connections[0].CopyFrom(GUESTS[kind].connection())
    return made


def carries(world: ManyWorld, kind: Kind) -> None:
    """Assert that the connection stands, alone, and works."""
    assert world.answer()["error"] == "", world.answer()
    assert world.states() == {TENANT.rdid: "Connected"}
    assert world.pings(f"vm-{TENANT.name}", GUESTS[kind].target)
    links = world.inside(TENANT.name, "ip", "-brief", "link").stdout.split()
    devices = [word.split("@")[0] for word in links if "-hq" in word]
    assert len(devices) == 1, devices
    legs = world.run("gateway", "ip", "-brief", "link").stdout.split("c-gre0-")
    assert len(legs) == 2, "one leg"


ORDER = (Kind.GRE, Kind.L3, Kind.IPSEC, Kind.NAT, Kind.IPSEC, Kind.GRE)


def test_a_connection_changes_its_kind_and_keeps_its_name(world: ManyWorld) -> None:
    for kind in ORDER:
        world.apply(with_kind(kind))
        eventually(partial(carries, world, kind), WITHIN_S)
    left = [path.name for path in (world.folder / "compartments").iterdir()]
    assert left == [TENANT.name], "no charon's namespace is left"


@pytest.mark.parametrize(
    ("kind", "place"),
    [(Kind.IPSEC, "gateway/state/{0.unit}.strongswan.conf"), (Kind.GRE, "compartments/{0.name}")],
)
def test_what_cannot_be_done_for_a_tenant_is_done_for_all_others(
    world: ManyWorld, kind: Kind, place: str
) -> None:
    """A folder stands where a file of the tenant's shall be: its charon's, or its compartment itself."""
    unlucky = GUESTS[kind]
    others = [GUESTS[other] for other in (Kind.IPSEC, Kind.GRE, Kind.L3, Kind.NAT) if other is not kind]
    world.serve()
    obstacle = world.folder / place.format(unlucky)
    obstacle.mkdir(parents=True)

    def others_work() -> None:
        assert f"tenant {unlucky.name}" in world.answer()["error"]
        for other in others:
            assert world.pings(f"vm-{other.name}", other.target), other

    try:
        world.apply(*(guest.compartment() for guest in (unlucky, *others)))
        eventually(others_work, WITHIN_S)
    finally:
        obstacle.rmdir()
    world.serve(unlucky, *others)
    eventually(lambda: world.connected([unlucky, *others]), WITHIN_S)
    assert world.answer()["error"] == ""
