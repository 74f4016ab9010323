"""Each rule of the switch, good and bad, with frames built and read by scapy: a judge that is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any
from uuid import UUID

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, GRE, Dot1Q, Ether
from scapy.packet import Packet, Raw

from lab.datapath.abi import Direction, Drop
from lab.datapath.policy import CustomerRoute, LookupRecord, Policy, Port, ProviderMember, Subnet

from .switch_model import FORWARD, PASS, SHOT, Outcome
from .switch_rig import UPLINK_MTU, Rig, rig

pytestmark = pytest.mark.root

BLUE, RED = UUID(int=0xB1), UUID(int=0xE1)
ROUTER = "00:15:5d:00:00:01"
OTHER_ROUTER = "00:15:5d:00:00:02"
ALICE, BOB, CAROL, DAVE = (f"00:15:5d:0a:00:{n:02x}" for n in (4, 5, 6, 7))
COMPARTMENT = "00:15:5d:0a:02:02"
OWN, FAR, GATEWAY_PA = "192.168.6.10", "192.168.6.11", "192.168.6.20"


def policy(bench: Rig) -> Policy:
    """Alice and Bob live here, Carol and Dave at FAR; the compartment too. Red has Alice's addresses."""
    ip = IPv4Address
    return Policy(
        ip(OWN),
        bench.uplink,
        (
            Subnet("s1", 5001, BLUE, ip("10.0.0.1"), ROUTER),
            Subnet("s2", 5002, BLUE, ip("10.0.1.1"), OTHER_ROUTER),
            Subnet("s3", 5003, BLUE, ip("10.0.2.1"), ROUTER),
            Subnet("s4", 6001, RED, ip("10.0.0.1"), ROUTER),
        ),
        (
            LookupRecord("l1", 5001, ip("10.0.0.4"), ALICE, ip(OWN)),
            LookupRecord("l2", 5001, ip("10.0.0.5"), BOB, ip(OWN)),
            LookupRecord("l3", 5001, ip("10.0.0.6"), CAROL, ip(FAR)),
            LookupRecord("l4", 5002, ip("10.0.1.4"), DAVE, ip(FAR)),
            LookupRecord("l5", 5003, ip("10.0.2.2"), COMPARTMENT, ip(OWN)),
            LookupRecord("l6", 6001, ip("10.0.0.4"), ALICE, ip(OWN)),
            LookupRecord("l7", 5001, ip("10.0.0.7"), DAVE, ip(OWN)),
        ),
        (
            CustomerRoute("r1", BLUE, IPv4Network("10.0.0.0/24"), 5001, None),
            CustomerRoute("r2", BLUE, IPv4Network("10.0.1.0/24"), 5002, None),
            CustomerRoute("r3", BLUE, IPv4Network("10.0.2.0/24"), 5003, None),
            CustomerRoute("r4", BLUE, IPv4Network("192.168.50.0/24"), 5003, ip("10.0.2.2")),
            CustomerRoute("r5", RED, IPv4Network("10.0.0.0/24"), 6001, None),
        ),
        (
            ProviderMember("m1", BLUE, ip(OWN), False),
            ProviderMember("m2", BLUE, ip(FAR), False),
            ProviderMember("m3", BLUE, ip(GATEWAY_PA), True),
        ),
        (
            Port("alice", bench.ports[0], 5001, ip("10.0.0.4"), ALICE, gateway=False),
            Port("bob", bench.ports[1], 5001, ip("10.0.0.5"), BOB, gateway=False),
            Port("c", bench.ports[2], 5003, ip("10.0.2.2"), COMPARTMENT, gateway=True),
            Port("red", bench.ports[3], 6001, ip("10.0.0.4"), ALICE, gateway=False),
        ),
    )


@pytest.fixture(scope="module")
def bench() -> Iterator[Rig]:
    with rig() as built:
        built.apply(policy(built))
        yield built


def from_alice(payload: Packet, **ethernet: Any) -> Packet:
    return Ether(**{"src": ALICE, "dst": ROUTER, **ethernet}) / payload


def ip_from_alice(dst: str, **fields: Any) -> Packet:
    return IP(**{"src": "10.0.0.4", "dst": dst, "ttl": 64, **fields})


def send(bench: Rig, frame: Packet, port: int = 0) -> Outcome:
    return bench.vport(bench.ports[port], bytes(frame))


