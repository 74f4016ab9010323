"""What becomes of a frame at the front end, rule by rule (docs/front-end.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, GRE, Ether
from scapy.packet import Packet, Raw

from lab.datapath.front_end_abi import FrontEndDrop

from .front_end_rig import (
    BLUE_KEY,
    BLUE_VLAN,
    FE,
    FE_MAC,
    INNER_MAC,
    LOCAL,
    OK,
    OTHER_LOCAL,
    RED_KEY,
    RED_VLAN,
    REDIRECT,
    REMOTE,
    SHOT,
    FrontEndRig,
    Seen,
    from_tunnel,
    front_end_rig,
    inner_packet,
    tagged,
)
from .scenario import sound

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def bench() -> Iterator[FrontEndRig]:
    with front_end_rig() as built:
        yield built


def on_leg(bench: FrontEndRig, interface: str, packet: Packet) -> Packet:
    """A packet as the inner end of a GRE connection is given it."""
    return Ether(dst=INNER_MAC, src=bench.mac(interface)) / packet


def out_of(packet: Packet, **ethernet: Any) -> Packet:
    """A frame as a compartment sends it: on NOARP interfaces both MACs are its own."""
    return Ether(**{"dst": INNER_MAC, "src": INNER_MAC, **ethernet}) / packet


@pytest.mark.parametrize(
    ("key", "local", "leg"),
    [
        (RED_KEY, LOCAL, "g-red"),
        (BLUE_KEY, LOCAL, "g-blue"),
        (RED_KEY, OTHER_LOCAL, "g-far"),
    ],
)
def test_a_tunnels_packet_comes_out_bare_at_its_own_leg(
    bench: FrontEndRig, key: int, local: object, leg: str
) -> None:
    seen = bench.wire(bytes(from_tunnel(inner_packet(), key=key, dst=str(local))))
    bare = bytes(on_leg(bench, leg, inner_packet()))
    assert (seen.verdict, seen.out, seen.frame) == (REDIRECT, leg, bare)
    assert (seen.drops, seen.crossed) == ((), {leg: (1, len(bare), 0, 0)})


def test_what_pads_a_short_frame_is_no_error(bench: FrontEndRig) -> None:
    seen = bench.wire(bytes(from_tunnel(IP(src="10.1.1.1", dst="10.0.0.4", proto=255))) + bytes(18))
    assert seen.out == "g-red"


def test_options_of_the_inner_packet_stay(bench: FrontEndRig) -> None:
    inner = inner_packet(options=[Raw(b"\x94\x04\0\0")])
    seen = bench.wire(bytes(from_tunnel(inner)))
    assert seen.frame == bytes(on_leg(bench, "g-red", inner))


@pytest.mark.parametrize("leg", ["v-red", "v-blue"])
@pytest.mark.parametrize(
    "payload",
    [inner_packet(), ARP(pdst="10.127.134.50"), IPv6(dst="fd00::4") / UDP(), Raw(b"anything at all")],
    ids=["ip4", "arp", "ip6", "raw"],
)
def test_a_tag_leads_to_its_own_leg_and_the_frame_is_as_it_was(
    bench: FrontEndRig, leg: str, payload: Packet
) -> None:
    vlan = {"v-red": RED_VLAN, "v-blue": BLUE_VLAN}[leg]
    frame = tagged(payload, vlan)
    seen = bench.wire(bytes(frame))
    bare = bytes(frame)[:12] + bytes(frame)[16:]
    assert (seen.verdict, seen.out, seen.frame, seen.drops) == (REDIRECT, leg, bare, ())
    assert seen.crossed == {leg: (1, len(bare), 0, 0)}


def test_a_tag_without_a_vlan_is_none(bench: FrontEndRig) -> None:
    """IEEE 802.1Q §6.9: a priority tag."""
    tunnelled = from_tunnel(inner_packet())
    assert bench.wire(bytes(tagged(tunnelled[IP], 0, dst=FE_MAC))).out == "g-red"
    assert bench.wire(bytes(tagged(ARP(), 0, dst=FE_MAC))).verdict == OK


@pytest.mark.parametrize(
    "frame",
    [
        Ether(dst=FE_MAC) / ARP(pdst=str(LOCAL)),
        Ether(dst=FE_MAC) / IP(src=str(REMOTE), dst=str(LOCAL)) / UDP(),
        Ether(dst=FE_MAC) / IPv6(dst="fd00::1") / UDP(),
        from_tunnel(inner_packet(), dst="203.0.113.99"),
        from_tunnel(inner_packet(), mac="02:00:00:00:00:77"),
    ],
    ids=["arp", "udp", "ip6", "gre-to-another", "for-another-station"],
)
def test_what_is_no_connections_is_the_kernels(bench: FrontEndRig, frame: Packet) -> None:
    seen = bench.wire(bytes(frame))
    assert (seen.verdict, seen.frame, seen.drops, seen.crossed) == (OK, bytes(frame), (), {})


@pytest.mark.parametrize(
    ("outer", "inner", "result"),
    [(0, 0, 0), (0, 2, 2), (1, 2, 1), (1, 1, 1), (2, 1, 1), (2, 0, 0), (3, 2, 3), (3, 1, 3), (0, 3, 3)],
)
def test_congestion_met_on_the_way_is_heard_inside(
    bench: FrontEndRig, outer: int, inner: int, result: int
) -> None:
    """RFC 6040 §4.2; the class is the tenant's own again (RFC 2983 §3.2, pipe model)."""
    seen = bench.wire(bytes(from_tunnel(inner_packet(tos=0xB8 | inner), tos=0x48 | outer)))
    assert sound(Ether(seen.frame))[IP].tos == 0xB8 | result


