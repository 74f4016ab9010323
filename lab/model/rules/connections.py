"""Connections, kind by kind: what IPsec, GRE, L3 forwarding and NAT each need of file and fabric."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, ip_network

from lab.model.attachment import (
    Attachment,
    attachment_of,
    connections,
    gateway_vms,
    remote_accesses,
    site_connections,
    taken_front_end,
)
from lab.model.codes import Code, Finding, Path
from lab.model.networks import router_of, unusable
from lab.model.rules.ipv6 import why_not_ipv6
from lab.model.rules.tenants import machines
from lab.model.topology import SiteSpec, Topology
from lab.model.topology_connections import (
    ForwardingConnectionSpec,
    GreConnectionSpec,
    IpsecConnectionSpec,
    NatConnectionSpec,
    NatMappingSpec,
)
from lab.model.topology_tenants import TenantSpec
from lab.model.types import IpAddress


def _place(tenant: str, connection: str) -> Path:
    return ("tenants", tenant, "gateway", "connections", connection)


def gre_vips(topology: Topology) -> Iterator[Finding]:
    """GRE needs an address of each gateway's own, which the Network Controller gives (greVipSubnets)."""
    front_end, path = topology.fabric.front_end, ("fabric", "front-end", "gre-vips")
    vips = front_end.gre_vips
    if vips is None:
        for tenant, name, connection in connections(topology):
            if isinstance(connection, GreConnectionSpec):
                yield Finding(
                    Code.GRE_VIPS,
                    (*_place(tenant, name), "type"),
                    "a GRE connection, and the gateways have no addresses for GRE",
                    "`gre-vips` of the front-end network",
                    "add `gre-vips: PREFIX` to `front-end`, a part of its prefix",
                )
    elif not vips.subnet_of(front_end.prefix):
        expected = f"a part of {front_end.prefix}"
        yield Finding(Code.GRE_VIPS, path, f"{vips} is not in the front-end network", expected)
    else:
        for address, what in taken_front_end(topology).items():
            if address in vips:
                message = f"{vips} holds {address}, which is {what}"
                yield Finding(Code.GRE_VIPS, path, message, "addresses that nothing else has")
        if vips.num_addresses - 2 < len(topology.gateways):
            yield Finding(Code.GRE_VIPS, path, f"{vips} is too small", "an address for each gateway")


def front_end_addresses(topology: Topology) -> Iterator[Finding]:
    """Edges and tenants have addresses of the front-end network of their own."""
    front_end = topology.fabric.front_end.prefix
    seen = {topology.fabric.front_end.vip: "the VIP"}
    for path, address, what in _given(topology):
        expected = f"a free host address of {front_end}, not its first"
        if why := unusable(address, front_end):
            yield Finding(Code.PUBLIC_ADDRESS, path, f"{address} {why}", expected)
        elif address in seen:
            yield Finding(Code.PUBLIC_ADDRESS, path, f"{address} is {seen[address]} already", expected)
        seen.setdefault(address, what)
    for site, spec in topology.sites.items():
        if attachment_of(topology, site) is Attachment.FRONT_END and spec.wan.network != front_end:
            yield Finding(
                Code.WAN,
                ("sites", site, "wan"),
                f"{spec.wan} has another prefix length than the front-end network {front_end}",
                f"an address of {front_end} with its length",
                f"write {spec.wan.ip}/{front_end.prefixlen}",
            )


def _given(topology: Topology) -> Iterator[tuple[Path, IPv4Address, str]]:
    for site, spec in topology.sites.items():
        if attachment_of(topology, site) is Attachment.FRONT_END:
            yield ("sites", site, "wan"), spec.wan.ip, f"the address of `{site}`"
    for tenant, name, connection in connections(topology):
        if isinstance(connection, NatConnectionSpec):
            path = (*_place(tenant, name), "public-address")
            yield path, connection.public_address, f"the public address of {tenant}/{name}"
    for tenant, name, _, vm in gateway_vms(topology):
        path = ("tenants", tenant, "vms", name, "gateway", "public-address")
        yield path, vm.public_address, f"the public address of `{name}`"
    for tenant, access in remote_accesses(topology):
        path = ("tenants", tenant, "gateway", "dial-in", "public-address")
        yield path, access.public_address, f"the remote access of {tenant}"


def vlans(topology: Topology) -> Iterator[Finding]:
    """A VLAN belongs to one connection, and both its ends meet in it. Between VLANs addresses may overlap."""
    seen: dict[int, str] = {}
    for tenant, name, connection in site_connections(topology):
        if not isinstance(connection, ForwardingConnectionSpec):
            continue
        path = _place(tenant, name)
        if connection.vlan in seen:
            message = f"VLAN {connection.vlan} is already that of {seen[connection.vlan]}"
            yield Finding(Code.VLAN, (*path, "vlan"), message, "a VLAN of the connection's own")
        seen.setdefault(connection.vlan, f"{tenant}/{name}")
        yield from _ends(topology, connection, path)


