"""What must be true of a document before it is accepted. Pure: complaints out, nothing changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from lab.controller.allocation import provider_pools
from lab.controller.catalog import (
    ACCESS_CONTROL_LISTS,
    GATEWAY_POOLS,
    LOGICAL_NETWORKS,
    NETWORK_INTERFACES,
    PUBLIC_IP_ADDRESSES,
    ROUTE_TABLES,
    SERVERS,
    VIRTUAL_GATEWAYS,
    VIRTUAL_NETWORKS,
    Path,
    children,
    parse_path,
    tree,
)
from lab.controller.checks_gateway import gateway_pool, standing_gateway, virtual_gateway
from lab.controller.checks_network import network_interface, virtual_network
from lab.controller.checks_policy import access_control_list, route_table, server
from lab.controller.claims import claims
from lab.controller.inventory import GRE_VIP, PROVIDER_ADDRESS, Document, Inventory, citations
from lab.controller.models_fabric import LogicalNetwork, PublicIpAddress
from lab.controller.refusals import IN_USE, Complaint, in_use, invalid
from lab.controller.shapes import Resource


def check(path: Path, resource: Resource[Any], inventory: Inventory) -> list[Complaint]:
    """Everything that is wrong with a document that is to stand in the inventory as it is now."""
    complaints = [
        *_duplicate_ids(path, resource),
        *_references(path, resource, inventory),
        *_claims(path, resource, inventory),
        *_removed_in_use(path, resource, inventory),
    ]
    rule = _BY_KIND.get(path.collection.segment)
    # The rules of a type may rely on references that lead somewhere.
    if rule is not None and not complaints:
        complaints += rule(path, resource, inventory)
    if not complaints:
        complaints += _dependents(path, resource, inventory)
    return list(dict.fromkeys(complaints))


def check_removal(path: Path, inventory: Inventory) -> list[Complaint]:
    """Why a whole document cannot be deleted."""
    document = inventory.document(path)
    if document is None:
        return []
    complaints = []
    for at, _ in tree(document.path, document.resource):
        referrers = _outside(inventory.referrers(at), document.path)
        if referrers:
            complaints.append(in_use(at.ref, referrers))
    complaints += _pool_in_use(document.path, provider_pools(inventory, without=document.path), inventory)
    return complaints


def _outside(referrers: tuple[Path, ...], root: Path) -> list[str]:
    return [path.ref for path in referrers if path.root.key != root.key]


def _duplicate_ids(path: Path, resource: Resource[Any]) -> Iterator[Complaint]:
    seen: set[str] = set()
    for at, _ in tree(path, resource):
        if at.key in seen:
            yield invalid(f"The id '{at.ids[-1]}' is given twice.", at.ref)
        seen.add(at.key)


def _references(path: Path, resource: Resource[Any], inventory: Inventory) -> Iterator[Complaint]:
    mine = {at.key for at, _ in tree(path, resource)}
    for citation in citations(path, resource):
        target = citation.target
        # What it refers to in itself is what it is going to be.
        inside = target is not None and target.root.key == path.root.key
        if target is None or (target.key not in mine if inside else inventory.find(target) is None):
            allowed = " or ".join(sorted(citation.allowed))
            yield Complaint(
                "ReferencedResourceNotFound",
                f"{citation.holder.ref} refers to '{citation.text}', which does not exist in {allowed}.",
                citation.field,
            )


def _claims(path: Path, resource: Resource[Any], inventory: Inventory) -> Iterator[Complaint]:
    mine: dict[tuple[str, str], str] = {}
    for claim in claims(path, resource):
        holder = parse_path(inventory.holder_of(claim) or "")
        elsewhere = holder.ref if holder and _outside((holder,), path) else mine.get(claim.key)
        if elsewhere:
            yield invalid(f"The {claim.kind} {claim.value} is already held by {elsewhere}.", claim.field)
        mine[claim.key] = claim.holder


def _removed_in_use(path: Path, resource: Resource[Any], inventory: Inventory) -> Iterator[Complaint]:
    """Children that the new document does not have any more, but others refer to."""
    before = inventory.document(path)
    if before is None:
        return
    stays = {at.key for at, _ in tree(path, resource)}
    for at, _ in tree(before.path, before.resource):
        if at.key not in stays and (referrers := _outside(inventory.referrers(at), path)):
            yield in_use(at.ref, referrers)


def _dependents(path: Path, resource: Resource[Any], inventory: Inventory) -> list[Complaint]:
    """What a change would break of what refers to the document, and of what refers to that.

    A gateway refuses a goal state as a whole: what stood before must be able to stand after. What was wrong
    before the change is not held against it.
    """
    before = inventory.document(path)
    if before is None or path.collection not in _RELIED_ON:
        return []
    affected = _relying(before, inventory)
    inventory.replace(path, Document(before.path, before.etag, resource))
    try:
        after = _complaints_of(affected, inventory)
    finally:
        inventory.replace(path, before)
    known = set(_complaints_of(affected, inventory)) if after else set()
    return [
        Complaint(IN_USE, f"{path.ref} is in use by {at.ref}: {complaint.message}", complaint.target)
        for at, complaint in after
        if (at, complaint) not in known
    ]


def _relying(document: Document, inventory: Inventory) -> list[Document]:
    """The gateway pools and virtual gateways that refer to a document, and those that refer to them."""
    found: dict[str, Document] = {}
    waiting = [document]
    while waiting:
        item = waiting.pop()
        holders = {
            referrer.root.key: referrer
            for at, _ in tree(item.path, item.resource)
            for referrer in inventory.referrers(at)
            if referrer.root.collection in (GATEWAY_POOLS, VIRTUAL_GATEWAYS)
        }
        for key, referrer in holders.items():
            holder = inventory.document(referrer)
            if holder is not None and key not in found:
                found[key] = holder
                waiting.append(holder)
    found.pop(document.path.key, None)
    return [found[key] for key in sorted(found)]


def _complaints_of(documents: list[Document], inventory: Inventory) -> list[tuple[Path, Complaint]]:
    return [
        (item.path, complaint)
        for item in documents
        for complaint in _STANDING[item.path.collection.segment](item.path, item.resource, inventory)
    ]


def _public_address(
    _path: Path, resource: Resource[PublicIpAddress], inventory: Inventory
) -> Iterator[Complaint]:
    address = IPv4Address(resource.properties.ip_address)
    if address.is_multicast or address.is_unspecified or address.is_loopback or address.is_reserved:
        yield invalid(f"{address} is no host's address.", "properties.ipAddress")
    for (kind, node), value in sorted(inventory.allocations.items()):
        if kind == GRE_VIP and value == str(address):
            yield invalid(f"{address} is the GRE address of gateway {node}.", "properties.ipAddress")


def _logical_network(
    path: Path, resource: Resource[LogicalNetwork], inventory: Inventory
) -> Iterator[Complaint]:
    for at, subnet in children(path, resource):
        network = IPv4Network(subnet.properties.address_prefix)
        for below, pool in children(at, subnet):
            first = IPv4Address(pool.properties.start_ip_address)
            last = IPv4Address(pool.properties.end_ip_address)
            if first > last or first not in network or last not in network:
                yield invalid(f"{first} - {last} is not a range inside {network}.", below.ref)
            for gateway in subnet.properties.default_gateways:
                if first <= IPv4Address(gateway) <= last:
                    yield invalid(f"The range holds the default gateway {gateway}.", below.ref)
    yield from _pool_in_use(path, provider_pools(inventory, replaced=(path, resource)), inventory)


def _pool_in_use(
    path: Path, pools: list[tuple[IPv4Address, IPv4Address]], inventory: Inventory
) -> Iterator[Complaint]:
    """Provider addresses are stable: a pool cannot lose one that a node holds."""
    if path.collection is not LOGICAL_NETWORKS:
        return
    lost = [
        f"{owner} ({value})"
        for (kind, owner), value in sorted(inventory.allocations.items())
        if kind == PROVIDER_ADDRESS and not any(a <= IPv4Address(value) <= b for a, b in pools)
    ]
    if lost:
        yield in_use(path.ref, lost)


_BY_KIND: Mapping[str, Callable[[Path, Resource[Any], Inventory], Iterator[Complaint]]] = {
    LOGICAL_NETWORKS.segment: _logical_network,
    PUBLIC_IP_ADDRESSES.segment: _public_address,
    GATEWAY_POOLS.segment: gateway_pool,
    SERVERS.segment: server,
    ACCESS_CONTROL_LISTS.segment: access_control_list,
    ROUTE_TABLES.segment: route_table,
    VIRTUAL_NETWORKS.segment: virtual_network,
    NETWORK_INTERFACES.segment: network_interface,
    VIRTUAL_GATEWAYS.segment: virtual_gateway,
}
_STANDING: Mapping[str, Callable[[Path, Resource[Any], Inventory], Iterator[Complaint]]] = {
    GATEWAY_POOLS.segment: gateway_pool,
    VIRTUAL_GATEWAYS.segment: standing_gateway,
}
"""The rules again of what refers to something that is changed."""
_RELIED_ON = (LOGICAL_NETWORKS, PUBLIC_IP_ADDRESSES, GATEWAY_POOLS, VIRTUAL_NETWORKS)
"""Types whose changes can take from a virtual gateway what its connections need."""