def ended(seen: Seen, interface: str, reason: FrontEndDrop) -> None:
    assert (seen.verdict, seen.drops, seen.crossed) == (SHOT, ((interface, reason),), {})


def short(packet: Packet, octets: int) -> Packet:
    """The packet, cut off; its header says so."""
    data = bytes(packet)[:octets]
    head = Ether(data)
    head[IP].len = octets - 14
    del head[IP].chksum
    return head


BIG = inner_packet() / bytes(LOCAL.packed * 400)


@pytest.mark.parametrize(
    ("frame", "interface", "reason"),
    [
        (tagged(ARP(), 77), FE, FrontEndDrop.VLAN_UNKNOWN),
        (tagged(ARP(), RED_VLAN, kind=0x88A8), FE, FrontEndDrop.VLAN_UNKNOWN),
        (Ether(dst=FE_MAC, type=0x8100), FE, FrontEndDrop.VLAN_UNKNOWN),
        (tagged(ARP(), RED_VLAN, BLUE_VLAN), "v-red", FrontEndDrop.TAGGED),
        (tagged(ARP(), 0, BLUE_VLAN), FE, FrontEndDrop.TAGGED),
        (from_tunnel(inner_packet(), flags="MF"), FE, FrontEndDrop.OUTER_FRAG),
        (from_tunnel(inner_packet(), frag=3), FE, FrontEndDrop.OUTER_FRAG),
        (from_tunnel(inner_packet(), len=4000), FE, FrontEndDrop.OUTER_MALFORMED),
        (from_tunnel(inner_packet(), chksum=1), FE, FrontEndDrop.OUTER_MALFORMED),
        (from_tunnel(inner_packet(), options=[Raw(b"\x94\x04\0\0")]), FE, FrontEndDrop.OUTER_MALFORMED),
        (short(from_tunnel(inner_packet()), 14 + 27), FE, FrontEndDrop.OUTER_MALFORMED),
        (from_tunnel(inner_packet(), gre={"chksum_present": 1}), FE, FrontEndDrop.GRE_FLAGS),
        (from_tunnel(inner_packet(), gre={"seqnum_present": 1}), FE, FrontEndDrop.GRE_FLAGS),
        (from_tunnel(inner_packet(), gre={"key_present": 0}), FE, FrontEndDrop.GRE_FLAGS),
        (from_tunnel(inner_packet(), gre={"routing_present": 1}), FE, FrontEndDrop.GRE_FLAGS),
        (from_tunnel(inner_packet(), gre={"version": 1}), FE, FrontEndDrop.GRE_FLAGS),
        (from_tunnel(inner_packet(), gre={"proto": 0x6558}), FE, FrontEndDrop.GRE_PROTOCOL),
        (from_tunnel(inner_packet(), gre={"proto": 0x86DD}), "g-red", FrontEndDrop.INNER_MALFORMED),
        (from_tunnel(IPv6(plen=9), gre={"proto": 0x86DD}), "g-red", FrontEndDrop.INNER_MALFORMED),
        (from_tunnel(IPv6() / UDP()), "g-red", FrontEndDrop.INNER_MALFORMED),
        (from_tunnel(inner_packet(), key=99), FE, FrontEndDrop.GRE_UNKNOWN),
        (from_tunnel(inner_packet(), src="198.51.100.21"), FE, FrontEndDrop.GRE_UNKNOWN),
        (from_tunnel(inner_packet(), key=BLUE_KEY, dst=str(OTHER_LOCAL)), FE, FrontEndDrop.GRE_UNKNOWN),
        (short(from_tunnel(inner_packet()), 14 + 47), "g-red", FrontEndDrop.INNER_MALFORMED),
        (from_tunnel(inner_packet(version=6)), "g-red", FrontEndDrop.INNER_MALFORMED),
        (from_tunnel(inner_packet(ihl=4)), "g-red", FrontEndDrop.INNER_MALFORMED),
        (from_tunnel(inner_packet(len=19)), "g-red", FrontEndDrop.INNER_MALFORMED),
        (from_tunnel(inner_packet(len=500)), "g-red", FrontEndDrop.INNER_MALFORMED),
        (from_tunnel(inner_packet(tos=0), tos=3), "g-red", FrontEndDrop.ECN),
        (from_tunnel(BIG), "g-red", FrontEndDrop.TOO_BIG),
        (tagged(BIG, BLUE_VLAN), "v-blue", FrontEndDrop.TOO_BIG),
    ],
    ids=lambda value: value.name if isinstance(value, FrontEndDrop) else "",
)
def test_at_the_front_end_it_is_refused(
    bench: FrontEndRig, frame: Packet, interface: str, reason: FrontEndDrop
) -> None:
    ended(bench.wire(bytes(frame)), interface, reason)


