"""A BGP speaker that says what it is told, right or wrong (RFC 4271): the far end of a tenant's router."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import islice
from pathlib import Path

from gwnode.netns import Namespace

MARKER = b"\xff" * 16
PER_UPDATE = 900
"""Prefixes of up to 32 bits that fit into a message of 4096 octets."""
ROUTER = ("10.0.2.2", 179)


class Kind(IntEnum):
    """Of a message (§4.1)."""

    OPEN = 1
    UPDATE = 2
    NOTIFICATION = 3
    KEEPALIVE = 4


def message(kind: int, body: bytes = b"", marker: bytes = MARKER, length: int | None = None) -> bytes:
    """A message; with a wrong marker or length if so told."""
    return marker + struct.pack("!HB", 19 + len(body) if length is None else length, kind) + body


IPV4_AND_IPV6 = bytes.fromhex("0104 0001 0001 0104 0002 0001")
"""Capabilities: both as unicast (RFC 4760 §8)."""


def opening(
    asn: int, router_id: str, version: int = 4, hold_time_s: int = 90, capabilities: bytes = b""
) -> bytes:
    """OPEN (§4.2), with capabilities (RFC 5492 §4) if there are any."""
    optional = bytes((2, len(capabilities))) + capabilities if capabilities else b""
    head = struct.pack("!BHH4sB", version, asn, hold_time_s, IPv4Address(router_id).packed, len(optional))
    return message(Kind.OPEN, head + optional)


def update6(asn: int, reach: bytes) -> bytes:
    """UPDATE with an MP_REACH_NLRI of this content (RFC 4760 §3), well-formed or not."""
    attributes = (
        bytes((0x40, 1, 1, 0))
        + bytes((0x40, 2, 4, 2, 1))
        + struct.pack("!H", asn)
        + bytes((0x80, 14, len(reach)))
        + reach
    )
    return message(Kind.UPDATE, struct.pack("!HH", 0, len(attributes)) + attributes)


def reach6(next_hop: str, *prefixes: str, afi: int = 2) -> bytes:
    """Content of an MP_REACH_NLRI."""
    hop = IPv6Address(next_hop).packed
    offered = b"".join(_nlri(IPv6Network(prefix)) for prefix in prefixes)
    return struct.pack("!HBB", afi, 1, len(hop)) + hop + bytes(1) + offered


def update(
    asn: int, next_hop: str, prefixes: Iterable[IPv4Network], withdrawn: Iterable[IPv4Network] = ()
) -> bytes:
    """UPDATE (§4.3): the speaker's own prefixes."""
    attributes = (
        bytes((0x40, 1, 1, 0))
        + bytes((0x40, 2, 4, 2, 1))
        + struct.pack("!H", asn)
        + bytes((0x40, 3, 4))
        + IPv4Address(next_hop).packed
    )
    offered, gone = b"".join(map(_nlri, prefixes)), b"".join(map(_nlri, withdrawn))
    attributes = attributes if offered else b""
    return message(
        Kind.UPDATE,
        struct.pack("!H", len(gone)) + gone + struct.pack("!H", len(attributes)) + attributes + offered,
    )


def _nlri(prefix: IPv4Network | IPv6Network) -> bytes:
    return bytes((prefix.prefixlen,)) + prefix.network_address.packed[: (prefix.prefixlen + 7) // 8]


def batches(prefixes: Iterable[IPv4Network]) -> Iterator[list[IPv4Network]]:
    """As many as fit into an UPDATE."""
    left = iter(prefixes)
    while batch := list(islice(left, PER_UPDATE)):
        yield batch


class Speaker:
    """One TCP connection to the router."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def say(self, *messages: bytes) -> None:
        """Send messages.

        Raises:
            OSError: the router has ended the connection.
        """
        self._connection.sendall(b"".join(messages))

    def hear(self) -> tuple[int, bytes]:
        """The next message: kind and body.

        Raises:
            OSError: there is none any more.
        """
        head = self._exactly(19)
        length, kind = struct.unpack("!HB", head[16:])
        return kind, self._exactly(length - 19)

    def establish(self, asn: int, router_id: str, capabilities: bytes = b"") -> None:
        """OPEN and KEEPALIVE, both ways."""
        self.say(opening(asn, router_id, capabilities=capabilities))
        assert self.hear()[0] == Kind.OPEN
        self.say(message(Kind.KEEPALIVE))
        assert self.hear()[0] == Kind.KEEPALIVE

    def notified(self) -> tuple[int, int]:
        """Code and subcode of the NOTIFICATION that comes sooner or later (§4.5)."""
        while True:
            kind, body = self.hear()
            if kind == Kind.NOTIFICATION:
                return body[0], body[1]

    def _exactly(self, size: int) -> bytes:
        data = self._connection.recv(size, socket.MSG_WAITALL)
        if len(data) < size:
            raise ConnectionError("the router has closed the connection")
        return data


@contextmanager
def speaking(namespace: Path, source: str) -> Iterator[Speaker]:
    """A speaker in a namespace that has connected to the router.

    Raises:
        OSError: the router does not take the connection.
    """
    with Namespace(namespace).run(lambda: socket.socket(socket.AF_INET)) as connection:
        connection.settimeout(10)
        connection.bind((source, 0))
        connection.connect(ROUTER)
        yield Speaker(connection)
