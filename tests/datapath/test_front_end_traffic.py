"""Real traffic through GRE tunnels and VLANs: two tenants with the same addresses, over both at once."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial

import pytest

from lab.datapath.front_end_abi import FrontEndDrop
from lab.southbound import southbound_pb2 as pb
from lab.testing import eventually

from .front_end_world import FE, FE_MTU, SITE, VIP, FrontEndWorld, Node, front_end_world, join
from .netns import Namespace, namespaces, pin_directory
from .probe import Answer, Sink, blast, ping
from .probe6 import ping6
from .world import Tenant, Vm, World, world

pytestmark = pytest.mark.root

MEBIBYTE = 1 << 20
ETH_P_ALL = 3
COMPARTMENT = Vm("c", "h2", 5003, "10.0.2.2", "00:15:5d:0a:02:02", compartment=True)
BEHIND = Tenant(
    "5d0c4d4a-0b1e-4000-8000-0000000000b1",
    (
        Vm("vm", "h1", 5001, "10.0.0.4", "00:15:5d:0a:00:04"),
        COMPARTMENT,
    ),
    (("10.9.0.0/24", COMPARTMENT),),
)
COMPARTMENT6 = Vm("c", "h2", 6003, "fd00:2::2", "00:15:5d:0a:02:03", compartment=True)
BEHIND6 = Tenant(
    BEHIND.rdid,
    (Vm("vm", "h1", 6001, "fd00:1::4", "00:15:5d:0a:00:06"), COMPARTMENT6),
    (("fd09::/64", COMPARTMENT6),),
)
OVER_GRE, OVER_VLAN = "10.9.0.", "10.8.0."
OVER_GRE6, OVER_VLAN6 = "fd09::", "fd08::"
TENANTS = ("red", "blue")


@pytest.fixture(scope="module")
def net() -> Iterator[FrontEndWorld]:
    with front_end_world() as built:
        yield built


def answered(source: Namespace, destination: str, size: int = 56) -> None:
    assert source.call(lambda: echo(destination, size)) is not None


def echo(destination: str, size: int, within_s: float = 2.0) -> Answer | None:
    send = ping6 if ":" in destination else ping
    try:
        return send(destination, size=size, within_s=within_s)
    except OSError as error:
        if error.errno != errno.EMSGSIZE:  # of IPv6, the sender's own kernel says so
            raise
        return None


def reachable(source: Namespace, destination: str, size: int = 56) -> None:
    eventually(lambda: answered(source, destination, size), within_s=10)


def transfer(source: Namespace, target: Namespace, destination: str) -> None:
    sink = target.call(Sink)
    source.call(lambda: blast(destination, sink.port, MEBIBYTE))
    assert sink.join() == MEBIBYTE


@contextmanager
def longest_frame(namespace: Namespace, interface: str) -> Iterator[Callable[[], int]]:
    """How long the longest frame was that went by meanwhile: a super-packet is longer than the MTU."""

    def listen() -> socket.socket:
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * MEBIBYTE)
        tap.bind((interface, ETH_P_ALL))
        tap.setblocking(False)
        return tap

    with closing(namespace.call(listen)) as tap:

        def longest() -> int:
            found = 0
            while True:
                try:
                    found = max(found, len(tap.recv(70_000)))
                except BlockingIOError:
                    return found

        yield longest


@pytest.mark.parametrize("network", [OVER_GRE, OVER_VLAN, OVER_GRE6, OVER_VLAN6])
@pytest.mark.parametrize("tenant", TENANTS)
def test_both_ends_reach_each_other(net: FrontEndWorld, tenant: str, network: str) -> None:
    here, there = net.inside[tenant], net.inside[f"{tenant}-site"]
    reachable(here, f"{network}2")
    answered(there, f"{network}1")


@pytest.mark.parametrize(
    ("network", "most"),
    [
        *((OVER_GRE, FE_MTU - 28 - 28), (OVER_VLAN, FE_MTU - 28)),
        *((OVER_GRE6, FE_MTU - 28 - 48), (OVER_VLAN6, FE_MTU - 48)),
    ],
)
def test_the_mtu_is_what_the_wire_leaves(net: FrontEndWorld, network: str, most: int) -> None:
    reachable(net.inside["red"], f"{network}2", most)
    assert net.inside["red"].call(lambda: echo(f"{network}2", most + 2, within_s=0.3)) is None


@pytest.mark.parametrize("network", [OVER_GRE, OVER_VLAN, OVER_GRE6, OVER_VLAN6])
def test_super_packets_stay_whole_both_ways(net: FrontEndWorld, network: str) -> None:
    here, there = net.inside["red"], net.inside["red-site"]
    for source, target, last in ((here, there, 2), (there, here, 1)):
        with longest_frame(net.gw.namespace, FE) as longest:
            transfer(source, target, f"{network}{last}")
            assert longest() > 4 * FE_MTU


@pytest.mark.parametrize("network", [OVER_GRE, OVER_VLAN, OVER_GRE6, OVER_VLAN6])
def test_each_tenant_reaches_only_its_own(net: FrontEndWorld, network: str) -> None:
    """The same addresses and ports, the same tunnel ends; only key and VLAN differ."""
    for tenant in TENANTS:
        reachable(net.inside[tenant], f"{network}2")
    heard = {tenant: net.inside[f"{tenant}-site"].call(lambda: udp(f"{network}2")) for tenant in TENANTS}
    try:
        for tenant in TENANTS:
            for _ in range(20):
                net.inside[tenant].call(partial(say, tenant, f"{network}2"))
        for tenant in TENANTS:
            assert {heard[tenant].recv(100) for _ in range(20)} == {tenant.encode()}
            heard[tenant].setblocking(False)
            with pytest.raises(BlockingIOError):
                heard[tenant].recv(100)
    finally:
        for listener in heard.values():
            listener.close()


def udp(address: str) -> socket.socket:
    listener = socket.socket(family_of(address), socket.SOCK_DGRAM)
    listener.settimeout(5)
    listener.bind((address, 5000))
    return listener


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def say(text: str, address: str) -> None:
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as speaker:
        speaker.sendto(text.encode(), (address, 5000))


def test_each_leg_counts_its_own_packets(net: FrontEndWorld) -> None:
    reachable(net.inside["red"], f"{OVER_GRE}2")
    before = net.gw.front_end.counters().legs
    answered(net.inside["red"], f"{OVER_GRE}2", size=100)
    after = net.gw.front_end.counters().legs
    octets = 14 + 20 + 8 + 100
    was, now = before["g-red"], after["g-red"]
    assert (now.packets_in - was.packets_in, now.bytes_in - was.bytes_in) == (1, octets)
    assert (now.packets_out - was.packets_out, now.bytes_out - was.bytes_out) == (1, octets)
    assert after["g-blue"] == before.get("g-blue", after["g-blue"])


def test_a_super_packet_counts_as_the_packets_that_it_stands_for(net: FrontEndWorld) -> None:
    before = net.gw.front_end.counters().legs["g-red"]
    transfer(net.inside["red"], net.inside["red-site"], f"{OVER_GRE}2")
    after = net.gw.front_end.counters().legs["g-red"]
    segment = FE_MTU - 28 - 40
    assert after.packets_out - before.packets_out > 0.9 * MEBIBYTE / segment


def test_the_agent_dies_and_the_traffic_does_not(net: FrontEndWorld) -> None:
    net.gw.stop()
    try:
        for network in (OVER_GRE, OVER_VLAN):
            reachable(net.inside["red"], f"{network}2")
    finally:
        net.gw.start()
    assert net.gw.namespace.call(lambda: net.gw.front_end.apply(net.gw.legs)) == []
    answered(net.inside["red"], f"{OVER_GRE}2")


def test_a_compartment_between_two_tunnels_forwards_and_tells_what_does_not_fit() -> None:
    """Out of one tunnel into another, in one kernel: the second encapsulation meets the first one's marks."""
    with namespaces("gw", "site", "hub", "a", "b") as made, pin_directory() as pins:
        join(made["gw"], made["site"])
        gw, site = Node(made["gw"], VIP, pins / "gw"), Node(made["site"], SITE, pins / "site")
        hub = made["hub"]
        for number, name in enumerate(("a", "b"), 1):
            gw.plug_gre(hub, f"g-{name}", SITE, number, device=f"gre-{name}")
            site.plug_gre(made[name], f"g-{name}", VIP, number)
            hub.ip(f"addr add 10.9.{number}.1/32 dev gre-{name}")
            hub.ip(f"route add 10.9.{number}.2/32 dev gre-{name}")
            made[name].ip(f"addr add 10.9.{number}.2/32 dev tunnel0")
            made[name].ip("route add default dev tunnel0")
        hub.run("sysctl -qw net.ipv4.ip_forward=1")
        for node in (gw, site):
            node.start()
            node.apply()
        try:
            reachable(made["a"], "10.9.2.2")
            transfer(made["a"], made["b"], "10.9.2.2")
            hub.ip("link set gre-b mtu 1300")
            told = made["a"].call(lambda: ping("10.9.2.2", size=1400))
            assert told is not None
            assert (told.type, told.code, told.mtu) == (3, 4, 1300)
            assert not [drop for drop in gw.front_end.counters().drops if drop[1] is not FrontEndDrop.NON_IP]
        finally:
            gw.stop()
            site.stop()


