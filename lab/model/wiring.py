"""The nodes of a lab and the veth pairs between them. Interface names: docs/architecture.md, Nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface

from lab.model import edges, lines, machines, warriors
from lab.model.attachment import internet_wans, is_edge, recovered_prefixes, site_connections
from lab.model.certificates import SiteCertificates
from lab.model.connections import Ipsec
from lab.model.lab import (
    Bridge,
    Fabric,
    Gateway,
    Host,
    InterfaceAddress,
    Link,
    LinkEnd,
    Node,
    NodeKind,
    Route,
    SiteConfig,
)
from lab.model.names import interface_name
from lab.model.networks import other_host, router_of
from lab.model.node_settings import (
    DEFAULT_ROUTE,
    NO_IPV6,
    NOT_ROUTING,
    ROUTING,
    SITE,
    on_network,
    with_prefix,
)
from lab.model.tenants import Tenant
from lab.model.topology import SiteSpec, Topology
from lab.model.types import VM_MTU, IpNetwork
from lab.southbound.identity import port_alias

UPLINKS = ("pa0", "pa1")
"""A node's links to the provider network, by number."""
UPLINK_PORTS = ("p-", "p2-")
"""What the top-of-rack router's end of each is called, before the node's name."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What is already resolved when nodes and links are made."""

    topology: Topology
    fabric: Fabric
    hosts: tuple[Host, ...]
    gateways: tuple[Gateway, ...]
    tenants: tuple[Tenant, ...]


def links(parts: Parts) -> tuple[Link, ...]:
    """All veth pairs of the lab, segment by segment."""
    return (
        *_management_links(parts),
        *_provider_links(parts),
        *_front_end_links(parts),
        *edges.links(parts.topology, parts.fabric),
        *_internet_links(parts),
        *lines.links(parts.topology),
        *_vm_links(parts),
        *_lan_links(parts),
    )


def _management_links(parts: Parts) -> Iterator[Link]:
    segment, router = parts.fabric.management, parts.fabric.router
    for node in (parts.fabric.controller, *_names(parts.hosts), *_names(parts.gateways)):
        yield Link(
            LinkEnd(router, interface_name("m-", node), segment.mtu, bridge=segment.bridge),
            LinkEnd(node, "mgmt0", segment.mtu),
        )


def _provider_links(parts: Parts) -> Iterator[Link]:
    segment, router = parts.fabric.provider, parts.fabric.router

    def link(node: str, uplink: int) -> Link:
        port = interface_name(UPLINK_PORTS[uplink], node)
        return Link(
            LinkEnd(router, port, segment.mtu, bridge=segment.bridge),
            LinkEnd(node, UPLINKS[uplink], segment.mtu),
        )

    for host in parts.hosts:
        yield from (link(host.name, uplink) for uplink in range(host.uplinks))
    yield from (link(name, 0) for name in _names(parts.gateways))
    yield from (link(appliance.name, 0) for tenant in parts.tenants for appliance in tenant.appliances)


def _front_end_links(parts: Parts) -> Iterator[Link]:
    segment, router = parts.fabric.front_end, parts.fabric.router
    for node in _names(parts.gateways):
        yield Link(
            LinkEnd(router, interface_name("f-", node), segment.mtu, bridge=segment.bridge),
            LinkEnd(node, "fe0", segment.mtu),
        )
    for vm in machines.gateway_vms(parts.tenants):
        yield Link(
            LinkEnd(router, interface_name("f-", vm.name), segment.mtu, bridge=segment.bridge),
            LinkEnd(vm.name, machines.WAN, segment.mtu),
        )


def _internet_links(parts: Parts) -> Iterator[Link]:
    fabric = parts.fabric
    yield Link(LinkEnd(fabric.router, "inet0", VM_MTU), LinkEnd(fabric.internet, "tor0", VM_MTU))
    for _, node in internet_wans(parts.topology):
        yield Link(
            LinkEnd(fabric.internet, interface_name("s-", node), VM_MTU),
            LinkEnd(node, "wan0", VM_MTU),
        )


def _vm_links(parts: Parts) -> Iterator[Link]:
    for tenant in parts.tenants:
        for vm in tenant.vms:
            alias = port_alias(parts.topology.lab, vm.name)
            yield Link(
                LinkEnd(vm.host, interface_name("v-", vm.name), VM_MTU, alias=alias),
                LinkEnd(vm.name, "eth0", VM_MTU, mac=vm.mac),
            )


