"""Links, addresses and routes of the thread's namespace: looked at first, changed where they differ."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from pathlib import Path
from socket import AF_INET, AF_INET6
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

KERNEL_REFUSALS = (OSError, NetlinkError, subprocess.CalledProcessError)
MTU = 1500
ROUTE_PROTOCOL = 201
"""rtm_protocol of the routes that are ours; BIRD's are 12."""
MAIN_TABLE = 254
_SCOPE_LINK = 253
_ON_LINK = 4
"""RTNH_F_ONLINK of rtnetlink.h."""
_IFF_UP, _IFF_NOARP = 0x1, 0x80
_IFA_F_NODAD = 0x2
_HAS_IPV6 = Path("/proc/net/if_inet6")


@dataclass(frozen=True, slots=True)
class WantedRoute:
    """A route.

    Attributes:
        prefix: destination.
        device: interface.
        via: next hop; None: the device itself. The destination's own address, if it is a single one: it is on
            the device, whatever networks the device has.
        source: preferred source address; None: the kernel's choice.
        metric: of the routes to one prefix the lowest wins.
    """

    prefix: IPv4Network | IPv6Network
    device: str
    via: IPv4Address | IPv6Address | None = None
    source: IPv4Address | IPv6Address | None = None
    metric: int = 0

    @property
    def on_link(self) -> bool:
        """Whether the next hop is on the device without an address of its network there."""
        return self.prefix.num_addresses == 1 and self.via == self.prefix.network_address

    @property
    def priority(self) -> int:
        """As the kernel has it: of IPv6, 0 would be taken for 1024, behind what BGP has learned."""
        return max(self.metric, 1) if self.prefix.version == 6 else self.metric


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


def ensure_addresses(kernel: IPRoute, name: str, wanted: Collection[IPv4Interface | IPv6Interface]) -> None:
    """Exactly these addresses on an interface, besides those that it has for its link."""
    (index,) = kernel.link_lookup(ifname=name)
    found = (
        ip_interface(f"{item.get('address')}/{item['prefixlen']}") for item in kernel.get_addr(index=index)
    )
    there = {address for address in found if address.version == 4 or not _is_kernels(address)}
    for wrong in there - set(wanted):
        kernel.addr("del", index=index, address=str(wrong.ip), prefixlen=wrong.network.prefixlen)
    for address in set(wanted) - there:
        values = {"address": str(address.ip), "prefixlen": address.network.prefixlen}
        # A route from it can be made at once: the kernel would detect duplicates in its own time.
        kernel.addr("add", index=index, **values, **({"flags": _IFA_F_NODAD} if address.version == 6 else {}))


def _is_kernels(address: IPv4Interface | IPv6Interface) -> bool:
    """Whether the kernel has made it: of a link, or the loopback."""
    return address.is_link_local or address.is_loopback


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
    for route in (route for family in _families() for route in _our_routes(kernel, family, table)):
        if route.get("oif") in indexes:
            via, source = route.get("gateway"), route.get("prefsrc")
            everything = "0.0.0.0" if route["family"] == AF_INET else "::"
            there.add(
                WantedRoute(
                    ip_network(f"{route.get('dst') or everything}/{route['dst_len']}"),
                    indexes[route.get("oif")],
                    ip_address(via) if via else None,
                    ip_address(source) if source else None,
                    route.get("priority") or 0,
                )
            )
    shall = {replace(item, metric=item.priority) for item in wanted}
    changes = [("del", item) for item in there - shall]
    changes += [("replace", item) for item in shall - there]
    refused: list[NetlinkError] = []
    for what, item in changes:
        try:
            kernel.route(what, table=table, **_route(item, names))
        except NetlinkError as error:
            # One that cannot be must not keep the others away.
            refused.append(error)
    if refused:
        raise refused[0]


def _families() -> tuple[int, ...]:
    """What the thread's namespace speaks."""
    return (AF_INET, AF_INET6) if _HAS_IPV6.exists() else (AF_INET,)


def _our_routes(kernel: IPRoute, family: int, table: int) -> Iterable[Any]:
    found: Iterable[Any] = kernel.get_routes(family=family, table=table, proto=ROUTE_PROTOCOL)
    return found


def _route(item: WantedRoute, indexes: Mapping[str, int]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "dst": str(item.prefix),
        "oif": indexes[item.device],
        "proto": ROUTE_PROTOCOL,
    }
    if item.via:
        values["gateway"] = str(item.via)
        values["flags"] = _ON_LINK if item.on_link else 0
    else:
        values["scope"] = _SCOPE_LINK
    if item.source:
        values["prefsrc"] = str(item.source)
    if item.metric:
        values["priority"] = item.metric
    return values