def dropped(seen: Outcome) -> Drop:
    assert seen.verdict == SHOT, f"went on to {seen.ifindex}: {Ether(seen.frame).summary()}"
    (((reason, _, _), _),) = seen.counts
    return reason


def forwarded(seen: Outcome) -> Packet:
    assert seen.verdict == FORWARD, seen.counts
    assert seen.counts[0][0][0] is Drop.FORWARDED or seen.counts[-1][0][0] is Drop.FORWARDED
    return Ether(seen.frame)


def sound(packet: Packet) -> Packet:
    """Every checksum and length is what scapy would have computed."""
    again = packet.copy()
    layer: Packet | None = again
    while layer:
        for name in ("chksum", "len"):
            if name in layer.fields:
                del layer.fields[name]
        layer = layer.payload if not isinstance(layer.payload, Raw) else None
    assert bytes(again).hex() == bytes(packet).hex()
    return packet


# -- NVGRE on the way out


def test_a_routed_packet_goes_out_as_nvgre_with_the_vsid_of_the_destination(bench: Rig) -> None:
    seen = send(bench, from_alice(ip_from_alice("10.0.1.4", tos=0xB9) / UDP(sport=1000, dport=53) / b"hello"))
    outer = sound(forwarded(seen))
    assert seen.ifindex == bench.uplink
    ip, gre = outer[IP], outer[GRE]
    assert (ip.src, ip.dst, ip.ttl, ip.proto, ip.flags, ip.frag) == (OWN, FAR, 64, 47, "DF", 0)
    assert ip.tos == 1, "ECN is copied, DSCP is not"
    assert (gre.chksum_present, gre.key_present, gre.seqnum_present, gre.version) == (0, 1, 0, 0)
    assert (gre.proto, gre.key >> 8) == (0x6558, 5002)
    inner = gre[Ether]
    assert (inner.src, inner.dst) == (OTHER_ROUTER, DAVE)
    assert (inner[IP].ttl, inner[IP].tos, inner[UDP].load) == (63, 0xB9, b"hello")
    assert ((Drop.FORWARDED, Direction.WIRE_OUT, 5002), len(seen.frame)) in seen.counts


def test_within_a_subnet_nothing_of_the_frame_changes(bench: Rig) -> None:
    frame = from_alice(ip_from_alice("10.0.0.6") / TCP(sport=1, dport=2), dst=CAROL)
    outer = sound(forwarded(send(bench, frame)))
    assert outer[GRE].key >> 8 == 5001
    assert bytes(outer[GRE].payload) == bytes(frame)


def test_the_flow_id_varies_by_flow_and_not_within_it(bench: Rig) -> None:
    def flow(port: int, size: int) -> int:
        frame = from_alice(ip_from_alice("10.0.1.4") / TCP(sport=port, dport=80) / bytes(size))
        return int(forwarded(send(bench, frame))[GRE].key & 0xFF)

    assert flow(1000, 0) == flow(1000, 900)
    assert len({flow(port, 0) for port in range(1000, 1064)}) > 40


def test_the_flow_id_is_the_same_for_all_fragments(bench: Rig) -> None:
    first = ip_from_alice("10.0.1.4", flags="MF") / UDP(sport=1, dport=2) / bytes(64)
    later = ip_from_alice("10.0.1.4", frag=9, proto=17) / bytes(64)
    other = ip_from_alice("10.0.1.4", flags="MF") / UDP(sport=77, dport=99) / bytes(64)
    keys = {forwarded(send(bench, from_alice(packet)))[GRE].key for packet in (first, later, other)}
    assert len(keys) == 1


def test_a_neighbour_on_the_same_host_gets_the_bare_frame(bench: Rig) -> None:
    frame = from_alice(ip_from_alice("10.0.0.5") / UDP() / b"x", dst=BOB)
    seen = send(bench, frame)
    assert (seen.ifindex, seen.frame) == (bench.ports[1], bytes(frame))


def test_a_record_of_this_node_without_a_port_is_no_reason_to_use_the_wire(bench: Rig) -> None:
    assert dropped(send(bench, from_alice(ip_from_alice("10.0.0.7") / UDP(), dst=DAVE))) is Drop.PORT_ABSENT