@pytest.mark.parametrize(
    ("leg", "key", "local"), [("g-red", RED_KEY, LOCAL), ("g-far", RED_KEY, OTHER_LOCAL)]
)
@pytest.mark.parametrize("tos", [0, 0xB8, 0xB9, 0xBA, 3])
def test_a_compartments_packet_goes_into_its_own_tunnel(
    bench: FrontEndRig, leg: str, key: int, local: object, tos: int
) -> None:
    """RFC 2890; ECN by RFC 6040 §4.1, no class of the tenant's outside (RFC 2983 §3.2, pipe model)."""
    inner = inner_packet(tos=tos)
    seen = bench.leg(leg, bytes(out_of(inner)))
    assert (seen.verdict, seen.out, seen.drops) == (REDIRECT, FE, ())
    outer = IP(src=str(local), dst=str(REMOTE), ttl=64, flags="DF", id=0, tos=tos & 3)
    gre = GRE(key_present=1, key=key, proto=0x0800)
    assert seen.frame[14:] == bytes(outer / gre / inner)
    assert not seen.frame[0] & 1
    assert seen.crossed == {leg: (0, 0, 1, len(inner) + 14)}


def test_multicast_goes_through_a_tunnel_as_any_packet(bench: FrontEndRig) -> None:
    """The kernel would not send on a frame whose Ethernet header says that it is for many."""
    frame = out_of(inner_packet(dst="224.0.0.5"), dst="01:00:5e:00:00:05")
    seen = bench.leg("g-red", bytes(frame))
    assert seen.out == FE
    assert not seen.frame[0] & 1


def test_a_compartments_frame_gets_its_own_tag(bench: FrontEndRig) -> None:
    for leg, vlan in (("v-red", RED_VLAN), ("v-blue", BLUE_VLAN)):
        frame = bytes(out_of(ARP(pdst="10.127.134.50"), dst="ff:ff:ff:ff:ff:ff"))
        seen = bench.leg(leg, frame)
        assert (seen.verdict, seen.out, seen.drops) == (REDIRECT, FE, ())
        # The test bench gives back what the kernel keeps beside the frame: it is still there without the tag.
        assert seen.frame in (frame, frame[:12] + bytes((0x81, 0, vlan >> 8, vlan & 255)) + frame[12:])
        assert seen.crossed == {leg: (0, 0, 1, len(frame))}


