"""A malicious VM, and a malicious host on the provider network, against real switches with real neighbours.

Nothing of theirs reaches another tenant, or a victim in their own; and all of it is counted under its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_RA, IPv6
from scapy.layers.l2 import ARP, GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from lab.datapath.abi import Drop

from .adversary import MARK, Adversary, quiet
from .world import PROVIDER, ROUTER_MAC, World, world

pytestmark = pytest.mark.root

OWN, OWN_CA = "00:15:5d:0a:00:05", "10.0.0.5"
"""bx, on h1."""
VICTIM, VICTIM_CA = "00:15:5d:0a:00:04", "10.0.0.4"
"""bw, its neighbour on h1; a VM of the other tenant has the same MAC and address on h2."""
FAR, FAR_CA = "00:15:5d:0a:00:06", "10.0.0.6"
"""by, of the same subnet, on h2."""
EVERYBODY = "ff:ff:ff:ff:ff:ff"
OTHER_TENANT = {"rw", "ra"}
FRAMES = 400


@pytest.fixture(scope="module")
def net() -> Iterator[World]:
    with world() as built:
        for vm in built.vms.values():
            quiet(vm)
        yield built


@pytest.fixture
def vm(net: World) -> Iterator[Adversary]:
    """The VM bx."""
    attacker = Adversary(net, net.vms["bx"], "eth0", "h1", ("vport-in", 5001))
    yield attacker
    attacker.close()


def eth(dst: str = ROUTER_MAC, **fields: object) -> Packet:
    return Ether(**{"src": OWN, "dst": dst, **fields})


def ip(dst: str = FAR_CA, **fields: object) -> Packet:
    return IP(**{"src": OWN_CA, "dst": dst, **fields})


def arp(**fields: object) -> Packet:
    return ARP(**{"hwsrc": OWN, "psrc": OWN_CA, "pdst": VICTIM_CA, **fields}) / Raw(MARK)


INSIDE = Ether(src=ROUTER_MAC, dst=VICTIM) / IP(src="10.0.1.4", dst=VICTIM_CA) / UDP() / MARK
"""What an attacker would have decapsulated, into the other tenant."""
TO_FABRIC = {
    "nvgre": GRE(key_present=1, key=6001 << 8, proto=0x6558) / INSIDE,
    "vxlan": UDP(sport=50000, dport=4789) / VXLAN(flags=8, vni=6001) / INSIDE,
}


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (eth(EVERYBODY) / arp(op=2, psrc="10.0.0.1"), Drop.ARP_SPOOF),
        (eth(VICTIM) / arp(op=2, psrc="10.0.0.1"), Drop.ARP_SPOOF),
        (eth(VICTIM) / arp(op=2, psrc=FAR_CA), Drop.ARP_SPOOF),
        (eth(EVERYBODY) / arp(op=1, psrc=VICTIM_CA, pdst=VICTIM_CA), Drop.ARP_SPOOF),
        (eth(EVERYBODY) / arp(op=1, hwsrc=VICTIM), Drop.ARP_SPOOF),
        (eth(VICTIM) / arp(op=2), Drop.ARP_IGNORED),
        (eth(EVERYBODY) / arp(op=3), Drop.ARP_IGNORED),
        (eth(EVERYBODY) / arp(hwtype=6), Drop.ARP_MALFORMED),
        (eth(EVERYBODY, src=VICTIM) / arp(), Drop.MAC_SPOOF),
    ],
    ids=[
        "router",
        "router, unicast",
        "neighbour",
        "gratuitous",
        "MAC",
        "reply",
        "reverse",
        "hardware",
        "frame",
    ],
)
def test_forged_arp_reaches_nobody(vm: Adversary, frame: Packet, reason: Drop) -> None:
    assert vm.fire([frame]) == Counter({reason: 1})
    assert not vm.seen_by()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (eth(src=VICTIM) / ip("10.0.1.4") / UDP() / MARK, Drop.MAC_SPOOF),
        (eth() / ip("10.0.1.4", src=VICTIM_CA) / UDP() / MARK, Drop.CA_SPOOF),
        (eth(VICTIM) / ip(VICTIM_CA, src="10.0.0.1") / UDP() / MARK, Drop.CA_SPOOF),
        (eth() / ip("10.0.1.4", src="8.8.8.8") / UDP() / MARK, Drop.CA_SPOOF),
        (eth() / ip("10.0.1.4", src=PROVIDER["h2"]) / UDP() / MARK, Drop.CA_SPOOF),
        (eth(VICTIM) / ip(VICTIM_CA, src="127.0.0.1") / UDP() / MARK, Drop.CA_SPOOF),
        (eth(FAR) / ip(VICTIM_CA) / UDP() / MARK, Drop.MAC_MISMATCH),
        (eth("00:15:5d:0a:01:04") / ip("10.0.1.4") / UDP() / MARK, Drop.NO_RECORD),
    ],
    ids=["MAC", "CA", "router", "outside", "PA", "loopback", "another's MAC", "MAC of another subnet"],
)
def test_a_forged_source_reaches_nobody(vm: Adversary, frame: Packet, reason: Drop) -> None:
    assert vm.fire([frame]) == Counter({reason: 1})
    assert not vm.seen_by()


@pytest.mark.parametrize(
    "tag", [Dot1Q(vlan=0), Dot1Q(vlan=6), Dot1AD(vlan=6) / Dot1Q(vlan=6)], ids=["priority", "vlan", "double"]
)
def test_a_tag_reaches_nobody(vm: Adversary, tag: Packet) -> None:
    assert vm.fire([eth(VICTIM) / tag / ip(VICTIM_CA) / UDP() / MARK]) == Counter({Drop.VLAN: 1})
    assert not vm.seen_by()


@pytest.mark.parametrize("tunnel", TO_FABRIC.values(), ids=TO_FABRIC)
def test_a_tunnel_packet_to_the_provider_network_reaches_nobody(vm: Adversary, tunnel: Packet) -> None:
    frames = [eth() / ip(pa) / tunnel for pa in (*PROVIDER.values(), "192.168.6.1")]
    frames += [eth() / ip(PROVIDER["h1"], src=PROVIDER["h2"]) / tunnel]
    assert vm.fire(frames) == Counter({Drop.NO_ROUTE: 3, Drop.CA_SPOOF: 1})
    assert not vm.seen_by()


@pytest.mark.parametrize("tunnel", TO_FABRIC.values(), ids=TO_FABRIC)
def test_a_tunnel_packet_to_a_neighbour_stays_a_packet(vm: Adversary, tunnel: Packet) -> None:
    assert vm.fire([eth(FAR) / ip(FAR_CA) / tunnel]) == Counter({Drop.FORWARDED: 1})
    assert vm.seen_by() == {"by"}


def test_nobody_is_a_dhcp_server_or_a_router(vm: Adversary) -> None:
    offer = UDP(sport=67, dport=68) / BOOTP(op=2) / DHCP(options=[("message-type", "offer"), "end"]) / MARK
    request = UDP(sport=68, dport=67) / BOOTP() / DHCP(options=[("message-type", "discover"), "end"]) / MARK
    frames = [
        eth(EVERYBODY) / ip("255.255.255.255") / offer,
        eth(VICTIM) / ip(VICTIM_CA) / offer,
        eth(EVERYBODY) / ip("255.255.255.255", src="0.0.0.0") / request,
        eth("33:33:00:00:00:01") / IPv6(src="fe80::1", dst="ff02::1", hlim=255) / ICMPv6ND_RA() / MARK,
        eth(VICTIM) / ip(VICTIM_CA, src="10.0.0.1") / ICMP(type=5, code=1, gw=OWN_CA) / MARK,
    ]
    expected = {Drop.DHCP_GUARD: 2, Drop.CA_SPOOF: 2, Drop.IP_VERSION: 1}
    assert vm.fire(frames) == Counter(expected)
    assert not vm.seen_by()


def test_fragments_go_where_whole_packets_may_and_nowhere_else(vm: Adversary) -> None:
    """Tiny and overlapping ones too: what they make of each other is the receiver's to judge."""
    tiny = [eth(FAR) / ip(FAR_CA, proto=6, id=7, flags="MF", frag=n) / Raw(MARK[:8]) for n in range(3)]
    overlapping = [eth(FAR) / ip(FAR_CA, proto=17, id=8, frag=n) / Raw(bytes(8) + MARK) for n in (1, 2)]
    forged = [eth(FAR) / ip(FAR_CA, src=VICTIM_CA, proto=17, id=8, frag=1) / Raw(MARK)]
    beyond = [eth() / ip(PROVIDER["h2"], proto=47, frag=1) / Raw(MARK)]
    expected = {Drop.FORWARDED: 5, Drop.CA_SPOOF: 1, Drop.NO_ROUTE: 1}
    assert vm.fire(tiny + overlapping + forged + beyond) == Counter(expected)
    assert vm.seen_by() == {"by"}


