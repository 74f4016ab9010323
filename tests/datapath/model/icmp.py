"""What the distributed router says: echo replies and errors."""

from __future__ import annotations

import struct

from lab.datapath.abi import Drop
from lab.datapath.policy import Subnet

from . import guards
from .outcome import PORT_UNREACHABLE, Ended, Error
from .parsing import ICMP, ICMP6, IP4, IP6, UDP, Packet, adjusted, checksum, mac

TTL = 64
INTERNETWORK_CONTROL = 0xC0
"""RFC 1812 §4.3.2.5: the traffic class of an error."""
QUOTED_4, QUOTED_6 = 20, 48
"""Octets after the header that an error quotes."""
QUERIES = {4: {0, 8, 13, 14}, 6: set(range(128, 256)) - {137}}
"""ICMP that is no error; about anything else no error is sent."""
ECHO = {4: (b"\x08\x00", b"\x00\x00"), 6: (b"\x80\x00", b"\x81\x00")}


def echo_reply(packet: Packet, frame: bytes) -> bytes:
    """Routing, rule 3: what the router's address answers."""
    if packet.protocol == UDP:
        raise Ended(Drop.ROUTER_LOCAL, PORT_UNREACHABLE)
    if packet.protocol != (ICMP if packet.version == 4 else ICMP6):
        raise Ended(Drop.ROUTER_LOCAL)
    raw = bytearray(packet.with_ttl(TTL))
    if not packet.later:
        at = packet.payload_at
        asked, answered = ECHO[packet.version]
        if len(raw) < at + 8:
            raise Ended(Drop.MALFORMED)
        if raw[at : at + 2] != asked:
            raise Ended(Drop.ROUTER_LOCAL)
        raw[at + 2 : at + 4] = adjusted(int.from_bytes(raw[at + 2 : at + 4], "big"), asked, answered)
        raw[at : at + 2] = answered
    at, size = (12, 4) if packet.version == 4 else (8, 16)
    raw[at : at + 2 * size] = packet.destination.packed + packet.source.packed
    return frame[6:12] + frame[:6] + frame[12:14] + bytes(raw)


def error(subnet: Subnet, packet: Packet, frame: bytes, owed: Error) -> bytes:
    """The error from the subnet's router; empty: it may say nothing (RFC 1812 §4.3.2.7, RFC 4443 §2.4)."""
    source = packet.source
    if packet.later or source.is_unspecified or source.is_multicast or source == guards.BROADCAST:
        return b""
    if packet.protocol == (ICMP if packet.version == 4 else ICMP6) and (
        packet.icmp_type is None or packet.icmp_type not in QUERIES[packet.version]
    ):
        return b""
    body = _error4(subnet, packet, owed) if packet.version == 4 else _error6(subnet, packet, owed)
    return frame[6:12] + mac(subnet.router_mac) + frame[12:14] + body


def _error4(subnet: Subnet, packet: Packet, owed: Error) -> bytes:
    quote = packet.raw[: min(packet.payload_at + QUOTED_4, packet.end)]
    message = struct.pack("!BBHHH", *owed.kind4, 0, 0, owed.mtu) + quote
    message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
    header = struct.pack("!BBHHHBBH", 0x45, INTERNETWORK_CONTROL, IP4 + len(message), 0, 0x4000, TTL, ICMP, 0)
    header += subnet.router.packed + packet.source.packed
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + message


def _error6(subnet: Subnet, packet: Packet, owed: Error) -> bytes:
    quote = packet.raw[: min(IP6 + QUOTED_6, packet.end)]
    message = struct.pack("!BBHI", *owed.kind6, 0, owed.mtu) + quote
    ends = subnet.router.packed + packet.source.packed
    pseudo = ends + struct.pack("!II", len(message), ICMP6)
    message = message[:2] + checksum(pseudo + message).to_bytes(2, "big") + message[4:]
    word = 6 << 28 | INTERNETWORK_CONTROL << 20
    return struct.pack("!IHBB", word, len(message), ICMP6, TTL) + ends + message