@pytest.mark.parametrize(
    ("leg", "frame", "reason"),
    [
        ("v-red", tagged(ARP(), BLUE_VLAN), FrontEndDrop.TAGGED),
        ("v-red", tagged(ARP(), 0), FrontEndDrop.TAGGED),
        ("v-red", tagged(ARP(), 5, kind=0x88A8), FrontEndDrop.TAGGED),
        ("g-red", tagged(inner_packet(), BLUE_VLAN), FrontEndDrop.TAGGED),
        ("g-red", out_of(ARP()), FrontEndDrop.NON_IP),
        ("g-red", out_of(IPv6(dst="fd00::4", plen=900) / UDP()), FrontEndDrop.INNER_MALFORMED),
        ("g-red", out_of(IPv6(dst="fd00::4", version=4) / UDP()), FrontEndDrop.INNER_MALFORMED),
        ("g-red", out_of(inner_packet(len=9)), FrontEndDrop.INNER_MALFORMED),
        ("g-red", out_of(inner_packet(len=900)), FrontEndDrop.INNER_MALFORMED),
        ("v-red", out_of(BIG), FrontEndDrop.TOO_BIG),
    ],
    ids=lambda value: value.name if isinstance(value, FrontEndDrop) else "",
)
def test_out_of_a_compartment_it_is_refused(
    bench: FrontEndRig, leg: str, frame: Packet, reason: FrontEndDrop
) -> None:
    ended(bench.leg(leg, bytes(frame)), leg, reason)


@pytest.mark.parametrize(("octets", "fits"), [(1472, True), (1473, False)])
def test_a_packet_has_to_leave_room_for_the_outer_header(bench: FrontEndRig, octets: int, fits: bool) -> None:
    inner = IP(src="10.0.0.4", dst="192.168.50.10", proto=17) / bytes(octets - 20)
    seen = bench.leg("g-red", bytes(out_of(inner)))
    assert (seen.out == FE) is fits
    if not fits:
        ended(seen, "g-red", FrontEndDrop.TOO_BIG)


def test_an_interface_that_is_no_leg_is_closed(bench: FrontEndRig) -> None:
    seen = bench.leg("idle", bytes(out_of(inner_packet())))
    assert seen.verdict == SHOT


def test_the_station_at_an_access_port_is_in_its_vlan(bench: FrontEndRig) -> None:
    for frame in (Ether(src=INNER_MAC) / ARP(), tagged(ARP(), 0)):
        seen = bench.station(bytes(frame))
        assert (seen.verdict, seen.drops, seen.crossed) == (OK, (), {"a0": (1, 42, 0, 0)})


def test_an_access_port_gives_out_its_vlan_untagged(bench: FrontEndRig) -> None:
    frame = tagged(ARP(), RED_VLAN)
    seen = bench.bridge(bytes(frame))
    assert (seen.verdict, seen.frame) == (OK, bytes(frame)[:12] + bytes(frame)[16:])
    assert seen.crossed == {"a0": (0, 0, 1, 42)}


@pytest.mark.parametrize("vlan", [RED_VLAN, BLUE_VLAN])
def test_a_station_may_not_tag(bench: FrontEndRig, vlan: int) -> None:
    ended(bench.station(bytes(tagged(ARP(), vlan))), "a0", FrontEndDrop.TAGGED)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (Ether() / ARP(), FrontEndDrop.OTHER_VLAN),
        (tagged(ARP(), 0), FrontEndDrop.OTHER_VLAN),
        (tagged(ARP(), BLUE_VLAN), FrontEndDrop.OTHER_VLAN),
        (tagged(ARP(), RED_VLAN, kind=0x88A8), FrontEndDrop.OTHER_VLAN),
        (tagged(ARP(), RED_VLAN, BLUE_VLAN), FrontEndDrop.TAGGED),
    ],
)
def test_a_station_sees_no_other_vlan(bench: FrontEndRig, frame: Packet, reason: FrontEndDrop) -> None:
    ended(bench.bridge(bytes(frame)), "a0", reason)


def test_an_interface_that_is_no_access_port_is_closed(bench: FrontEndRig) -> None:
    assert bench.station(bytes(Ether() / ARP()), "idle").verdict == SHOT
    assert bench.bridge(bytes(tagged(ARP(), RED_VLAN)), "idle").verdict == SHOT
