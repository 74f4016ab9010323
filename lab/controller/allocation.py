"""What the controller gives out once and keeps: provider addresses, homes on a host's team, compartment
addresses, GRE addresses, places on gateways. Pure.

All of it is stored, and none of it changes while it can stay: a PA that moved would cut tunnels, a
compartment that moved would cut a site off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from typing import Any

from lab.controller.catalog import (
    GATEWAYS,
    LOGICAL_NETWORKS,
    NETWORK_INTERFACES,
    SERVERS,
    VIRTUAL_GATEWAYS,
    Path,
    parse_path,
)
from lab.controller.completion import free_address, is_taken, router_address
from lab.controller.connections_link import neighbours
from lab.controller.inventory import (
    COMPARTMENT_ADDRESS,
    COMPARTMENT_IPV6_ADDRESS,
    GRE_VIP,
    HOME,
    PLACEMENT,
    PROVIDER_ADDRESS,
    Inventory,
)
from lab.controller.models_connection import NetworkConnection
from lab.controller.models_fabric import LogicalNetwork, LogicalSubnet, Server
from lab.controller.models_tenant import NetworkInterface, VirtualGateway, VirtualSubnet
from lab.controller.models_vpn import VpnConfiguration
from lab.controller.placement import Candidate, active, best_fit, lacking
from lab.controller.shapes import Resource

TEAM_MEMBERS = 2
"""Most provider links of a host."""
Range = tuple[IPv4Address, IPv4Address]


def settle(inventory: Inventory) -> dict[tuple[str, str], str | None]:
    """What must change in the allocations for the resources as they are; None frees one."""
    tunnel_ends = _gre_vips(inventory)
    wanted = {
        **_provider_addresses(inventory),
        **_homes(inventory),
        **_compartment_addresses(inventory),
        **tunnel_ends,
        **_placements(inventory, {node for _, node in tunnel_ends}),
    }
    have = inventory.allocations
    changes: dict[tuple[str, str], str | None] = {k: v for k, v in wanted.items() if have.get(k) != v}
    return {**dict.fromkeys(have.keys() - wanted.keys()), **changes}


def provider_subnets(
    inventory: Inventory,
    replaced: tuple[Path, Resource[LogicalNetwork]] | None = None,
    without: Path | None = None,
) -> Iterator[LogicalSubnet]:
    """Subnets of the provider network.

    Args:
        inventory: resources as they are.
        replaced: a logical network as it is about to become.
        without: a logical network that is about to go.
    """
    networks = {path.key: resource for path, resource in inventory.all(LOGICAL_NETWORKS)}
    if replaced is not None:
        networks[replaced[0].key] = replaced[1]
    if without is not None:
        networks.pop(without.key, None)
    for network in networks.values():
        if network.properties.network_virtualization_enabled:
            yield from (subnet.properties for subnet in network.properties.subnets)


def provider_pools(
    inventory: Inventory,
    replaced: tuple[Path, Resource[LogicalNetwork]] | None = None,
    without: Path | None = None,
) -> list[Range]:
    """Ranges that provider addresses come from; arguments as for `provider_subnets`."""
    return [
        (IPv4Address(pool.properties.start_ip_address), IPv4Address(pool.properties.end_ip_address))
        for subnet in provider_subnets(inventory, replaced, without)
        for pool in subnet.ip_pools
    ]


def address_owner(node: str, member: int) -> str:
    """Who holds a provider address: a node's team member. The first one is the node itself."""
    return node if member == 0 else f"{node}/{member}"


def provider_addresses(node: str, inventory: Inventory) -> tuple[str, ...]:
    """A node's provider addresses, by team member; as many as were free."""
    found = (
        inventory.allocations.get((PROVIDER_ADDRESS, address_owner(node, member)))
        for member in range(TEAM_MEMBERS)
    )
    return tuple(address for address in found if address)


def _provider_addresses(inventory: Inventory) -> dict[tuple[str, str], str]:
    """One for each member of a host's uplink team, as the product gives them since 2016; gateways have one.

    First ones come first, so that a pool that is too small leaves a host one link rather than another none.
    """
    pools = provider_pools(inventory)
    hosts = inventory.all(SERVERS)
    nodes = [resource.resource_id for _, resource in hosts]
    nodes += [resource.resource_id for _, resource in inventory.all(GATEWAYS)]
    nodes += [
        address_owner(resource.resource_id, member)
        for member in range(1, TEAM_MEMBERS)
        for _, resource in hosts
        if resource.properties.uplink_count > member
    ]
    given = {
        (PROVIDER_ADDRESS, node): address
        for node in nodes
        if (address := inventory.allocations.get((PROVIDER_ADDRESS, node)))
        and any(first <= IPv4Address(address) <= last for first, last in pools)
    }
    used = set(given.values())
    used |= {resource.properties.partner_provider_address or "" for _, resource in _interfaces(inventory)}
    free = (
        address
        for first, last in pools
        for number in range(int(first), int(last) + 1)
        if (address := str(IPv4Address(number))) not in used
    )
    for node in nodes:
        if (PROVIDER_ADDRESS, node) not in given and (address := next(free, None)):
            given[PROVIDER_ADDRESS, node] = address
            used.add(address)  # pools may overlap
    return given


