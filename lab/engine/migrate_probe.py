"""Echo requests a thousand times a second from inside a VM, and what their loss says of a move."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

IPV4_REQUEST, IPV4_REPLY = 8, 0
IPV6_REQUEST, IPV6_REPLY = 128, 129
RECEIVE_BYTES = 65_536
DRAIN_S = 0.5
"""How long a reply may be under way; on a link of the lab it is well below a millisecond."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What a stream lost.

    Attributes:
        sent: probes.
        lost: probes that were never answered.
        blackout_ms: from the sending of the first lost one to the sending of the next that was answered, of
            the longest run of lost ones; 0: none was lost. None: it was not over when the stream ended.
    """

    sent: int
    lost: int
    blackout_ms: float | None


def loss(sent_ns: Sequence[int], answered: Sequence[bool]) -> Loss:
    """Count by sequence number.

    Parameters:
        sent_ns: when each probe was sent, in nanoseconds of any clock.
        answered: whether each was.
    """
    longest: int | None = 0
    began: int | None = None
    for moment, back in zip(sent_ns, answered, strict=True):
        if back and began is not None:
            longest, began = max(longest or 0, moment - began), None
        elif not back and began is None:
            began = moment
    if began is not None:
        longest = None
    return Loss(len(sent_ns), answered.count(False), None if longest is None else longest / 1e6)


class Stream:
    """Echo requests from one network namespace to one address, counted by a sequence number in the payload.

    ICMP, because every VM answers it without a program of ours, and a round trip sees both directions.
    """

    def __init__(self, target: str, rate_pps: int) -> None:
        """Open the socket in the namespace of the calling thread; nothing is sent yet.

        Parameters:
            target: IPv4 or IPv6 address.
            rate_pps: probes per second.

        Raises:
            OSError: the kernel refuses a raw socket.
        """
        self._target = target
        self._six = ip_address(target).version == 6
        family = socket.AF_INET6 if self._six else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if self._six else socket.IPPROTO_ICMP
        self._socket = socket.socket(family, socket.SOCK_RAW, protocol)
        self._socket.setblocking(False)
        self._identifier = os.getpid() & 0xFFFF
        self._interval_ns = 1_000_000_000 // rate_pps
        self._sent_ns: list[int] = []
        self._answered: list[bool] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> Loss:
        """Send no more, wait for what is under way, and count."""
        self._stop.set()
        self._thread.join()
        self._socket.close()
        return loss(self._sent_ns, self._answered)

    def steady(self, run: int) -> bool:
        """Whether the newest probes, but for those under way, were all answered.

        Parameters:
            run: how many of them.
        """
        under_way = max(1, 20_000_000 // self._interval_ns)
        newest = self._answered[-run - under_way : -under_way]
        return len(newest) == run and all(newest)

    def _run(self) -> None:
        due = time.monotonic_ns()
        while not self._stop.is_set():
            now = time.monotonic_ns()
            if now >= due:
                self._send(now)
                # Never in bursts: after a pause of the machine the rhythm begins anew.
                due = max(due + self._interval_ns, now)
            self._receive(max(0, due - time.monotonic_ns()) / 1e9)
        end = time.monotonic() + DRAIN_S
        while not all(self._answered[-1000:]) and (left := end - time.monotonic()) > 0:
            self._receive(left)

    def _send(self, now: int) -> None:
        number = len(self._sent_ns)
        self._sent_ns.append(now)
        self._answered.append(False)
        kind = IPV6_REQUEST if self._six else IPV4_REQUEST
        message = echo(kind, self._identifier, number, checksummed=not self._six)
        try:
            self._socket.sendto(message, (self._target, 0))
        except OSError:
            return  # no link at this moment: the probe counts as lost

    def _receive(self, timeout_s: float) -> None:
        if not select.select([self._socket], [], [], timeout_s)[0]:
            return
        try:
            packet = self._socket.recv(RECEIVE_BYTES)
        except OSError:
            return  # an error that the kernel kept for us, such as "no route to host"
        number = self._number(packet)
        if number is not None and number < len(self._answered):
            self._answered[number] = True

    def _number(self, packet: bytes) -> int | None:
        """The sequence number of a reply to one of our probes."""
        message = packet if self._six else packet[(packet[0] & 0x0F) * 4 :]
        if len(message) < 12 or message[0] != (IPV6_REPLY if self._six else IPV4_REPLY):
            return None
        identifier, _, number = struct.unpack_from("!HHI", message, 4)
        return int(number) if identifier == self._identifier else None


def echo(kind: int, identifier: int, number: int, *, checksummed: bool) -> bytes:
    """An ICMP echo request (RFC 792, RFC 4443 section 4.1) with the whole number in its payload.

    Parameters:
        checksummed: the kernel computes ICMPv6's checksum itself, and leaves ICMP's alone.
    """
    body = struct.pack("!HHI", identifier, number & 0xFFFF, number)
    checksum = 0
    if checksummed:
        words = struct.unpack(f"!{len(body) // 2}H", body)
        total = sum(words) + (kind << 8)
        total = (total & 0xFFFF) + (total >> 16)
        checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return struct.pack("!BBH", kind, 0, checksum) + body
