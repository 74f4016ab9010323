"""RFC 7637 (NVGRE), rule by rule. What a rule asks of the policy's validation is asked there as well."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, GRE, Dot1Q, Ether
from scapy.packet import Packet

from lab.datapath.abi import Direction, Drop
from lab.datapath.errors import InvalidPolicyError
from lab.datapath.policy import CustomerRoute, LookupRecord, Port, ProviderAddress, Subnet

from .model.outcome import FORWARD
from .scenario import (
    ALICE,
    BLUE,
    BOB,
    CAROL,
    DAVE,
    FAR,
    GATEWAY_PA,
    OTHER_ROUTER,
    OWN,
    ROUTER,
    carol_to_alice,
    dropped,
    forwarded,
    from_alice,
    from_wire,
    ip_from_alice,
    policy,
    send,
    sound,
)
from .switch_rig import UPLINK_MTU, Rig

pytestmark = pytest.mark.root


def gre_of(seen: Any) -> Packet:
    """The GRE header of what went out, checked by scapy."""
    return sound(forwarded(seen))[GRE]


def to_dave(bench: Rig, payload: Packet, **ip: Any) -> Packet:
    """The GRE header of a packet of Alice's to another subnet on another host."""
    return gre_of(send(bench, from_alice(ip_from_alice("10.0.1.4", **ip) / payload)))


@pytest.mark.parametrize("field", ["chksum_present", "seqnum_present", "routing_present"])
def test_n1_checksum_and_sequence_bits_are_zero_and_nothing_else_is_taken(bench: Rig, field: str) -> None:
    """§3.2: C and S MUST be zero."""
    sent = to_dave(bench, UDP())
    assert (sent.chksum_present, sent.seqnum_present, sent.routing_present, sent.version) == (0, 0, 0, 0)
    assert dropped(bench.wire(bytes(from_wire(carol_to_alice(), gre={field: 1})))) is Drop.GRE_FLAGS


def test_n2_the_key_is_there_and_holds_vsid_and_flow_id(bench: Rig) -> None:
    """§3.2: K MUST be one; the key is 24 bits of VSID and 8 of FlowID."""
    sent = to_dave(bench, UDP())
    assert sent.key_present == 1
    assert sent.key >> 8 == 5002
    assert dropped(bench.wire(bytes(from_wire(carol_to_alice(), gre={"key_present": 0})))) is Drop.GRE_FLAGS


@pytest.mark.parametrize("protocol", [0x0800, 0x86DD, 0x6559])
def test_n3_the_protocol_is_transparent_ethernet_bridging(bench: Rig, protocol: int) -> None:
    """§3.2: Protocol Type 0x6558."""
    assert to_dave(bench, UDP()).proto == 0x6558
    seen = bench.wire(bytes(from_wire(carol_to_alice(), gre={"proto": protocol})))
    assert dropped(seen) is Drop.GRE_PROTOCOL


def test_n4_the_flow_id_has_entropy_and_is_one_for_a_flow_and_all_its_fragments(bench: Rig) -> None:
    """§3.2: the FlowID gives per-flow entropy; a flow keeps one."""
    flows = {to_dave(bench, TCP(sport=port, dport=80)).key & 0xFF for port in range(1000, 1064)}
    assert len(flows) > 40
    assert len({to_dave(bench, TCP(sport=7, dport=80) / bytes(size)).key for size in (0, 1, 900)}) == 1
    fragments = (
        to_dave(bench, UDP(sport=1, dport=2) / bytes(64), flags="MF"),
        to_dave(bench, bytes(64), frag=9, proto=17),
    )
    assert len({fragment.key for fragment in fragments}) == 1


def test_n5_the_inner_frame_is_the_whole_frame_without_fcs(bench: Rig) -> None:
    """§3.3: the inner Ethernet frame, no FCS; padding is the frame's own."""
    frame = from_alice(ip_from_alice("10.0.0.6") / UDP() / b"x", dst=CAROL)
    assert bytes(gre_of(send(bench, frame)).payload) == bytes(frame)