def _interfaces(inventory: Inventory) -> list[tuple[Path, Resource[NetworkInterface]]]:
    return inventory.all(NETWORK_INTERFACES)


def _homes(inventory: Inventory) -> dict[tuple[str, str], str]:
    """Where every interface of a host with a team is at home. One that has no home yet is on the first link:
    that is where it was before the team grew.
    """
    return {
        (HOME, path.key): _kept_home(path, host, inventory) or f"{host.resource_id}/0"
        for server, host in inventory.all(SERVERS)
        if host.properties.uplink_count > 1
        for path in inventory.referrers(server)
        if path.collection is NETWORK_INTERFACES
    }


def _kept_home(interface: Path, host: Resource[Server], inventory: Inventory) -> str | None:
    home = inventory.allocations.get((HOME, interface.key))
    members = [f"{host.resource_id}/{member}" for member in range(host.properties.uplink_count)]
    return home if home in members else None


def settle_interface(path: Path, inventory: Inventory) -> dict[tuple[str, str], str | None]:
    """The same as `settle` for a change of one interface: its home is the least used of its host's links, and
    stays while it is on that host.
    """
    found = inventory.find(path)
    reference = found[1].properties.server if found else None
    at = inventory.at(reference.resource_ref) if reference else None
    host: Resource[Server] | None = at[1] if at else None
    home = None
    if host is not None and host.properties.uplink_count > 1:
        members = [f"{host.resource_id}/{member}" for member in range(host.properties.uplink_count)]
        home = _kept_home(path, host, inventory) or min(members, key=inventory.at_home)
    return {} if inventory.allocations.get((HOME, path.key)) == home else {(HOME, path.key): home}


def gateway_subnet(inventory: Inventory, gateway: VirtualGateway) -> tuple[Path, Resource[Any]] | None:
    """The virtual subnet that a tenant's compartment stands in."""
    return inventory.at(gateway.gateway_subnets[0].resource_ref)


def ipv6_gateway_subnet(
    inventory: Inventory, gateway: VirtualGateway
) -> tuple[Path, Resource[VirtualSubnet]] | None:
    """The IPv6 subnet that it stands in, too; None: it is IPv4 alone."""
    references = gateway.gateway_subnets[1:]
    return inventory.at(references[0].resource_ref) if references else None


def asked_ipv6_address(gateway: VirtualGateway) -> str | None:
    """The address that a gateway's BGP router wants to be reached at (LocalIPv6Address of Add-BgpRouter)."""
    return next((item.properties.local_ipv6_address for item in gateway.bgp_routers), None)


def _compartment_addresses(inventory: Inventory) -> dict[tuple[str, str], str]:
    given = {}
    for _, resource in inventory.all(VIRTUAL_GATEWAYS):
        gateway = resource.properties
        for kind, found, asked in (
            (COMPARTMENT_ADDRESS, gateway_subnet(inventory, gateway), None),
            (
                COMPARTMENT_IPV6_ADDRESS,
                ipv6_gateway_subnet(inventory, gateway),
                asked_ipv6_address(gateway),
            ),
        ):
            network = inventory.find(found[0].root) if found else None
            if found is None or network is None:
                continue
            path, subnet = found
            prefix = subnet.properties.address_prefix
            owner = (kind, network[1].properties.routing_domain_id)
            address = asked if asked and _is_host(asked, prefix) else inventory.allocations.get(owner)
            if address is None or not _is_host(address, prefix):
                address = free_address(prefix, is_taken(inventory, path.root))
            if address is not None:
                given[owner] = address
    return given


def _is_host(address: str, prefix: str) -> bool:
    return ip_address(address) in ip_network(prefix) and address != router_address(prefix)


def _gre_vips(inventory: Inventory) -> dict[tuple[str, str], str]:
    """An address for the GRE tunnels of each gateway whose pool has subnets for them."""
    given: dict[tuple[str, str], str] = {}
    without: dict[tuple[str, str], list[str]] = {}
    for _, gateway in inventory.all(GATEWAYS):
        owner = (GRE_VIP, gateway.resource_id)
        addresses = list(gre_vips(inventory, gateway.properties.pool.resource_ref))
        before = inventory.allocations.get(owner)
        if before in addresses and before not in given.values():
            given[owner] = before
        else:
            without[owner] = addresses
    # Those that keep theirs come first; what one has left is the next one's at once.
    for owner, addresses in without.items():
        if free := next((address for address in addresses if address not in given.values()), None):
            given[owner] = free
    return given


