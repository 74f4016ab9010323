"""One policy that the rule tests share, and frames for it built and read by scapy: no judge of ours."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any
from uuid import UUID

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, GRE, Ether
from scapy.packet import Packet, Raw

from lab.datapath.abi import Drop
from lab.datapath.policy import (
    CustomerRoute,
    LookupRecord,
    Policy,
    Port,
    ProviderAddress,
    ProviderMember,
    Subnet,
    SwitchSettings,
)

from .model.outcome import FORWARD, SHOT, Outcome
from .switch_rig import Rig

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
        (ProviderAddress("own", ip(OWN), bench.uplink),),
        (bench.uplink,),
        SwitchSettings(),
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
        (),
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


def arp(**fields: Any) -> Packet:
    return from_alice(ARP(**{"hwsrc": ALICE, "psrc": "10.0.0.4", **fields}), dst="ff:ff:ff:ff:ff:ff")


def from_wire(inner: Packet, *, vsid: int = 5001, gre: dict[str, Any] | None = None, **ip: Any) -> Packet:
    header = IP(**{"src": FAR, "dst": OWN, "flags": "DF", **ip})
    key = {"key_present": 1, "key": vsid << 8 | 0xAB, "proto": 0x6558, **(gre or {})}
    return Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02") / header / GRE(**key) / inner


def carol_to_alice(**ethernet: Any) -> Packet:
    addresses = {"src": CAROL, "dst": ALICE, **ethernet}
    return Ether(**addresses) / IP(src="10.0.0.6", dst="10.0.0.4") / UDP(dport=53) / b"x"
