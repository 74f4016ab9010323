"""The node's provider addresses on its uplink team: each on a living link, the fabric told when one moves.

Switch-independent teaming (Microsoft, "NIC Teaming": the switches know of no team): an address that changes
its link changes its MAC, and says so itself.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Interface

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from lab import arp
from lab.datapath.errors import DatapathError
from lab.datapath.interfaces import Uplink
from lab.datapath.records import NodeAddress
from lab.errors import Problem

log = logging.getLogger(__name__)

PROVIDER_TABLE = 7637
"""Routing table for what leaves by pa0, the next number for pa1. The node's own traffic never follows it: in
the product, too, the PA lives in a network compartment of its own."""
_PROVIDER_RULE_PRIORITY = 32800
"""Behind the main table, which knows the uplinks' own subnets and no other route by these interfaces."""
_ONLINK = 4
"""RTNH_F_ONLINK: the gateway is on the link even if the interface has no address of its network."""
_SCOPE_LINK = 253

Placement = dict[IPv4Interface, int]
"""Ifindex of the uplink that carries each address."""


class Team:
    """rtnetlink and ARP of the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._netlink = IPRoute()
        self._told: dict[IPv4Address, int] = {}

    def close(self) -> None:
        """Close the netlink socket; addresses stay."""
        self._netlink.close()

    def place(
        self,
        uplinks: Mapping[int, Uplink],
        addresses: Iterable[NodeAddress],
        carriers: Mapping[IPv4Address, int],
    ) -> None:
        """Make the uplinks carry these addresses and no others, and route to other PAs by each that lives.

        An address is there twice rather than not at all while it moves. MTU and state of the uplinks are left
        alone.

        Args:
            uplinks: by number.
            addresses: the node's.
            carriers: ifindex of the living uplink that carries each; 0: none lives, and it stays where it is.

        Raises:
            DatapathError: the kernel refused.
        """
        wanted = list(addresses)
        placement = {
            IPv4Interface((item.address, item.prefix_length)): carriers[item.address]
            for item in wanted
            if carriers.get(item.address)
        }
        stranded = {item.address for item in wanted if not carriers.get(item.address)}
        try:
            present = self._present(uplinks)
            leaving = [
                (address, index)
                for address, index in present
                if placement.get(address) != index and address.ip not in stranded
            ]
            everywhere = {uplink.ifindex for uplink in uplinks.values()}
            self._add(placement, present, everywhere - {index for _, index in leaving})
            self._route(uplinks, wanted)
            self._announce(uplinks, placement)
            if leaving:
                self._remove(leaving)
                # The kernel takes addresses along with the older one of their network that goes, and all
                # routes along with the last.
                self._add(placement, self._present(uplinks), everywhere)
                self._route(uplinks, wanted)
        except NetlinkError as error:
            names = ", ".join(uplink.name for uplink in uplinks.values())
            raise DatapathError(
                Problem(
                    "HNV-DATAPATH-013",
                    f"{names} cannot carry {', '.join(map(str, placement))}: {error}",
                    place=wanted[0].key if wanted else "",
                    hint="the interface must be up, and the default route's gateway on its network",
                )
            ) from error

    def _present(self, uplinks: Mapping[int, Uplink]) -> list[tuple[IPv4Interface, int]]:
        ours = {uplink.ifindex for uplink in uplinks.values()}
        return [
            (IPv4Interface((a.get("local") or a.get("address"), int(a["prefixlen"]))), int(a["index"]))
            for a in self._netlink.get_addr(family=socket.AF_INET)
            if int(a["index"]) in ours
        ]

    def _add(
        self, placement: Placement, present: Iterable[tuple[IPv4Interface, int]], allowed: set[int]
    ) -> None:
        standing = set(present)
        for address, index in placement.items():
            if index in allowed and (address, index) not in standing:
                self._netlink.addr(
                    "add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen
                )

    def _remove(self, leaving: Iterable[tuple[IPv4Interface, int]]) -> None:
        for address, index in leaving:
            self._netlink.addr(
                "del", index=index, address=str(address.ip), prefixlen=address.network.prefixlen
            )

    def _route(self, uplinks: Mapping[int, Uplink], addresses: Iterable[NodeAddress]) -> None:
        """Let what leaves by a living uplink, and nothing else, find every PA, be its network here or not."""
        for number, uplink in uplinks.items():
            if not uplink.alive:
                continue
            way = {"oif": uplink.ifindex, "table": PROVIDER_TABLE + number}
            for item in addresses:
                network = IPv4Interface((item.address, item.prefix_length)).network
                self._netlink.route("replace", dst=str(network), scope=_SCOPE_LINK, **way)
                if item.gateway is not None:
                    self._netlink.route(
                        "replace", dst="default", gateway=str(item.gateway), flags=_ONLINK, **way
                    )
            try:
                self._netlink.rule(
                    "add", FRA_OIFNAME=uplink.name, table=way["table"], priority=_PROVIDER_RULE_PRIORITY
                )
            except NetlinkError as error:
                if error.code != errno.EEXIST:
                    raise

    def _announce(self, uplinks: Mapping[int, Uplink], placement: Placement) -> None:
        """Tell the fabric's neighbours of every address if one has moved (gratuitous ARP, RFC 5227 §3).

        Of every one: a neighbour may have learned any of them from a packet that another uplink sent.
        """
        told = {address.ip: index for address, index in placement.items()}
        if told == self._told:
            return
        links = {uplink.ifindex: uplink for uplink in uplinks.values()}
        for address, index in told.items():
            try:
                arp.announce(links[index].name, links[index].mac, address)
            except OSError as error:
                # The link has died meanwhile; its event follows.
                log.warning("%s cannot be announced on %s: %s", address, links[index].name, error)
        self._told = told
