"""What is no part of the internet."""

from __future__ import annotations

from ipaddress import IPv4Network

NEVER_OUTSIDE: tuple[IPv4Network, ...] = tuple(
    IPv4Network(prefix)
    for prefix in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/3",
    )
)
"""Private, shared, local and multicast addresses (RFC 6890): no host of the internet has one. The prefixes
for documentation (RFC 5737) are not among them: labs use them as the internet's."""
