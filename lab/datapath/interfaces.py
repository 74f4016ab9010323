"""The node's interfaces as the data plane sees them: the uplink, and the vports that carry our alias."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from lab.datapath.errors import DatapathError
from lab.datapath.records import NodeAddress
from lab.errors import Problem
from lab.southbound.identity import port_alias

_RTMGRP_LINK = 1
_BUFFER = 65536
PROVIDER_TABLE = 7637
"""Routing table for what leaves by the uplink. The node's own traffic never follows it: in the product, too,
the PA lives in a network compartment of its own."""
_PROVIDER_RULE_PRIORITY = 32800
"""Behind the main table, which knows the uplink's own subnet and no other route by this interface."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there now.

    Attributes:
        uplink: ifindex of the provider interface; 0: not there.
        ports: ifindex of each vport, by interface id.
    """

    uplink: int = 0
    ports: dict[str, int] = field(default_factory=dict)


class Interfaces:
    """rtnetlink of the network namespace of the thread that makes it.

    Args:
        lab: name of the lab, part of each vport's alias.
        uplink: name of the provider interface.
    """

    def __init__(self, lab: str, uplink: str) -> None:
        self._alias_prefix = port_alias(lab, "")
        self._uplink = uplink
        self._netlink = IPRoute()

    def close(self) -> None:
        """Close the netlink socket."""
        self._netlink.close()

    def observe(self) -> Observed:
        """Look at all interfaces."""
        uplink, ports = 0, {}
        for link in self._netlink.get_links():
            alias = link.get("ifalias") or ""
            if link.get("ifname") == self._uplink:
                uplink = int(link["index"])
            elif alias.startswith(self._alias_prefix):
                ports[alias.removeprefix(self._alias_prefix)] = int(link["index"])
        return Observed(uplink, ports)

    def set_provider_address(self, uplink: int, wanted: NodeAddress | None) -> None:
        """Make the uplink carry this PA and no other; its MTU and state are left alone.

        Raises:
            DatapathError: the kernel refused.
        """
        try:
            present = {
                (IPv4Address(a.get("local") or a.get("address")), int(a["prefixlen"]))
                for a in self._netlink.get_addr(family=socket.AF_INET, index=uplink)
            }
            target = set() if wanted is None else {(wanted.address, wanted.prefix_length)}
            # In this order: the kernel takes an address with the older one of the same subnet that goes.
            for address, length in present - target:
                self._netlink.addr("del", index=uplink, address=str(address), prefixlen=length)
            for address, length in target - present:
                self._netlink.addr("add", index=uplink, address=str(address), prefixlen=length)
            if wanted is not None and wanted.gateway is not None:
                self._set_provider_route(uplink, wanted.gateway)
        except NetlinkError as error:
            raise DatapathError(
                Problem(
                    "HNV-DATAPATH-013",
                    f"{self._uplink} cannot carry {wanted}: {error}",
                    place=f"provider-address/{wanted.address}" if wanted else "",
                    hint="the interface must be up, and the default route's gateway on its network",
                )
            ) from error

    def _set_provider_route(self, uplink: int, gateway: IPv4Address) -> None:
        """Send what leaves by the uplink, and nothing else, to PAs of other subnets through this router."""
        self._netlink.route("replace", dst="default", gateway=str(gateway), oif=uplink, table=PROVIDER_TABLE)
        try:
            self._netlink.rule(
                "add", FRA_OIFNAME=self._uplink, table=PROVIDER_TABLE, priority=_PROVIDER_RULE_PRIORITY
            )
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise


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