def _lan_links(parts: Parts) -> Iterator[Link]:
    for site, spec in parts.topology.sites.items():
        for server in spec.servers:
            yield Link(
                LinkEnd(site, interface_name("l-", server), VM_MTU, bridge=edges.LAN_BRIDGE),
                LinkEnd(server, "eth0", VM_MTU),
            )


def nodes(parts: Parts) -> Mapping[str, Node]:
    """All nodes of the lab by name: the fabric, sites, road warriors, VMs, servers."""
    made = (
        _controller(parts),
        _router(parts),
        _internet(parts),
        *(_host(parts, host) for host in parts.hosts),
        *(_gateway(parts, gateway, index) for index, gateway in enumerate(parts.gateways)),
        *_sites(parts),
        *warriors.nodes(parts.topology, parts.tenants),
        *machines.vms(parts.topology, parts.fabric, parts.tenants),
        *machines.appliances(parts.topology, parts.fabric, parts.tenants),
        *machines.servers(parts.topology),
    )
    every = links(parts)
    return {node.name: replace(node, interfaces=_interfaces(node, every)) for node in made}


def _interfaces(node: Node, every: tuple[Link, ...]) -> tuple[str, ...]:
    ends = (end.interface for link in every for end in link.ends if end.node == node.name)
    return (*(bridge.name for bridge in node.bridges), *ends)


def _controller(parts: Parts) -> Node:
    address = parts.fabric.controller_address
    return Node(
        name=parts.fabric.controller,
        kind=NodeKind.CONTROLLER,
        image="fabric",
        addresses=(on_network("mgmt0", address, parts.fabric.management.prefix),),
        sysctls=NOT_ROUTING,
        interface_sysctls=NO_IPV6,
        management=address,
    )


def _router(parts: Parts) -> Node:
    """The top-of-rack router: routes between front-end and internet, and nothing else.

    Forwarding is a property of the interface that a packet comes in by: management and provider stay islands.
    """
    fabric = parts.fabric
    segments = (fabric.management, fabric.provider, fabric.front_end)
    transit = parts.topology.fabric.transit.prefix
    return Node(
        name=fabric.router,
        kind=NodeKind.ROUTER,
        image="fabric",
        bridges=tuple(Bridge(segment.bridge, segment.mtu) for segment in segments),
        addresses=(
            *(on_network(segment.bridge, segment.router, segment.prefix) for segment in segments),
            on_network("inet0", router_of(transit), transit),
        ),
        routes=(Route(DEFAULT_ROUTE, router_of(transit) + 1),),
        sysctls=NOT_ROUTING,
        interface_sysctls={
            f"net.ipv4.conf.{fabric.front_end.bridge}.forwarding": "1",
            "net.ipv4.conf.inet0.forwarding": "1",
            **NO_IPV6,
        },
        router=edges.router_config(fabric, parts.gateways, parts.tenants),
    )


def _internet(parts: Parts) -> Node:
    """Knows the public networks and nothing else: no default route, none to the hoster's inner networks."""
    transit = parts.topology.fabric.transit.prefix
    uplinks = (
        InterfaceAddress(interface_name("s-", node), with_prefix(other_host(wan), wan.network))
        for (_, node), wan in internet_wans(parts.topology).items()
    )
    return Node(
        name=parts.fabric.internet,
        kind=NodeKind.INTERNET,
        image="fabric",
        addresses=(on_network("tor0", router_of(transit) + 1, transit), *uplinks),
        routes=(Route(parts.fabric.front_end.prefix, router_of(transit)),),
        sysctls=ROUTING,
        interface_sysctls=NO_IPV6,
    )


def _host(parts: Parts, host: Host) -> Node:
    return Node(
        name=host.name,
        kind=NodeKind.HOST,
        image="fabric",
        addresses=(on_network("mgmt0", host.management, parts.fabric.management.prefix),),
        sysctls=NOT_ROUTING,
        interface_sysctls=NO_IPV6,
        management=host.management,
        absent=UPLINKS[host.uplinks :],
    )


