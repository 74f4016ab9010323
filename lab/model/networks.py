"""Arithmetic of networks, as HNV wants it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import overload

from lab.model.types import IpAddress, IpNetwork


@overload
def router_of(prefix: IPv4Network) -> IPv4Address: ...
@overload
def router_of(prefix: IPv6Network) -> IPv6Address: ...
@overload
def router_of(prefix: IpNetwork) -> IpAddress: ...
def router_of(prefix: IpNetwork) -> IpAddress:
    """The network's first address.

    In a virtual subnet it is the distributed router's and cannot be configured otherwise (Microsoft, "Hyper-V
    Network Virtualization technical details"); elsewhere the segment's router follows the same rule.
    """
    return prefix.network_address + 1


@overload
def compartment_of(prefix: IPv4Network) -> IPv4Address: ...
@overload
def compartment_of(prefix: IPv6Network) -> IPv6Address: ...
def compartment_of(prefix: IpNetwork) -> IpAddress:
    """The tenant's compartment in its gateway subnet: the first address after the router's."""
    return prefix.network_address + 2


def gre_vip_of(gre_vips: IPv4Network, gateway: int) -> IPv4Address:
    """A gateway's GRE VIP, by its number from 0: the Network Controller gives the lowest that is free."""
    return gre_vips.network_address + 1 + gateway


def host_count(prefix: IPv4Network) -> int:
    """How many addresses of a network a node can have; the router's is one of them."""
    return prefix.num_addresses - 2


def unusable(address: IpAddress, prefix: IpNetwork) -> str:
    """Why a node cannot have an address in a network, as the end of a sentence; empty: it can."""
    if address.version != prefix.version:
        return f"is IPv{address.version}, and {prefix} is IPv{prefix.version}"
    if address not in prefix:
        return f"is not in {prefix}"
    if address == prefix.network_address:
        return f"is the network address of {prefix}"
    if address == prefix.broadcast_address and isinstance(prefix, IPv4Network):
        return f"is the broadcast address of {prefix}"
    if address == router_of(prefix):
        return f"is the first address of {prefix}, which is the router's"
    return ""


def unusable_end(end: IPv6Interface) -> str:
    """Why a router cannot have an address on a link of its own, as the end of a sentence; empty: it can.

    The first address is the anycast address of all routers (RFC 4291 §2.6.1), a /127 has none (RFC 6164).
    """
    network = end.network
    if network.prefixlen < network.max_prefixlen - 1 and end.ip == network.network_address:
        return f"is the anycast address of the routers of {network}"
    return ""


def hosts_of(prefix: IPv4Network) -> Iterator[IPv4Address]:
    """Every address of a network that a node can have, from the first, however large the network is."""
    return (prefix.network_address + offset for offset in range(1, host_count(prefix) + 1))


def other_host(interface: IPv4Interface) -> IPv4Address:
    """The far end of a point-to-point network: the lowest address that is not this end's.

    Raises:
        StopIteration: the network has no room for a second address.
    """
    return next(address for address in interface.network.hosts() if address != interface.ip)
