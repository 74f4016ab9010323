"""The IPv6 side of probe.py: one echo request by a raw socket, run inside a namespace's thread."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time

from .probe import Answer

ECHO, ECHO_REPLY = 128, 129
UNREACHABLE, PACKET_TOO_BIG, TIME_EXCEEDED = 1, 2, 3
_HEADER = 40
IPV6_DONTFRAG = 62
"""Linux 2.6.36; Python has no name for it."""


def ping6(destination: str, *, hops: int = 64, size: int = 56, within_s: float = 2.0) -> Answer | None:
    """Send one echo request that no host may fragment; what answers it, or None.

    Args:
        destination: IPv6 address.
        hops: hop limit.
        size: octets after the ICMPv6 header.
    """
    ident, body = os.getpid() & 0xFFFF ^ threading.get_native_id() & 0xFFFF, os.urandom(size)
    request = struct.pack("!BBHHH", ECHO, 0, 0, ident, 1) + body
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
        raw.setsockopt(socket.IPPROTO_IPV6, IPV6_DONTFRAG, 1)
        raw.sendto(request, (destination, 0))
        deadline = time.monotonic() + within_s
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([raw], [], [], left)[0]:
                break
            message, (sender, *_) = raw.recvfrom(65535)
            kind, code, mtu = message[0], message[1], struct.unpack("!I", message[4:8])[0]
            if kind == ECHO_REPLY and message[4:6] == struct.pack("!H", ident) and message[8:] == body:
                return Answer(sender, kind, code)
            quoted = message[8 + _HEADER :]
            if kind in (UNREACHABLE, PACKET_TOO_BIG, TIME_EXCEEDED) and quoted[4:6] == struct.pack(
                "!H", ident
            ):
                return Answer(sender, kind, code, mtu if kind == PACKET_TOO_BIG else 0)
    return None