@pytest.mark.parametrize("missing", [{"uplink": 0}, {"provider_address": None}], ids=["interface", "address"])
def test_before_the_uplink_is_there_nothing_goes_out(bench: Rig, missing: dict[str, Any]) -> None:
    bench.apply(replace(policy(bench), **missing))
    try:
        frame = from_alice(ip_from_alice("10.0.0.6") / UDP(), dst=CAROL)
        assert dropped(send(bench, frame)) is Drop.NO_UPLINK
    finally:
        bench.apply(policy(bench))


# -- the distributed router


@pytest.mark.parametrize("address", ["10.0.0.1", "10.0.1.1"])
def test_the_router_answers_ping_at_its_address_in_every_subnet(bench: Rig, address: str) -> None:
    frame = from_alice(ip_from_alice(address, ttl=1) / ICMP(id=7, seq=9) / b"abcdefgh")
    seen = send(bench, frame)
    reply = sound(forwarded(seen))
    assert seen.ifindex == bench.ports[0]
    assert (reply.src, reply.dst, reply[IP].src, reply[IP].dst) == (ROUTER, ALICE, address, "10.0.0.4")
    assert (reply[ICMP].type, reply[ICMP].id, reply[ICMP].seq, reply[ICMP].load) == (0, 7, 9, b"abcdefgh")


@pytest.mark.parametrize(
    ("packet", "type_", "code", "reason"),
    [
        (ip_from_alice("10.0.1.4", ttl=1) / UDP(sport=5, dport=33434) / bytes(9), 11, 0, Drop.TTL_EXCEEDED),
        (ip_from_alice("8.8.8.8") / TCP(sport=5, dport=443), 3, 0, Drop.NO_ROUTE),
        (ip_from_alice("10.0.1.99") / TCP(sport=5, dport=443), 3, 1, Drop.NO_RECORD),
        (ip_from_alice("10.0.0.1") / UDP(sport=5, dport=33434), 3, 3, Drop.ROUTER_LOCAL),
    ],
    ids=["ttl", "no route", "no record", "udp to the router"],
)
def test_the_router_says_why_it_drops(
    bench: Rig, packet: Packet, type_: int, code: int, reason: Drop
) -> None:
    seen = send(bench, from_alice(packet))
    error = sound(Ether(seen.frame))
    assert (seen.verdict, seen.ifindex) == (FORWARD, bench.ports[0])
    assert (error.src, error.dst, error[IP].src, error[IP].dst) == (ROUTER, ALICE, "10.0.0.1", "10.0.0.4")
    assert (error[ICMP].type, error[ICMP].code) == (type_, code)
    quoted = bytes(error[ICMP].payload)
    assert bytes(packet).startswith(quoted)
    assert len(quoted) >= 28, "RFC 792: the header and 64 bits"
    assert ((reason, Direction.VPORT_IN, 5001), len(from_alice(packet))) in seen.counts


def test_the_router_says_nothing_about_an_error(bench: Rig) -> None:
    error = ip_from_alice("8.8.8.8") / ICMP(type=3, code=1) / bytes(28)
    assert dropped(send(bench, from_alice(error))) is Drop.NO_ROUTE


def test_the_router_says_nothing_about_a_later_fragment(bench: Rig) -> None:
    fragment = ip_from_alice("8.8.8.8", frag=100, proto=17) / bytes(64)
    assert dropped(send(bench, from_alice(fragment))) is Drop.NO_ROUTE


def test_tcp_to_the_router_is_dropped(bench: Rig) -> None:
    assert dropped(send(bench, from_alice(ip_from_alice("10.0.0.1") / TCP()))) is Drop.ROUTER_LOCAL


def test_a_customer_route_leads_to_its_next_hop(bench: Rig) -> None:
    seen = send(bench, from_alice(ip_from_alice("192.168.50.10") / TCP(dport=5432)))
    frame = sound(forwarded(seen))
    assert seen.ifindex == bench.ports[2], "the compartment is on this node"
    assert (frame.dst, frame[IP].dst, frame[IP].ttl) == (COMPARTMENT, "192.168.50.10", 63)


# -- size


def test_what_just_fits_goes_and_one_octet_more_is_answered_with_the_size_that_does(bench: Rig) -> None:
    room = UPLINK_MTU - 42
    fits = from_alice(ip_from_alice("10.0.1.4", flags="DF") / UDP() / bytes(room - 28))
    assert len(fits) == room + 14
    assert len(forwarded(send(bench, fits))[IP]) == UPLINK_MTU
    seen = send(bench, from_alice(ip_from_alice("10.0.1.4", flags="DF") / UDP() / bytes(room - 27)))
    error = sound(Ether(seen.frame))
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, room)
    assert seen.counts[-1][0][0] is Drop.TOO_BIG


