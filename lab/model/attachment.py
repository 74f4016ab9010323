"""Where a site is attached, which follows from the connection that leads to it and from its address."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface

from lab.model.networks import hosts_of, router_of
from lab.model.topology import SiteSpec, Topology
from lab.model.topology_connections import (
    ConnectionSpec,
    ForwardingConnectionSpec,
    GreConnectionSpec,
    IpsecConnectionSpec,
    NatConnectionSpec,
    SiteConnection,
)
from lab.model.topology_dial_in import DialInSpec


class Attachment(Enum):
    """What is at the other end of a site's `wan0`."""

    INTERNET = "internet"
    FRONT_END = "front-end"
    VLAN = "vlan"


def connections(topology: Topology) -> Iterator[tuple[str, str, ConnectionSpec]]:
    """All connections of all tenants: tenant, name, connection."""
    for tenant, spec in topology.tenants.items():
        for name, connection in (spec.gateway.connections if spec.gateway else {}).items():
            yield tenant, name, connection


def site_connections(topology: Topology) -> Iterator[tuple[str, str, SiteConnection]]:
    """The connections that lead to a site."""
    for tenant, name, connection in connections(topology):
        if not isinstance(connection, NatConnectionSpec):
            yield tenant, name, connection


def connection_to(topology: Topology, site: str) -> SiteConnection | None:
    """The connection that leads to a site; of several, which is wrong, the first."""
    return next((item for _, _, item in site_connections(topology) if item.site == site), None)


def attachment_of(topology: Topology, site: str) -> Attachment:
    """Where a site is attached. One that nobody has a connection to is on the internet."""
    connection = connection_to(topology, site)
    if isinstance(connection, ForwardingConnectionSpec):
        return Attachment.VLAN
    if isinstance(connection, GreConnectionSpec):
        wan = topology.sites[site].wan
        # Judged by the network, too: one mistyped octet must not move the site to the internet.
        front_end = topology.fabric.front_end.prefix
        if wan.ip in front_end or wan.network.overlaps(front_end):
            return Attachment.FRONT_END
    return Attachment.INTERNET


def internet_sites(topology: Topology) -> dict[str, SiteSpec]:
    """The sites on the internet; not those that nobody has a connection to."""
    return {
        site: spec
        for site, spec in topology.sites.items()
        if connection_to(topology, site) and attachment_of(topology, site) is Attachment.INTERNET
    }


def internet_wans(topology: Topology) -> dict[tuple[str, str], IPv4Interface]:
    """Who is on the internet, by key and name in the file, and its address there."""
    sites = {("sites", name): spec.wan for name, spec in internet_sites(topology).items()}
    return sites | {("road-warriors", name): spec.wan for name, spec in topology.road_warriors.items()}


def remote_accesses(topology: Topology) -> Iterator[tuple[str, DialInSpec]]:
    """The tenants that can be called, each with its remote access."""
    for tenant, spec in topology.tenants.items():
        if spec.gateway and spec.gateway.dial_in:
            yield tenant, spec.gateway.dial_in


def is_edge(topology: Topology, site: str) -> bool:
    """Whether a site's router is an edge: it has no IPsec."""
    return isinstance(connection_to(topology, site), GreConnectionSpec | ForwardingConnectionSpec)


def beyond_ipsec(topology: Topology) -> bool:
    """Whether the gateways have to do more than IPsec: then they announce public addresses to the router."""
    others = (item for _, _, item in connections(topology) if not isinstance(item, IpsecConnectionSpec))
    return any(others) or any(remote_accesses(topology))


def public_addresses(topology: Topology) -> Iterator[IPv4Address]:
    """The tenants' own addresses on the front-end network, in the order of the file."""
    for _, _, connection in connections(topology):
        if isinstance(connection, NatConnectionSpec):
            yield connection.public_address
    for _, access in remote_accesses(topology):
        yield access.public_address


def taken_front_end(topology: Topology) -> dict[IPv4Address, str]:
    """The single addresses of the front-end network that the file gives away, and what each is; GRE VIPs not.

    Where one is given away twice, which is wrong, the first is named.
    """
    front_end = topology.fabric.front_end
    taken = {router_of(front_end.prefix): "the router's", front_end.vip: "the VIP"}
    for site, spec in topology.sites.items():
        if attachment_of(topology, site) is Attachment.FRONT_END:
            taken.setdefault(spec.wan.ip, f"the address of `{site}`")
    for tenant, name, connection in connections(topology):
        if isinstance(connection, NatConnectionSpec):
            taken.setdefault(connection.public_address, f"the public address of {tenant}/{name}")
    for tenant, access in remote_accesses(topology):
        taken.setdefault(access.public_address, f"the remote access of {tenant}")
    return taken


def free_front_end(topology: Topology) -> Iterator[IPv4Address]:
    """The addresses of the front-end network that are left for gateways, from the first."""
    front_end, taken = topology.fabric.front_end, taken_front_end(topology)
    for address in hosts_of(front_end.prefix):
        if address not in taken and not (front_end.gre_vips and address in front_end.gre_vips):
            yield address
