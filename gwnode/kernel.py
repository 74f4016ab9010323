"""Links, addresses and routes of the thread's namespace: looked at first, changed where they differ."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from socket import AF_INET
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

KERNEL_REFUSALS = (OSError, NetlinkError, subprocess.CalledProcessError)
MTU = 1500
ROUTE_PROTOCOL = 201
"""rtm_protocol of the routes that are ours; BIRD's are 12."""
MAIN_TABLE = 254
_SCOPE_LINK = 253
_IFF_UP, _IFF_NOARP = 0x1, 0x80


@dataclass(frozen=True, slots=True)
class WantedRoute:
    """A route.

    Attributes:
        prefix: destination.
        device: interface.
        via: next hop; None: the device itself.
        source: preferred source address; None: the kernel's choice.
        metric: of the routes to one prefix the lowest wins.
    """

    prefix: IPv4Network
    device: str
    via: IPv4Address | None = None
    source: IPv4Address | None = None
    metric: int = 0


def ensure_pair(kernel: IPRoute, namespace_fd: int, outer: str, alias: str, inner: str) -> None:
    """A veth pair made in place, one end in another namespace: nothing half-made can be left behind.

    Parameters:
        kernel: open where the outer end is.
        namespace_fd: of the other namespace.
        outer, inner: names of the ends.
        alias: of the outer end: whose it is.
    """
    if not kernel.link_lookup(ifname=outer):
        kernel.link(
            "add",
            ifname=outer,
            kind="veth",
            mtu=MTU,
            ifalias=alias,
            peer={"ifname": inner, "net_ns_fd": namespace_fd, "mtu": MTU},
        )
    ensure_link(kernel, outer, ifalias=alias)


def ensure_link(kernel: IPRoute, name: str, *, no_arp: bool = False, **wanted: Any) -> int:
    """Attributes and state up, where they differ; the interface's index.

    Parameters:
        no_arp: the interface resolves no addresses: whatever is sent goes to the one that is there.
    """
    # By name: a dump would be searched here, and takes the longer the more tenants there are.
    link = next(iter(kernel.link("get", ifname=name)))
    changes = {key: value for key, value in wanted.items() if link.get(key) != value}
    flags = _IFF_UP | (_IFF_NOARP if no_arp else 0)
    if link["flags"] & flags != flags:
        changes |= {"flags": flags, "change": flags}
    if changes:
        kernel.link("set", index=link["index"], **changes)
    return int(link["index"])


def ensure_addresses(kernel: IPRoute, name: str, wanted: Collection[IPv4Interface]) -> None:
    """Exactly these addresses on an interface."""
    (index,) = kernel.link_lookup(ifname=name)
    there = {
        IPv4Interface(f"{item.get('address')}/{item['prefixlen']}")
        for item in kernel.get_addr(index=index, family=AF_INET)
    }
    for wrong in there - set(wanted):
        kernel.addr("del", index=index, address=str(wrong.ip), prefixlen=wrong.network.prefixlen)
    for address in set(wanted) - there:
        kernel.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)


def remove_links(kernel: IPRoute, names: Iterable[str]) -> None:
    """Take interfaces away; what is gone already is no error."""
    for name in names:
        for index in kernel.link_lookup(ifname=name):
            kernel.link("del", index=index)


def ensure_routes(
    kernel: IPRoute, wanted: Collection[WantedRoute], devices: Collection[str], table: int = MAIN_TABLE
) -> None:
    """Exactly these of our own routes through some devices; everybody else's routes are left alone.

    Parameters:
        kernel: open in the namespace.
        wanted: all through these devices.
        devices: that are there.
        table: routing table.
    """
    indexes = {kernel.link_lookup(ifname=device)[0]: device for device in devices}
    names = {device: index for index, device in indexes.items()}
    there: set[WantedRoute] = set()
    for route in kernel.get_routes(family=AF_INET, table=table, proto=ROUTE_PROTOCOL):
        if route.get("oif") in indexes:
            via, source = route.get("gateway"), route.get("prefsrc")
            there.add(
                WantedRoute(
                    IPv4Network(f"{route.get('dst') or '0.0.0.0'}/{route['dst_len']}"),
                    indexes[route.get("oif")],
                    IPv4Address(via) if via else None,
                    IPv4Address(source) if source else None,
                    route.get("priority") or 0,
                )
            )
    changes = [("del", item) for item in there - set(wanted)]
    changes += [("replace", item) for item in set(wanted) - there]
    refused: list[NetlinkError] = []
    for what, item in changes:
        try:
            kernel.route(what, table=table, **_route(item, names))
        except NetlinkError as error:
            # One that cannot be must not keep the others away.
            refused.append(error)
    if refused:
        raise refused[0]


def _route(item: WantedRoute, indexes: Mapping[str, int]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "dst": str(item.prefix),
        "oif": indexes[item.device],
        "proto": ROUTE_PROTOCOL,
    }
    if item.via:
        values["gateway"] = str(item.via)
    else:
        values["scope"] = _SCOPE_LINK
    if item.source:
        values["prefsrc"] = str(item.source)
    if item.metric:
        values["priority"] = item.metric
    return values
