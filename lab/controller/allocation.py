"""What the controller gives out once and keeps: provider addresses, compartment addresses, places on
gateways. Pure.

All of it is stored, and none of it changes while it can stay: a PA that moved would cut tunnels, a
compartment that moved would cut a site off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from lab.controller.catalog import (
    GATEWAYS,
    LOGICAL_NETWORKS,
    SERVERS,
    VIRTUAL_GATEWAYS,
    Path,
    parse_path,
)
from lab.controller.completion import free_address, is_taken, router_address
from lab.controller.inventory import COMPARTMENT_ADDRESS, PLACEMENT, PROVIDER_ADDRESS, Inventory
from lab.controller.models_fabric import LogicalNetwork, LogicalSubnet
from lab.controller.models_tenant import VirtualGateway
from lab.controller.placement import Candidate, active, best_fit
from lab.controller.shapes import Resource

Allocations = Mapping[tuple[str, str], str]
Range = tuple[IPv4Address, IPv4Address]


def settle(inventory: Inventory) -> dict[tuple[str, str], str | None]:
    """What must change in the allocations for the resources as they are; None frees one."""
    wanted = {
        **_provider_addresses(inventory),
        **_compartment_addresses(inventory),
        **_placements(inventory),
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


def _provider_addresses(inventory: Inventory) -> dict[tuple[str, str], str]:
    pools = provider_pools(inventory)
    hosts = [resource.resource_id for _, resource in inventory.all(SERVERS)]
    nodes = hosts + [resource.resource_id for _, resource in inventory.all(GATEWAYS)]
    given = {
        (PROVIDER_ADDRESS, node): address
        for node in nodes
        if (address := inventory.allocations.get((PROVIDER_ADDRESS, node)))
        and any(first <= IPv4Address(address) <= last for first, last in pools)
    }
    used = set(given.values())
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


def gateway_subnet(inventory: Inventory, gateway: VirtualGateway) -> tuple[Path, Resource[Any]] | None:
    """The virtual subnet that a tenant's compartment stands in."""
    return inventory.at(gateway.gateway_subnets[0].resource_ref)


def _compartment_addresses(inventory: Inventory) -> dict[tuple[str, str], str]:
    given = {}
    for _, resource in inventory.all(VIRTUAL_GATEWAYS):
        found = gateway_subnet(inventory, resource.properties)
        network = inventory.find(found[0].root) if found else None
        if found is None or network is None:
            continue
        path, subnet = found
        owner = (COMPARTMENT_ADDRESS, network[1].properties.routing_domain_id)
        address = inventory.allocations.get(owner)
        if address is None or not _is_host(address, subnet.properties.address_prefix):
            address = free_address(subnet.properties.address_prefix, is_taken(inventory, path.root))
        if address is not None:
            given[owner] = address
    return given


def _is_host(address: str, prefix: str) -> bool:
    return IPv4Address(address) in IPv4Network(prefix) and address != router_address(prefix)


def demand_kbps(gateway: VirtualGateway) -> int:
    """Bandwidth of a tenant's connections, inbound and outbound together."""
    return sum(
        c.properties.outbound_kilo_bits_per_second + c.properties.inbound_kilo_bits_per_second
        for c in gateway.network_connections
    )


def _pool_key(ref: str) -> str:
    path = parse_path(ref)
    return path.key if path else ""


def _placements(inventory: Inventory) -> dict[tuple[str, str], str]:
    pools: dict[str, list[str]] = {}
    for _, gateway in inventory.all(GATEWAYS):
        pools.setdefault(_pool_key(gateway.properties.pool.resource_ref), []).append(gateway.resource_id)
    tenants = {path.key: resource.properties for path, resource in inventory.all(VIRTUAL_GATEWAYS)}
    placed = {
        key: node
        for key, tenant in tenants.items()
        if (node := inventory.allocations.get((PLACEMENT, key)))
        and any(node in pools.get(_pool_key(ref.resource_ref), ()) for ref in tenant.gateway_pools)
    }
    for key in sorted(tenants.keys() - placed.keys()):
        candidates = [
            candidate
            for ref in tenants[key].gateway_pools
            for candidate in _candidates(inventory, ref.resource_ref, pools, tenants, placed)
        ]
        if node := best_fit(demand_kbps(tenants[key]), candidates):
            placed[key] = node
    return {(PLACEMENT, key): node for key, node in placed.items()}


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