def _gateway(parts: Parts, gateway: Gateway, index: int) -> Node:
    """A gateway; the first one carries the VIP."""
    front_end = parts.fabric.front_end
    vip = (InterfaceAddress("fe0", IPv4Interface((parts.fabric.vip, 32))),) if index == 0 else ()
    return Node(
        name=gateway.name,
        kind=NodeKind.GATEWAY,
        image="fabric",
        addresses=(
            on_network("mgmt0", gateway.management, parts.fabric.management.prefix),
            on_network("fe0", gateway.front_end, front_end.prefix),
            *vip,
        ),
        routes=(Route(DEFAULT_ROUTE, front_end.router),),
        sysctls=ROUTING,
        interface_sysctls=NO_IPV6,
        management=gateway.management,
    )


def _sites(parts: Parts) -> Iterator[Node]:
    """All sites in the order of the file, edges among them."""
    made = {node.name: node for node in edges.nodes(parts.topology, parts.fabric, parts.tenants)}
    for name, spec in parts.topology.sites.items():
        yield made[name] if is_edge(parts.topology, name) else _site(parts, name, spec)


def _site(parts: Parts, name: str, spec: SiteSpec) -> Node:
    router = router_of(spec.lan.prefix)
    return Node(
        name=name,
        kind=NodeKind.SITE,
        image="fabric",
        bridges=(Bridge(edges.LAN_BRIDGE, VM_MTU),),
        addresses=(
            on_network(edges.LAN_BRIDGE, router, spec.lan.prefix),
            InterfaceAddress("wan0", spec.wan),
            *lines.addresses(parts.topology, name),
        ),
        routes=(
            Route(DEFAULT_ROUTE, other_host(spec.wan)),
            *lines.routes(parts.topology, name, _cloud(parts, name)),
        ),
        sysctls=SITE,
        interface_sysctls={**_proxy(parts, name, spec), **NO_IPV6},
        site=_site_config(parts, name, spec),
    )


def _proxy(parts: Parts, name: str, spec: SiteSpec) -> Mapping[str, str]:
    """Where a part of its network is in the cloud, the router answers for it (RFC 1027), and at once."""
    tenants = (
        parts.topology.tenants[tenant]
        for tenant, _, link in site_connections(parts.topology)
        if link.site == name
    )
    if not any(any(recovered_prefixes(tenant, spec)) for tenant in tenants):
        return {}  # One that did so before answers for nothing: its LAN is the better route again.
    return {
        f"net.ipv4.conf.{edges.LAN_BRIDGE}.proxy_arp": "1",
        f"net.ipv4.neigh.{edges.LAN_BRIDGE}.proxy_delay": "0",
    }


def _site_config(parts: Parts, name: str, spec: SiteSpec) -> SiteConfig | None:
    for tenant in parts.tenants:
        gateway = tenant.gateway
        for connection in gateway.connections if gateway else ():
            end, kind = connection.site, connection.kind
            if gateway and end is not None and end.name == name and isinstance(kind, Ipsec):
                return SiteConfig(
                    name=name,
                    lan_prefix=str(spec.lan.prefix),
                    lan_router=str(end.bgp_peer),
                    wan_address=str(end.peer),
                    vip=str(parts.fabric.vip),
                    shared_secret=kind.shared_secret,
                    certificates=_certificates(tenant.name, kind),
                    local_asn=spec.asn or 0,
                    peer_asn=gateway.asn,
                    compartment_address=str(gateway.address),
                    router_id=str(end.bgp_peer),
                    hold_time_s=gateway.hold_time_s,
                    calls=kind.persistent,
                    on_demand=not kind.persistent,
                    cloud=() if spec.asn else tuple(str(prefix) for prefix in _cloud(parts, name)),
                    carried=lines.carried(parts.topology, name),
                )
        for vm in machines.gateway_vms((tenant,)):
            if vm.gateway is not None and vm.gateway.site == name:
                return machines.far_end(vm, vm.gateway, spec)
    return None


def _certificates(tenant: str, kind: Ipsec) -> SiteCertificates | None:
    names = kind.identities
    return SiteCertificates(tenant, names.site, names.gateway) if names else None


def _cloud(parts: Parts, site: str) -> tuple[IpNetwork, ...]:
    """The subnets of the tenant that a site belongs to, as its compartment offers them: IPv4, not its own."""
    for tenant in parts.tenants:
        gateway = tenant.gateway
        if gateway and any(item.site and item.site.name == site for item in gateway.connections):
            return tuple(
                subnet.prefix
                for subnet in tenant.subnets
                if subnet.name != gateway.subnet and subnet.prefix.version == 4
            )
    return ()


def _names(members: tuple[Host, ...] | tuple[Gateway, ...]) -> tuple[str, ...]:
    return tuple(member.name for member in members)
