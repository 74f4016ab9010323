"""One routing domain as the compiler wants it: everything that its policy depends on, and nothing else.

A `Domain` is plain, frozen data. Two equal domains have equal policy, which is how the controller knows
without compiling that a change concerns nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import cast

from lab.controller.allocation import provider_subnets
from lab.controller.catalog import (
    GATEWAYS,
    NETWORK_INTERFACES,
    PUBLIC_IP_ADDRESSES,
    SERVERS,
    VIRTUAL_NETWORKS,
    Path,
    parse_path,
)
from lab.controller.inventory import COMPARTMENT_ADDRESS, PLACEMENT, PROVIDER_ADDRESS, Document, Inventory
from lab.controller.models_fabric import GatewayPool
from lab.controller.models_tenant import (
    NetworkInterface,
    VirtualGateway,
    VirtualNetwork,
)
from lab.controller.observations import CONNECTED, LearnedRoute, Observation
from lab.controller.shapes import Resource, mac_text


@dataclass(frozen=True, slots=True)
class Subnet:
    """A virtual subnet."""

    vsid: int
    prefix: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A VM's vport on a node. MAC as `aa:bb:cc:dd:ee:ff`; `interface` is what it was made from."""

    interface_id: str
    node: str
    vsid: int
    address: str
    mac: str
    interface: Resource[NetworkInterface] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Compartment:
    """A tenant's place on a gateway. `resource` is what the client wants, secrets included."""

    node: str
    tenant: str
    vsid: int
    prefix: str
    address: str
    vip: str
    resource: VirtualGateway


@dataclass(frozen=True, slots=True)
class Domain:
    """A routing domain.

    Attributes:
        rdid: routing domain id.
        subnets: all its virtual subnets.
        endpoints: VMs on nodes that have a provider address.
        compartment: its gateway, if it has one that is placed.
        routes: what lies behind the compartment: learned by BGP, and static of established connections.
        provider_addresses: PA by node, for the nodes that carry the domain.
    """

    rdid: str
    subnets: tuple[Subnet, ...]
    endpoints: tuple[Endpoint, ...]
    compartment: Compartment | None
    routes: tuple[LearnedRoute, ...]
    provider_addresses: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ProviderEnd:
    """A node's provider interface: its PA and the way out of the provider subnet (empty: none)."""

    address: str
    prefix_length: int
    gateway: str


def domain_of(
    network: tuple[Path, Resource[VirtualNetwork]],
    inventory: Inventory,
    observations: Mapping[str, Observation],
    before: Domain | None = None,
) -> Domain:
    """The routing domain of a virtual network.

    Args:
        network: where it stands, and what it is.
        inventory: resources as they are.
        observations: what the gateways report, by routing domain.
        before: the routing domain as it was; what has not changed is taken from it, for speed.
    """
    path, resource = network
    rdid = resource.properties.routing_domain_id or ""
    vsids = {
        path.below(path.collection.children[0], s.resource_id).key: s.properties.virtual_subnet_id or 0
        for s in resource.properties.subnets
    }
    addresses = inventory.allocations
    known = {e.interface_id: e for e in before.endpoints} if before else {}
    endpoints = tuple(
        e for e in _endpoints(vsids, inventory, known) if (PROVIDER_ADDRESS, e.node) in addresses
    )
    compartment = _compartment(path, rdid, inventory)
    nodes = {e.node for e in endpoints} | ({compartment.node} if compartment else set())
    return Domain(
        rdid=rdid,
        subnets=tuple(
            Subnet(s.properties.virtual_subnet_id or 0, s.properties.address_prefix)
            for s in resource.properties.subnets
        ),
        endpoints=endpoints,
        compartment=compartment,
        routes=_routes(compartment, observations.get(rdid)) if compartment else (),
        provider_addresses={node: addresses[PROVIDER_ADDRESS, node] for node in sorted(nodes)},
    )


def _endpoints(
    vsids: Mapping[str, int], inventory: Inventory, known: Mapping[str, Endpoint]
) -> Iterator[Endpoint]:
    for key, vsid in vsids.items():
        subnet = parse_path(key)
        for holder in inventory.referrers(subnet) if subnet else ():
            found = inventory.find(holder.root)
            if found is None or holder.root.collection is not NETWORK_INTERFACES:
                continue
            interface = found[1]
            before = known.get(interface.resource_id)
            if before is not None and before.interface is interface and before.vsid == vsid:
                yield before
            else:
                yield from _endpoint(interface, vsid, inventory)


