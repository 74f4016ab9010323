"""Tenants' places on gateways, read out of the inventory and of what the gateways report."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import cast

from lab.controller.allocation import ipv6_gateway_subnet
from lab.controller.catalog import GATEWAYS, PUBLIC_IP_ADDRESSES, Path, parse_path
from lab.controller.connections_link import LINK, linked_domains
from lab.controller.connections_nat import NAT, nat_message
from lab.controller.domains import Compartment, Ipv6Place
from lab.controller.inventory import (
    COMPARTMENT_ADDRESS,
    COMPARTMENT_IPV6_ADDRESS,
    GRE_VIP,
    PLACEMENT,
    PROVIDER_ADDRESS,
    Inventory,
)
from lab.controller.models_connection import NetworkConnection
from lab.controller.models_fabric import GatewayPool
from lab.controller.models_tenant import VirtualGateway
from lab.controller.observations import CONNECTED, LearnedRoute, Observation
from lab.controller.shapes import Resource
from lab.controller.vpn import dial_in_record
from lab.prefixes import in_order


def tenant_of(network: Path, inventory: Inventory) -> tuple[Path, Resource[VirtualGateway]] | None:
    """The virtual gateway of a virtual network."""
    ref = inventory.holder("virtual gateway of", network.key)
    found = inventory.at(ref) if ref else None
    return cast("tuple[Path, Resource[VirtualGateway]] | None", found)


def compartment_of(network: Path, rdid: str, inventory: Inventory) -> Compartment | None:
    """The place of a virtual network's tenant on a gateway; None while it has none.

    Args:
        network: path of the virtual network.
        rdid: its routing domain id.
        inventory: resources as they are.
    """
    tenant = tenant_of(network, inventory)
    if tenant is None:
        return None
    path, resource = tenant
    node = inventory.allocations.get((PLACEMENT, path.key))
    address = inventory.allocations.get((COMPARTMENT_ADDRESS, rdid))
    subnet = inventory.at(resource.properties.gateway_subnets[0].resource_ref)
    if (
        node is None
        or address is None
        or subnet is None
        or (PROVIDER_ADDRESS, node) not in inventory.allocations
    ):
        return None
    return Compartment(
        node=node,
        tenant=resource.resource_id,
        vsid=subnet[1].properties.virtual_subnet_id,
        prefix=subnet[1].properties.address_prefix,
        address=address,
        vip=vip_of(node, inventory),
        resource=resource.properties,
        gre_vip=inventory.allocations.get((GRE_VIP, node), ""),
        vlans=_vlans(resource.properties, inventory),
        nats={
            item.resource_id: nat_message(item.properties.nat_configuration, inventory)
            for item in resource.properties.network_connections
            if item.properties.nat_configuration is not None
        },
        dial_in=dial_in_record(vpn, inventory) if (vpn := resource.properties.vpn_configuration) else None,
        links=linked_domains(resource.properties, inventory),
        ipv6=_ipv6_place(resource.properties, rdid, inventory),
    )


def _ipv6_place(gateway: VirtualGateway, rdid: str, inventory: Inventory) -> Ipv6Place | None:
    address = inventory.allocations.get((COMPARTMENT_IPV6_ADDRESS, rdid))
    subnet = ipv6_gateway_subnet(inventory, gateway)
    vsid = subnet[1].properties.virtual_subnet_id if subnet else None
    if address is None or subnet is None or vsid is None:
        return None
    return Ipv6Place(vsid, subnet[1].properties.address_prefix, address)


def _vlans(gateway: VirtualGateway, inventory: Inventory) -> dict[str, int]:
    found = {
        item.resource_id: inventory.at(item.properties.l3_configuration.vlan_subnet.resource_ref)
        for item in gateway.network_connections
        if item.properties.l3_configuration is not None
    }
    return {name: subnet[1].properties.vlan_id for name, subnet in found.items() if subnet is not None}


def vip_of(node: str, inventory: Inventory) -> str:
    """The public address that a gateway's tenants share; empty if its pool has none."""
    gateway = inventory.named(GATEWAYS, node)
    pool = inventory.at(gateway.properties.pool.resource_ref) if gateway else None
    if pool is None:
        return ""
    for reference in cast("GatewayPool", pool[1].properties).ip_configuration.public_ip_addresses:
        path = parse_path(reference.resource_ref)
        address = inventory.named(PUBLIC_IP_ADDRESSES, path.ids[0]) if path else None
        if address is not None:
            return address.properties.ip_address
    return ""


def routes_of(compartment: Compartment, observation: Observation | None) -> tuple[LearnedRoute, ...]:
    """What lies behind a compartment, as its gateway observes it."""
    if observation is None or observation.node != compartment.node:
        return ()
    up = {name for name, seen in observation.connections.items() if seen.state == CONNECTED}
    static = (
        LearnedRoute(route.destination_prefix, route.metric)
        for connection in compartment.resource.network_connections
        if connection.resource_id.lower() in up or _on_demand(connection.properties)
        for route in connection.properties.routes
    )
    callers = compartment.dial_in
    pool = [LearnedRoute(callers.dial_in.pool, 0)] if callers and callers.name in up else []
    return best_routes((*observation.routes, *static, *pool))


def _on_demand(connection: NetworkConnection) -> bool:
    """Whether it is the first packet that has it called: hosts must send it."""
    ipsec = connection.ip_sec_configuration
    return ipsec is not None and not ipsec.persistent


def best_routes(routes: Iterable[LearnedRoute]) -> tuple[LearnedRoute, ...]:
    """One route for each prefix: the one with the lowest metric (New-NetVirtualizationCustomerRoute)."""
    best: dict[str, LearnedRoute] = {}
    for route in routes:
        if route.prefix not in best or route.metric < best[route.prefix].metric:
            best[route.prefix] = route
    return tuple(sorted(best.values(), key=lambda r: in_order(r.prefix)))


def unreachable_peers(gateway: VirtualGateway) -> list[str]:
    """BGP peers that no connection has a static route to.

    NAT leads to none, as nobody calls in through it; nor does a link, which carries nothing of a compartment.

    The product wants every peer's address among a connection's routes; without, its virtual gateway shows
    PolicyConfigurationFailure
    (Troubleshoot-SDNExpress-PolicyConfigurationFailure-VirtualGateway-NetworkConnection).
    """
    prefixes = [
        ip_network(route.destination_prefix)
        for connection in gateway.network_connections
        if connection.properties.connection_type not in (NAT, LINK)
        for route in connection.properties.routes
    ]
    return [
        peer.properties.peer_ip_address
        for router in gateway.bgp_routers
        for peer in router.properties.bgp_peers
        if not any(ip_address(peer.properties.peer_ip_address) in prefix for prefix in prefixes)
    ]


def network_of_gateway(gateway: Resource[VirtualGateway]) -> Path | None:
    """The virtual network that a virtual gateway belongs to."""
    path = parse_path(gateway.properties.gateway_subnets[0].resource_ref)
    return path.root if path else None
