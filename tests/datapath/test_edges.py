"""Edges and the top-of-rack router with the real daemons: GRE tunnels, VLANs, BGP, tenants who overlap."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from lab.testing import eventually

from .edge_world import (
    COMPARTMENT,
    COMPARTMENT_BIRD,
    EDGE_ADDRESS,
    GATEWAY_BIRD,
    IPV6_COMPARTMENT,
    TENANTS,
    VM,
    EdgeWorld,
    edge_world,
)
from .probe import ECHO_REPLY, ping

pytestmark = pytest.mark.root
UP_S = 30


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeWorld]:
    """All programs run; the edges were wired after theirs had begun, as the engine does."""
    state: Path = tmp_path_factory.mktemp("edges")
    with edge_world(state) as built:
        built.start_router()
        for tenant, (address, _) in TENANTS.items():
            for name, wan in (("mpls", address), ("dc", EDGE_ADDRESS)):
                built.start_edge(tenant, name)
                built.wire(f"{tenant}-{name}", wan)
            built.bird(tenant, COMPARTMENT_BIRD)
        built.bird("gw", GATEWAY_BIRD)
        yield built


def answers(world: EdgeWorld, node: str, destination: str) -> None:
    answer = world.inside[node].call(partial(ping, destination))
    assert answer is not None, f"{node} hears nothing of {destination}"
    assert answer.type == ECHO_REPLY, answer


def crossed(world: EdgeWorld) -> dict[str, int]:
    counters = world.inside["gw"].call(world.gw.front_end.counters)
    return {name: leg.packets_in for name, leg in counters.legs.items()}


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.parametrize(("edge", "lan"), [("mpls", 60), ("dc", 70)])
def test_a_site_and_a_vm_reach_each_other(world: EdgeWorld, tenant: str, edge: str, lan: int) -> None:
    """What BGP learned, both ways: the site's network in the compartment, the VM network at the edge."""
    eventually(lambda: answers(world, f"{tenant}-{edge}-pc", VM), UP_S)
    eventually(lambda: answers(world, tenant, f"192.168.{lan}.10"), UP_S)


@pytest.mark.parametrize(("edge", "leg"), [("mpls", "g-"), ("dc", "v-")])
def test_tenants_with_the_same_addresses_never_meet(world: EdgeWorld, edge: str, leg: str) -> None:
    eventually(lambda: answers(world, f"blue-{edge}-pc", VM), UP_S)
    before = crossed(world)
    for _ in range(50):
        answers(world, f"blue-{edge}-pc", VM)
    after = crossed(world)
    assert after[f"{leg}blue"] - before[f"{leg}blue"] >= 50
    # Keepalives of BGP go on.
    assert after[f"{leg}red"] - before[f"{leg}red"] < 25


def test_an_edge_s_tunnel_has_room_for_its_headers(world: EdgeWorld) -> None:
    eventually(lambda: answers(world, "blue-mpls-pc", VM), UP_S)
    pc = world.inside["blue-mpls-pc"]
    whole = pc.call(partial(ping, VM, size=1472 - 28))
    assert whole is not None
    assert whole.type == ECHO_REPLY
    too_big = pc.call(partial(ping, VM, size=1472 - 26))
    assert too_big is not None
    assert (too_big.type, too_big.mtu, too_big.sender) == (3, 1472, "192.168.60.1")


def test_an_edge_whose_agent_is_killed_goes_on(world: EdgeWorld) -> None:
    eventually(lambda: answers(world, "red-mpls-pc", VM), UP_S)
    world.kill("red-mpls-lab.edge-run")
    answers(world, "red-mpls-pc", VM)
    world.start_edge_agent("red", "mpls")
    eventually(lambda: said(world, "red-mpls-lab.edge-run", "is behind"), UP_S)
    answers(world, "red-mpls-pc", VM)


def said(world: EdgeWorld, program: str, text: str) -> None:
    assert text in world.log(program)


def test_an_edge_that_is_wired_anew_is_served_anew(world: EdgeWorld) -> None:
    """Its link went with the far end's container: an interface of that name comes, with another index."""
    for edge, wan in (("blue-mpls", TENANTS["blue"][0]), ("blue-dc", EDGE_ADDRESS)):
        eventually(partial(answers, world, f"{edge}-pc", VM), UP_S)
        world.inside["tor"].ip(f"link del f-{edge}")
        world.wire(edge, wan)
        eventually(partial(answers, world, f"{edge}-pc", VM), UP_S)


def test_an_edge_has_ipv6_in_its_tunnel_and_not_before_it(world: EdgeWorld) -> None:
    edge, other = world.inside["blue-mpls"], world.inside["red-mpls"]

    def there() -> None:
        assert f"{IPV6_COMPARTMENT} dev tunnel0" in edge.ip("-6 route")

    eventually(there, UP_S)
    assert "inet6" not in edge.ip("addr show tunnel0") + edge.ip("addr show wan0"), "nobody to be spoken to"
    assert other.ip("-6 route") == ""


def test_without_bgp_an_edge_forgets_the_vms_but_not_the_router(world: EdgeWorld) -> None:
    edge = world.inside["red-dc"]
    eventually(lambda: answers(world, "red-dc-pc", VM), UP_S)
    world.kill("red-dc-lab.edge-exabgp")
    eventually(lambda: forgotten(edge.ip("route")), UP_S)
    world.start_edge_bgp("red", "dc")
    eventually(lambda: answers(world, "red-dc-pc", VM), UP_S)


def forgotten(routes: str) -> None:
    assert "10.0.0.0/24" not in routes
    assert COMPARTMENT in routes


def test_the_router_takes_single_public_addresses_and_nothing_else(world: EdgeWorld) -> None:
    tor = world.inside["tor"]

    def learned() -> None:
        routes = tor.ip("route show proto bird").split("\n")
        assert sorted(route.split()[0] for route in routes if route) == ["203.0.113.10", "203.0.113.65"]

    eventually(learned, UP_S)
    assert "0.0.0.0/0" in world.log("tor-lab.tor-bird"), "what is refused is said"


def test_a_tag_of_another_tenant_s_gets_nowhere(world: EdgeWorld) -> None:
    """An access port gives what comes untagged its own VLAN, and takes nothing that has a tag."""
    eventually(lambda: answers(world, "red-dc-pc", VM), UP_S)
    before = crossed(world)
    red = world.inside["red-dc"]
    frame = bytes.fromhex("ffffffffffff" + "02000000000a" + "8100" + "03e9" + "0806") + bytes(46)

    def send() -> None:
        import socket

        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("wan0", 0))
            for _ in range(200):
                raw.send(frame)

    red.call(send)
    assert crossed(world)["v-blue"] - before["v-blue"] < 100
