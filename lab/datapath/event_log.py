"""The switch's events in the agent's log: a line for each drop, and for each decision of a rule that logs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from lab.datapath.abi import Drop, EventKind, Stage
from lab.datapath.events import EVENTS, EventReader, SwitchEvent

log = logging.getLogger(__name__)

_ETHERNET, _IP4, _IP6 = 14, 0x0800, 0x86DD
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}
_WITH_PORTS = frozenset({6, 17, 132})
_FRAGMENT_OFFSET = 0x1FFF


@dataclass(frozen=True, slots=True)
class Headers:
    """What the head of a frame says; IPv6 extension headers are not followed."""

    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    protocol: int
    ports: tuple[int, int] | None

    def __str__(self) -> str:
        name = _PROTOCOLS.get(self.protocol, str(self.protocol))
        ports = f" {self.ports[0]} > {self.ports[1]}" if self.ports else ""
        return f"{self.source} > {self.destination} {name}{ports}"


def headers_of(frame: bytes) -> Headers | None:
    """The addresses and ports at the head of a frame; None: it is no whole IP header."""
    kind, ip = int.from_bytes(frame[12:14], "big"), frame[_ETHERNET:]
    if kind == _IP4 and len(ip) >= 20:
        at, protocol = (ip[0] & 15) * 4, ip[9]
        later = int.from_bytes(ip[6:8], "big") & _FRAGMENT_OFFSET
        source: IPv4Address | IPv6Address = IPv4Address(ip[12:16])
        destination: IPv4Address | IPv6Address = IPv4Address(ip[16:20])
    elif kind == _IP6 and len(ip) >= 40:
        at, protocol, later = 40, ip[6], 0
        source, destination = IPv6Address(ip[8:24]), IPv6Address(ip[24:40])
    else:
        return None
    ports = None
    if protocol in _WITH_PORTS and not later and len(ip) >= at + 4:
        ports = int.from_bytes(ip[at : at + 2], "big"), int.from_bytes(ip[at + 2 : at + 4], "big")
    return Headers(source, destination, protocol, ports)


def describe(event: SwitchEvent, interface: Callable[[int], str]) -> str:
    """An event as one line.

    Args:
        interface: name of an interface by its index.
    """
    what = headers_of(event.frame) or f"frame {event.frame[:_ETHERNET].hex()}"
    origin = f" from {event.provider_address}" if event.provider_address else ""
    tail = f"{what}, {event.length} octets, VSID {event.vsid}{origin}"
    if event.kind is EventKind.ACL_LOG:
        verb = "allowed" if event.reason == Drop.FORWARDED else "denied"
        direction = "outbound" if event.stage is Stage.ACL_OUT else "inbound"
        return f"{interface(event.ifindex)}: rule {event.detail} {verb} {direction} {tail}"
    return f"{interface(event.ifindex)}: dropped, {event.reason_name}: {tail}"


async def log_events(maps: Path, interface: Callable[[int], str]) -> None:
    """Log the events of the switch until cancelled.

    Args:
        maps: directory on bpffs that holds the switch's maps.
        interface: name of an interface by its index.

    Raises:
        DatapathError: the events cannot be read.
    """
    with EventReader(maps, (EVENTS,)) as reader:

        def take() -> None:
            for event in reader.read():
                log.info("%s", describe(event, interface))

        loop = asyncio.get_running_loop()
        descriptor = reader.fileno()
        loop.add_reader(descriptor, take)
        try:
            # What was written before anybody listened wakes nobody.
            take()
            await loop.create_future()
        finally:
            loop.remove_reader(descriptor)
