"""A malicious host on the provider network, and a malicious VM in an IPv6 network, against real switches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import GRE, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from lab.datapath.abi import Drop
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import record

from .adversary import MARK, Adversary, quiet
from .world import BLUE, PROVIDER, RED, ROUTER_MAC, Tenant, Vm, World, goal_state, world

pytestmark = pytest.mark.root

ROUTED = Ether(src=ROUTER_MAC, dst="00:15:5d:0a:00:04") / IP(src="10.0.1.4", dst="10.0.0.4") / UDP() / MARK
"""From ba to bw: what h2 may send into 5001."""
SIX = Tenant(
    "5d0c4d4a-0b1e-4000-8000-0000000000c6",
    (
        Vm("sx", "h1", 9001, "fd00:0:0:1::5", "00:15:5d:0a:00:05"),
        Vm("sw", "h1", 9001, "fd00:0:0:1::4", "00:15:5d:0a:00:04"),
        Vm("sy", "h2", 9001, "fd00:0:0:1::6", "00:15:5d:0a:00:06"),
    ),
)
SX, SX_CA, SW, SW_CA = "00:15:5d:0a:00:05", "fd00:0:0:1::5", "00:15:5d:0a:00:04", "fd00:0:0:1::4"
ALL_NODES = ("33:33:00:00:00:01", "ff02::1")
FRAMES = 300


@pytest.fixture(scope="module")
def net() -> Iterator[World]:
    with world((BLUE, RED, SIX)) as built:
        for name, vm in built.vms.items():
            if name not in ("sw", "sy"):
                quiet(vm)
        yield built


def host(net: World, vsid: int) -> Adversary:
    """Whoever has h2's provider link in hand."""
    return Adversary(net, net.hosts["h2"].namespace, "pa0", "h1", ("wire-in", vsid))


def nvgre(net: World, inner: Packet | bytes, vsid: int = 5001, **outer: object) -> Packet:
    link = net.hosts["h1"].namespace.ip("-o link show pa0").split("link/ether ")[1].split()[0]
    header = IP(**{"src": PROVIDER["h2"], "dst": PROVIDER["h1"], "flags": "DF", **outer})
    return Ether(dst=link) / header / GRE(key_present=1, key=vsid << 8, proto=0x6558) / inner


@pytest.mark.parametrize(
    ("inner", "outer", "reason"),
    [
        (ROUTED, {"src": "192.168.6.66"}, Drop.PA_SPOOF),
        (ROUTED, {"src": PROVIDER["h1"]}, Drop.PA_SPOOF),
        (Ether(bytes(ROUTED).replace(b"\x0a\x00\x01\x04", b"\x0a\x00\x00\x05")), {}, Drop.CA_SPOOF),
        (Ether(bytes(ROUTED).replace(b"\x0a\x00\x01\x04", b"\x08\x08\x08\x08")), {}, Drop.CA_SPOOF),
        (Ether(bytes(ROUTED).replace(b"\x0a\x00\x01\x04", b"\x0a\x00\x00\x01")), {}, Drop.CA_SPOOF),
        (
            ROUTED.__class__(bytes(ROUTED)[:6] + b"\x00\x15\x5d\x0a\x00\x05" + bytes(ROUTED)[12:]),
            {},
            Drop.MAC_SPOOF,
        ),
        (Ether(src=ROUTER_MAC, dst=SW) / Dot1Q(vlan=3) / ROUTED[IP], {}, Drop.INNER_VLAN),
        (Raw(bytes(ROUTED)[:20]), {}, Drop.MALFORMED),
        (Ether(src=ROUTER_MAC, dst="00:15:5d:0a:00:06") / ROUTED[IP], {}, Drop.NOT_LOCAL),
    ],
    ids=[
        "stranger",
        "ourselves",
        "neighbour's CA",
        "outside",
        "router's CA",
        "MAC",
        "tag",
        "cut",
        "not here",
    ],
)
def test_a_forged_packet_reaches_nobody(
    net: World, inner: Packet, outer: dict[str, Any], reason: Drop
) -> None:
    attacker = host(net, 5001)
    assert attacker.fire([nvgre(net, inner, **outer)]) == Counter({reason: 1})
    assert not attacker.seen_by()
    attacker.close()


