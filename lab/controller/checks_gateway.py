"""What must be true of gateway pools, and of virtual gateways with their connections and BGP routers."""

from __future__ import annotations

from collections.abc import Iterator

from lab.controller.allocation import gre_vips
from lab.controller.catalog import GATEWAY_POOLS, Path, children, parse_path
from lab.controller.checks_bgp import bgp
from lab.controller.checks_connection import check_connection, outside_of_vlan
from lab.controller.inventory import Inventory
from lab.controller.models_connection import NetworkConnection
from lab.controller.models_fabric import GatewayPool
from lab.controller.models_tenant import VirtualGateway
from lab.controller.placement import carries, lacking
from lab.controller.refusals import Complaint, in_use, invalid
from lab.controller.shapes import Resource
from lab.controller.vpn import check_vpn
from lab.prefixes import version_of


def gateway_pool(_path: Path, resource: Resource[GatewayPool], inventory: Inventory) -> Iterator[Complaint]:
    """The rules of a gateway pool (MS-NCNBI §3.1.5.3)."""
    pool = resource.properties
    if pool.type in ("S2sIpSec", "All") and not pool.ip_configuration.public_ip_addresses:
        yield invalid(
            "A pool for IPsec connections needs a public address that its tenants share.",
            "properties.ipConfiguration.publicIPAddresses",
        )
    if pool.type == "S2sGre" and not pool.ip_configuration.gre_vip_subnets:
        yield invalid(
            "A pool for GRE connections needs subnets that its gateways get their GRE addresses from.",
            "properties.ipConfiguration.greVipSubnets",
        )
    for reference in pool.ip_configuration.public_ip_addresses:
        target = parse_path(reference.resource_ref)
        others = (
            [path.ref for path in inventory.referrers(target) if path.collection is not GATEWAY_POOLS]
            if target
            else []
        )
        if target is not None and others:
            # A pool's address is all its tenants'; theirs is one tenant's alone.
            yield in_use(target.ref, others)


def virtual_gateway(
    path: Path, resource: Resource[VirtualGateway], inventory: Inventory
) -> Iterator[Complaint]:
    """The rules of a virtual gateway that is PUT."""
    yield from standing_gateway(path, resource, inventory)
    for at, child in children(path, resource):
        if isinstance(child.properties, NetworkConnection):
            yield from outside_of_vlan(at, child.properties, inventory)


def standing_gateway(
    path: Path, resource: Resource[VirtualGateway], inventory: Inventory
) -> Iterator[Complaint]:
    """The rules of a virtual gateway that stands: also when something is PUT that it refers to."""
    gateway = resource.properties
    yield from _gateway_subnets(gateway, inventory)
    for at, child in children(path, resource):
        if isinstance(child.properties, NetworkConnection):
            yield from _pool(at, child.properties, gateway, inventory)
            yield from check_connection(at, child.properties, gateway, inventory)
    yield from _whole(gateway, inventory)
    yield from check_vpn(path, gateway, inventory)
    yield from bgp(path, resource, inventory)


def _gateway_subnets(gateway: VirtualGateway, inventory: Inventory) -> Iterator[Complaint]:
    """A compartment is IPv4, and IPv6 beside it where the tenant wants that."""
    found = [inventory.at(reference.resource_ref) for reference in gateway.gateway_subnets]
    subnets = [item for item in found if item is not None]
    if len(subnets) < len(found):
        return
    versions = [version_of(subnet[1].properties.address_prefix) for subnet in subnets]
    if versions not in ([4], [4, 6]):
        yield invalid(
            "A gateway's compartment is IPv4, and so is the first subnet it stands in; a second one is IPv6,"
            " for a compartment that is IPv6 as well.",
            "gatewaySubnets",
        )
    if len({path.root.key for path, _ in subnets}) > 1:
        yield invalid("Both gateway subnets are of one virtual network.", "gatewaySubnets")


def _pools(gateway: VirtualGateway, inventory: Inventory) -> list[GatewayPool]:
    found = (inventory.at(reference.resource_ref) for reference in gateway.gateway_pools)
    return [pool[1].properties for pool in found if pool is not None]


def _pool(
    at: Path, connection: NetworkConnection, gateway: VirtualGateway, inventory: Inventory
) -> Iterator[Complaint]:
    kind, pools = connection.connection_type, _pools(gateway, inventory)
    if not any(carries(pool, kind) for pool in pools):
        types = ", ".join(pool.type for pool in pools)
        yield invalid(
            f"No gateway pool of this virtual gateway is for {kind} connections ({types}); one of type "
            "'All' is.",
            f"{at.ref}: connectionType",
        )
    elif kind == "GRE" and not any(
        next(gre_vips(inventory, ref.resource_ref), None) for ref in gateway.gateway_pools
    ):
        yield invalid(
            "No gateway pool of this virtual gateway has greVipSubnets, of which its gateways get their GRE "
            "addresses.",
            f"{at.ref}: connectionType",
        )


def _whole(gateway: VirtualGateway, inventory: Inventory) -> Iterator[Complaint]:
    """A tenant's compartment is on one gateway, with all that belongs to it."""
    pools = _pools(gateway, inventory)
    if len(pools) > 1 and all(lacking(pool, gateway) for pool in pools):
        missing = "; ".join(f"{pool.type}: no {', '.join(lacking(pool, gateway))}" for pool in pools)
        yield invalid(
            "A virtual gateway stands on one gateway as a whole, and none of its pools is for all its "
            f"connections ({missing}).",
            "properties.gatewayPools",
        )
