"""NVGRE (RFC 7637), VXLAN (RFC 7348), and what becomes of ECN and DSCP (RFC 6040, RFC 2983)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from lab.datapath.abi import Drop

from .outcome import Ended
from .parsing import ETHERNET, IP4, UDP, Packet, checksum
from .tables import Tables

GRE_PROTOCOL = 47
VXLAN_PORT = 4789
FIRST_SOURCE_PORT = 49152
NOT_ECT, ECT1, ECT0, CE = 0, 1, 2, 3


@dataclass(frozen=True)
class Outer:
    """What encloses a frame on the provider network; `length`: of all of it."""

    source: IPv4Address
    destination: IPv4Address
    traffic_class: int
    vsid: int
    inner: bytes
    length: int


def wrap(
    tables: Tables, source: IPv4Address, destination: IPv4Address, vsid: int, packet: Packet, frame: bytes
) -> bytes:
    """Enclose a frame.

    The hash of a flow is the switch's own: FlowID, and the 14 bits of VXLAN's source port, are 0 here. The
    outer Ethernet header is the neighbour table's.
    """
    uniform = tables.policy.switch.dscp_uniform
    tos = packet.traffic_class if uniform else packet.traffic_class & 3
    if tables.policy.switch.vxlan:
        protocol = UDP
        shim = struct.pack("!HHHH", FIRST_SOURCE_PORT, VXLAN_PORT, 16 + len(frame), 0)
        shim += struct.pack("!BxxxI", 0x08, vsid << 8)
    else:
        protocol = GRE_PROTOCOL
        shim = struct.pack("!HHI", 0x2000, 0x6558, vsid << 8)
    length = IP4 + len(shim) + len(frame)
    header = struct.pack("!BBHHHBBH", 0x45, tos, length, 0, 0x4000, 64, protocol, 0)
    header += source.packed + destination.packed
    header = header[:10] + checksum(header).to_bytes(2, "big") + header[12:]
    return bytes(12) + b"\x08\x00" + header + shim + frame


def without_hash(frame: bytes) -> tuple[bytes, int]:
    """An enclosed frame as `wrap` makes it, and the hash that it bore."""
    plain = bytearray(frame)
    plain[:ETHERNET] = bytes(12) + b"\x08\x00"
    at = ETHERNET + IP4
    if frame[ETHERNET + 9] == UDP:
        hashed = int.from_bytes(frame[at : at + 2], "big") - FIRST_SOURCE_PORT
        plain[at : at + 2] = FIRST_SOURCE_PORT.to_bytes(2, "big")
    else:
        hashed = frame[at + 7]
        plain[at + 7] = 0
    return bytes(plain), hashed


def is_ours(tables: Tables, frame: bytes) -> bool:
    """From the fabric, rule 1: whether the switch takes the packet at all."""
    if frame[12:14] != b"\x08\x00" or len(frame) < ETHERNET + IP4 or frame[14] >> 4 != 4:
        return False
    if IPv4Address(frame[30:34]) not in tables.own_addresses:
        return False
    protocol = frame[ETHERNET + 9]
    if not tables.policy.switch.vxlan:
        return protocol == GRE_PROTOCOL
    header_len = (frame[14] & 15) * 4
    later = int.from_bytes(frame[20:22], "big") & 0x1FFF
    if protocol != UDP or later or header_len < IP4:
        return False
    header = frame[ETHERNET + header_len :][:8]
    return len(header) == 8 and header[2:4] == VXLAN_PORT.to_bytes(2, "big")


def unwrap(tables: Tables, frame: bytes) -> Outer:
    """From the fabric, rule 2, up to the VSID."""
    raw = frame[ETHERNET:]
    total = int.from_bytes(raw[2:4], "big")
    if int.from_bytes(raw[6:8], "big") & 0x3FFF:
        raise Ended(Drop.OUTER_FRAG)
    vxlan = tables.policy.switch.vxlan
    shim = raw[IP4 : IP4 + (16 if vxlan else 8)]
    if raw[0] & 15 != 5 or not IP4 + len(shim) <= total <= len(raw) or len(shim) < (16 if vxlan else 8):
        raise Ended(Drop.OUTER_MALFORMED)
    vsid = _vni(shim, total - IP4) if vxlan else _key(shim)
    if vsid < 4096 or vsid == 0xFFFFFF:
        raise Ended(Drop.VSID_RESERVED)
    source, destination = IPv4Address(raw[12:16]), IPv4Address(raw[16:20])
    return Outer(source, destination, raw[1], vsid, raw[IP4 + len(shim) :], len(frame))


def _key(shim: bytes) -> int:
    flags, protocol, key = struct.unpack("!HHI", shim)
    if flags != 0x2000:
        raise Ended(Drop.GRE_FLAGS)
    if protocol != 0x6558:
        raise Ended(Drop.GRE_PROTOCOL)
    return int(key >> 8)


def _vni(shim: bytes, room: int) -> int:
    length, flags, vni = struct.unpack("!4xH2xB3xI", shim)
    if length != room:
        raise Ended(Drop.OUTER_MALFORMED)
    if flags != 0x08:
        raise Ended(Drop.VXLAN_FLAGS)
    return int(vni >> 8)


def marks(tables: Tables, outer: int, inner: int) -> int:
    """The traffic class that goes on: RFC 6040 figure 4; uniform DSCP is the outer's."""
    if outer & 3 == CE:
        if inner & 3 == NOT_ECT:
            raise Ended(Drop.ECN)
        ecn = CE
    elif (outer & 3, inner & 3) == (ECT1, ECT0):
        ecn = ECT1
    else:
        ecn = inner & 3
    dscp = outer if tables.policy.switch.dscp_uniform else inner
    return dscp & ~3 & 0xFF | ecn