# -- what a VM may not do


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (from_alice(ip_from_alice("10.0.1.4") / UDP(), src=BOB), Drop.MAC_SPOOF),
        (from_alice(ip_from_alice("10.0.1.4", src="10.0.0.5") / UDP()), Drop.CA_SPOOF),
        (from_alice(ip_from_alice("10.0.1.4", src="192.168.50.10") / UDP()), Drop.CA_SPOOF),
        (from_alice(Dot1Q(vlan=5) / ip_from_alice("10.0.1.4") / UDP()), Drop.VLAN),
        (from_alice(IPv6(dst="ff02::2") / UDP()), Drop.NON_IP4),
        (from_alice(Raw(bytes(46)), type=0x88CC), Drop.NON_IP),
        (from_alice(ip_from_alice("10.0.0.255") / UDP(), dst="ff:ff:ff:ff:ff:ff"), Drop.BUM),
        (from_alice(ip_from_alice("224.0.0.251") / UDP()), Drop.BUM),
        (from_alice(ip_from_alice("10.0.0.6") / UDP(), dst=BOB), Drop.MAC_MISMATCH),
        (from_alice(ip_from_alice("10.0.0.66") / UDP(), dst=BOB), Drop.NO_RECORD),
        (from_alice(ip_from_alice("10.0.1.4", len=2000) / UDP()), Drop.MALFORMED),
        (from_alice(ip_from_alice("10.0.1.4", version=5) / UDP()), Drop.MALFORMED),
        (from_alice(ip_from_alice("10.0.1.4", ihl=4) / UDP()), Drop.MALFORMED),
    ],
    ids=lambda value: value.name if isinstance(value, Drop) else "",
)
def test_a_vm_may_not(bench: Rig, frame: Packet, reason: Drop) -> None:
    assert dropped(send(bench, frame)) is reason


def test_a_vm_that_speaks_nvgre_reaches_nothing_of_the_provider_network(bench: Rig) -> None:
    tunnel = ip_from_alice(FAR) / GRE(key_present=1, key=6001 << 8, proto=0x6558) / Ether() / IP()
    seen = send(bench, from_alice(tunnel))
    assert Ether(seen.frame)[ICMP].code == 0, "no route in its routing domain"
    assert seen.ifindex == bench.ports[0]


def test_a_port_without_policy_is_closed(bench: Rig) -> None:
    seen = bench.vport(bench.uplink, bytes(from_alice(ip_from_alice("10.0.1.4") / UDP())))
    assert dropped(seen) is Drop.PORT_BLOCKED


# -- compartments


def test_a_compartment_carries_sources_from_outside(bench: Rig) -> None:
    frame = Ether(src=COMPARTMENT, dst=ROUTER) / IP(src="192.168.50.10", dst="10.0.1.4") / UDP()
    outer = forwarded(send(bench, frame, port=2))
    assert (outer[IP].dst, outer[GRE].key >> 8) == (FAR, 5002)
    assert outer[GRE][IP].src == "192.168.50.10"


@pytest.mark.parametrize("source", ["10.0.0.4", "10.0.0.1"], ids=["a VM's address", "the router's address"])
def test_a_compartment_may_not_pose_as_what_is_inside(bench: Rig, source: str) -> None:
    frame = Ether(src=COMPARTMENT, dst=ROUTER) / IP(src=source, dst="10.0.1.4") / UDP()
    assert dropped(send(bench, frame, port=2)) is Drop.CA_SPOOF


# -- ARP


def arp(**fields: Any) -> Packet:
    return from_alice(ARP(**{"hwsrc": ALICE, "psrc": "10.0.0.4", **fields}), dst="ff:ff:ff:ff:ff:ff")


