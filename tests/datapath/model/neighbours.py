"""ARP and neighbour discovery: answered from policy, never forwarded."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from lab.datapath.abi import Drop
from lab.datapath.policy import Port, Subnet

from .outcome import Ended
from .parsing import ETHERNET, ICMP6, Packet, checksum, mac
from .spoofing import link_local, may_send
from .tables import Tables

SOLICIT_ROUTER, ADVERTISE_ROUTER, SOLICIT, ADVERTISE, REDIRECT = range(133, 138)
ROUTER_BIT, SOLICITED, OVERRIDE = 0x80000000, 0x40000000, 0x20000000
SOURCE_LINK_LAYER, TARGET_LINK_LAYER = 1, 2


def arp(tables: Tables, port: Port, subnet: Subnet, frame: bytes) -> bytes:
    """The reply to an ARP request."""
    if len(frame) < ETHERNET + 28 or frame[14:20] != bytes.fromhex("000108000604"):
        raise Ended(Drop.ARP_MALFORMED)
    operation, sender_mac, sender, _, target = struct.unpack("!H6s4s6s4s", frame[20:42])
    if sender_mac != mac(port.mac):
        raise Ended(Drop.ARP_SPOOF)
    if sender != bytes(4) and not may_send(tables, port, IPv4Address(sender)):
        raise Ended(Drop.ARP_SPOOF)
    if operation != 1 or IPv4Address(target) == port.customer_address:
        raise Ended(Drop.ARP_IGNORED)
    if IPv4Address(target) == subnet.router:
        answer = mac(subnet.router_mac)
    elif record := tables.records.get((port.vsid, IPv4Address(target))):
        answer = mac(record.mac)
    else:
        raise Ended(Drop.ARP_UNKNOWN)
    body: bytes = frame[14:20] + b"\x00\x02" + answer + target + sender_mac + sender
    return frame[6:12] + answer + frame[12:14] + body + frame[42:]


def is_discovery(packet: Packet) -> bool:
    """RFC 4861."""
    kind = packet.icmp_type if packet.version == 6 else None
    return kind is not None and SOLICIT_ROUTER <= kind <= REDIRECT


def discovery(tables: Tables, port: Port, subnet: Subnet, frame: bytes, packet: Packet) -> bytes | None:
    """The advertisement that answers a solicitation; None: the packet goes on like any other."""
    message = packet.payload
    if message[0] in (ADVERTISE, SOLICIT_ROUTER):
        raise Ended(Drop.ND_IGNORED)
    if message[0] in (ADVERTISE_ROUTER, REDIRECT):
        if not port.router_advertiser:
            raise Ended(Drop.RA_GUARD)
        if packet.ttl != 255:
            raise Ended(Drop.ND_MALFORMED)
        if frame[:6] == mac(subnet.router_mac):
            raise Ended(Drop.ND_IGNORED)
        return None
    if packet.ttl != 255 or len(message) < 24 or message[1]:
        raise Ended(Drop.ND_MALFORMED)
    target = IPv6Address(message[8:24])
    if target.is_multicast:
        raise Ended(Drop.ND_MALFORMED)
    own = {port.customer_address, link_local(mac(port.mac))}
    if not packet.source.is_unspecified and packet.source not in own:
        raise Ended(Drop.ND_SPOOF)
    option = message[24:32]
    if len(option) == 8 and option[0] == SOURCE_LINK_LAYER and option[2:] != mac(port.mac):
        raise Ended(Drop.ND_SPOOF)
    if packet.source.is_unspecified or target in own:
        raise Ended(Drop.ND_IGNORED)
    return _advertisement(tables, port, subnet, frame, packet.source.packed, target)


def _advertisement(
    tables: Tables, port: Port, subnet: Subnet, frame: bytes, asker: bytes, target: IPv6Address
) -> bytes:
    flags = SOLICITED | OVERRIDE
    if target in (subnet.router, link_local(mac(subnet.router_mac))):
        answer = mac(subnet.router_mac)
        flags |= ROUTER_BIT
    elif record := tables.records.get((port.vsid, target)):
        answer = mac(record.mac)
    else:
        raise Ended(Drop.ND_UNKNOWN)
    message = struct.pack("!BBHI", ADVERTISE, 0, 0, flags) + target.packed
    message += bytes([TARGET_LINK_LAYER, 1]) + answer
    pseudo = target.packed + asker + struct.pack("!II", len(message), ICMP6)
    message = message[:2] + checksum(pseudo + message).to_bytes(2, "big") + message[4:]
    header = struct.pack("!IHBB", 6 << 28, len(message), ICMP6, 255) + target.packed + asker
    return frame[6:12] + answer + frame[12:14] + header + message