@dataclass
class Chain:
    """A VM, its host, a gateway's compartment, and the customer's LAN behind a tunnel."""

    overlay: World
    gw: Node
    site: Node
    vm: Namespace
    lan: Namespace

    def lost(self) -> int:
        """Packets that the kernel would not send by a tunnel's device: it could not make anything of them."""
        return sum(
            int(json.loads(node.namespace.ip(f"-s -j link show {device}"))[0]["stats64"]["tx"]["dropped"])
            for node, device in ((self.gw, FE), (self.site, FE), (self.gw, "pa0"))
        )

    def cut_at(self, device: str) -> None:
        """Let the gateway's device carry no super-packets, so that the kernel has to cut them."""
        self.gw.namespace.ip(f"link set {device} gso_max_size {FE_MTU}")


@contextmanager
def chain(encapsulation: str, behind: Tenant = BEHIND) -> Iterator[Chain]:
    settings = pb.SwitchSettings(encapsulation=encapsulation)
    with (
        world((behind,), settings) as overlay,
        namespaces("site", "lan") as made,
        pin_directory() as pins,
    ):
        inner, gateway = overlay.vms["c"], overlay.hosts["h2"].namespace
        join(gateway, made["site"])
        gw, site = Node(gateway, VIP, pins / "gw"), Node(made["site"], SITE, pins / "site")
        gw.plug_gre(inner, "g-red", SITE, 7)
        site.plug_gre(made["lan"], "g-red", VIP, 7)
        inner.ip("addr add 10.9.0.1/24 dev tunnel0")
        inner.ip("addr add fd09::1/64 dev tunnel0 nodad")
        inner.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        made["lan"].ip("addr add 10.9.0.2/24 dev tunnel0")
        made["lan"].ip("addr add fd09::2/64 dev tunnel0 nodad")
        made["lan"].ip("route add default dev tunnel0")
        made["lan"].ip("-6 route add default dev tunnel0")
        for node in (gw, site):
            node.start()
            node.apply()
        try:
            yield Chain(overlay, gw, site, overlay.vms["vm"], made["lan"])
        finally:
            gw.stop()
            site.stop()


