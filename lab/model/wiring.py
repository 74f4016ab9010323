"""The nodes of a lab and the veth pairs between them. Interface names: docs/architecture.md, Nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

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
    Tenant,
)
from lab.model.names import interface_name
from lab.model.networks import other_host, router_of
from lab.model.topology import Machine, SiteSpec, Topology
from lab.model.types import VM_MTU
from lab.southbound.identity import port_alias

DEFAULT_ROUTE = IPv4Network("0.0.0.0/0")
LAN_BRIDGE = "lan0"
LOOSE = {"net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.default.rp_filter": "0"}
"""A new namespace takes the machine's reverse path filter; ours must not depend on the machine."""
ROUTING = {"net.ipv4.ip_forward": "1", **LOOSE}
SITE = {**ROUTING, "net.ipv4.ip_nonlocal_bind": "1"}
"""ExaBGP listens on the LAN router's address from its first moment, which is before the wiring's."""
NOT_ROUTING = {"net.ipv4.ip_forward": "0", **LOOSE}
NO_IPV6 = {"net.ipv6.conf.all.disable_ipv6": "1"}
"""Overlay and underlay are IPv4 only, as in Microsoft's second generation; no IPv6 chatter in captures."""


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
        *_internet_links(parts),
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
    for node in (*_names(parts.hosts), *_names(parts.gateways)):
        yield Link(
            LinkEnd(router, interface_name("p-", node), segment.mtu, bridge=segment.bridge),
            LinkEnd(node, "pa0", segment.mtu),
        )


def _front_end_links(parts: Parts) -> Iterator[Link]:
    segment, router = parts.fabric.front_end, parts.fabric.router
    for node in _names(parts.gateways):
        yield Link(
            LinkEnd(router, interface_name("f-", node), segment.mtu, bridge=segment.bridge),
            LinkEnd(node, "fe0", segment.mtu),
        )


def _internet_links(parts: Parts) -> Iterator[Link]:
    fabric = parts.fabric
    yield Link(LinkEnd(fabric.router, "inet0", VM_MTU), LinkEnd(fabric.internet, "tor0", VM_MTU))
    for site in parts.topology.sites:
        yield Link(
            LinkEnd(fabric.internet, interface_name("s-", site), VM_MTU),
            LinkEnd(site, "wan0", VM_MTU),
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
                LinkEnd(site, interface_name("l-", server), VM_MTU, bridge=LAN_BRIDGE),
                LinkEnd(server, "eth0", VM_MTU),
            )


def nodes(parts: Parts) -> Mapping[str, Node]:
    """All nodes of the lab by name: the fabric, sites, VMs, servers."""
    made = (
        _controller(parts),
        _router(parts),
        _internet(parts),
        *(_host(parts, host) for host in parts.hosts),
        *(_gateway(parts, gateway, index) for index, gateway in enumerate(parts.gateways)),
        *(_site(parts, name, spec) for name, spec in parts.topology.sites.items()),
        *_vms(parts),
        *_servers(parts),
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
        addresses=(_on("mgmt0", address, parts.fabric.management.prefix),),
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
            *(_on(segment.bridge, segment.router, segment.prefix) for segment in segments),
            _on("inet0", router_of(transit), transit),
        ),
        routes=(Route(DEFAULT_ROUTE, router_of(transit) + 1),),
        sysctls=NOT_ROUTING,
        interface_sysctls={
            f"net.ipv4.conf.{fabric.front_end.bridge}.forwarding": "1",
            "net.ipv4.conf.inet0.forwarding": "1",
            **NO_IPV6,
        },
    )


def _internet(parts: Parts) -> Node:
    """Knows the public networks and nothing else: no default route, none to the hoster's inner networks."""
    transit = parts.topology.fabric.transit.prefix
    uplinks = (
        InterfaceAddress(interface_name("s-", site), _with_prefix(other_host(spec.wan), spec.wan.network))
        for site, spec in parts.topology.sites.items()
    )
    return Node(
        name=parts.fabric.internet,
        kind=NodeKind.INTERNET,
        image="fabric",
        addresses=(_on("tor0", router_of(transit) + 1, transit), *uplinks),
        routes=(Route(parts.fabric.front_end.prefix, router_of(transit)),),
        sysctls=ROUTING,
        interface_sysctls=NO_IPV6,
    )


