"""IPv6 customer addresses between kernel stacks: a tenant of each family on the same hosts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.southbound import southbound_pb2 as pb

from .probe import ECHO_REPLY as ECHO_REPLY4
from .probe import Answer
from .probe6 import ECHO_REPLY, PACKET_TOO_BIG, TIME_EXCEEDED, UNREACHABLE, ping6
from .world import BLUE, FABRIC_MTU, Tenant, Vm, World, world

pytestmark = pytest.mark.root

MEBI = 1 << 20
OVERHEAD = {"nvgre": 42, "vxlan": 50}

GREEN = Tenant(
    "5d0c4d4a-0b1e-4000-8000-000000000066",
    (
        Vm("ga", "h1", 8001, "fd00:1::4", "00:15:5d:66:01:04"),
        Vm("gb", "h1", 8001, "fd00:1::5", "00:15:5d:66:01:05"),
        Vm("gc", "h2", 8001, "fd00:1::6", "00:15:5d:66:01:06"),
        Vm("gd", "h2", 8002, "fd00:2::4", "00:15:5d:66:02:04"),
    ),
)


@pytest.fixture(scope="module", params=["nvgre", "vxlan"])
def net(request: pytest.FixtureRequest) -> Iterator[World]:
    with world((GREEN, BLUE), pb.SwitchSettings(encapsulation=request.param)) as built:
        yield built


def ask(net: World, source: str, destination: str, **options: int) -> Answer | None:
    return net.vms[source].call(lambda: ping6(destination, **options))


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("ga", "fd00:1::5"),
        ("ga", "fd00:1::6"),
        ("ga", "fd00:2::4"),
        ("gd", "fd00:1::5"),
        ("ga", "fd00:1::1"),
        ("ga", "fd00:2::1"),
    ],
    ids=["same host", "other host", "routed", "routed back", "its router", "the router elsewhere"],
)
def test_ping(net: World, source: str, destination: str) -> None:
    assert ask(net, source, destination) == Answer(destination, ECHO_REPLY, 0)


def test_the_other_tenant_speaks_ip4_beside_it(net: World) -> None:
    assert net.ping("bw", "10.0.1.4") == Answer("10.0.1.4", ECHO_REPLY4, 0)


def test_the_router_says_that_the_hop_limit_is_used_up(net: World) -> None:
    assert ask(net, "ga", "fd00:2::4", hops=1) == Answer("fd00:1::1", TIME_EXCEEDED, 0)
    assert ask(net, "ga", "fd00:2::4", hops=2) == Answer("fd00:2::4", ECHO_REPLY, 0)


def test_the_router_says_that_there_is_no_route_or_nobody(net: World) -> None:
    assert ask(net, "ga", "fd00:9::4") == Answer("fd00:1::1", UNREACHABLE, 0)
    assert ask(net, "ga", "fd00:2::99") == Answer("fd00:1::1", UNREACHABLE, 3)


def test_a_packet_too_big_for_the_fabric_is_answered_with_the_size_that_fits(
    net: World, request: pytest.FixtureRequest
) -> None:
    room = FABRIC_MTU - OVERHEAD[request.node.callspec.params["net"]]
    net.vms["ga"].ip("link set eth0 mtu 9000")
    net.hosts["h1"].namespace.ip("link set v-ga mtu 9000")
    try:
        answer = ask(net, "ga", "fd00:2::4", size=4000)
        assert answer == Answer("fd00:1::1", PACKET_TOO_BIG, 0, room)
    finally:
        net.vms["ga"].ip("link set eth0 mtu 1500")
        net.hosts["h1"].namespace.ip("link set v-ga mtu 1500")


@pytest.mark.parametrize(
    ("source", "target", "destination"),
    [("ga", "gd", "fd00:2::4"), ("gc", "ga", "fd00:1::4"), ("ga", "gb", "fd00:1::5")],
    ids=["routed, other host", "same subnet, other host", "same host"],
)
def test_tcp_with_super_packets(net: World, source: str, target: str, destination: str) -> None:
    net.transfer(source, target, destination, 32 * MEBI)