@pytest.mark.parametrize(
    ("target", "answer"),
    [("10.0.0.1", ROUTER), ("10.0.0.5", BOB), ("10.0.0.6", CAROL)],
    ids=["router", "same host", "other host"],
)
def test_arp_is_answered_from_policy(bench: Rig, target: str, answer: str) -> None:
    seen = send(bench, arp(pdst=target))
    reply = forwarded(seen)
    assert seen.ifindex == bench.ports[0]
    assert (reply.src, reply.dst, reply[ARP].op) == (answer, ALICE, 2)
    assert (reply[ARP].hwsrc, reply[ARP].psrc) == (answer, target)
    assert (reply[ARP].hwdst, reply[ARP].pdst) == (ALICE, "10.0.0.4")


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (arp(pdst="10.0.0.66"), Drop.ARP_UNKNOWN),
        (arp(pdst="10.0.1.4"), Drop.ARP_UNKNOWN),
        (arp(pdst="10.0.0.5", psrc="10.0.0.6"), Drop.ARP_SPOOF),
        (arp(pdst="10.0.0.5", hwsrc=BOB), Drop.ARP_SPOOF),
        (arp(pdst="10.0.0.5", op=2), Drop.ARP_IGNORED),
        (arp(pdst="10.0.0.4"), Drop.ARP_IGNORED),
        (arp(pdst="10.0.0.4", psrc="0.0.0.0"), Drop.ARP_IGNORED),
        (arp(pdst="10.0.0.5", hwtype=6), Drop.ARP_MALFORMED),
    ],
    ids=["unknown", "other subnet", "CA", "MAC", "reply", "announcement", "probe of itself", "hardware"],
)
def test_arp_is_not_answered(bench: Rig, frame: Packet, reason: Drop) -> None:
    assert dropped(send(bench, frame)) is reason


def test_a_probe_of_a_taken_address_is_answered(bench: Rig) -> None:
    assert forwarded(send(bench, arp(pdst="10.0.0.5", psrc="0.0.0.0")))[ARP].hwsrc == BOB


# -- NVGRE on the way in


def from_wire(inner: Packet, *, vsid: int = 5001, gre: dict[str, Any] | None = None, **ip: Any) -> Packet:
    header = IP(**{"src": FAR, "dst": OWN, "flags": "DF", **ip})
    key = {"key_present": 1, "key": vsid << 8 | 0xAB, "proto": 0x6558, **(gre or {})}
    return Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02") / header / GRE(**key) / inner


def carol_to_alice(**ethernet: Any) -> Packet:
    addresses = {"src": CAROL, "dst": ALICE, **ethernet}
    return Ether(**addresses) / IP(src="10.0.0.6", dst="10.0.0.4") / UDP(dport=53) / b"x"


def test_a_frame_for_a_vm_here_is_delivered_bare(bench: Rig) -> None:
    seen = bench.wire(bytes(from_wire(carol_to_alice())))
    assert (seen.ifindex, seen.frame) == (bench.ports[0], bytes(carol_to_alice()))
    assert [key for key, _ in seen.counts] == [
        (Drop.FORWARDED, Direction.VPORT_OUT, 5001),
        (Drop.FORWARDED, Direction.WIRE_IN, 5001),
    ]


def test_a_routed_frame_bears_the_router_as_its_source(bench: Rig) -> None:
    inner = Ether(src=ROUTER, dst=ALICE) / IP(src="10.0.1.4", dst="10.0.0.4") / UDP()
    assert bench.wire(bytes(from_wire(inner))).ifindex == bench.ports[0]


def test_a_compartment_takes_any_destination_behind_its_mac(bench: Rig) -> None:
    inner = Ether(src=ROUTER, dst=COMPARTMENT) / IP(src="10.0.1.4", dst="192.168.50.10") / UDP()
    assert bench.wire(bytes(from_wire(inner, vsid=5003))).ifindex == bench.ports[2]


def test_a_gateway_brings_sources_from_outside(bench: Rig) -> None:
    inner = Ether(src=ROUTER, dst=ALICE) / IP(src="192.168.50.10", dst="10.0.0.4") / UDP()
    assert bench.wire(bytes(from_wire(inner, src=GATEWAY_PA))).ifindex == bench.ports[0]


@pytest.mark.parametrize(
    ("outer", "inner", "result"),
    [(0, 0, 0), (0, 2, 2), (1, 2, 1), (1, 1, 1), (2, 1, 1), (2, 0, 0), (3, 2, 3), (3, 1, 3), (0, 3, 3)],
)
def test_congestion_met_on_the_wire_is_heard_inside(bench: Rig, outer: int, inner: int, result: int) -> None:
    """RFC 6040 §4.2."""
    frame = Ether(src=CAROL, dst=ALICE) / IP(src="10.0.0.6", dst="10.0.0.4", tos=0xB8 | inner) / UDP()
    seen = sound(forwarded(bench.wire(bytes(from_wire(frame, tos=outer)))))
    assert seen[IP].tos == 0xB8 | result


