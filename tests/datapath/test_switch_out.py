"""What becomes of a frame that is forwarded: on the wire, or to a neighbour on the same host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import GRE, Ether

from lab.datapath.abi import Direction, Drop

from .scenario import (
    BOB,
    CAROL,
    DAVE,
    FAR,
    OTHER_ROUTER,
    OWN,
    dropped,
    forwarded,
    from_alice,
    ip_from_alice,
    policy,
    send,
    sound,
)
from .switch_rig import UPLINK_MTU, Rig

pytestmark = pytest.mark.root


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


@pytest.mark.parametrize(
    "missing", [{"uplinks": ()}, {"provider_addresses": ()}], ids=["interface", "address"]
)
def test_before_the_uplink_is_there_nothing_goes_out(bench: Rig, missing: dict[str, Any]) -> None:
    bench.apply(replace(policy(bench), **missing))
    try:
        frame = from_alice(ip_from_alice("10.0.0.6") / UDP(), dst=CAROL)
        assert dropped(send(bench, frame)) is Drop.NO_UPLINK
    finally:
        bench.apply(policy(bench))


def test_what_just_fits_goes_and_one_octet_more_is_answered_with_the_size_that_does(bench: Rig) -> None:
    room = UPLINK_MTU - 42
    fits = from_alice(ip_from_alice("10.0.1.4", flags="DF") / UDP() / bytes(room - 28))
    assert len(fits) == room + 14
    assert len(forwarded(send(bench, fits))[IP]) == UPLINK_MTU
    seen = send(bench, from_alice(ip_from_alice("10.0.1.4", flags="DF") / UDP() / bytes(room - 27)))
    error = sound(Ether(seen.frame))
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, room)
    assert seen.counts[-1][0][0] is Drop.TOO_BIG
