"""The one packet that a trace follows, and how it is known again. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address
TTL = 64
SOURCE_PORT = 49_152
PAYLOAD = b"hnvlab trace"
ICMP_REPLY, ICMPV6_REPLY = 0, 129


class Protocol(StrEnum):
    """What kind of packet is sent."""

    ICMP = "icmp"
    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class Probe:
    """A marked packet.

    Attributes:
        mark: IPv4 identification (1 … 65535) or IPv6 flow label (1 … 1048575): nothing on the way changes it.
        port: destination port; 0 with ICMP.
    """

    source: Address
    destination: Address
    protocol: Protocol
    port: int
    mark: int

    def packet(self) -> bytes:
        """The packet from its IP header on: an echo request, a TCP SYN or a UDP datagram.

        IPv4's header checksum is the kernel's to fill in (raw(7), IP_HDRINCL).
        """
        number, body = self._body()
        if isinstance(self.source, IPv4Address):
            flags = 0x4000  # do not fragment: a fragment would be another packet
            header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), self.mark, flags, TTL, number, 0)
        else:
            header = struct.pack("!IHBB", 6 << 28 | self.mark, len(body), number, TTL)
        return header + self.source.packed + self.destination.packed + body

    def is_this(self, packet: bytes) -> bool:
        """Whether a packet, from its IP header on, is this one, wherever it is seen."""
        read = _read(packet)
        return read is not None and read[:3] == (self.mark, self.source, self.destination)

    def is_answer(self, packet: bytes) -> bool:
        """Whether a packet is the echo reply to this one, or the answer to its SYN."""
        read = _read(packet)
        if read is None or read[1:3] != (self.destination, self.source):
            return False
        number, body = read[3], read[4]
        if self.protocol is Protocol.ICMP and len(body) >= 6:
            reply = ICMP_REPLY if self.source.version == 4 else ICMPV6_REPLY
            return body[0] == reply and int.from_bytes(body[4:6], "big") == self._identifier
        if number == _NUMBER[self.protocol, self.source.version] and len(body) >= 4:
            return struct.unpack_from("!HH", body) == (self.port, self._identifier)
        return False

    @property
    def _identifier(self) -> int:
        """Echo identifier, or source port: told from other conversations by the mark."""
        if self.protocol is Protocol.ICMP:
            return self.mark & 0xFFFF
        return SOURCE_PORT + self.mark % 16_384

    def _body(self) -> tuple[int, bytes]:
        number = _NUMBER[self.protocol, self.source.version]
        if self.protocol is Protocol.ICMP:
            kind = 8 if self.source.version == 4 else 128
            message = struct.pack("!BBHHH", kind, 0, 0, self._identifier, 1) + PAYLOAD
            return number, self._summed(message, 2, number, with_addresses=self.source.version == 6)
        if self.protocol is Protocol.UDP:
            message = struct.pack("!HHHH", self._identifier, self.port, 8 + len(PAYLOAD), 0) + PAYLOAD
            return number, self._summed(message, 6, number)
        # SYN, window 64240, maximum segment size 1400
        message = struct.pack("!HHIIBBHHH", self._identifier, self.port, self.mark, 0, 0x60, 2, 64_240, 0, 0)
        return number, self._summed(message + struct.pack("!BBH", 2, 4, 1400), 16, number)

    def _summed(self, message: bytes, at: int, number: int, *, with_addresses: bool = True) -> bytes:
        """The message with its checksum (RFC 1071), over the pseudo-header where the protocol wants that."""
        pseudo = b""
        if with_addresses:
            pseudo = self.source.packed + self.destination.packed + struct.pack("!II", len(message), number)
        checksum = _checksum(pseudo + message) or 0xFFFF
        return message[:at] + struct.pack("!H", checksum) + message[at + 2 :]


_NUMBER = {
    (Protocol.ICMP, 4): 1,
    (Protocol.ICMP, 6): 58,
    (Protocol.TCP, 4): 6,
    (Protocol.TCP, 6): 6,
    (Protocol.UDP, 4): 17,
    (Protocol.UDP, 6): 17,
}


def _read(packet: bytes) -> tuple[int, Address, Address, int, bytes] | None:
    """Mark, source, destination, protocol and what follows; None: not a whole IP header."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        (mark,) = struct.unpack_from("!H", packet, 4)
        rest = packet[(packet[0] & 0x0F) * 4 :]
        return mark, IPv4Address(packet[12:16]), IPv4Address(packet[16:20]), packet[9], rest
    if version == 6 and len(packet) >= 40:
        (first,) = struct.unpack_from("!I", packet)
        addresses = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
        return first & 0xFFFFF, *addresses, packet[6], packet[40:]
    return None


def _checksum(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
