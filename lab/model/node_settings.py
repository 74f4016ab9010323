"""Kernel settings and addresses that nodes of several kinds share."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_interface

from lab.model.lab import InterfaceAddress
from lab.model.types import IpAddress, IpInterface, IpNetwork

DEFAULT_ROUTE = IPv4Network("0.0.0.0/0")
DEFAULT_ROUTE_IPV6 = IPv6Network("::/0")
LOOSE = {"net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.default.rp_filter": "0"}
"""A new namespace takes the machine's reverse path filter; ours must not depend on the machine."""
ROUTING = {"net.ipv4.ip_forward": "1", **LOOSE}
SITE = {**ROUTING, "net.ipv4.ip_nonlocal_bind": "1"}
"""ExaBGP listens on the LAN router's address from its first moment, which is before the wiring's."""
NOT_ROUTING = {"net.ipv4.ip_forward": "0", **LOOSE}
NO_IPV6 = {"net.ipv6.conf.all.disable_ipv6": "1"}
"""Nobody speaks IPv6 but who has an address: no chatter in captures."""
NO_IPV6_MACHINE = {**NO_IPV6, "net.ipv6.conf.eth0.disable_ipv6": "1"}
"""Also where the VM or server had an IPv6 address before."""
QUIET = ("accept_ra", "autoconf", "accept_dad", "dad_transmits")
IPV6_ROUTING = {"net.ipv6.conf.all.forwarding": "1"}
APPLIANCE = {
    **ROUTING,
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
}
"""A virtual appliance sends on through the interface that a packet came in by, and that is no detour."""


def static_ipv6(interface: str) -> dict[str, str]:
    """Have IPv6 on an interface. Addresses are policy: nothing is detected or advertised.

    The link-local address is the MAC's (EUI-64), which the switch lets a VM solicit from.
    """
    values = {"disable_ipv6": "0", **dict.fromkeys(QUIET, "0"), "addr_gen_mode": "0"}
    return {f"net.ipv6.conf.{interface}.{key}": value for key, value in values.items()}


def on_network(interface: str, address: IpAddress, network: IpNetwork) -> InterfaceAddress:
    """An address of a network on an interface."""
    return InterfaceAddress(interface, with_prefix(address, network))


def with_prefix(address: IpAddress, network: IpNetwork) -> IpInterface:
    """An address with the prefix length of its network."""
    return ip_interface(f"{address}/{network.prefixlen}")
