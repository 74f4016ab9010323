"""Where a site is attached, which follows from the connection that leads to it and from its address."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from lab.model.networks import hosts_of, router_of
from lab.model.topology import SiteSpec, Topology
from lab.model.topology_connections import (
    ConnectionSpec,
    ForwardingConnectionSpec,
    GreConnectionSpec,
    IpsecConnectionSpec,
    LinkConnectionSpec,
    NatConnectionSpec,
    SiteConnection,
)
from lab.model.topology_dial_in import DialInSpec
from lab.model.topology_tenants import GatewayVmSpec, TenantSpec, VmSpec


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
        if not isinstance(connection, NatConnectionSpec | LinkConnectionSpec):
            yield tenant, name, connection


def gateway_vms(topology: Topology) -> Iterator[tuple[str, str, VmSpec, GatewayVmSpec]]:
    """The VMs that are their tenant's gateway: tenant, name, VM, what makes it one."""
    for tenant, spec in topology.tenants.items():
        for name, vm in spec.vms.items():
            if vm.gateway is not None:
                yield tenant, name, vm, vm.gateway


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
    called = {spec.site for _, _, _, spec in gateway_vms(topology)}
    return {
        site: spec
        for site, spec in topology.sites.items()
        if (site in called or connection_to(topology, site))
        and attachment_of(topology, site) is Attachment.INTERNET
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


def recovered_prefixes(tenant: TenantSpec, site: SiteSpec) -> Iterator[IPv4Network]:
    """Subnets that are a part of a site's network: its machines there have come up in the cloud.

    A part that the site's router or one of its servers has an address in is the site's still. Which sites
    can lose one is for the rules to say.
    """
    taken = [router_of(site.lan.prefix), *(server.address for server in site.servers.values())]
    for subnet in tenant.subnets.values():
        prefix = subnet.prefix
        if (
            isinstance(prefix, IPv4Network)
            and prefix != site.lan.prefix
            and prefix.subnet_of(site.lan.prefix)
            and not any(address in prefix for address in taken)
        ):
            yield prefix


def beyond_ipsec(topology: Topology) -> bool:
    """Whether gateways do more than IPsec and links: then they announce public addresses to the router."""
    inside = IpsecConnectionSpec | LinkConnectionSpec
    others = (item for _, _, item in connections(topology) if not isinstance(item, inside))
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
    for _, name, _, vm in gateway_vms(topology):
        taken.setdefault(vm.public_address, f"the public address of `{name}`")
    return taken


def free_front_end(topology: Topology) -> Iterator[IPv4Address]:
    """The addresses of the front-end network that are left for gateways, from the first."""
    front_end, taken = topology.fabric.front_end, taken_front_end(topology)
    for address in hosts_of(front_end.prefix):
        if address not in taken and not (front_end.gre_vips and address in front_end.gre_vips):
            yield address