@pytest.mark.parametrize(
    ("behind", "lan", "vm"), [(BEHIND, "10.9.0.2", "10.0.0.4"), (BEHIND6, "fd09::2", "fd00:1::4")]
)
@pytest.mark.parametrize("encapsulation", ["nvgre", "vxlan"])
def test_super_packets_go_from_the_overlay_into_a_tunnel_and_back(
    encapsulation: str, behind: Tenant, lan: str, vm: str
) -> None:
    """The tunnels have headers of two shapes; the second is put on while the first one's marks are there."""
    with chain(encapsulation, behind) as net:
        reachable(net.vm, lan)
        for source, target, address in ((net.vm, net.lan, lan), (net.lan, net.vm, vm)):
            with longest_frame(net.gw.namespace, FE) as longest:
                transfer(source, target, address)
                assert longest() > 4 * FE_MTU
        assert net.lost() == 0


@pytest.mark.parametrize("encapsulation", ["nvgre", "vxlan"])
def test_a_device_without_super_packets_cuts_them_right(encapsulation: str) -> None:
    with chain(encapsulation) as net:
        reachable(net.vm, "10.9.0.2")
        for source, target, address, device in (
            (net.vm, net.lan, "10.9.0.2", FE),
            (net.lan, net.vm, "10.0.0.4", "pa0"),
        ):
            net.cut_at(device)
            far = net.site.namespace if device == FE else net.overlay.hosts["h1"].namespace
            with longest_frame(far, device) as longest:
                transfer(source, target, address)
                assert FE_MTU < longest() < FE_MTU + 100
        assert net.lost() == 0
