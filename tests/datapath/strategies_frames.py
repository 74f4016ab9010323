"""Frames by chance: what a VM may think of, and what may come from the provider network."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address
from random import Random

from lab.datapath.policy import LookupRecord, Policy, Port

from .model.parsing import Address, checksum, mac
from .strategies import (
    ADDRESSES,
    AWAY,
    MACS,
    OUTSIDE,
    OWN,
    ROUTER_MACS,
    STRANGER,
    VSIDS,
    Devices,
    often,
)
from .strategies_ip import ROUTERS, arp, discovery, packet

STATIONS = (
    *(mac(m) for m in (*ROUTER_MACS, *ROUTER_MACS, *MACS)),
    b"\xff" * 6,
    bytes.fromhex("01005e0000fb"),
    bytes.fromhex("3333000000fb"),
)
SHORTEST = {0x0800: 34, 0x86DD: 54}
"""The test bench itself refuses IP packets without a whole header; a namespace test sends those."""


def vm_frame(rng: Random, policy: Policy, devices: Devices) -> tuple[int, bytes]:
    """What a VM may think of sending, and where."""
    known = [p.ifindex for p in policy.ports]
    ifindex = rng.choice(known) if known and often(rng, 24) else rng.choice(devices.ports)
    port = next((p for p in policy.ports if p.ifindex == ifindex), None)
    own_mac = mac(port.mac) if port else mac(MACS[0])
    own: Address = port.customer_address if port else ADDRESSES[4][1]
    kind = 0x0800 if own.version == 4 else 0x86DD
    if not often(rng, 4):
        kind, destination, payload = _neighbours(rng, own_mac, own)
    else:
        destination, payload = _unicast(rng, policy, port, own)
        if not often(rng, 24):
            kind = rng.choice([0x0800, 0x86DD, 0x8100, 0x88A8, 0x88CC])
    source_mac = own_mac if often(rng, 16) else rng.choice(STATIONS)
    if not often(rng, 10):
        destination = rng.choice(STATIONS)
    frame = destination + source_mac + kind.to_bytes(2, "big") + payload
    return ifindex, _cut(rng, frame, SHORTEST.get(kind, 14))


def _neighbours(rng: Random, own_mac: bytes, own: Address) -> tuple[int, bytes, bytes]:
    six = own.version == 6 if often(rng) else own.version == 4
    if not six:
        return 0x0806, b"\xff" * 6, arp(rng, own_mac, own)
    station, payload = discovery(rng, own_mac, own)
    return 0x86DD, station, payload


def _unicast(rng: Random, policy: Policy, port: Port | None, own: Address) -> tuple[bytes, bytes]:
    """Destination MAC and packet: to a neighbour by its MAC, or through the router."""
    family = own.version
    neighbours = [r for r in policy.lookups if port and r.vsid == port.vsid]
    router = next((mac(s.router_mac) for s in policy.subnets if port and s.vsid == port.vsid), bytes(6))
    source = own
    if not often(rng, 5):
        source = rng.choice((OUTSIDE[family][10], *ADDRESSES[family]))
    if neighbours and often(rng, 3):
        near = rng.choice(neighbours)
        return mac(near.mac), packet(rng, source, near.customer_address)
    return router, packet(rng, source, rng.choice(ADDRESSES[family]))


def wire_frame(rng: Random, policy: Policy) -> bytes:
    """What may come from the provider network: from switches like ours, and from an attacker on it."""
    target = rng.choice(policy.ports) if policy.ports and often(rng, 12) else None
    domain = next(
        (v for v in VSIDS.values() if target and target.vsid in v), rng.choice(list(VSIDS.values()))
    )
    vsid = target.vsid if target else rng.choice([5001, 6002, 7000, 4095, 0, 0xFFFFFF])
    if not often(rng, 6):
        vsid = rng.choice(domain)
    subnet = next((s for s in policy.subnets if s.vsid == vsid), None)
    family = subnet.router.version if subnet else 4
    sender = _sender(rng, policy, domain)
    router = mac(subnet.router_mac) if subnet else mac(ROUTER_MACS[0])
    source = sender.customer_address if sender else rng.choice((OUTSIDE[family][10], *ADDRESSES[family]))
    if source.version != family:
        source = rng.choice(ADDRESSES[family])
    to = target.customer_address if target and often(rng, 4) else rng.choice(ADDRESSES[family])
    if to.version != family:
        to = rng.choice(ADDRESSES[family])
    fields: dict[str, int | bytes | IPv4Address] = {
        "inner type": 0x0800 if family == 4 else 0x86DD,
        "flags": 0x08 if policy.switch.vxlan else 0x2000,
        "protocol": 0x6558,
        "version": 0x45,
        "fragment": 0x4000,
        "ip protocol": 17 if policy.switch.vxlan else 47,
        "port": 4789,
        "outer type": 0x0800,
        "home": sender.provider_address if sender else rng.choice(AWAY),
        "to": rng.choice([p.address for p in policy.provider_addresses] or OWN),
        "source": mac(sender.mac) if sender and often(rng, 2) else router,
        "destination": mac(target.mac) if target and often(rng, 4) else rng.choice((router, *STATIONS)),
        "length": 0,
    }
    payload = packet(rng, source, to)
    if family == 6 and not often(rng, 3):
        # A router of the tenant's on another host.
        speaker = mac(sender.mac) if sender else rng.choice(STATIONS)
        station, payload = discovery(rng, speaker, source, ROUTERS)
        fields["source"] = speaker
        fields["destination"] = station if often(rng, 4) else fields["destination"]
    if not often(rng, 3):
        name, values = rng.choice(_BROKEN)
        fields[name] = rng.choice(values)
    return _enclosed(rng, fields, vsid, payload)


_BROKEN: tuple[tuple[str, tuple[int | bytes | IPv4Address, ...]], ...] = (
    ("inner type", (0x0806, 0x0800, 0x86DD, 0x8100, 0x88A8)),
    ("flags", (0, 0x3000, 0xA000, 0x2001, 0x08, 0x88, 0x09)),
    ("protocol", (0x0800, 0x86DD)),
    ("version", (0x46, 0x65, 0x44)),
    ("fragment", (0x2000, 0x0001)),
    ("ip protocol", (17, 47, 1)),
    ("port", (4790, 8472)),
    ("outer type", (0x0806,)),
    ("home", (*OWN, *AWAY, STRANGER)),
    ("to", (*OWN, AWAY[0])),
    ("source", STATIONS),
    ("destination", STATIONS),
    ("length", (-1, 1, 8, -60)),
)


def _sender(rng: Random, policy: Policy, domain: tuple[int, ...]) -> LookupRecord | None:
    away = [r for r in policy.lookups if r.vsid in domain and r.provider_address in AWAY]
    return rng.choice(away) if away and often(rng, 4) else None


def _enclosed(rng: Random, fields: dict[str, int | bytes | IPv4Address], vsid: int, payload: bytes) -> bytes:
    def octets(name: str, size: int) -> bytes:
        value = fields[name]
        assert isinstance(value, int)
        return value.to_bytes(size, "big")

    def packed(name: str) -> bytes:
        value = fields[name]
        return value if isinstance(value, bytes) else value.packed if not isinstance(value, int) else b""

    inner = packed("destination") + packed("source") + octets("inner type", 2) + payload
    wrong = fields["length"]
    assert isinstance(wrong, int)
    if fields["ip protocol"] == 17:
        port = rng.choice((4789, 50000)).to_bytes(2, "big") + octets("port", 2)
        length = max(0, 16 + len(inner) + (wrong if often(rng, 2) else 0))
        shim = port + struct.pack("!HH", length, 0) + octets("flags", 2)[1:] + bytes(3)
        shim += struct.pack("!I", vsid << 8 | rng.choice((0, 0, 7)))
    else:
        shim = octets("flags", 2) + octets("protocol", 2) + struct.pack("!I", vsid << 8 | rng.randrange(256))
    total = max(0, 20 + len(shim) + len(inner) + wrong)
    tos = rng.choice((0, 0, 1, 2, 3, 0xB8, 0xBB, rng.randrange(256)))
    header = bytearray(octets("version", 1) + struct.pack("!BHH", tos, total, 0) + octets("fragment", 2))
    header += struct.pack("!BBH", 64, octets("ip protocol", 1)[0], 0) + packed("home") + packed("to")
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    outer = mac("02:00:00:00:00:01") + mac("02:00:00:00:00:02") + octets("outer type", 2)
    return _cut(rng, outer + bytes(header) + shim + inner, 34)


def _cut(rng: Random, frame: bytes, shortest: int) -> bytes:
    """Now and then a frame that ends too soon, or has padding."""
    frame = frame.ljust(shortest, b"\0")
    if not often(rng, 16):
        return frame[: rng.randrange(shortest, len(frame) + 1)]
    return frame if often(rng, 12) else frame + bytes(6)


def turned(inner: bytes) -> bytes:
    """What the receiver of a frame may answer: MACs, addresses and ports change places."""
    frame = bytearray(inner)
    frame[:6], frame[6:12] = inner[6:12], inner[:6]
    at, size, start, protocol = (26, 4, 34, inner[23]) if inner[14] >> 4 == 4 else (22, 16, 54, inner[20])
    if inner[14] >> 4 == 4:
        start = 14 + (inner[14] & 15) * 4
    frame[at : at + size], frame[at + size : at + 2 * size] = (
        inner[at + size : at + 2 * size],
        inner[at : at + size],
    )
    if protocol in (6, 17, 132):
        frame[start : start + 4] = inner[start + 2 : start + 4] + inner[start : start + 2]
    elif protocol in (1, 58) and len(frame) > start:
        frame[start] = {8: 0, 0: 8, 128: 129, 129: 128}.get(frame[start], frame[start])
    return bytes(frame)


def answer(rng: Random, policy: Policy, sender: Port | None, ifindex: int, frame: bytes) -> tuple[int, bytes]:
    """The answer to a frame that left: from the port that got it, or (ifindex 0) from the wire.

    Args:
        sender: the port whose frame it was; None: it came from the wire.
        ifindex: where it left.
    """
    if any(p.ifindex == ifindex for p in policy.ports):
        return ifindex, turned(frame)
    shim = 36 if policy.switch.vxlan else 28
    inner = turned(frame[14 + shim :])
    vsid = sender.vsid if sender else 5001
    if sender:
        routers = [mac(s.router_mac) for s in policy.subnets if s.vsid == vsid]
        same = frame[12 + shim - 2 : 12 + shim + 1] == vsid.to_bytes(3, "big")
        source = inner[6:12] if same and often(rng) else (routers or [inner[6:12]])[0]
        inner = mac(sender.mac) + source + inner[12:]
    fields: dict[str, int | bytes | IPv4Address] = {
        "inner type": int.from_bytes(inner[12:14], "big"),
        "flags": 0x08 if policy.switch.vxlan else 0x2000,
        "protocol": 0x6558,
        "version": 0x45,
        "fragment": 0x4000,
        "ip protocol": 17 if policy.switch.vxlan else 47,
        "port": 4789,
        "outer type": 0x0800,
        "home": IPv4Address(frame[30:34]),
        "to": IPv4Address(frame[26:30]),
        "source": inner[6:12],
        "destination": inner[:6],
        "length": 0,
    }
    return 0, _enclosed(rng, fields, vsid, inner[14:])
