"""The resources as the compiler wants them: routing domains and nodes, read out of the inventory."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, ip_address, ip_network

from lab.controller.allocation import provider_addresses, provider_subnets
from lab.controller.catalog import (
    GATEWAYS,
    NETWORK_INTERFACES,
    SERVERS,
    VIRTUAL_NETWORK_MANAGER,
    VIRTUAL_NETWORKS,
    Path,
    parse_path,
)
from lab.controller.domains import (
    Compartment,
    Endpoint,
    Frame,
    FrontEndBgp,
    Hop,
    NodeEnd,
    PortRules,
    ProviderInterface,
    Router,
    Subnet,
)
from lab.controller.gateways import compartment_of, routes_of
from lab.controller.inventory import (
    HOME,
    Document,
    Inventory,
)
from lab.controller.models_fabric import Server
from lab.controller.models_policy import PortSettings, RouteTable, VirtualNetworkManager
from lab.controller.models_tenant import (
    NetworkInterface,
    VirtualGateway,
    VirtualNetwork,
    VirtualSubnet,
)
from lab.controller.observations import Observation
from lab.controller.shapes import Reference, Resource, as_number, mac_text

KBPS_PER_MBPS = 1000


def frame_of(
    network: tuple[Path, Resource[VirtualNetwork]],
    inventory: Inventory,
    observations: Mapping[str, Observation],
) -> Frame:
    """What concerns the routing domain of a virtual network as a whole.

    Args:
        network: where it stands, and what it is.
        inventory: resources as they are.
        observations: what the gateways report, by routing domain.
    """
    path, resource = network
    rdid = resource.properties.routing_domain_id or ""
    subnets = resource.properties.subnets
    compartment = compartment_of(path, rdid, inventory)
    external = manager_of(inventory).use_external_router
    return Frame(
        rdid=rdid,
        subnets=tuple(
            Subnet(
                s.properties.virtual_subnet_id or 0,
                s.properties.address_prefix,
                _hops(s.properties.route_table, subnets, inventory),
            )
            for s in subnets
        ),
        compartment=compartment,
        router=_router(compartment, external, inventory),
        routes=routes_of(compartment, observations.get(rdid)) if compartment else (),
        external=external,
    )


def _router(compartment: Compartment | None, external: bool, inventory: Inventory) -> Router | None:
    """The gateway of a routing domain. In external router mode hosts cannot do without one: a domain that has
    no compartment gets the first gateway.
    """
    if compartment is not None:
        nodes = [compartment.node]
    elif external:
        nodes = [resource.resource_id for _, resource in inventory.all(GATEWAYS)]
    else:
        nodes = []
    found = ((node, addresses) for node in nodes if (addresses := provider_addresses(node, inventory)))
    return next((Router(node, addresses[0]) for node, addresses in found), None)


def _hops(
    reference: Reference | None, subnets: tuple[Resource[VirtualSubnet], ...], inventory: Inventory
) -> tuple[Hop, ...]:
    found = inventory.at(reference.resource_ref) if reference else None
    if found is None:
        return ()
    table: RouteTable = found[1].properties
    return tuple(
        Hop(
            route.address_prefix,
            route.next_hop_ip_address or "",
            _home_of(route.next_hop_ip_address, subnets),
        )
        for route in (item.properties for item in table.routes)
    )


def _home_of(address: str | None, subnets: tuple[Resource[VirtualSubnet], ...]) -> int:
    if address is None:
        return 0
    hop = ip_address(address)
    return next(
        s.properties.virtual_subnet_id or 0 for s in subnets if hop in ip_network(s.properties.address_prefix)
    )


def endpoints_of(
    network: tuple[Path, Resource[VirtualNetwork]], inventory: Inventory, known: Mapping[str, Endpoint]
) -> dict[str, Endpoint | None]:
    """Every address of a virtual network by interface id, and None for each that is there no more.

    Args:
        network: where it stands, and what it is.
        inventory: resources as they are.
        known: as they were.
    """
    path, resource = network
    below = path.collection.children[0]
    now = {
        endpoint.interface_id: endpoint
        for subnet in resource.properties.subnets
        for holder in inventory.referrers(path.below(below, subnet.resource_id))
        if holder.root.collection is NETWORK_INTERFACES
        if (endpoint := endpoint_of(holder.root, inventory, known)) is not None
    }
    return dict.fromkeys(known) | now


def endpoint_of(
    interface: Path, inventory: Inventory, known: Mapping[str, Endpoint] | None = None
) -> Endpoint | None:
    """The address that an interface holds on a virtual network; None while it is nowhere.

    Args:
        interface: path of the networkInterface.
        inventory: resources as they are.
        known: as they were, by interface id; what is as before is taken from there, for speed.
    """
    found = inventory.find(interface)
    properties: NetworkInterface | None = found[1].properties if found else None
    if found is None or properties is None or not properties.ip_configurations:
        return None
    configuration = properties.ip_configurations[0].properties
    subnet = inventory.at(configuration.subnet.resource_ref)
    node, address = _whereabouts(found[0], properties, inventory)
    if (
        subnet is None
        or subnet[0].root.collection is not VIRTUAL_NETWORKS
        or not address
        or configuration.private_ip_address is None
        or properties.private_mac_address is None
    ):
        return None
    on: VirtualSubnet = subnet[1].properties
    acls = tuple(
        acl[1].resource_id
        for reference in (configuration.access_control_list, on.access_control_list)
        if reference and (acl := inventory.at(reference.resource_ref))
    )
    before = (known or {}).get(found[1].resource_id)
    if (
        before is not None
        and before.interface is found[1]
        and (before.node, before.provider_address, before.vsid) == (node, address, on.virtual_subnet_id)
        and before.acls == acls
    ):
        return before
    return Endpoint(
        interface_id=found[1].resource_id,
        node=node,
        vsid=on.virtual_subnet_id or 0,
        address=configuration.private_ip_address,
        mac=mac_text(properties.private_mac_address),
        provider_address=address,
        acls=acls,
        rules=_port_rules(properties.port_settings),
        interface=found[1],
    )


def _whereabouts(path: Path, interface: NetworkInterface, inventory: Inventory) -> tuple[str, str]:
    """The node of an interface and the provider address that it is at home on; empty: none."""
    if interface.partner_provider_address is not None:
        return "", interface.partner_provider_address
    host = inventory.at(interface.server.resource_ref) if interface.server else None
    if host is None:
        return "", ""
    node = host[1].resource_id
    addresses = provider_addresses(node, inventory)
    if len(addresses) < 2:
        return node, next(iter(addresses), "")
    home = inventory.allocations.get((HOME, path.key), "")
    return node, addresses[int(home.rpartition("/")[2] or 0)]


def _port_rules(settings: PortSettings) -> PortRules:
    qos = settings.qos_settings
    return PortRules(
        forwarding=settings.ip_forwarding_enabled,
        dhcp_server=not settings.dhcp_guard_enabled,
        router_advertiser=not settings.router_guard_enabled,
        storm_limit_pps=settings.storm_limit,
        outbound_maximum_kbps=qos.outbound_maximum_mbps * KBPS_PER_MBPS,
        outbound_reserved_kbps=qos.outbound_reserved_value * KBPS_PER_MBPS,
        inbound_maximum_kbps=qos.inbound_maximum_mbps * KBPS_PER_MBPS,
    )


def manager_of(inventory: Inventory) -> VirtualNetworkManager:
    """How the lab's virtual networks are carried."""
    found = inventory.named(VIRTUAL_NETWORK_MANAGER, VIRTUAL_NETWORK_MANAGER.only)
    return found.properties if found else VirtualNetworkManager()


