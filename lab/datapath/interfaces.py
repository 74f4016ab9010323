"""The node's interfaces as the data plane sees them: the uplinks, and the vports that carry our alias."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from pyroute2 import IPRoute

from lab.southbound.identity import port_alias

_RTMGRP_LINK = 1
_BUFFER = 65536
_LOWER_UP = 1 << 16
"""IFF_LOWER_UP: up, and the far end is there too."""
_UPLINK = re.compile(r"pa(\d+)")


@dataclass(frozen=True, slots=True)
class Uplink:
    """A member of the uplink team.

    Attributes:
        alive: it is up and has carrier.
    """

    name: str
    ifindex: int
    mac: str
    alive: bool


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there now.

    Attributes:
        uplinks: by the number in their names: 0 is pa0.
        ports: ifindex of each vport, by interface id.
    """

    uplinks: dict[int, Uplink] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def live(self) -> list[int]:
        """Ifindex of each team member by its number; 0: it is not there, or dead."""
        count = max(self.uplinks, default=-1) + 1
        return [
            uplink.ifindex if (uplink := self.uplinks.get(n)) and uplink.alive else 0 for n in range(count)
        ]


class Interfaces:
    """rtnetlink of the network namespace of the thread that makes it.

    Args:
        lab: name of the lab, part of each vport's alias.
    """

    def __init__(self, lab: str) -> None:
        self._alias_prefix = port_alias(lab, "")
        self._netlink = IPRoute()

    def close(self) -> None:
        """Close the netlink socket."""
        self._netlink.close()

    def observe(self) -> Observed:
        """Look at all interfaces."""
        uplinks, ports = {}, {}
        for link in self._netlink.get_links():
            name, alias = link.get("ifname") or "", link.get("ifalias") or ""
            if match := _UPLINK.fullmatch(name):
                alive = bool(int(link["flags"]) & _LOWER_UP)
                mac = str(link.get("address"))
                uplinks[int(match[1])] = Uplink(name, int(link["index"]), mac, alive)
            elif alias.startswith(self._alias_prefix):
                ports[alias.removeprefix(self._alias_prefix)] = int(link["index"])
        return Observed(uplinks, ports)


class LinkEvents:
    """Tells that some interface came, went or changed; what changed is for `Interfaces.observe` to find."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setblocking(False)
        self._socket.bind((0, _RTMGRP_LINK))

    def close(self) -> None:
        """Close the netlink socket."""
        self._socket.close()

    async def wait(self) -> AsyncIterator[None]:
        """Yield after each burst of changes, for ever. The first comes only when something changes."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.sock_recv(self._socket, _BUFFER)
                self._drain()
            except OSError as error:
                # The kernel dropped events because they came too fast: something changed all the same.
                if error.errno != errno.ENOBUFS:
                    raise
            yield

    def _drain(self) -> None:
        try:
            while self._socket.recv(_BUFFER):
                pass
        except BlockingIOError:
            return
