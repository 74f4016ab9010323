"""ExaBGP's messages become kernel routes of the site: to the gateway, while the neighbour offers them."""

from __future__ import annotations

import errno
import json
import logging
import os
import selectors
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import islice
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from lab import arp
from lab.model.edge import Ipv6End

log = logging.getLogger(__name__)

BGP_PROTOCOL = 186
"""RTPROT_BGP of rtnetlink.h: routes that are ours, whoever of us set them."""
FAMILIES = ("ipv4 unicast", "ipv6 unicast")
EVERYTHING = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
LINK_GROUP = 1
"""RTMGRP_LINK: the kernel tells of devices that come and go."""
LINK_SCOPE = 253
READ_SIZE = 65536
ANNOUNCED_AT_MOST = 1024
"""Addresses of one prefix: a larger part of a LAN finds the way when its neighbours' entries have expired."""


@dataclass(frozen=True, slots=True)
class Lan:
    """A site's own segment: the router's interface on it, and its prefix."""

    interface: str
    prefix: IPv4Network


def updated(table: frozenset[str], message: Mapping[str, Any]) -> frozenset[str]:
    """The prefixes that hold after one message of ExaBGP 5's JSON encoder.

    A neighbour that goes down offers nothing any more; messages of other types change nothing.
    """
    neighbor = message.get("neighbor", {})
    if message.get("type") == "state":
        return frozenset() if neighbor.get("state") == "down" else table
    if message.get("type") != "update":
        return table
    update = neighbor.get("message", {}).get("update", {})
    announce, withdraw = update.get("announce", {}), update.get("withdraw", {})
    withdrawn = {item["nlri"] for family in FAMILIES for item in withdraw.get(family, ())}
    announced = {
        item["nlri"] for family in FAMILIES for items in announce.get(family, {}).values() for item in items
    }
    return (table - withdrawn) | announced


class KernelRoutes:
    """The site's BGP routes in the kernel.

    Parameters:
        kernel: netlink, in the site's namespace.
        device: where they lead.
        source: the router's own address on them: it answers traceroute with it.
        via: next hop on the device; None: the device is a tunnel and needs none.
        ipv6: of the same; None: the site is IPv4 alone, and takes no other routes.
        lan: the site's own segment. If a part of it comes to be elsewhere, the machines there are told, as
            they remember where it was; the router answers for it (proxy ARP).
    """

    def __init__(
        self,
        kernel: IPRoute,
        device: str,
        source: str,
        via: str | None = None,
        ipv6: Ipv6End | None = None,
        lan: Lan | None = None,
    ) -> None:
        self._kernel = kernel
        self._device = device
        self._lan = lan
        self._ways = {socket.AF_INET: _way(source, via)}
        if ipv6:
            self._ways[socket.AF_INET6] = _way(ipv6.lan_router, ipv6.gateway or None)

    def set(self, prefixes: Iterable[str]) -> None:
        """Exactly these, unless the device is not there: then it is called again when it is.

        Raises:
            NetlinkError: the kernel refuses.
        """
        indexes = self._kernel.link_lookup(ifname=self._device)
        if not indexes:
            return
        there = {
            f"{route.get('dst') or EVERYTHING[family]}/{route['dst_len']}"
            for family in self._ways
            for route in self._kernel.get_routes(family=family, proto=BGP_PROTOCOL)
        }
        wanted = {prefix for prefix in prefixes if _family_of(prefix) in self._ways}
        for prefix in sorted(there - wanted):
            log.info("%s withdrawn", prefix)
            try:
                self._change("del", prefix, indexes[0])
            except NetlinkError as error:
                if error.code != errno.ESRCH:  # gone with its device meanwhile
                    raise
        for prefix in sorted(wanted - there):
            log.info("%s learned", prefix)
            self._change("replace", prefix, indexes[0])
            self._take_over(ip_network(prefix))

    def _take_over(self, network: IPv4Network | IPv6Network) -> None:
        if self._lan is None or network.version != 4 or not network.subnet_of(self._lan.prefix):
            return
        link = self._kernel.link("get", ifname=self._lan.interface)[0]
        addresses = islice(network.hosts(), ANNOUNCED_AT_MOST)
        try:
            arp.announce(self._lan.interface, link.get("address"), *addresses)
        except OSError as error:
            log.warning("%s not announced on %s: %s", network, self._lan.interface, error)

    def _change(self, what: str, prefix: str, index: int) -> None:
        way = self._ways[_family_of(prefix)]
        self._kernel.route(what, dst=prefix, oif=index, proto=BGP_PROTOCOL, **way)


def _way(source: str, via: str | None) -> dict[str, Any]:
    return {"prefsrc": source, **({"scope": LINK_SCOPE} if via is None else {"gateway": via})}


def _family_of(prefix: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in prefix else socket.AF_INET


def follow(stdin: int, routes: KernelRoutes) -> None:
    """Install what ExaBGP's lines say until it ends, then remove it all.

    Parameters:
        stdin: file descriptor that the lines come from.
        routes: the kernel's routes.
    """
    table: frozenset[str] = frozenset()
    routes.set(table)
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as links,
        selectors.DefaultSelector() as selector,
    ):
        links.bind((0, LINK_GROUP))
        selector.register(stdin, selectors.EVENT_READ)
        selector.register(links, selectors.EVENT_READ)
        rest = b""
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if links.fileno() in ready:
                with suppress(OSError):  # an overrun queue says the same: look again
                    links.recv(READ_SIZE)
            if stdin in ready:
                data = os.read(stdin, READ_SIZE)
                if not data:
                    routes.set(())
                    return
                *lines, rest = (rest + data).split(b"\n")
                for message in _messages(lines):
                    table = updated(table, message)
            try:
                routes.set(table)
            except NetlinkError as error:
                # The device has just gone; its return wakes us again.
                log.warning("routes not set: %s", error)


def _messages(lines: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        try:
            message = json.loads(line)
        except ValueError:
            log.warning("not JSON: %r", line)
            continue
        if isinstance(message, dict):
            yield message