def test_a_forged_encapsulation_reaches_nobody(net: World) -> None:
    """What ends before its VSID is known counts under VSID 0."""
    attacker = host(net, 0)
    good = nvgre(net, ROUTED)
    frames = [good.copy() for _ in range(6)]
    frames[0][GRE].chksum_present = 1
    frames[1][GRE].proto = 0x0800
    frames[2][GRE].key = 4095 << 8
    frames[3][GRE].key = 7777 << 8
    frames[4][IP].flags = "MF"
    frames[5][IP].len = 4000
    expected = (
        Drop.GRE_FLAGS,
        Drop.GRE_PROTOCOL,
        Drop.VSID_RESERVED,
        Drop.NO_SUBNET,
        Drop.OUTER_FRAG,
        Drop.OUTER_MALFORMED,
    )
    assert attacker.fire(frames) == Counter(expected)
    assert not attacker.seen_by()
    attacker.close()


def test_the_other_encapsulation_is_nobodys(net: World) -> None:
    """In an NVGRE lab VXLAN is a datagram for the host, which nobody there awaits: not counted."""
    attacker = host(net, 5001)
    vxlan = nvgre(net, ROUTED)
    vxlan[IP].remove_payload()
    vxlan = vxlan / UDP(dport=4789) / VXLAN(flags=8, vni=5001) / ROUTED
    counted = nvgre(net, ROUTED, src="192.168.6.66")
    assert attacker.fire([vxlan, counted], counted=1) == Counter({Drop.PA_SPOOF: 1})
    assert not attacker.seen_by()
    attacker.close()


def test_random_inner_frames_are_counted_and_stay_in_their_network(net: World) -> None:
    rng = Random(7637)
    attacker = host(net, 5001)
    frames = []
    for _ in range(FRAMES):
        inner = bytearray(bytes(ROUTED))
        for _ in range(rng.choice((1, 2, 6))):
            inner[rng.randrange(len(inner) - len(MARK))] = rng.randrange(256)
        frames.append(nvgre(net, Raw(bytes(inner))))
    assert attacker.fire(frames).total() == FRAMES
    assert attacker.seen_by() <= {"bw", "bx"}
    attacker.close()


def six(payload: Packet, **ip6: object) -> Packet:
    return (
        Ether(src=SX, dst=ALL_NODES[0])
        / IPv6(**{"src": SX_CA, "dst": ALL_NODES[1], "hlim": 255, **ip6})
        / payload
    )