def _endpoint(interface: Resource[NetworkInterface], vsid: int, inventory: Inventory) -> Iterator[Endpoint]:
    properties = interface.properties
    host = inventory.at(properties.server.resource_ref) if properties.server else None
    if host is None or properties.private_mac_address is None:
        return
    for configuration in properties.ip_configurations:
        address = configuration.properties.private_ip_address
        if address is not None:
            yield Endpoint(
                interface.resource_id,
                host[1].resource_id,
                vsid,
                address,
                mac_text(properties.private_mac_address),
                interface,
            )


def tenant_of(network: Path, inventory: Inventory) -> tuple[Path, Resource[VirtualGateway]] | None:
    """The virtual gateway of a virtual network."""
    ref = inventory.holder("virtual gateway of", network.key)
    found = inventory.at(ref) if ref else None
    return cast("tuple[Path, Resource[VirtualGateway]] | None", found)


def _compartment(network: Path, rdid: str, inventory: Inventory) -> Compartment | None:
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
    )


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


def _routes(compartment: Compartment, observation: Observation | None) -> tuple[LearnedRoute, ...]:
    if observation is None or observation.node != compartment.node:
        return ()
    static = (
        LearnedRoute(route.destination_prefix, route.metric)
        for connection in compartment.resource.network_connections
        if (seen := observation.connections.get(connection.resource_id.lower())) and seen.state == CONNECTED
        for route in connection.properties.routes
    )
    return best_routes((*observation.routes, *static))


def best_routes(routes: Iterable[LearnedRoute]) -> tuple[LearnedRoute, ...]:
    """One route for each prefix: the one with the lowest metric (New-NetVirtualizationCustomerRoute)."""
    best: dict[str, LearnedRoute] = {}
    for route in routes:
        if route.prefix not in best or route.metric < best[route.prefix].metric:
            best[route.prefix] = route
    return tuple(sorted(best.values(), key=lambda r: IPv4Network(r.prefix)))


def unreachable_peers(gateway: VirtualGateway) -> list[str]:
    """BGP peers that no connection has a static route to.

    The product wants every peer's address among a connection's routes; without, its virtual gateway shows
    PolicyConfigurationFailure
    (Troubleshoot-SDNExpress-PolicyConfigurationFailure-VirtualGateway-NetworkConnection).
    """
    prefixes = [
        IPv4Network(route.destination_prefix)
        for connection in gateway.network_connections
        for route in connection.properties.routes
    ]
    return [
        peer.properties.peer_ip_address
        for router in gateway.bgp_routers
        for peer in router.properties.bgp_peers
        if not any(IPv4Network(peer.properties.peer_ip_address).subnet_of(p) for p in prefixes)
    ]


def provider_end(node: str, inventory: Inventory) -> ProviderEnd | None:
    """The provider interface of a node; None while it has no PA."""
    address = inventory.allocations.get((PROVIDER_ADDRESS, node))
    if address is None:
        return None
    for subnet in provider_subnets(inventory):
        network = IPv4Network(subnet.address_prefix)
        if IPv4Network(address).subnet_of(network):
            return ProviderEnd(address, network.prefixlen, next(iter(subnet.default_gateways), ""))
    return None


def nodes_of(inventory: Inventory) -> dict[str, str]:
    """The kind of every node that an agent may speak for, by name."""
    hosts = {resource.resource_id: "host" for _, resource in inventory.all(SERVERS)}
    return hosts | {resource.resource_id: "gateway" for _, resource in inventory.all(GATEWAYS)}


def network_of_gateway(gateway: Resource[VirtualGateway]) -> Path | None:
    """The virtual network that a virtual gateway belongs to."""
    path = parse_path(gateway.properties.gateway_subnets[0].resource_ref)
    return path.root if path else None


def networks_of(document: Document | None) -> set[Path]:
    """The virtual networks whose policy depends on a tenant's document."""
    if document is None:
        return set()
    properties = document.resource.properties
    match properties:
        case VirtualNetwork():
            return {document.path}
        case NetworkInterface():
            refs = [c.properties.subnet.resource_ref for c in properties.ip_configurations]
        case VirtualGateway():
            refs = [reference.resource_ref for reference in properties.gateway_subnets]
        case _:
            refs = []
    paths = (path.root for ref in refs if (path := parse_path(ref)))
    # An interface may stand on a logical network, which no routing domain has.
    return {path for path in paths if path.collection is VIRTUAL_NETWORKS}


def domains_in(document: Document | None) -> set[str]:
    """The routing domains that a document makes."""
    properties = document.resource.properties if document else None
    return {properties.routing_domain_id or ""} if isinstance(properties, VirtualNetwork) else set()