def test_n6_a_host_has_several_provider_addresses_and_policy_picks(bench: Rig) -> None:
    """§3.2: one or more PAs for each NVE; the policy says which."""
    base = policy(bench)
    second = IPv4Address("192.168.6.13")
    ports = tuple(replace(p, provider_address=second) if p.key == "bob" else p for p in base.ports)
    lookups = tuple(replace(r, provider_address=second) if r.key == "l2" else r for r in base.lookups)
    provider = (*base.provider_addresses, ProviderAddress("second", second, bench.uplinks[1]))
    bench.apply(
        replace(base, provider_addresses=provider, uplinks=tuple(bench.uplinks), ports=ports, lookups=lookups)
    )
    try:
        alice = send(bench, from_alice(ip_from_alice("10.0.1.4") / UDP()))
        bob = Ether(src=BOB, dst=ROUTER) / IP(src="10.0.0.5", dst="10.0.1.4") / UDP()
        seen = send(bench, bob, port=1)
        assert (alice.ifindex, forwarded(alice)[IP].src) == (bench.uplinks[0], OWN)
        assert (seen.ifindex, forwarded(seen)[IP].src) == (bench.uplinks[1], str(second))
        arriving = from_wire(carol_to_alice(dst=BOB), dst=str(second))
        arriving[GRE][IP].dst = "10.0.0.5"
        assert bench.wire(bytes(arriving)).ifindex == bench.ports[1]
    finally:
        bench.apply(base)


@pytest.mark.parametrize("tag", [0x8100, 0x88A8], ids=["802.1Q", "802.1ad"])
def test_n7_no_tag_goes_out_and_none_comes_in(bench: Rig, tag: int) -> None:
    """§3.3: the inner frame MUST NOT carry 802.1Q; a tagged one is dropped on arrival."""
    tagged = from_alice(Dot1Q(vlan=5) / ip_from_alice("10.0.1.4") / UDP(), type=tag)
    assert dropped(send(bench, tagged)) is Drop.VLAN
    inner = Ether(src=CAROL, dst=ALICE, type=tag) / Dot1Q(vlan=9) / carol_to_alice()[IP]
    assert dropped(bench.wire(bytes(from_wire(inner)))) is Drop.INNER_VLAN


@pytest.mark.parametrize("vsid", [0, 1, 0xFFF, 0xFFFFFF])
def test_n8_reserved_vsids_are_neither_configured_nor_taken(bench: Rig, vsid: int) -> None:
    """§3.2: 0 to 0xFFF are reserved, 0xFFFFFF is the vendor's."""
    assert dropped(bench.wire(bytes(from_wire(carol_to_alice(), vsid=vsid)))) is Drop.VSID_RESERVED
    reserved = Subnet("reserved", vsid, BLUE, IPv4Address("10.9.0.1"), ROUTER)
    with pytest.raises(InvalidPolicyError) as raised:
        bench.apply(replace(policy(bench), subnets=(*policy(bench).subnets, reserved)))
    assert [problem.place for problem in raised.value.problems] == ["reserved"]


def test_n9_a_router_that_hashes_the_key_spreads_flows_between_two_hosts(bench: Rig) -> None:
    """§4.1: ECMP on the outer addresses and the whole key: between two PAs only the FlowID varies."""
    outers = [
        sound(forwarded(send(bench, from_alice(ip_from_alice("10.0.1.4") / UDP(sport=port, dport=9)))))
        for port in range(2000, 2128)
    ]
    assert {(outer[IP].src, outer[IP].dst, outer[GRE].key >> 8) for outer in outers} == {(OWN, FAR, 5002)}
    paths = [outer[GRE].key % 2 for outer in outers]
    assert 32 < sum(paths) < 96


def test_n10_broadcast_goes_once_to_each_host_of_the_subnet_and_to_no_other(bench: Rig) -> None:
    """§4.2: N-way unicast: one packet for each NVE, not for each VM."""
    base = policy(bench)
    more = (
        LookupRecord("m1", 5001, IPv4Address("10.0.0.20"), "00:15:5d:0a:00:20", IPv4Address(FAR)),
        LookupRecord("m2", 5001, IPv4Address("10.0.0.21"), "00:15:5d:0a:00:21", IPv4Address(GATEWAY_PA)),
    )
    bench.apply(replace(base, lookups=(*base.lookups, *more)))
    try:
        frame = bytes(from_alice(ip_from_alice("10.0.0.255") / UDP(), dst="ff:ff:ff:ff:ff:ff"))
        seen = bench.vport(bench.ports[0], frame, copies=3)
        assert (bench.ports[1], frame) in seen.copies, "Bob, on the same host, gets the bare frame"
        away = [Ether(copy) for ifindex, copy in seen.copies if ifindex in bench.uplinks]
        assert len(seen.copies) == 1 + len(away)
        assert sorted(copy[IP].dst for copy in away) == [FAR, GATEWAY_PA]
        assert {copy[GRE].key >> 8 for copy in away} == {5001}
        assert {bytes(copy[GRE].payload) for copy in away} == {frame}
    finally:
        bench.apply(base)


def test_n10_broadcast_from_another_host_goes_to_the_ports_of_the_subnet_only(bench: Rig) -> None:
    """§4.2: who receives a replicated packet does not replicate it again to others."""
    inner = Ether(src=CAROL, dst="ff:ff:ff:ff:ff:ff") / IP(src="10.0.0.6", dst="10.0.0.255") / UDP()
    seen = bench.wire(bytes(from_wire(inner)), copies=2)
    assert seen.copies == tuple(sorted((bench.ports[n], bytes(inner)) for n in (0, 1)))