LIE = ICMPv6ND_NA(tgt=SW_CA, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=SX) / Raw(MARK)
ROUTER_LIE = ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptSrcLLAddr(lladdr=SX) / Raw(MARK)
ASK = ICMPv6ND_NS(tgt="fd00:0:0:1::6")


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (six(LIE), Drop.ND_IGNORED),
        (six(LIE, src=SW_CA), Drop.ND_IGNORED),
        (six(ROUTER_LIE, src="fe80::215:5dff:fe0a:5"), Drop.RA_GUARD),
        (six(IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / ROUTER_LIE), Drop.RA_GUARD),
        (six(IPv6ExtHdrFragment(m=1, id=3) / ROUTER_LIE), Drop.RA_GUARD),
        (six(ICMPv6ND_Redirect(tgt=SX_CA, dst=SW_CA) / Raw(MARK)), Drop.RA_GUARD),
        (six(ASK / ICMPv6NDOptSrcLLAddr(lladdr=SX) / Raw(MARK), src=SW_CA), Drop.ND_SPOOF),
        (six(ASK / ICMPv6NDOptSrcLLAddr(lladdr=SW) / Raw(MARK)), Drop.ND_SPOOF),
        (six(ASK / Raw(MARK), hlim=64), Drop.ND_MALFORMED),
        (six(ICMPv6EchoRequest(data=MARK), src=SW_CA), Drop.CA_SPOOF),
        (six(ICMPv6EchoRequest(data=MARK), src="fe80::1"), Drop.CA_SPOOF),
        (six(UDP(sport=547, dport=546) / Raw(MARK)), Drop.DHCP_GUARD),
        (Ether(src=SX, dst=ALL_NODES[0]) / IP(src="10.0.0.5") / UDP() / MARK, Drop.IP_VERSION),
    ],
    ids=[
        "advertisement",
        "advertisement of another",
        "router",
        "router behind headers",
        "router in a fragment",
        "redirect",
        "solicitation of another",
        "MAC of another",
        "from afar",
        "CA",
        "link-local",
        "DHCPv6",
        "IPv4",
    ],
)
def test_forged_neighbour_discovery_reaches_nobody(net: World, frame: Packet, reason: Drop) -> None:
    attacker = Adversary(net, net.vms["sx"], "eth0", "h1", ("vport-in", 9001))
    moved = attacker.fire([frame])
    assert moved[reason] >= 1, moved
    assert not attacker.seen_by()
    attacker.close()


def test_fragments_do_not_get_round_an_access_control_list(net: World) -> None:
    """by on h2 takes no TCP to port 22: not by stray, tiny or overlapping fragments."""
    goal = goal_state("h2", (BLUE, RED, SIX))
    rule = pb.AclRule(id="no-ssh", inbound=True, deny=True, protocol=6)
    rule.source_port_last = 65535
    rule.destination_port_first, rule.destination_port_last = 22, 22
    acl = record(pb.AccessControlList(id="by", rules=[rule]))
    port = record(pb.Port(interface_id="by", vsid=5001, customer_address="10.0.0.6", mac="00:15:5d:0a:00:06"))
    port.port.access_control_lists.append("by")
    net.hosts["h2"].endpoint.apply({**goal, acl.key: acl, port.key: port})
    attacker = Adversary(net, net.vms["bx"], "eth0", "h1", ("vport-in", 5001))
    arriving = Adversary(net, net.vms["bx"], "eth0", "h2", ("wire-in", 5001))

    def piece(ident: int, payload: bytes, frag: int = 0, more: bool = True) -> Packet:
        header = IP(src="10.0.0.5", dst="10.0.0.6", proto=6, id=ident, frag=frag, flags="MF" if more else 0)
        return Ether(src=SX, dst="00:15:5d:0a:00:06") / header / Raw(payload)

    ssh, web = bytes(TCP(dport=22)), bytes(TCP(dport=80))
    denied = [
        piece(1, ssh[:16]),
        piece(1, ssh[16:] + MARK, 2, False),
        piece(2, ssh[:8]),
        piece(2, ssh[8:] + MARK, 1, False),
        piece(3, MARK, 2, False),
    ]
    try:
        assert arriving.fire(denied) == Counter({Drop.ACL: 4, Drop.FRAGMENT: 1})
        assert not attacker.seen_by()
        # A sound first fragment, then another in its place: what follows goes with the latter.
        overlapping = [piece(4, web[:16]), piece(4, ssh[:16]), piece(4, MARK, 2, False)]
        assert arriving.fire(overlapping) == Counter({Drop.FORWARDED: 1, Drop.ACL: 2})
        assert not attacker.seen_by()
        assert arriving.fire([piece(5, web[:16]), piece(5, MARK, 2, False)]) == Counter({Drop.FORWARDED: 2})
        assert attacker.seen_by() == {"by"}
    finally:
        net.hosts["h2"].endpoint.apply(goal)
        attacker.close()
        arriving.close()
