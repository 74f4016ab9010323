"""IPv6 outside of the VM network: what carries it, and where both ends of a connection must have it."""

from __future__ import annotations

from collections.abc import Iterator

from lab.model.attachment import gateway_vms, site_connections
from lab.model.codes import Code, Finding
from lab.model.networks import unusable_end
from lab.model.topology import Topology
from lab.model.topology_connections import (
    ForwardingConnectionSpec,
    GreConnectionSpec,
    SiteConnection,
)


def why_not_ipv6(topology: Topology, tenant: str, connection: SiteConnection) -> str:
    """Why a connection carries no IPv6, as the end of a sentence; empty: it does."""
    if not isinstance(connection, GreConnectionSpec | ForwardingConnectionSpec):
        return f"a connection of type `{connection.type}` carries IPv4 alone"
    gateway = topology.tenants[tenant].gateway
    if gateway is None or gateway.ipv6_subnet is None:
        return f"the gateway of `{tenant}` has no IPv6 subnet"
    if isinstance(connection, ForwardingConnectionSpec) and connection.ipv6_address is None:
        return "the compartment has no IPv6 address in the connection's VLAN"
    return ""


def site_networks(topology: Topology) -> Iterator[Finding]:
    """What a site's IPv6 network needs on its way to the VM network."""
    for tenant, name, connection in site_connections(topology):
        site = topology.sites.get(connection.site)
        if site is None or site.lan.ipv6_prefix is None:
            continue
        if why := why_not_ipv6(topology, tenant, connection):
            yield Finding(
                Code.IPV6,
                ("sites", connection.site, "lan", "ipv6-prefix"),
                f"{site.lan.ipv6_prefix} is IPv6, and {why} ({tenant}/{name})",
                "a connection of type `gre` or `l3`, of a tenant whose gateway has an `ipv6-subnet`; one of "
                "type `l3` with an `ipv6-address`",
            )
    for _, name, _, gateway in gateway_vms(topology):
        site = topology.sites.get(gateway.site)
        if site is not None and site.lan.ipv6_prefix is not None:
            message = f"{site.lan.ipv6_prefix} is IPv6, and the gateway `{name}` carries IPv4 alone"
            yield Finding(
                Code.IPV6, ("sites", gateway.site, "lan", "ipv6-prefix"), message, "no IPv6 network"
            )


def vlan_ends(topology: Topology) -> Iterator[Finding]:
    """In a VLAN, compartment and edge meet in IPv6 as they do in IPv4, or not at all."""
    for tenant, name, connection in site_connections(topology):
        site = topology.sites.get(connection.site)
        if site is None:
            continue
        if not isinstance(connection, ForwardingConnectionSpec):
            if site.ipv6_wan is not None:
                message = (
                    f"`{connection.site}` is in no VLAN: `{tenant}/{name}` is of type `{connection.type}`"
                )
                place = ("sites", connection.site, "ipv6-wan")
                yield Finding(Code.IPV6, place, message, "`ipv6-wan` of L3 edges only")
            continue
        path = ("tenants", tenant, "gateway", "connections", name, "ipv6-address")
        place = ("sites", connection.site, "ipv6-wan")
        own, far = connection.ipv6_address, site.ipv6_wan
        gateway = topology.tenants[tenant].gateway
        if own is not None and gateway is not None and gateway.ipv6_subnet is None:
            message = f"{own} is IPv6, and the gateway of `{tenant}` has no IPv6 subnet"
            yield Finding(Code.IPV6, path, message, "`ipv6-subnet` of the gateway")
        if own is not None and far is None:
            message = f"`{connection.site}` has no IPv6 address in the VLAN"
            yield Finding(Code.IPV6, path, message, f"`ipv6-wan` of the site, an address of {own.network}")
        elif far is not None and own is None:
            message = f"the compartment has no IPv6 address in the VLAN, and `{connection.site}` has {far}"
            yield Finding(Code.IPV6, place, message, f"`ipv6-address` of connection `{tenant}/{name}`")
        elif own is not None and far is not None:
            if own.network != far.network or own.ip == far.ip:
                message = f"{far} of `{connection.site}` and {own} of the compartment do not meet"
                yield Finding(Code.VLAN, place, message, f"another host address of {own.network}")
            for where, end in ((path, own), (place, far)):
                if why := unusable_end(end):
                    yield Finding(Code.VLAN, where, f"{end.ip} {why}", f"a host address of {end.network}")


RULES = (site_networks, vlan_ends)
