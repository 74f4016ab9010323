"""IP packets by chance: most of them sound, every field wrong now and then."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address
from random import Random

from .model.parsing import Address, checksum, mac
from .model.spoofing import link_local
from .strategies import ADDRESSES, MACS, TRANSPORT_PORTS, often

SIZES = (0, 0, 0, 0, 0, 1400, 1430, 1460, 1520, 1600)
"""Octets of ballast: around the limits of a port and of an uplink."""
ROUTERS = (134, 137)
ALL_NODES, ALL_NODES_MAC = IPv6Address("ff02::1"), bytes.fromhex("333300000001")


def packet(rng: Random, source: Address, destination: Address) -> bytes:
    """An IP packet from one address to another."""
    if source.version == 4:
        return _packet4(rng, source, destination)
    return _packet6(rng, source, destination)


def _transport(rng: Random, source: Address, destination: Address) -> tuple[int, bytes]:
    """Protocol, and what it carries; ports and identifiers are few, so that packets make flows."""
    kind = rng.choice(("icmp", "icmp", "tcp", "tcp", "udp", "udp", "dhcp", "error", "sctp", "esp"))
    ballast = bytes(rng.choice(SIZES))
    ports = struct.pack("!HH", rng.choice(TRANSPORT_PORTS), rng.choice(TRANSPORT_PORTS))
    if kind == "tcp":
        flags = rng.choice((2, 16, 16, 18, 17, 4))
        return 6, ports + bytes(8) + bytes([0x50, flags]) + bytes(6) + ballast
    if kind in ("udp", "dhcp"):
        if kind == "dhcp":
            ports = struct.pack("!HH", *rng.choice(((67, 68), (68, 67), (547, 546), (546, 547))))
        return 17, ports + struct.pack("!HH", 8 + len(ballast), 0) + ballast
    if kind == "sctp":
        return 132, ports + bytes(8) + ballast
    if kind == "esp":
        return 50, rng.randbytes(16) + ballast
    if kind == "error":
        return _error(rng, source, destination)
    kinds = (8, 8, 8, 0, 0, 13) if source.version == 4 else (128, 128, 128, 129, 129, 1, 200)
    code = 0 if often(rng) else 1
    message = bytes([rng.choice(kinds), code]) + rng.randbytes(2) + struct.pack("!HH", rng.choice((1, 2)), 7)
    return (1 if source.version == 4 else 58), message + ballast


def _error(rng: Random, source: Address, destination: Address) -> tuple[int, bytes]:
    """An ICMP error about a packet that went the other way, at times for another than its sender."""
    near = destination if often(rng) else rng.choice(ADDRESSES[source.version])
    far = source if often(rng, 3) else rng.choice(ADDRESSES[source.version])
    ports = struct.pack("!HH", rng.choice(TRANSPORT_PORTS), rng.choice(TRANSPORT_PORTS))
    echo = (b"\x08" if source.version == 4 else b"\x80") + struct.pack("!3xHH", rng.choice((1, 2)), 7)
    if source.version == 4:
        protocol = rng.choice((1, 6, 17, 50))
        quoted = echo if protocol == 1 else ports
        quote = struct.pack("!BBHHHBBH", 0x45, 0, 100, 0, 0, 64, protocol, 0)
        quote += near.packed + far.packed + quoted.ljust(8, b"\0")
        return 1, bytes([rng.choice((3, 11)), rng.randrange(5), 0, 0, 0, 0, 0, 0]) + quote
    protocol = rng.choice((58, 6, 17, 50))
    quoted = echo if protocol == 58 else ports
    quote = struct.pack("!IHBB", 6 << 28, 60, protocol, 64)
    quote += near.packed + far.packed + quoted.ljust(8, b"\0")
    return 58, bytes([rng.choice((1, 2, 3, 4)), 0, 0, 0, 0, 0, 0, 0]) + quote


def _packet4(rng: Random, source: Address, destination: Address) -> bytes:
    protocol, body = _transport(rng, source, destination)
    if not often(rng, 24):
        body = body[: rng.randrange(len(body) + 1)]
    options = bytes(4 * rng.choice((0, 0, 0, 0, 0, 0, 1, 10)))
    header = bytearray(
        struct.pack(
            "!BBHHHBBH",
            0x45 + len(options) // 4,
            rng.randrange(256),
            20 + len(options) + len(body),
            rng.choice((1, 2)),
            rng.choice((0, 0x4000, 0x4000, 0x4000, 0x4000, 0x2000, 0x2010, 0x0010)),
            rng.choice((64, 64, 64, 255, 2, 1, 0)),
            protocol,
            0,
        )
        + source.packed
        + destination.packed
        + options
    )
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    if not often(rng, 16):
        header[rng.randrange(20)] = rng.randrange(256)
    return bytes(header) + body


def _packet6(rng: Random, source: Address, destination: Address) -> bytes:
    protocol, body = _transport(rng, source, destination)
    if not often(rng, 24):
        body = body[: rng.randrange(len(body) + 1)]
    if not often(rng, 4):
        protocol, body = _extensions(rng, protocol, body)
    word = 6 << 28 | rng.randrange(256) << 20 | rng.choice((0, 0xABCDE))
    header = bytearray(struct.pack("!IHBB", word, len(body), protocol, rng.choice((64, 64, 255, 2, 1, 0))))
    header += source.packed + destination.packed
    if not often(rng, 16):
        header[rng.randrange(8)] = rng.randrange(256)
    return bytes(header) + body


def _extensions(rng: Random, protocol: int, body: bytes) -> tuple[int, bytes]:
    """Some extension headers in front; up to one more than the switch follows."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6, 7))):
        kind = rng.choice((0, 43, 44, 44, 60, 51))
        if kind == 44:
            field = rng.choice((0, 1, 0x81, 0x80))
            header = struct.pack("!BBHI", protocol, 0, field, rng.choice((1, 2)))
        elif kind == 51:
            header = struct.pack("!BBHII", protocol, 1, 0, 0, 0)
        else:
            units = rng.choice((0, 0, 1, 2)) if often(rng, 24) else 200
            header = bytes([protocol, units]) + bytes(6 + 8 * min(units, 2))
        protocol, body = kind, header + body
    return protocol, body


