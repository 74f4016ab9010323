"""The distributed router: replies, errors, customer routes."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from lab.datapath.abi import Direction, Drop

from .model.outcome import FORWARD
from .scenario import (
    ALICE,
    COMPARTMENT,
    ROUTER,
    dropped,
    forwarded,
    from_alice,
    ip_from_alice,
    send,
    sound,
)
from .switch_rig import Rig

pytestmark = pytest.mark.root


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