def _host(parts: Parts, host: Host) -> Node:
    return Node(
        name=host.name,
        kind=NodeKind.HOST,
        image="fabric",
        addresses=(_on("mgmt0", host.management, parts.fabric.management.prefix),),
        sysctls=NOT_ROUTING,
        interface_sysctls=NO_IPV6,
        management=host.management,
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
            _on("mgmt0", gateway.management, parts.fabric.management.prefix),
            _on("fe0", gateway.front_end, front_end.prefix),
            *vip,
        ),
        routes=(Route(DEFAULT_ROUTE, front_end.router),),
        sysctls=ROUTING,
        interface_sysctls=NO_IPV6,
        management=gateway.management,
    )


def _site(parts: Parts, name: str, spec: SiteSpec) -> Node:
    router = router_of(spec.lan.prefix)
    return Node(
        name=name,
        kind=NodeKind.SITE,
        image="fabric",
        bridges=(Bridge(LAN_BRIDGE, VM_MTU),),
        addresses=(_on(LAN_BRIDGE, router, spec.lan.prefix), InterfaceAddress("wan0", spec.wan)),
        routes=(Route(DEFAULT_ROUTE, other_host(spec.wan)),),
        sysctls=SITE,
        interface_sysctls=NO_IPV6,
        site=_site_config(parts, name, spec),
    )


def _site_config(parts: Parts, name: str, spec: SiteSpec) -> SiteConfig | None:
    for tenant in parts.tenants:
        gateway = tenant.gateway
        for connection in gateway.connections if gateway else ():
            if gateway and connection.site == name:
                return SiteConfig(
                    name=name,
                    lan_prefix=str(spec.lan.prefix),
                    lan_router=str(connection.bgp_peer),
                    wan_address=str(connection.peer),
                    vip=str(parts.fabric.vip),
                    shared_secret=connection.shared_secret,
                    local_asn=spec.asn,
                    peer_asn=gateway.asn,
                    compartment_address=str(gateway.address),
                    router_id=str(connection.bgp_peer),
                    hold_time_s=gateway.hold_time_s,
                )
    return None


def _vms(parts: Parts) -> Iterator[Node]:
    for tenant in parts.tenants:
        subnets = {subnet.name: subnet for subnet in tenant.subnets}
        for vm in tenant.vms:
            spec, subnet = parts.topology.tenants[tenant.name].vms[vm.name], subnets[vm.subnet]
            yield _machine(vm.name, NodeKind.VM, spec, subnet.prefix)


def _servers(parts: Parts) -> Iterator[Node]:
    for site in parts.topology.sites.values():
        for name, spec in site.servers.items():
            yield _machine(name, NodeKind.SERVER, spec, site.lan.prefix)


def _machine(name: str, kind: NodeKind, spec: Machine, network: IPv4Network) -> Node:
    """A VM or server: one card, and the network's first address for everything beyond it."""
    return Node(
        name=name,
        kind=kind,
        image=spec.image,
        command=spec.command,
        environment=dict(spec.environment),
        dns=(spec.dns,) if spec.dns else (),
        files=dict(spec.files),
        addresses=(_on("eth0", spec.address, network),),
        routes=(Route(DEFAULT_ROUTE, router_of(network)),),
        sysctls=NOT_ROUTING,
        interface_sysctls=NO_IPV6,
    )


def _on(interface: str, address: IPv4Address, network: IPv4Network) -> InterfaceAddress:
    return InterfaceAddress(interface, _with_prefix(address, network))


def _with_prefix(address: IPv4Address, network: IPv4Network) -> IPv4Interface:
    return IPv4Interface((address, network.prefixlen))


def _names(members: tuple[Host, ...] | tuple[Gateway, ...]) -> tuple[str, ...]:
    return tuple(member.name for member in members)
