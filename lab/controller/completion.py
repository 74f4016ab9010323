"""What the controller fills in where a client leaves it open: ids, VSIDs, MAC and customer addresses.

What is filled in becomes part of the stored resource, so it stays as it is (`inherited` fields of the
shapes).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from lab.controller import claims
from lab.controller.catalog import NETWORK_INTERFACES, VIRTUAL_NETWORKS, Path, parse_path
from lab.controller.inventory import COMPARTMENT_ADDRESS, COMPARTMENT_IPV6_ADDRESS, Inventory
from lab.controller.models_tenant import IpConfiguration, NetworkInterface, VirtualNetwork, VirtualSubnet
from lab.controller.shapes import VSID_MAX, VSID_MIN, Resource

COMPARTMENT, COMPARTMENT_IPV6 = COMPARTMENT_MACS = ("compartment", "compartment-ipv6")
"""What a compartment's interfaces are called in their MAC addresses and ports, by IP version."""


def derived_mac(purpose: str, owner: str) -> str:
    """A locally administered MAC address, `aa:bb:cc:dd:ee:ff`, that is the same in every run for the same
    owner.
    """
    digest = hashlib.sha256(f"{purpose}/{owner}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


def router_address(prefix: str) -> str:
    """The distributed router's address: always the subnet's first behind the network's own (seed 002; TECH
    "default gateway"). In IPv6 that one is the subnet-router anycast address (RFC 4291 §2.6.1).
    """
    return str(ip_network(prefix)[1])


def free_address(prefix: str, taken: Callable[[str], bool]) -> str | None:
    """The lowest host address behind the router's that is not taken; None if there is none."""
    network = ip_network(prefix)
    addresses = (str(network[number]) for number in range(2, network.num_addresses - 1))
    return next((address for address in addresses if not taken(address)), None)


def is_taken(inventory: Inventory, network: Path) -> Callable[[str], bool]:
    """Whether a customer address of a virtual network is a VM's or a compartment's."""
    compartment = compartment_addresses(inventory, network)
    return lambda address: (
        address in compartment
        or inventory.holder(claims.CUSTOMER_ADDRESS, f"{network.key} {address}") is not None
    )


def compartment_addresses(inventory: Inventory, network: Path) -> set[str]:
    """The addresses that a virtual network's compartment holds in the gateway subnets."""
    found = inventory.find(network)
    rdid = (found[1].properties.routing_domain_id if found else None) or ""
    kinds = (COMPARTMENT_ADDRESS, COMPARTMENT_IPV6_ADDRESS)
    held = (inventory.allocations.get((kind, rdid)) for kind in kinds)
    return {address for address in held if address}


def complete(path: Path, resource: Resource[Any], inventory: Inventory) -> Resource[Any]:
    """A document with everything filled in that the controller decides."""
    rule = _BY_KIND.get(path.collection.segment)
    return resource if rule is None else rule(resource, inventory)


def _virtual_network(resource: Resource[VirtualNetwork], inventory: Inventory) -> Resource[VirtualNetwork]:
    properties = resource.properties
    mine = {s.properties.virtual_subnet_id for s in properties.subnets}
    free = _free_vsids(inventory, mine)
    subnets = tuple(_with_vsid(subnet, free) for subnet in properties.subnets)
    rdid = properties.routing_domain_id or resource.instance_id
    return resource.model_copy(
        update={"properties": properties.model_copy(update={"subnets": subnets, "routing_domain_id": rdid})}
    )


def _free_vsids(inventory: Inventory, mine: Iterable[int | None]) -> Iterator[int]:
    reserved = set(mine)
    return (
        vsid
        for vsid in range(VSID_MIN, VSID_MAX + 1)
        if vsid not in reserved and inventory.holder(claims.VSID, str(vsid)) is None
    )


def _with_vsid(subnet: Resource[VirtualSubnet], free: Iterator[int]) -> Resource[VirtualSubnet]:
    if subnet.properties.virtual_subnet_id is not None:
        return subnet
    properties = subnet.properties.model_copy(update={"virtual_subnet_id": next(free)})
    return subnet.model_copy(update={"properties": properties})


def _network_interface(
    resource: Resource[NetworkInterface], inventory: Inventory
) -> Resource[NetworkInterface]:
    properties = resource.properties
    mac = properties.private_mac_address
    if mac is None:
        mac = derived_mac("interface", resource.instance_id).replace(":", "").upper()
    configurations = tuple(_with_address(item, inventory) for item in properties.ip_configurations)
    return resource.model_copy(
        update={
            "properties": properties.model_copy(
                update={"private_mac_address": mac, "ip_configurations": configurations}
            )
        }
    )


def _with_address(item: Resource[IpConfiguration], inventory: Inventory) -> Resource[IpConfiguration]:
    path = parse_path(item.properties.subnet.resource_ref)
    found = inventory.find(path) if path else None
    # References are checked later: this one may lead to anything.
    prefix = getattr(found[1].properties, "address_prefix", None) if found else None
    if item.properties.private_ip_allocation_method != "Dynamic" or path is None or prefix is None:
        return item
    address = item.properties.private_ip_address
    if address is not None and ip_address(address) in ip_network(prefix):
        return item
    address = free_address(prefix, is_taken(inventory, path.root))
    return item.model_copy(
        update={"properties": item.properties.model_copy(update={"private_ip_address": address})}
    )


_BY_KIND: Mapping[str, Callable[[Resource[Any], Inventory], Resource[Any]]] = {
    VIRTUAL_NETWORKS.segment: _virtual_network,
    NETWORK_INTERFACES.segment: _network_interface,
}
