"""The nodes around the gateways of a lab that uses more than IPsec: edges, and what the router must know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from lab.model.attachment import Attachment, attachment_of, beyond_ipsec, is_edge, public_addresses
from lab.model.connections import Connection, Forwarding, Gre
from lab.model.edge import EdgeConfig, Ipv6End
from lab.model.lab import Bridge, Fabric, Gateway, InterfaceAddress, Link, LinkEnd, Node, NodeKind, Route
from lab.model.names import interface_name
from lab.model.networks import gre_vip_of, other_host, router_of
from lab.model.node_settings import DEFAULT_ROUTE, IPV6_ROUTING, NO_IPV6, SITE, on_network, static_ipv6
from lab.model.router import RouterConfig
from lab.model.tenants import Tenant, TenantGateway
from lab.model.topology import SiteSpec, Topology
from lab.model.types import VM_MTU

WAN, LAN_BRIDGE = "wan0", "lan0"


def links(topology: Topology, fabric: Fabric) -> Iterator[Link]:
    """The edges that stand on the front-end network, in the tenants' VLANs or out of them."""
    segment = fabric.front_end
    for site in topology.sites:
        if attachment_of(topology, site) is not Attachment.INTERNET:
            yield Link(
                LinkEnd(fabric.router, port_of(site), segment.mtu, bridge=segment.bridge),
                LinkEnd(site, WAN, segment.mtu),
            )


def port_of(site: str) -> str:
    """The router's end of an edge's link."""
    return interface_name("f-", site)


def nodes(topology: Topology, fabric: Fabric, tenants: tuple[Tenant, ...]) -> Iterator[Node]:
    """The edges."""
    for tenant in tenants:
        for connection in tenant.gateway.connections if tenant.gateway else ():
            if tenant.gateway and connection.site and is_edge(topology, connection.site.name):
                site = topology.sites[connection.site.name]
                yield _edge(topology, fabric, tenant.gateway, connection, connection.site.name, site)


def _edge(
    topology: Topology,
    fabric: Fabric,
    gateway: TenantGateway,
    connection: Connection,
    name: str,
    spec: SiteSpec,
) -> Node:
    public = attachment_of(topology, name) is Attachment.INTERNET
    # What comes out of a tunnel is routed; what comes beside it, from the network that many share, is not.
    tunnelled = {f"net.ipv4.conf.{WAN}.forwarding": "0"} if isinstance(connection.kind, Gre) else {}
    return Node(
        name=name,
        kind=NodeKind.EDGE,
        image="fabric",
        bridges=(Bridge(LAN_BRIDGE, VM_MTU),),
        addresses=(
            on_network(LAN_BRIDGE, router_of(spec.lan.prefix), spec.lan.prefix),
            InterfaceAddress(WAN, spec.wan),
            *_ipv6_addresses(spec),
        ),
        routes=(Route(DEFAULT_ROUTE, other_host(spec.wan)),) if public else (),
        sysctls=SITE,
        interface_sysctls={**tunnelled, **NO_IPV6, **_ipv6_settings(spec)},
        edge=EdgeConfig(
            name=name,
            lan_prefix=str(spec.lan.prefix),
            lan_router=str(router_of(spec.lan.prefix)),
            wan_address=str(spec.wan.ip),
            gateway=str(_far_end(fabric, connection)),
            gre_key=connection.kind.key if isinstance(connection.kind, Gre) else None,
            local_asn=spec.asn or 0,
            peer_asn=gateway.asn,
            compartment_address=str(gateway.address),
            router_id=str(router_of(spec.lan.prefix)),
            hold_time_s=gateway.hold_time_s,
            ipv6=_ipv6_end(gateway, connection),
        ),
    )


def _ipv6_addresses(spec: SiteSpec) -> Iterator[InterfaceAddress]:
    if spec.lan.ipv6_prefix is not None:
        yield on_network(LAN_BRIDGE, router_of(spec.lan.ipv6_prefix), spec.lan.ipv6_prefix)
    if spec.ipv6_wan is not None:
        yield InterfaceAddress(WAN, spec.ipv6_wan)


def _ipv6_settings(spec: SiteSpec) -> Mapping[str, str]:
    """Only the interfaces with an address have IPv6; that of its tunnel is the edge's own to switch on."""
    if spec.lan.ipv6_prefix is None:
        return {}
    return {
        **IPV6_ROUTING,
        **static_ipv6(LAN_BRIDGE),
        **(static_ipv6(WAN) if spec.ipv6_wan is not None else {}),
    }


def _ipv6_end(gateway: TenantGateway, connection: Connection) -> Ipv6End | None:
    lan = connection.site.ipv6_lan if connection.site else None
    if lan is None or gateway.ipv6 is None:
        return None
    leg = connection.kind.ipv6_address if isinstance(connection.kind, Forwarding) else None
    return Ipv6End(str(lan), str(router_of(lan)), str(gateway.ipv6.address), str(leg.ip) if leg else "")


def _far_end(fabric: Fabric, connection: Connection) -> IPv4Address:
    if isinstance(connection.kind, Forwarding):
        return connection.kind.address.ip
    if fabric.gre_vips is None:
        raise ValueError("GRE without GRE VIPs: the topology was not validated")
    # There is one gateway.
    return gre_vip_of(fabric.gre_vips, 0)


def announced(topology: Topology) -> tuple[IPv4Network, ...]:
    """Where the addresses are that gateways announce to the router; none where one does nothing but
    IPsec. Where another may take its place, the VIP goes with it.
    """
    if not (beyond_ipsec(topology) or topology.fabric.redundant_gateways):
        return ()
    front_end = topology.fabric.front_end
    single = tuple(IPv4Network(address) for address in (front_end.vip, *public_addresses(topology)))
    return single + ((front_end.gre_vips,) if front_end.gre_vips else ())


def router_config(
    fabric: Fabric, gateways: tuple[Gateway, ...], tenants: tuple[Tenant, ...]
) -> RouterConfig | None:
    """What the top-of-rack router must know; None: the kernel's routing is all that it does."""
    if not fabric.announced:
        return None
    connections = [item for tenant in tenants if tenant.gateway for item in tenant.gateway.connections]
    return RouterConfig(
        address=str(fabric.front_end.router),
        asn=fabric.asn,
        gateways={gateway.name: str(gateway.front_end) for gateway in gateways},
        gateway_asn=fabric.gateway_asn,
        announced=tuple(str(prefix) for prefix in fabric.announced),
        access_ports=_access_ports(connections, fabric),
    )


def _access_ports(connections: Iterable[Connection], fabric: Fabric) -> dict[str, int]:
    """Edges in a VLAN; where there are any, those without one are kept off them."""
    ports: dict[str, int] = {}
    for item in connections:
        if item.site is not None and isinstance(item.kind, Forwarding):
            ports[port_of(item.site.name)] = item.kind.vlan
    for item in connections if ports else ():
        if item.site and isinstance(item.kind, Gre) and item.site.peer in fabric.front_end.prefix:
            ports[port_of(item.site.name)] = 0
    return ports
