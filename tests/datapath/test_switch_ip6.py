"""IPv6 customer addresses between kernel stacks: a tenant of each family on the same hosts."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab.datapath.abi import Drop
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import record
from lab.testing.eventually import eventually

from .model.parsing import mac
from .model.spoofing import link_local
from .probe import ECHO_REPLY as ECHO_REPLY4
from .probe import Answer
from .probe6 import ECHO_REPLY, PACKET_TOO_BIG, TIME_EXCEEDED, UNREACHABLE, ping6
from .world import BLUE, FABRIC_MTU, Tenant, Vm, World, goal_state, world

pytestmark = pytest.mark.root

MEBI = 1 << 20
ALL_NODES = "ff02::1"
ADVERTISEMENT = 134
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


def raw_icmp6() -> socket.socket:
    ears = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    ears.setblocking(False)
    return ears


def advertise(source: str) -> None:
    """A router's advertisement by the kernel: of no router any more, so that nobody's routes change."""
    index = socket.if_nametoindex("eth0")
    with raw_icmp6() as mouth:
        mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)

        def is_ours() -> None:
            try:
                mouth.bind((source, 0, 0, index))
            except OSError as error:
                raise AssertionError("the kernel is not sure of its link-local address yet") from error

        eventually(is_ours, within_s=10)
        mouth.sendto(struct.pack("!BBHBBHII", ADVERTISEMENT, 0, 0, 64, 0, 0, 0, 0), (ALL_NODES, 0, 0, index))


def advertisers(ears: socket.socket) -> set[str]:
    """Who has been heard advertising since the last look."""
    found: set[str] = set()
    while True:
        try:
            message, (sender, *_) = ears.recvfrom(2048)
        except BlockingIOError:
            return found
        if message[0] == ADVERTISEMENT:
            found.add(sender.partition("%")[0])


def test_a_router_of_the_tenants_is_heard_on_its_link_and_nowhere_else(
    net: World, request: pytest.FixtureRequest
) -> None:
    router, host = GREEN.vms[0], net.hosts["h1"]
    own = str(link_local(mac(router.mac)))
    settings = pb.SwitchSettings(encapsulation=request.node.callspec.params["net"])
    goal = goal_state("h1", (GREEN, BLUE), settings)
    port = record(
        pb.Port(
            interface_id=router.interface_id,
            vsid=router.vsid,
            customer_address=router.address,
            mac=router.mac,
            router_advertiser=True,
        )
    )
    guarded = int(Drop.RA_GUARD), "vport-in", router.vsid
    with ExitStack() as stack:
        ears = {vm.name: stack.enter_context(net.vms[vm.name].call(raw_icmp6)) for vm in GREEN.vms[1:]}
        before = host.counted().get(guarded, 0)
        net.vms["ga"].call(lambda: advertise(own))

        def is_dropped() -> None:
            assert host.counted().get(guarded, 0) == before + 1

        eventually(is_dropped, within_s=10)
        host.endpoint.apply({**goal, port.key: port})
        heard: dict[str, set[str]] = {name: set() for name in ears}
        try:
            net.vms["ga"].call(lambda: advertise(own))

            def all_have_heard() -> None:
                for name, ear in ears.items():
                    heard[name] |= advertisers(ear)
                assert heard["gb"] == heard["gc"] == {own}

            eventually(all_have_heard, within_s=10)
            # What a ping has crossed by now, so has what was said before it.
            assert ask(net, "ga", "fd00:2::4") is not None
            assert not heard["gd"] | advertisers(ears["gd"])
        finally:
            host.endpoint.apply(goal)
