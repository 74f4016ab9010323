"""What a VM may not do, and what it gets for an answer."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, GRE, Dot1Q, Ether
from scapy.packet import Packet, Raw

from lab.datapath.abi import Drop

from .scenario import (
    ALICE,
    BOB,
    CAROL,
    COMPARTMENT,
    FAR,
    ROUTER,
    arp,
    dropped,
    forwarded,
    from_alice,
    ip_from_alice,
    send,
)
from .switch_rig import Rig

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (from_alice(ip_from_alice("10.0.1.4") / UDP(), src=BOB), Drop.MAC_SPOOF),
        (from_alice(ip_from_alice("10.0.1.4", src="10.0.0.5") / UDP()), Drop.CA_SPOOF),
        (from_alice(ip_from_alice("10.0.1.4", src="192.168.50.10") / UDP()), Drop.CA_SPOOF),
        (from_alice(Dot1Q(vlan=5) / ip_from_alice("10.0.1.4") / UDP()), Drop.VLAN),
        (from_alice(IPv6(dst="ff02::2") / UDP()), Drop.IP_VERSION),
        (from_alice(Raw(bytes(46)), type=0x88CC), Drop.NON_IP),
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
