"""Connections of type Link: two VM networks tied together on their gateway, by the word of both. Pure.

Why it is a connection and not a virtualNetworkPeering: docs/decisions/0011-linked-vm-networks.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, ip_network

from lab.controller.catalog import VIRTUAL_GATEWAYS, VIRTUAL_NETWORKS, Path, children, parse_path
from lab.controller.connections_nat import vm_prefixes
from lab.controller.inventory import Inventory
from lab.controller.models_connection import LinkConfiguration, NetworkConnection
from lab.controller.models_tenant import VirtualGateway, VirtualNetwork
from lab.controller.refusals import Complaint, in_use, invalid
from lab.controller.shapes import Resource
from lab.prefixes import version_of

LINK = "Link"
"""connectionType."""


def check_link(
    at: Path, connection: NetworkConnection, gateway: VirtualGateway, inventory: Inventory
) -> Iterator[Complaint]:
    """The rules of a link.

    Args:
        at: path of the connection.
        connection: its properties.
        gateway: the virtual gateway that it belongs to.
        inventory: as it is now; references lead somewhere.
    """
    wanted = connection.link_configuration
    if wanted is None:
        yield invalid(
            "A link needs the VM network that it leads to.",
            f"{at.ref}: linkConfiguration.remoteVirtualNetwork",
        )
        return
    remote, own = parse_path(wanted.remote_virtual_network.resource_ref), _network_of(gateway)
    if remote is None or own is None:
        return
    if remote.key == own.key:
        yield invalid(
            f"{own.ref} cannot be linked to itself: its subnets have the distributed router.",
            f"{at.ref}: linkConfiguration.remoteVirtualNetwork",
        )
        return
    yield from _only_one(at, remote, gateway)
    inside, outside = vm_prefixes(gateway, inventory), _prefixes(remote, inventory)
    yield from _offered(at, wanted, inside, remote, outside)
    yield from _used(at, connection, _prefixes(own, inventory), remote, outside)
    yield from _apart(at, connection, gateway)


def _only_one(at: Path, remote: Path, gateway: VirtualGateway) -> Iterator[Complaint]:
    others = [
        other.resource_id
        for other in gateway.network_connections
        if other.resource_id.lower() != at.ids[-1].lower() and _leads_to(other.properties, remote)
    ]
    if others:
        yield invalid(
            f"{others[0]} is a link to {remote.ref} already.",
            f"{at.ref}: linkConfiguration.remoteVirtualNetwork",
        )


def _leads_to(connection: NetworkConnection, network: Path) -> bool:
    wanted = connection.link_configuration
    path = parse_path(wanted.remote_virtual_network.resource_ref) if wanted else None
    return path is not None and path.key == network.key


def _offered(
    at: Path, wanted: LinkConfiguration, inside: list[IPv4Network], remote: Path, outside: list[IPv4Network]
) -> Iterator[Complaint]:
    """What the other side may reach is of this VM network, and nothing that the other has itself."""
    field = f"{at.ref}: linkConfiguration.localPrefixes"
    if not wanted.local_prefixes:
        yield invalid("A link needs prefixes of this VM network that the other may reach.", field)
    for prefix in map(IPv4Network, wanted.local_prefixes):
        if not any(prefix.subnet_of(subnet) for subnet in inside):
            yield invalid(f"'{prefix}' is in no subnet of this virtual network.", field)
        for other in outside:
            if prefix.overlaps(other):
                yield invalid(_overlap(prefix, "this virtual network", other, remote), field)


def _used(
    at: Path,
    connection: NetworkConnection,
    inside: list[IPv4Network],
    remote: Path,
    outside: list[IPv4Network],
) -> Iterator[Complaint]:
    """What this side may reach is of the other VM network, and nothing that it has itself."""
    field = f"{at.ref}: routes"
    if not connection.routes:
        yield invalid("A link needs routes: the prefixes of the other VM network that it leads to.", field)
    for route in connection.routes:
        prefix = IPv4Network(route.destination_prefix)
        if not any(prefix.subnet_of(subnet) for subnet in outside):
            yield invalid(f"'{prefix}' is in no subnet of {remote.ref}.", field)
        for own in inside:
            if prefix.overlaps(own):
                yield invalid(_overlap(prefix, remote.ref, own, None), field)


def _apart(at: Path, connection: NetworkConnection, gateway: VirtualGateway) -> Iterator[Complaint]:
    """Of two VM networks with one prefix, one would get what is meant for the other."""
    prefixes = [IPv4Network(route.destination_prefix) for route in connection.routes]
    for other in gateway.network_connections:
        if other.properties.connection_type != LINK or other.resource_id.lower() == at.ids[-1].lower():
            continue
        for route in other.properties.routes:
            # One of IPv6 is refused at that link itself.
            if version_of(route.destination_prefix) == 4 and any(
                IPv4Network(route.destination_prefix).overlaps(prefix) for prefix in prefixes
            ):
                yield invalid(
                    f"{route.destination_prefix} is behind the link {other.resource_id} already.",
                    f"{at.ref}: routes",
                )


def _overlap(prefix: IPv4Network, of: str, other: IPv4Network, remote: Path | None) -> str:
    whose = remote.ref if remote else "this virtual network"
    return (
        f"'{prefix}' of {of} overlaps with '{other}' of {whose}: a link translates nothing, so linked "
        "prefixes must differ on both sides."
    )


def _network_of(gateway: VirtualGateway) -> Path | None:
    subnet = parse_path(gateway.gateway_subnets[0].resource_ref)
    return subnet.root if subnet else None


def _prefixes(network: Path, inventory: Inventory) -> list[IPv4Network]:
    """All IPv4 subnets of a virtual network; the gateway subnet, too: its addresses are taken there."""
    found = inventory.find(network)
    prefixes = (ip_network(item.properties.address_prefix) for _, item in children(*found)) if found else ()
    return [prefix for prefix in prefixes if isinstance(prefix, IPv4Network)]


def linked_domains(gateway: VirtualGateway, inventory: Inventory) -> dict[str, str]:
    """The routing domains that a gateway's links lead to, by connection."""
    found = {
        item.resource_id: inventory.at(item.properties.link_configuration.remote_virtual_network.resource_ref)
        for item in gateway.network_connections
        if item.properties.link_configuration is not None
    }
    return {
        name: network[1].properties.routing_domain_id or ""
        for name, network in found.items()
        if network is not None
    }