def test_truncated_packets_end_as_malformed(vm: Adversary) -> None:
    whole = bytes(eth(FAR) / ip(FAR_CA) / TCP() / MARK)
    cut = [whole[:length] for length in (15, 24, 33, 34, 50)]
    short = bytes(eth(FAR) / ip(FAR_CA, ihl=4) / UDP() / MARK)
    long = bytes(eth(FAR) / ip(FAR_CA, len=1400) / UDP() / MARK)
    wrong = bytes(eth(FAR) / ip(FAR_CA, version=6) / UDP() / MARK)
    assert vm.fire([*cut, short, long, wrong]) == Counter({Drop.MALFORMED: 8})
    assert not vm.seen_by()


def test_other_protocols_end_as_what_they_are(vm: Adversary) -> None:
    kinds = (0x0003, 0x0027, 0x6558, 0x8847, 0x8863, 0x88CC, 0x88F7, 0x9000)
    frames = [
        bytes.fromhex("0180c200000e") + eth().build()[6:12] + kind.to_bytes(2, "big") + MARK for kind in kinds
    ]
    assert vm.fire(frames) == Counter({Drop.NON_IP: len(kinds)})
    assert not vm.seen_by()


def test_random_frames_are_all_counted_and_reach_no_other_tenant(vm: Adversary) -> None:
    """Sound frames with random octets changed; most end, some go to whom they may go to."""
    rng = Random(20241121)
    frames = []
    for _ in range(FRAMES):
        destination = rng.choice((ROUTER_MAC, VICTIM, FAR, EVERYBODY))
        to = rng.choice((VICTIM_CA, FAR_CA, "10.0.1.4", "10.0.0.1", "10.0.0.255"))
        frame = bytearray(bytes(eth(destination) / ip(to) / UDP() / MARK))
        for _ in range(rng.choice((1, 2, 6))):
            frame[rng.randrange(len(frame) - len(MARK))] = rng.randrange(256)
        frames.append(bytes(frame))
    moved = vm.fire(frames)
    assert moved.total() == FRAMES, moved
    assert len(moved) > 6, moved
    assert not vm.seen_by() & OTHER_TENANT


def test_after_all_that_the_tenants_still_reach_their_own(net: World, vm: Adversary) -> None:
    assert net.ping("bx", "10.0.1.4") is not None
    assert net.ping("rw", "10.0.1.4") is not None
