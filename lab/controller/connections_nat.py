"""Connections of type NAT: what must be true of them, and what the gateway is told of them. Pure.

A gateway refuses a goal state as a whole: whatever it would refuse of a NAT connection is refused here.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, ip_network

from lab.controller.catalog import Path, children, parse_path
from lab.controller.inventory import Inventory
from lab.controller.models_connection import InboundNatRule, NatConfiguration, NetworkConnection
from lab.controller.models_fabric import PublicIpAddress
from lab.controller.models_tenant import VirtualGateway
from lab.controller.refusals import Complaint, in_use, invalid
from lab.controller.shapes import Resource
from lab.model.internet import NEVER_OUTSIDE
from lab.southbound import southbound_pb2 as pb

NAT = "NAT"
"""connectionType."""


def check_nat(
    at: Path, connection: NetworkConnection, gateway: VirtualGateway, inventory: Inventory
) -> Iterator[Complaint]:
    """The rules of a NAT connection.

    Args:
        at: path of the connection.
        connection: its properties.
        gateway: the virtual gateway that it belongs to.
        inventory: as it is now; references lead somewhere.
    """
    wanted = connection.nat_configuration
    if wanted is None:
        yield invalid("A NAT connection needs its public address.", f"{at.ref}: natConfiguration")
        return
    others = [
        other.resource_id
        for other in gateway.network_connections
        if other.properties.connection_type == NAT and other.resource_id.lower() != at.ids[-1].lower()
    ]
    if others:
        # Both would be the way to the same destinations, and a session is bound to one address.
        yield invalid(f"A gateway has one NAT connection; there is {others[0]}.", f"{at.ref}: connectionType")
    if wanted.start_port > wanted.end_port:
        yield invalid(
            f"{wanted.start_port} to {wanted.end_port} is no range of ports.", f"{at.ref}: startPort"
        )
    yield from _public_address(at, wanted, inventory)
    yield from _rules(at, wanted, vm_prefixes(gateway, inventory))


def _public_address(at: Path, wanted: NatConfiguration, inventory: Inventory) -> Iterator[Complaint]:
    """It is this connection's alone: neither another tenant's, nor one that a gateway pool shares."""
    target = parse_path(wanted.public_ip_address.resource_ref)
    if target is None:
        return
    address = nat_message(wanted, inventory).public_address
    if any(IPv4Address(address) in prefix for prefix in NEVER_OUTSIDE):
        yield invalid(f"Nobody in the internet can reach {address}.", f"{at.ref}: publicIPAddress")
    others = [path.ref for path in inventory.referrers(target) if path.key != at.key]
    if others:
        yield in_use(target.ref, others)


def _rules(at: Path, wanted: NatConfiguration, inside: list[IPv4Network]) -> Iterator[Complaint]:
    """A rule's port may be one that outbound sessions take: sessions are told apart by both ends."""
    names: set[str] = set()
    taken: dict[tuple[str, int], str] = {}
    for item in wanted.inbound_nat_rules:
        rule, field = item.properties, f"{at.ref}: inboundNatRules/{item.resource_id}"
        if item.resource_id.lower() in names:
            yield invalid(f"The id '{item.resource_id}' is given twice.", field)
        names.add(item.resource_id.lower())
        other = taken.setdefault((rule.protocol, rule.frontend_port), item.resource_id)
        if other != item.resource_id:
            yield invalid(
                f"{rule.protocol} port {rule.frontend_port} is taken by the rule '{other}'.",
                f"{field}/frontendPort",
            )
        if not any(IPv4Address(rule.backend_ip_address) in prefix for prefix in inside):
            yield invalid(
                f"'{rule.backend_ip_address}' is not a valid argument for 'backendIPAddress': it is in no "
                f"subnet of VMs ({', '.join(map(str, inside)) or 'there is none'}).",
                f"{field}/backendIPAddress",
            )


def vm_prefixes(gateway: VirtualGateway, inventory: Inventory) -> list[IPv4Network]:
    """IPv4 prefixes of a gateway's virtual network in which VMs live: all but the gateway subnet."""
    subnet = parse_path(gateway.gateway_subnets[0].resource_ref)
    network = inventory.find(subnet.root) if subnet else None
    if subnet is None or network is None:
        return []
    found = (
        ip_network(item.properties.address_prefix) for at, item in children(*network) if at.key != subnet.key
    )
    return [prefix for prefix in found if isinstance(prefix, IPv4Network)]


def nat_message(wanted: NatConfiguration, inventory: Inventory) -> pb.Nat:
    """A NAT connection as the gateway's agent is told of it.

    Args:
        wanted: a configuration that `check_nat` had nothing against.
        inventory: where the public address stands.
    """
    found = inventory.at(wanted.public_ip_address.resource_ref)
    properties = found[1].properties if found else None
    return pb.Nat(
        public_address=properties.ip_address if isinstance(properties, PublicIpAddress) else "",
        port_first=wanted.start_port,
        port_last=wanted.end_port,
        mappings=[_mapping(item) for item in wanted.inbound_nat_rules],
    )


def _mapping(item: Resource[InboundNatRule]) -> pb.NatMapping:
    rule = item.properties
    return pb.NatMapping(
        name=item.resource_id,
        protocol=rule.protocol.lower(),
        external_port=rule.frontend_port,
        internal_address=rule.backend_ip_address,
        internal_port=rule.backend_port or rule.frontend_port,
        remote_prefix=rule.remote_address_prefix or "",
    )
