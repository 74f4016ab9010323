"""A virtual appliance carries others' packets, and hands on what the router says in its own name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from scapy.layers.inet import ICMP, IP, UDP, IPerror
from scapy.layers.l2 import ARP, GRE
from scapy.packet import Packet

from lab.datapath.abi import Drop

from .scenario import arp, dropped, forwarded, from_alice, ip_from_alice, policy, send
from .switch_rig import Rig, rig

pytestmark = pytest.mark.root

QUOTED = IPerror(src="10.0.1.4", dst="192.168.50.10", ttl=1) / UDP()
TIME_EXCEEDED = ICMP(type=11) / QUOTED


@pytest.fixture(scope="module")
def bench() -> Iterator[Rig]:
    """Alice is an appliance."""
    with rig() as built:
        wanted = policy(built)
        alice, *others = wanted.ports
        built.apply(replace(wanted, ports=(replace(alice, forwarding=True), *others)))
        yield built


@pytest.mark.parametrize(
    "packet",
    [
        ip_from_alice("10.0.1.4", src="10.0.0.5") / UDP(),
        ip_from_alice("10.0.1.4", src="192.168.50.10") / UDP(),
        ip_from_alice("10.0.1.4", src="10.0.0.1") / TIME_EXCEEDED,
        ip_from_alice("10.0.1.4", src="10.0.0.1") / ICMP(type=0),
    ],
    ids=["a neighbour's", "from outside", "the router's error", "the router's echo reply"],
)
def test_an_appliance_hands_on(bench: Rig, packet: Packet) -> None:
    out = forwarded(send(bench, from_alice(packet)))
    assert out[GRE].key >> 8 == 5002
    assert out[GRE][IP].src == packet.src


@pytest.mark.parametrize(
    "packet",
    [
        ip_from_alice("10.0.1.4", src="10.0.0.1") / UDP(),
        ip_from_alice("10.0.1.4", src="10.0.0.1") / ICMP(type=8),
        ip_from_alice("10.0.1.4", src="10.0.0.1") / ICMP(type=5),
        ip_from_alice("10.0.1.4", src="10.0.0.1", frag=9, proto=1) / TIME_EXCEEDED,
        ip_from_alice("10.0.1.4", src="127.0.0.1") / UDP(),
        ip_from_alice("10.0.1.4", src="224.0.0.1") / UDP(),
    ],
    ids=["udp", "echo request", "redirect", "later fragment", "loopback", "multicast"],
)
def test_an_appliance_does_not_speak_as_the_router_itself(bench: Rig, packet: Packet) -> None:
    assert dropped(send(bench, from_alice(packet))) is Drop.CA_SPOOF


def test_an_appliance_does_not_ask_as_the_router_either(bench: Rig) -> None:
    question: Packet = arp(psrc="10.0.0.1", pdst="10.0.0.5")
    assert question[ARP].psrc == "10.0.0.1"
    assert dropped(send(bench, question)) is Drop.ARP_SPOOF