def arp(rng: Random, own_mac: bytes, own: Address) -> bytes:
    """ARP packets, most of them requests of the port itself."""
    sound = often(rng, 3)
    head = "000108000604" if sound else rng.choice(["000108000604", "000608000604"])
    operation = 1 if sound else rng.choice([1, 2, 3])
    sender_mac = own_mac if sound else rng.choice([own_mac, mac(MACS[0])])
    sender = own if sound and own.version == 4 else rng.choice(ADDRESSES[4])
    fields = operation.to_bytes(2, "big") + sender_mac + sender.packed + bytes(6)
    return bytes.fromhex(head) + fields + rng.choice(ADDRESSES[4]).packed


def discovery(
    rng: Random, own_mac: bytes, own: Address, kinds: tuple[int, ...] = (135, 135, 133, *ROUTERS, 136)
) -> tuple[bytes, bytes]:
    """Neighbour discovery, most of it the port's own word: destination MAC and packet."""
    sound = often(rng, 3)
    kind = rng.choice(kinds)
    target = rng.choice(ADDRESSES[6])
    link = link_local(own_mac)
    sources = (link, link, own) if kind in ROUTERS else (link, own)
    source = rng.choice(sources if sound else ADDRESSES[6])
    group = IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + target.packed[13:])
    destination = rng.choice((group, target)) if target.version == 6 else group
    station = b"\x33\x33" + group.packed[12:]
    if kind in ROUTERS and often(rng, 3):
        destination, station = ALL_NODES, ALL_NODES_MAC
    message = bytes([kind, 0 if often(rng) else 1]) + rng.randbytes(2) + bytes(4) + target.packed
    if often(rng, 3):
        message += bytes([1 if often(rng) else 2, 1]) + (own_mac if often(rng, 6) else mac(MACS[0]))
    if not often(rng, 12):
        message = message[: rng.randrange(1, len(message))]
    limit = 255 if often(rng, 8) else 64
    header = struct.pack("!IHBB", 6 << 28, len(message), 58, limit) + source.packed.rjust(16, b"\0")
    return station, header + destination.packed + message
