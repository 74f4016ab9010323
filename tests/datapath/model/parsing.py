"""Rules 2 to 4: is it a sound IP packet, and what is in it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from lab.datapath.abi import Drop

from .outcome import Ended

ETHERNET, IP4, IP6 = 14, 20, 40
TYPE_IP4, TYPE_ARP, TYPE_IP6, TYPES_VLAN = 0x0800, 0x0806, 0x86DD, (0x8100, 0x88A8)
ICMP, TCP, UDP, ICMP6, SCTP = 1, 6, 17, 58, 132
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION, AUTHENTICATION = 0, 43, 44, 60, 51
EXTENSIONS = (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION, AUTHENTICATION)
EXTENSIONS_MAX = 6

Address = IPv4Address | IPv6Address


def checksum(data: bytes) -> int:
    """RFC 1071."""
    even = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(even) // 2}H", even))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def adjusted(check: int, before: bytes, after: bytes) -> bytes:
    """RFC 1624: the check field after 16-bit words changed."""
    total = ~check & 0xFFFF
    for at in range(0, len(before), 2):
        total += (~int.from_bytes(before[at : at + 2], "big") & 0xFFFF) + int.from_bytes(
            after[at : at + 2], "big"
        )
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ":").replace(":", ""))


@dataclass(frozen=True)
class Packet:
    """An IP packet whose headers stand where they should.

    Attributes:
        raw: from the IP header to the end of the frame, padding included.
        end: where the packet ends by its own length field.
        payload_at: where what `protocol` names begins.
        fragment: octets 6 and 7 of IPv4's header, or the fragment header's field brought to the same form:
            0x2000 more follow, 0x1fff the offset.
        ident: of its fragments.
    """

    raw: bytes
    version: int
    source: Address
    destination: Address
    ttl: int
    traffic_class: int
    protocol: int
    end: int
    payload_at: int
    fragment: int = 0
    ident: int = 0

    @property
    def payload(self) -> bytes:
        return self.raw[self.payload_at : self.end]

    @property
    def later(self) -> bool:
        """A fragment that does not begin the packet."""
        return bool(self.fragment & 0x1FFF)

    @property
    def ports(self) -> tuple[int, int] | None:
        """Source and destination port, where they can be read."""
        if self.later or self.protocol not in (TCP, UDP, SCTP) or len(self.payload) < 4:
            return None
        source, destination = struct.unpack("!HH", self.payload[:4])
        return source, destination

    @property
    def icmp_type(self) -> int | None:
        """Type of an ICMP message, where it can be read."""
        wanted = ICMP if self.version == 4 else ICMP6
        if self.later or self.protocol != wanted or not self.payload:
            return None
        return self.payload[0]

    def with_ttl(self, ttl: int) -> bytes:
        """The octets with another TTL or hop limit."""
        raw = bytearray(self.raw)
        if self.version == 6:
            raw[7] = ttl
            return bytes(raw)
        before, raw[8] = bytes(raw[8:10]), ttl
        raw[10:12] = adjusted(int.from_bytes(raw[10:12], "big"), before, bytes(raw[8:10]))
        return bytes(raw)

    def with_traffic_class(self, octet: int) -> bytes:
        """The octets with other DSCP and ECN bits."""
        raw = bytearray(self.raw)
        before = bytes(raw[:2])
        if self.version == 6:
            word = int.from_bytes(before, "big") & 0xF00F | octet << 4
            raw[:2] = word.to_bytes(2, "big")
            return bytes(raw)
        raw[1] = octet
        raw[10:12] = adjusted(int.from_bytes(raw[10:12], "big"), before, bytes(raw[:2]))
        return bytes(raw)


def ip_of(kind: int, data: bytes, router: Address, tagged: Drop) -> Packet:
    """The packet in a frame.

    Args:
        kind: ethertype.
        router: of the virtual subnet: its version is the one that is let through.
        tagged: the reason when the frame bears an 802.1Q tag.
    """
    if kind in TYPES_VLAN:
        raise Ended(tagged)
    if kind not in (TYPE_IP4, TYPE_IP6):
        raise Ended(Drop.NON_IP)
    if (kind == TYPE_IP6) != (router.version == 6):
        raise Ended(Drop.IP_VERSION)
    return _ip4(data) if kind == TYPE_IP4 else _ip6(data)


def _ip4(data: bytes) -> Packet:
    if len(data) < IP4:
        raise Ended(Drop.MALFORMED)
    header_len, total_len = (data[0] & 15) * 4, int.from_bytes(data[2:4], "big")
    if data[0] >> 4 != 4 or header_len < IP4 or not header_len <= total_len <= len(data):
        raise Ended(Drop.MALFORMED)
    return Packet(
        data,
        4,
        IPv4Address(data[12:16]),
        IPv4Address(data[16:20]),
        data[8],
        data[1],
        data[9],
        total_len,
        header_len,
        int.from_bytes(data[6:8], "big") & 0x3FFF,
        int.from_bytes(data[4:6], "big"),
    )


def _ip6(data: bytes) -> Packet:
    if len(data) < IP6 or data[0] >> 4 != 6:
        raise Ended(Drop.MALFORMED)
    end = IP6 + int.from_bytes(data[4:6], "big")
    if end > len(data):
        raise Ended(Drop.MALFORMED)
    first = Packet(
        data,
        6,
        IPv6Address(data[8:24]),
        IPv6Address(data[24:40]),
        data[7],
        int.from_bytes(data[:2], "big") >> 4 & 0xFF,
        data[6],
        end,
        IP6,
    )
    return _behind_extensions(first)


def _behind_extensions(packet: Packet) -> Packet:
    """Follow the chain of extension headers to what the packet carries."""
    followed = 0
    # What stands behind the header of a later fragment is the middle of something.
    while packet.protocol in EXTENSIONS and not packet.later:
        if followed == EXTENSIONS_MAX:
            raise Ended(Drop.EXTENSION_HEADERS)
        followed += 1
        header = packet.payload
        if len(header) < 8:
            raise Ended(Drop.MALFORMED)
        length = (header[1] + 1) * 8
        if packet.protocol == AUTHENTICATION:
            length = (header[1] + 2) * 4
        elif packet.protocol == FRAGMENT:
            length = 8
            field = int.from_bytes(header[2:4], "big")
            packet = replace(
                packet, fragment=(field & 1) << 13 | field >> 3, ident=int.from_bytes(header[4:8], "big")
            )
        if length > len(header):
            raise Ended(Drop.MALFORMED)
        packet = replace(packet, protocol=header[0], payload_at=packet.payload_at + length)
    return packet