def frozen(path: Path, resource: Resource[VirtualNetwork], inventory: Inventory) -> Iterator[Complaint]:
    """A VM network that others have links to keeps its routing domain: their compartments look for that.

    Its prefixes are judged with the links that a change of them would break (`checks`).
    """
    before = inventory.find(path)
    if before is None or before[1].properties.routing_domain_id == resource.properties.routing_domain_id:
        return
    links = [
        holder.ref
        for holder in inventory.referrers(before[0])
        if holder.root.collection is VIRTUAL_GATEWAYS and len(holder.ids) > 1
    ]
    if links:
        yield in_use(path.ref, [f"{link} (a linked VM network keeps its routing domain)" for link in links])


def neighbours(gateway: VirtualGateway, inventory: Inventory, placed: Mapping[str, str]) -> set[str]:
    """The gateways that carry what a tenant is linked to: a link does not leave its node.

    Args:
        gateway: the tenant's.
        inventory: resources as they are.
        placed: gateway nodes by key of the virtual gateway.
    """
    found: set[str] = set()
    for connection in gateway.network_connections:
        wanted = connection.properties.link_configuration
        network = parse_path(wanted.remote_virtual_network.resource_ref) if wanted else None
        if network is None or network.collection is not VIRTUAL_NETWORKS:
            continue
        holder = inventory.holder("virtual gateway of", network.key)
        path = parse_path(holder) if holder else None
        if path is not None and path.key in placed:
            found.add(placed[path.key])
    return found
