"""What can be held only once in the datacenter, in a virtual network or in a pool, and who holds it.

Every uniqueness rule of the API is a claim: two resources that make the same one cannot both exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.controller.catalog import (
    GATEWAYS,
    LOGICAL_NETWORKS,
    NETWORK_INTERFACES,
    PUBLIC_IP_ADDRESSES,
    SERVERS,
    VIRTUAL_GATEWAYS,
    VIRTUAL_NETWORKS,
    Path,
    children,
    parse_path,
)
from lab.controller.models_connection import NetworkConnection
from lab.controller.models_fabric import LogicalNetwork, PublicIpAddress
from lab.controller.models_tenant import NetworkInterface, VirtualGateway, VirtualNetwork
from lab.controller.shapes import Resource

VSID = "virtual subnet id"
CUSTOMER_ADDRESS = "customer address"
MAC_ADDRESS = "MAC address"


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that is held.

    Attributes:
        kind: what it is, in the words of an error message.
        scope: where it must be unique: key of a resource; empty: in the whole datacenter.
        value: the thing itself.
        holder: ref of the resource that holds it.
        field: field that says so.
    """

    kind: str
    scope: str
    value: str
    holder: str
    field: str

    @property
    def key(self) -> tuple[str, str]:
        """What two resources must not share."""
        return self.kind, f"{self.scope} {self.value}".strip()


def _node(path: Path, _resource: Resource[Any]) -> Iterator[Claim]:
    yield Claim("node name", "", path.ids[0].lower(), path.ref, "resourceId")


def _logical_network(path: Path, resource: Resource[LogicalNetwork]) -> Iterator[Claim]:
    # Mis-assigning HNV to several logical networks "leads to hours of troubleshooting" (seed 002).
    if resource.properties.network_virtualization_enabled:
        yield Claim("role of", "", "the provider network", path.ref, "networkVirtualizationEnabled")


def _public_address(path: Path, resource: Resource[PublicIpAddress]) -> Iterator[Claim]:
    yield Claim("public address", "", resource.properties.ip_address, path.ref, "ipAddress")


def _virtual_network(path: Path, resource: Resource[VirtualNetwork]) -> Iterator[Claim]:
    if resource.properties.routing_domain_id:
        yield Claim(
            "routing domain id", "", resource.properties.routing_domain_id, path.ref, "routingDomainId"
        )
    for below, subnet in children(path, resource):
        if subnet.properties.virtual_subnet_id:
            yield Claim(VSID, "", str(subnet.properties.virtual_subnet_id), below.ref, "virtualSubnetId")


def _network_interface(path: Path, resource: Resource[NetworkInterface]) -> Iterator[Claim]:
    for below, configuration in children(path, resource):
        subnet = parse_path(configuration.properties.subnet.resource_ref)
        if subnet is None or subnet.is_collection:
            continue
        scope = subnet.root.key
        if configuration.properties.private_ip_address:
            yield Claim(
                CUSTOMER_ADDRESS,
                scope,
                configuration.properties.private_ip_address,
                below.ref,
                "privateIPAddress",
            )
        if resource.properties.private_mac_address:
            yield Claim(
                MAC_ADDRESS, scope, resource.properties.private_mac_address, path.ref, "privateMacAddress"
            )


def _virtual_gateway(path: Path, resource: Resource[VirtualGateway]) -> Iterator[Claim]:
    subnets = [parse_path(reference.resource_ref) for reference in resource.properties.gateway_subnets]
    for network in sorted({subnet.root.key for subnet in subnets if subnet is not None}):
        yield Claim("virtual gateway of", "", network, path.ref, "gatewaySubnets")
    # All tenants share the pool's public address and are told apart by the peer's, "expected to be unique"
    # (RAS Gateway High Availability).
    pools = [parse_path(reference.resource_ref) for reference in resource.properties.gateway_pools]
    # It may be placed on a gateway of any of them.
    scopes = sorted({pool.key for pool in pools if pool is not None})
    for below, child in children(path, resource):
        if below.collection.segment == "networkConnections":
            yield from _connection(below, child.properties, scopes)


def _connection(path: Path, connection: NetworkConnection, pools: list[str]) -> Iterator[Claim]:
    peer, gre, l3 = (
        connection.destination_ip_address,
        connection.gre_configuration,
        connection.l3_configuration,
    )
    for pool in pools:
        if connection.connection_type == "IPSec" and peer:
            kind = "destination of IPsec connections"
            yield Claim(kind, pool, peer, path.ref, "destinationIPAddress")
        if connection.connection_type == "GRE" and peer and gre:
            # The far end may be one for many tenants: the key tells them apart (RFC 2890 §2.1).
            kind = "destination and key of GRE connections"
            yield Claim(kind, pool, f"{peer} key {gre.gre_key}", path.ref, "greConfiguration.greKey")
    subnet = parse_path(l3.vlan_subnet.resource_ref) if l3 else None
    if connection.connection_type == "L3" and subnet:
        yield Claim("VLAN of", "", subnet.key, path.ref, "l3Configuration.vlanSubnet")


_BY_KIND: Mapping[str, Callable[[Path, Resource[Any]], Iterator[Claim]]] = {
    SERVERS.segment: _node,
    GATEWAYS.segment: _node,
    LOGICAL_NETWORKS.segment: _logical_network,
    PUBLIC_IP_ADDRESSES.segment: _public_address,
    VIRTUAL_NETWORKS.segment: _virtual_network,
    NETWORK_INTERFACES.segment: _network_interface,
    VIRTUAL_GATEWAYS.segment: _virtual_gateway,
}


def claims(path: Path, resource: Resource[Any]) -> Iterator[Claim]:
    """Everything that a document holds."""
    rule = _BY_KIND.get(path.collection.segment)
    if rule is not None:
        yield from rule(path, resource)
