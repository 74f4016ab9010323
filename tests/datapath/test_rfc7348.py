"""RFC 7348 (VXLAN), rule by rule: the same policy in the other encapsulation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet

from lab.datapath.abi import Drop
from lab.datapath.policy import SwitchSettings

from .model.outcome import PASS
from .scenario import (
    ALICE,
    CAROL,
    FAR,
    OWN,
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
from .switch_rig import UPLINK_MTU, Rig, rig

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def bench() -> Iterator[Rig]:
    with rig() as built:
        built.apply(replace(policy(built), switch=SwitchSettings(vxlan=True)))
        yield built


def vxlan(
    inner: Packet, *, vni: int = 5001, udp: dict[str, Any] | None = None, flags: int = 8, **ip: Any
) -> Packet:
    """A packet of a VXLAN peer's."""
    header = IP(**{"src": FAR, "dst": OWN, "flags": "DF", **ip})
    ports = UDP(**{"sport": 50000, "dport": 4789, "chksum": 0, **(udp or {})})
    return Ether(dst="02:00:00:00:00:01") / header / ports / VXLAN(flags=flags, vni=vni) / inner


def outer_of(bench: Rig, payload: Packet, **ip: Any) -> Packet:
    """What goes out of a packet of Alice's to another subnet on another host."""
    return forwarded(send(bench, from_alice(ip_from_alice("10.0.1.4", **ip) / payload)))


def test_the_frame_goes_whole_to_udp_port_4789(bench: Rig) -> None:
    """§5: outer UDP to 4789, the inner frame without FCS."""
    frame = from_alice(ip_from_alice("10.0.0.6") / UDP() / b"x", dst=CAROL)
    outer = forwarded(send(bench, frame))
    assert (outer[IP].src, outer[IP].dst, outer[IP].proto, outer[UDP].dport) == (OWN, FAR, 17, 4789)
    assert (outer[IP].len, outer[UDP].len) == (len(frame) + 36, len(frame) + 16)
    assert bytes(outer[VXLAN].payload) == bytes(frame)


def test_the_udp_checksum_is_zero(bench: Rig) -> None:
    """§5: SHOULD be transmitted as zero."""
    assert outer_of(bench, UDP())[UDP].chksum == 0


def test_the_i_flag_is_set_the_rest_reserved_and_zero_and_the_vni_is_the_vsid(bench: Rig) -> None:
    """§5: flags 0x08, reserved fields zero, VNI of 24 bits; between subnets that of the destination."""
    header = outer_of(bench, UDP())[VXLAN]
    assert bytes(header)[:8] == bytes([8, 0, 0, 0]) + (5002).to_bytes(3, "big") + b"\0"


def test_the_source_port_has_the_flows_entropy_in_the_dynamic_range(bench: Rig) -> None:
    """§5: 49152 to 65535, a hash of the inner frame, one for all packets of a flow and its fragments."""
    ports = {outer_of(bench, TCP(sport=port, dport=80))[UDP].sport for port in range(1000, 1064)}
    assert len(ports) > 55
    assert min(ports) >= 49152
    assert len({outer_of(bench, TCP(sport=7) / bytes(size))[UDP].sport for size in (0, 9, 900)}) == 1
    first = outer_of(bench, UDP(sport=1) / bytes(64), flags="MF")
    later = outer_of(bench, UDP(sport=77) / bytes(64), frag=9)
    assert first[UDP].sport == later[UDP].sport


def test_the_outer_packet_is_not_fragmented_and_the_vm_is_told_what_fits(bench: Rig) -> None:
    """§4.3: a VTEP MUST NOT fragment; 50 octets of overhead."""
    assert outer_of(bench, UDP())[IP].flags == "DF"
    room = UPLINK_MTU - 50
    assert len(outer_of(bench, UDP() / bytes(room - 28))[IP]) == UPLINK_MTU
    seen = send(bench, from_alice(ip_from_alice("10.0.1.4", flags="DF") / UDP() / bytes(room - 27)))
    assert sound(Ether(seen.frame))[ICMP].nexthopmtu == room


def test_a_frame_for_a_vm_here_is_delivered_bare(bench: Rig) -> None:
    seen = bench.wire(bytes(vxlan(carol_to_alice())))
    assert (seen.ifindex, seen.frame) == (bench.ports[0], bytes(carol_to_alice()))


def test_the_udp_checksum_of_a_peer_may_be_anything(bench: Rig) -> None:
    """§5: a checksum that is not zero MAY be verified: we do not, the inner packet has its own."""
    seen = bench.wire(bytes(vxlan(carol_to_alice(), udp={"chksum": 0x1234})))
    assert seen.ifindex == bench.ports[0]


def test_reserved_fields_are_ignored_on_receipt(bench: Rig) -> None:
    """§5: reserved fields MUST be ignored on receipt; the flags octet alone must be exactly 0x08."""
    frame = bytearray(bytes(vxlan(carol_to_alice())))
    frame[14 + 20 + 8 + 1 : 14 + 20 + 8 + 4] = b"\x01\x02\x03"
    frame[14 + 20 + 8 + 7] = 9
    assert bench.wire(bytes(frame)).ifindex == bench.ports[0]


TAGGED = Ether(src=CAROL, dst=ALICE) / Dot1Q(vlan=9) / IP(src="10.0.0.6", dst="10.0.0.4") / UDP()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (vxlan(carol_to_alice(), flags=0), Drop.VXLAN_FLAGS),
        (vxlan(carol_to_alice(), flags=0x88), Drop.VXLAN_FLAGS),
        (vxlan(carol_to_alice(), vni=4095), Drop.VSID_RESERVED),
        (vxlan(carol_to_alice(), vni=7777), Drop.NO_SUBNET),
        (vxlan(carol_to_alice(), flags=8, udp={"len": 9}), Drop.OUTER_MALFORMED),
        (vxlan(carol_to_alice(), src="192.168.6.66"), Drop.PA_SPOOF),
        (vxlan(carol_to_alice(src="00:15:5d:0a:00:05")), Drop.MAC_SPOOF),
        (vxlan(TAGGED), Drop.INNER_VLAN),
    ],
    ids=lambda value: value.name if isinstance(value, Drop) else "",
)
def test_from_the_provider_network_it_is_refused(bench: Rig, frame: Packet, reason: Drop) -> None:
    assert dropped(bench.wire(bytes(frame))) is reason


def test_a_first_outer_fragment_is_refused(bench: Rig) -> None:
    """§4.3: the receiver may discard fragments."""
    packet = vxlan(carol_to_alice())
    packet[IP].flags = "MF"
    assert dropped(bench.wire(bytes(packet))) is Drop.OUTER_FRAG


@pytest.mark.parametrize(
    "frame",
    [
        from_wire(carol_to_alice()),
        vxlan(carol_to_alice(), udp={"dport": 8472}),
        vxlan(carol_to_alice(), dst=FAR),
    ],
    ids=["nvgre", "another port", "another PA"],
)
def test_what_is_not_the_labs_encapsulation_goes_to_the_stack(bench: Rig, frame: Packet) -> None:
    assert bench.wire(bytes(frame)).verdict == PASS
