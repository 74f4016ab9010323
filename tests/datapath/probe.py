"""Probes by plain sockets, run inside a namespace's thread: the machine need not have ping or traceroute."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass

ECHO_REPLY, UNREACHABLE, ECHO, TIME_EXCEEDED = 0, 3, 8, 11


@dataclass(frozen=True)
class Answer:
    """An ICMP message that answers a probe."""

    sender: str
    type: int
    code: int
    mtu: int = 0


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def ping(
    destination: str, *, ttl: int = 64, size: int = 56, tos: int = 0, within_s: float = 2.0
) -> Answer | None:
    """Send one echo request with DF set; what answers it, or None.

    Args:
        destination: IPv4 address.
        size: octets after the ICMP header.
    """
    ident, body = os.getpid() & 0xFFFF ^ threading.get_native_id() & 0xFFFF, os.urandom(size // 2 * 2)
    head = struct.pack("!BBHHH", ECHO, 0, 0, ident, 1)
    request = struct.pack("!BBHHH", ECHO, 0, _checksum(head + body), ident, 1) + body
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
        raw.setsockopt(socket.IPPROTO_IP, 10, 3)  # IP_MTU_DISCOVER, IP_PMTUDISC_PROBE: DF, ask the path only
        try:
            raw.sendto(request, (destination, 0))
        except OSError:
            return None
        deadline = time.monotonic() + within_s
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([raw], [], [], left)[0]:
                break
            packet, (sender, _) = raw.recvfrom(65535)
            icmp = packet[(packet[0] & 15) * 4 :]
            kind, code = icmp[0], icmp[1]
            if kind == ECHO_REPLY and icmp[4:6] == struct.pack("!H", ident) and icmp[8:] == body:
                return Answer(sender, kind, code)
            if kind in (UNREACHABLE, TIME_EXCEEDED):
                quoted = icmp[8 + (icmp[8] & 15) * 4 :]
                if quoted[4:6] == struct.pack("!H", ident):
                    return Answer(sender, kind, code, struct.unpack("!H", icmp[6:8])[0])
    return None


def traceroute(destination: str, hops: int = 8) -> list[str]:
    """Who answers at each TTL, up to the destination; "*": nobody."""
    path = []
    for ttl in range(1, hops + 1):
        answer = ping(destination, ttl=ttl)
        path.append(answer.sender if answer else "*")
        if answer and answer.type == ECHO_REPLY:
            break
    return path


class Sink:
    """A TCP server that reads all that one client sends. Make it, then let its namespace `serve`.

    Attributes:
        port: what it listens on.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self._listener.settimeout(30)
        self.port: int = self._listener.getsockname()[1]
        self.received = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, self._listener:
            connection.settimeout(30)
            while data := connection.recv(1 << 20):
                self.received += len(data)

    def join(self) -> int:
        """Octets received when the client has closed."""
        self._thread.join()
        return self.received


def blast(destination: str, port: int, octets: int) -> None:
    """Send that many octets over one TCP connection; super-packets, as any VM does."""
    chunk = bytes(1 << 20)
    with socket.create_connection((destination, port), timeout=10) as connection:
        connection.settimeout(30)
        left = octets
        while left > 0:
            left -= connection.send(chunk[: min(left, len(chunk))])