def _ends(topology: Topology, connection: ForwardingConnectionSpec, path: Path) -> Iterator[Finding]:
    site, own = topology.sites.get(connection.site), connection.address
    network = own.network
    expected = f"a host address of {network}"
    ends = [((*path, "address"), own.ip)]
    if site is not None and site.wan.network != network:
        message = f"{site.wan} of `{connection.site}` and {own} of the compartment do not meet"
        yield Finding(Code.VLAN, ("sites", connection.site, "wan"), message, expected)
    elif site is not None:
        ends.append((("sites", connection.site, "wan"), site.wan.ip))
        if site.wan.ip == own.ip:
            message = f"{own.ip} is the address of `{connection.site}` there"
            yield Finding(Code.VLAN, (*path, "address"), message, f"another host address of {network}")
    reserved = {network.network_address, network.broadcast_address} if network.prefixlen < 31 else set()
    for place, address in ends:
        if address in reserved:
            yield Finding(Code.VLAN, place, f"{address} is no host address of {network}", expected)


def static_routes(topology: Topology) -> Iterator[Finding]:
    """Static routes are of what a connection carries; that to the site's BGP router has the key `metric`."""
    for tenant, name, connection in site_connections(topology):
        site = topology.sites.get(connection.site)
        for prefix in connection.routes:
            path = (*_place(tenant, name), "routes", str(prefix))
            if prefix.version == 6 and (why := why_not_ipv6(topology, tenant, connection)):
                yield Finding(Code.IPV6, path, f"{prefix} is IPv6, and {why}", "IPv4 prefixes")
            elif site and site.asn is not None and prefix in map(ip_network, _routers(site)):
                message = f"{prefix} is the BGP router of `{connection.site}`, which has a route anyway"
                yield Finding(Code.CONNECTION, path, message, "other prefixes", "write `metric` instead")


def _routers(site: SiteSpec) -> Iterator[IpAddress]:
    yield from (router_of(prefix) for prefix in site.lan.prefixes.values())


def dialling(topology: Topology) -> Iterator[Finding]:
    """What is always up is not taken down for silence."""
    for tenant, name, connection in site_connections(topology):
        if not isinstance(connection, IpsecConnectionSpec) or not connection.persistent:
            continue
        if connection.idle_disconnect_s:
            yield Finding(
                Code.CONNECTION,
                (*_place(tenant, name), "idle-disconnect-s"),
                f"`{name}` is always up, and ends after {connection.idle_disconnect_s} s of silence",
                "`idle-disconnect-s` together with `persistent: false`",
            )


def nat(topology: Topology) -> Iterator[Finding]:
    """A VM network has one default route, and a mapping leads to one of its VMs."""
    for tenant, spec in topology.tenants.items():
        seen = ""
        for name, connection in (spec.gateway.connections if spec.gateway else {}).items():
            if not isinstance(connection, NatConnectionSpec):
                continue
            path = _place(tenant, name)
            if seen:
                message = f"`{seen}` is the tenant's way to the internet already"
                yield Finding(Code.CONNECTION, (*path, "type"), message, "one NAT connection a tenant")
            seen = seen or name
            if connection.ports is not None and connection.ports.first < 1:
                yield Finding(Code.CONNECTION, (*path, "ports"), "port 0 is none", "ports from 1 to 65535")
            yield from _mappings(connection, spec, path)


def _mappings(connection: NatConnectionSpec, tenant: TenantSpec, path: Path) -> Iterator[Finding]:
    seen: dict[tuple[str, int], str] = {}
    for name, mapping in connection.mappings.items():
        place = (*path, "mappings", name)
        key = (mapping.protocol, mapping.port)
        if key in seen:
            message = f"{mapping.protocol} port {mapping.port} leads to `{seen[key]}` already"
            yield Finding(Code.CONNECTION, (*place, "port"), message, "each port once")
        seen.setdefault(key, name)
        yield from _target(mapping, tenant, place)


def _target(mapping: NatMappingSpec, tenant: TenantSpec, place: Path) -> Iterator[Finding]:
    address = mapping.to.address
    owners = {spec.address for _, _, spec in machines(tenant)}
    if address not in owners:
        message = f"{address} is nobody's in this tenant"
        yield Finding(Code.CONNECTION, (*place, "to"), message, "the address of a VM of the tenant")
    if mapping.from_ is not None and mapping.from_.version != 4:
        yield Finding(Code.FAMILY, (*place, "from"), f"{mapping.from_} is IPv6", "an IPv4 prefix")


RULES = (gre_vips, front_end_addresses, vlans, static_routes, dialling, nat)
