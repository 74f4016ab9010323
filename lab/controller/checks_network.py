"""What must be true of virtual networks and of the interfaces on them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from operator import itemgetter

from lab.controller.allocation import provider_pools, provider_subnets
from lab.controller.catalog import VIRTUAL_GATEWAYS, VIRTUAL_NETWORKS, Path, children
from lab.controller.checks_policy import port_settings, subnet_routes
from lab.controller.completion import COMPARTMENT_MACS, compartment_addresses, derived_mac, router_address
from lab.controller.connections_link import frozen
from lab.controller.inventory import Inventory
from lab.controller.models_tenant import NetworkInterface, VirtualNetwork
from lab.controller.refusals import Complaint, in_use, invalid
from lab.controller.shapes import Resource, mac_text
from lab.controller.vpn import check_subnets
from lab.prefixes import Network, inside, version_of

SMALLEST_SUBNET = {4: 30, 6: 126}
"""Longest prefix of a virtual subnet by IP version: it must hold the router and one more."""
_MAPPED = IPv6Network("::ffff:0:0/96")
"""The switch writes IPv4 addresses so: no IPv6 subnet may look like them (RFC 4291 §2.5.5.2)."""


def virtual_network(
    path: Path, resource: Resource[VirtualNetwork], inventory: Inventory
) -> Iterator[Complaint]:
    """The rules of a virtual network."""
    space = [ip_network(prefix) for prefix in resource.properties.address_space.address_prefixes]
    subnets = [(at, ip_network(item.properties.address_prefix)) for at, item in children(path, resource)]
    for at, network in subnets:
        if not any(inside(network, prefix) for prefix in space):
            yield invalid(
                f"'{network}' is not a valid argument for 'addressPrefix' of a subnet: it is outside of the "
                f"address space {', '.join(map(str, space))}.",
                at.ref,
            )
        if network.prefixlen > SMALLEST_SUBNET[network.version]:
            yield invalid(f"'{network}' has no room for a router and a host.", at.ref)
        if isinstance(network, IPv6Network) and _special(network):
            yield invalid(f"'{network}' is no prefix of unicast addresses that can be routed.", at.ref)
    for version in (4, 6):
        yield from _overlaps([item for item in subnets if item[1].version == version])
    for at, network in subnets:
        yield from _left_behind(at, network, inventory)
    yield from frozen(path, resource, inventory)
    yield from subnet_routes(path, resource, inventory)
    yield from check_subnets(path, resource, inventory)


def _special(network: IPv6Network) -> bool:
    return (
        network.is_multicast
        or network.is_link_local
        or network.overlaps(_MAPPED)
        or network.overlaps(IPv6Network("::/127"))
    )


def _overlaps(subnets: list[tuple[Path, Network]]) -> Iterator[Complaint]:
    outer: Network | None = None
    # Two prefixes are apart, or one holds the other; sorted, it stands right before what it holds.
    for at, network in sorted(subnets, key=itemgetter(1)):
        if outer is not None and inside(network, outer):
            yield invalid(f"'{network}' overlaps with '{outer}' in the same virtual network.", at.ref)
        else:
            outer = network


def _left_behind(at: Path, network: Network, inventory: Inventory) -> Iterator[Complaint]:
    """Interfaces whose address a change of the subnet's prefix would leave outside, and a gateway that has it
    for its IP version.
    """
    before = inventory.find(at)
    if before is None or (before_prefix := before[1].properties.address_prefix) == str(network):
        return
    for path in inventory.referrers(at):
        holder = inventory.find(path)
        address = getattr(holder[1].properties, "private_ip_address", None) if holder else None
        if address and (why := unusable(address, network)):
            yield in_use(at.ref, [f"{path.ref} ({why})"])
        if path.collection is VIRTUAL_GATEWAYS and network.version != version_of(before_prefix):
            why = (
                "its compartment has an interface in an IPv4 subnet first, and may have one in an IPv6 subnet"
            )
            yield in_use(at.ref, [f"{path.ref} ({why})"])


def unusable(address: str, network: Network) -> str:
    """Why a customer address cannot be a VM's in this subnet; empty if it can."""
    ip = ip_address(address)
    if ip not in network:
        return f"{address} is outside of {network}"
    if address == router_address(str(network)):
        return f"{address}, the first address of {network}, is the distributed router's"
    if network.version == 4 and ip in (network[0], network[-1]):
        return f"{address} is the network's or the broadcast address of {network}"
    if ip == network[0]:
        return f"{address} is the subnet-router anycast address of {network}"
    return ""


def network_interface(
    path: Path, resource: Resource[NetworkInterface], inventory: Inventory
) -> Iterator[Complaint]:
    """The rules of an interface."""
    for at, configuration in children(path, resource):
        field = f"{at.ref}: privateIPAddress"
        found = inventory.at(configuration.properties.subnet.resource_ref)
        if found is None:
            continue
        subnet, properties = found
        on_virtual_network = subnet.root.collection is VIRTUAL_NETWORKS
        if configuration.properties.access_control_list is not None and not on_virtual_network:
            yield invalid(
                "Only interfaces on a virtual network have a firewall.", f"{at.ref}: accessControlList"
            )
        address = configuration.properties.private_ip_address
        if address is None:
            dynamic = configuration.properties.private_ip_allocation_method == "Dynamic"
            yield invalid(
                f"{subnet.ref} has no free address." if dynamic else "An address is required.", field
            )
            continue
        why = unusable(address, ip_network(properties.properties.address_prefix))
        if why:
            yield invalid(f"'{address}' is not a valid argument for 'privateIPAddress': {why}.", field)
        if on_virtual_network:
            yield from _reserved(address, resource.properties.private_mac_address, subnet.root, inventory)
    yield from port_settings(path, resource, inventory)
    yield from _partner(resource.properties, inventory)


def _reserved(address: str, mac: str | None, network: Path, inventory: Inventory) -> Iterator[Complaint]:
    """What the virtual network's compartment and its distributed router hold."""
    if address in compartment_addresses(inventory, network):
        yield invalid(f"{address} is held by the gateway compartment of {network.ref}.", "privateIPAddress")
    found = inventory.find(network)
    rdid = found[1].properties.routing_domain_id if found else ""
    if mac and mac_text(mac) in {derived_mac(kind, rdid) for kind in ("router", *COMPARTMENT_MACS)}:
        yield invalid(f"{mac} is the distributed router's or the compartment's.", "privateMacAddress")


def _partner(interface: NetworkInterface, inventory: Inventory) -> Iterator[Complaint]:
    """A partner's appliance stands on the provider network, at an address that is nobody else's."""
    if interface.partner_provider_address is None:
        return
    address, field = IPv4Address(interface.partner_provider_address), "partnerProviderAddress"
    if interface.server is not None:
        yield invalid("An appliance that encapsulates itself stands on no server.", field)
    subnets = list(provider_subnets(inventory))
    if not any(address in IPv4Network(subnet.address_prefix) for subnet in subnets):
        yield invalid(f"{address} is outside of the provider network.", field)
    elif str(address) in {gateway for subnet in subnets for gateway in subnet.default_gateways}:
        yield invalid(f"{address} is the provider network's default gateway.", field)
    elif any(first <= address <= last for first, last in provider_pools(inventory)):
        yield invalid(f"{address} is inside of a pool that the controller gives addresses out of.", field)
