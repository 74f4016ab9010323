"""Prefixes of either IP version beside each other. Pure."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network


def inside(part: Network, whole: Network) -> bool:
    """Whether a prefix is another, or a part of it."""
    if isinstance(part, IPv4Network):
        return isinstance(whole, IPv4Network) and part.subnet_of(whole)
    return isinstance(whole, IPv6Network) and part.subnet_of(whole)


def version_of(prefix: str) -> int:
    """4 or 6."""
    return ip_network(prefix).version


def in_order(prefix: str) -> tuple[int, int, int]:
    """Sorts by version, address and length."""
    network = ip_network(prefix)
    return network.version, int(network.network_address), network.prefixlen