def test_n11_unicast_goes_straight_to_the_provider_address_of_the_destination(bench: Rig) -> None:
    """§4.3: a unicast frame needs nothing but IP between the two PAs."""
    outer = sound(forwarded(send(bench, from_alice(ip_from_alice("10.0.0.6") / UDP(), dst=CAROL))))
    assert (outer[IP].src, outer[IP].dst, outer[IP].proto) == (OWN, FAR, 47)


@pytest.mark.parametrize("fragment", [{"flags": "MF"}, {"frag": 3}, {"flags": "MF", "frag": 3}])
def test_n12_the_outer_packet_is_never_a_fragment(bench: Rig, fragment: dict[str, Any]) -> None:
    """§4.4: the sender MUST NOT fragment; the receiver discards fragments; the sender is told the size."""
    sent = forwarded(send(bench, from_alice(ip_from_alice("10.0.1.4") / UDP())))
    assert (sent[IP].flags, sent[IP].frag) == ("DF", 0)
    assert dropped(bench.wire(bytes(from_wire(carol_to_alice(), **fragment)))) is Drop.OUTER_FRAG
    room = UPLINK_MTU - 42
    seen = send(bench, from_alice(ip_from_alice("10.0.1.4", flags="DF") / UDP() / bytes(room - 27)))
    assert seen.verdict == FORWARD
    assert Ether(seen.frame)[ICMP].nexthopmtu == room
    assert (Drop.TOO_BIG, Direction.VPORT_IN, 5001) in [key for key, _ in seen.counts]


def test_n13_customer_addresses_are_of_either_version_and_overlap_at_will(bench: Rig) -> None:
    """§4.5: address spaces of tenants and provider are independent, IPv4 and IPv6."""
    base = policy(bench)
    prefix = IPv6Network("fd00:0:0:1::/64")
    seven = Subnet("six", 7001, BLUE, prefix[1], ROUTER)
    far = LookupRecord("six-far", 7001, prefix[5], DAVE, IPv4Address(FAR))
    near = LookupRecord("six-near", 7001, prefix[4], BOB, IPv4Address(OWN))
    port = Port("six", bench.ports[4], 7001, prefix[4], BOB)
    route = CustomerRoute("six-route", BLUE, prefix, 7001, None)
    bench.apply(
        replace(
            base,
            subnets=(*base.subnets, seven),
            lookups=(*base.lookups, near, far),
            ports=(*base.ports, port),
            routes=(*base.routes, route),
        )
    )
    try:
        frame = Ether(src=BOB, dst=DAVE) / IPv6(src=str(prefix[4]), dst=str(prefix[5])) / UDP() / b"six"
        seen = send(bench, frame, port=4)
        # The outer Ethernet header is the neighbour table's to write.
        outer = IP(seen.frame[14:])
        assert (outer[IP].dst, outer[GRE].key >> 8) == (FAR, 7001)
        assert bytes(outer[GRE].payload) == bytes(frame)
        assert IPv6Address(outer[IPv6].dst) == prefix[5]
    finally:
        bench.apply(base)


def test_n13_between_subnets_the_vsid_on_the_wire_is_the_destinations(bench: Rig) -> None:
    """§4.6: routing between VSIDs by policy: TTL, MACs and VSID of the next hop's subnet."""
    sent = to_dave(bench, UDP(), ttl=9)
    assert sent.key >> 8 == 5002
    assert (sent[Ether].src, sent[Ether].dst, sent[IP].ttl) == (OTHER_ROUTER, DAVE, 8)


@pytest.mark.parametrize(
    ("inner", "outer", "reason"),
    [
        (carol_to_alice(), {"src": "192.168.6.66"}, Drop.PA_SPOOF),
        (carol_to_alice(), {"src": OWN}, Drop.PA_SPOOF),
        (carol_to_alice(), {"src": GATEWAY_PA}, Drop.CA_SPOOF),
        (carol_to_alice(src=BOB), {}, Drop.MAC_SPOOF),
        (Ether(src=CAROL, dst=ALICE) / ARP(op=2, psrc="10.0.0.1", hwsrc=CAROL), {}, Drop.NON_IP),
    ],
    ids=["stranger", "ourselves", "CA that lives elsewhere", "MAC of another", "ARP"],
)
def test_n14_nobody_speaks_for_another(
    bench: Rig, inner: Packet, outer: dict[str, Any], reason: Drop
) -> None:
    """§5: the outer source is a member of the VSID, inner source CA and MAC are what policy says."""
    assert dropped(bench.wire(bytes(from_wire(inner, **outer)))) is reason
