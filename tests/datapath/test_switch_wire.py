"""What comes from the provider network."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from lab.datapath.abi import Direction, Drop

from .model.outcome import PASS
from .scenario import (
    ALICE,
    BOB,
    CAROL,
    COMPARTMENT,
    DAVE,
    FAR,
    GATEWAY_PA,
    OWN,
    ROUTER,
    carol_to_alice,
    dropped,
    forwarded,
    from_wire,
    sound,
)
from .switch_rig import Rig

pytestmark = pytest.mark.root


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
        (from_wire(Ether(src=CAROL, dst=ALICE) / IPv6()), Drop.IP_VERSION),
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