def gre_vips(inventory: Inventory, pool_ref: str) -> Iterator[str]:
    """The addresses that a pool has for GRE tunnels (greVipSubnets), the routers' and those left out that are
    something else's already.
    """
    for subnet in gre_vip_subnets(inventory, pool_ref):
        for address in map(str, IPv4Network(subnet.address_prefix).hosts()):
            if address not in subnet.default_gateways and not inventory.holder("public address", address):
                yield address


def gre_vip_subnets(inventory: Inventory, pool_ref: str) -> Iterator[LogicalSubnet]:
    """The subnets that a pool's gateways get their GRE addresses from."""
    pool = inventory.at(pool_ref)
    for reference in pool[1].properties.ip_configuration.gre_vip_subnets if pool else ():
        found = inventory.at(reference.resource_ref)
        if found is not None:
            yield found[1].properties


def demand_kbps(gateway: VirtualGateway) -> int:
    """Bandwidth of a tenant's connections and remote access, inbound and outbound together."""
    vpn = gateway.vpn_configuration
    rated: list[NetworkConnection | VpnConfiguration] = [c.properties for c in gateway.network_connections]
    rated += [vpn] if vpn else []
    return sum(item.outbound_kilo_bits_per_second + item.inbound_kilo_bits_per_second for item in rated)


def _pool_key(ref: str) -> str:
    path = parse_path(ref)
    return path.key if path else ""


def _placements(inventory: Inventory, with_gre: Collection[str]) -> dict[tuple[str, str], str]:
    """The gateway of each tenant.

    Args:
        inventory: resources as they are.
        with_gre: gateways that have an address for GRE tunnels.
    """
    pools: dict[str, list[str]] = {}
    for _, gateway in inventory.all(GATEWAYS):
        pools.setdefault(_pool_key(gateway.properties.pool.resource_ref), []).append(gateway.resource_id)
    tenants = {path.key: resource.properties for path, resource in inventory.all(VIRTUAL_GATEWAYS)}
    fitting = {key: _fitting(inventory, tenant, pools, with_gre) for key, tenant in tenants.items()}
    placed = {
        key: node
        for key in tenants
        if (node := inventory.allocations.get((PLACEMENT, key)))
        and any(node in nodes for nodes in fitting[key].values())
    }
    for key in sorted(tenants.keys() - placed.keys()):
        candidates = [
            candidate
            for ref, nodes in fitting[key].items()
            for candidate in _candidates(inventory, ref, pools, tenants, placed)
            if candidate.name in nodes
        ]
        beside = neighbours(tenants[key], inventory, placed)
        demand = demand_kbps(tenants[key])
        near = best_fit(demand, [item for item in candidates if item.name in beside])
        if node := near or best_fit(demand, candidates):
            placed[key] = node
    return {(PLACEMENT, key): node for key, node in placed.items()}


def _fitting(
    inventory: Inventory,
    tenant: VirtualGateway,
    pools: Mapping[str, list[str]],
    with_gre: Collection[str],
) -> dict[str, list[str]]:
    """The gateways that can carry all of a tenant, by the reference to their pool."""
    tunnels = any(item.properties.connection_type == "GRE" for item in tenant.network_connections)
    result: dict[str, list[str]] = {}
    for reference in tenant.gateway_pools:
        found = inventory.at(reference.resource_ref)
        if found is not None and not lacking(found[1].properties, tenant):
            nodes = pools.get(found[0].key, [])
            result[reference.resource_ref] = [n for n in nodes if not tunnels or n in with_gre]
    return result


def _candidates(
    inventory: Inventory,
    pool_ref: str,
    pools: Mapping[str, list[str]],
    tenants: Mapping[str, VirtualGateway],
    placed: Mapping[str, str],
) -> Iterator[Candidate]:
    found = inventory.at(pool_ref)
    if found is None:
        return
    pool = found[1].properties
    names = pools.get(found[0].key, [])
    for name in active(names, set(placed.values()), pool.redundant_gateway_count):
        mine = [tenants[key] for key, node in placed.items() if node == name]
        yield Candidate(
            name, pool.gateway_capacity_kilo_bits_per_second, sum(map(demand_kbps, mine)), len(mine)
        )


def active_gateways(inventory: Inventory, pool_ref: str) -> tuple[str, ...]:
    """The gateways of a pool that carry tenants or may."""
    found = inventory.at(pool_ref)
    if found is None:
        return ()
    names = [
        gateway.resource_id
        for _, gateway in inventory.all(GATEWAYS)
        if _pool_key(gateway.properties.pool.resource_ref) == found[0].key
    ]
    loaded = {node for (kind, _), node in inventory.allocations.items() if kind == PLACEMENT}
    return active(names, loaded, found[1].properties.redundant_gateway_count)