def node_end(node: str, inventory: Inventory) -> NodeEnd | None:
    """A node's side of the fabric; None while it has no PA."""
    interfaces = tuple(
        interface
        for address in provider_addresses(node, inventory)
        if (interface := _provider_interface(address, inventory))
    )
    if not interfaces:
        return None
    manager = manager_of(inventory)
    server: Resource[Server] | None = inventory.named(SERVERS, node)
    host = server.properties if server else None
    return NodeEnd(
        interfaces,
        encapsulation=manager.network_virtualization_protocol.lower(),
        dscp=manager.dscp_mode,
        team_mode=host.team_mode if host else "hyper-v-port",
        external_router=host is None and manager.use_external_router,
        uplink_kbps=host.uplink_mbps * KBPS_PER_MBPS if host else 0,
        front_end=_front_end(node, inventory),
    )


def _front_end(node: str, inventory: Inventory) -> FrontEndBgp | None:
    gateway = inventory.named(GATEWAYS, node)
    bgp = gateway.properties.bgp_config if gateway else None
    if bgp is None:
        return None
    peers = tuple((peer.peer_ip, as_number(peer.peer_ext_as_number)) for peer in bgp.bgp_peer)
    return FrontEndBgp(as_number(bgp.ext_as_number), peers)


def _provider_interface(address: str, inventory: Inventory) -> ProviderInterface | None:
    for subnet in provider_subnets(inventory):
        network = IPv4Network(subnet.address_prefix)
        if IPv4Network(address).subnet_of(network):
            return ProviderInterface(address, network.prefixlen, next(iter(subnet.default_gateways), ""))
    return None


def nodes_of(inventory: Inventory) -> dict[str, str]:
    """The kind of every node that an agent may speak for, by name."""
    hosts = {resource.resource_id: "host" for _, resource in inventory.all(SERVERS)}
    return hosts | {resource.resource_id: "gateway" for _, resource in inventory.all(GATEWAYS)}


def networks_of(document: Document | None, inventory: Inventory) -> set[Path]:
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
        case RouteTable():
            refs = [holder.ref for holder in inventory.referrers(document.path)]
        case _:
            refs = []
    paths = (path.root for ref in refs if (path := parse_path(ref)))
    # An interface may stand on a logical network, which no routing domain has.
    return {path for path in paths if path.collection is VIRTUAL_NETWORKS}


def domains_in(document: Document | None) -> set[str]:
    """The routing domains that a document makes."""
    properties = document.resource.properties if document else None
    return {properties.routing_domain_id or ""} if isinstance(properties, VirtualNetwork) else set()