def outside_to_alice(**ip: Any) -> Packet:
    return Ether(src=ROUTER, dst=ALICE) / IP(**{"src": "192.168.50.10", "dst": "10.0.0.4", **ip}) / UDP()


TAGGED = Ether(src=CAROL, dst=ALICE) / Dot1Q(vlan=9) / IP(src="10.0.0.6", dst="10.0.0.4") / UDP()
NOT_ECT = Ether(src=CAROL, dst=ALICE) / IP(src="10.0.0.6", dst="10.0.0.4", tos=0) / UDP()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (from_wire(carol_to_alice(), gre={"chksum_present": 1}), Drop.GRE_FLAGS),
        (from_wire(carol_to_alice(), gre={"seqnum_present": 1}), Drop.GRE_FLAGS),
        (from_wire(carol_to_alice(), gre={"key_present": 0}), Drop.GRE_FLAGS),
        (from_wire(carol_to_alice(), gre={"version": 1}), Drop.GRE_FLAGS),
        (from_wire(carol_to_alice(), gre={"proto": 0x0800}), Drop.GRE_PROTOCOL),
        (from_wire(carol_to_alice(), vsid=4095), Drop.VSID_RESERVED),
        (from_wire(carol_to_alice(), vsid=0xFFFFFF), Drop.VSID_RESERVED),
        (from_wire(carol_to_alice(), vsid=7777), Drop.NO_SUBNET),
        (from_wire(carol_to_alice(), flags="MF"), Drop.OUTER_FRAG),
        (from_wire(carol_to_alice(), frag=3), Drop.OUTER_FRAG),
        (from_wire(carol_to_alice(), len=4000), Drop.OUTER_MALFORMED),
        (from_wire(carol_to_alice(), src="192.168.6.66"), Drop.PA_SPOOF),
        (from_wire(carol_to_alice(), vsid=6001), Drop.PA_SPOOF),
        (from_wire(carol_to_alice(), src=OWN), Drop.PA_SPOOF),
        (from_wire(carol_to_alice(), src=GATEWAY_PA), Drop.CA_SPOOF),
        (from_wire(outside_to_alice()), Drop.CA_SPOOF),
        (from_wire(outside_to_alice(src="10.0.0.1"), src=GATEWAY_PA), Drop.CA_SPOOF),
        (from_wire(carol_to_alice(src=BOB)), Drop.MAC_SPOOF),
        (from_wire(carol_to_alice(dst=BOB)), Drop.NOT_LOCAL),
        (from_wire(carol_to_alice(dst=DAVE)), Drop.NOT_LOCAL),
        (from_wire(TAGGED), Drop.INNER_VLAN),
        (from_wire(Ether(src=CAROL, dst=ALICE) / ARP()), Drop.NON_IP),
        (from_wire(Ether(src=CAROL, dst=ALICE) / IPv6()), Drop.NON_IP4),
        (from_wire(Raw(bytes(10))), Drop.MALFORMED),
        (from_wire(NOT_ECT, tos=3), Drop.ECN),
    ],
    ids=lambda value: value.name if isinstance(value, Drop) else "",
)
def test_from_the_provider_network_it_is_refused(bench: Rig, frame: Packet, reason: Drop) -> None:
    seen = bench.wire(bytes(frame))
    assert dropped(seen) is reason
    (((_, direction, _), octets),) = seen.counts
    assert (direction, octets) == (Direction.WIRE_IN, len(frame))


@pytest.mark.parametrize(
    "frame",
    [
        Ether() / IP(src=FAR, dst=OWN) / UDP(),
        Ether() / ARP(pdst=OWN),
        from_wire(carol_to_alice(), dst=FAR),
        Ether() / IPv6() / UDP(),
    ],
    ids=["udp", "arp", "nvgre for another PA", "ipv6"],
)
def test_what_is_not_for_the_switch_goes_to_the_stack(bench: Rig, frame: Packet) -> None:
    seen = bench.wire(bytes(frame))
    assert (seen.verdict, seen.frame, seen.counts) == (PASS, bytes(frame), ())
