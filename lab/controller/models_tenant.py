"""Bodies of the tenants' resources: virtual networks, the interfaces of their VMs, and their gateways.

Fields and spelling: MS-NCNBI §3.1.5.13 (networkInterfaces), §3.1.5.17 (virtualGateways), §3.1.5.18
(virtualNetworks). Extensions to Microsoft's shape, all optional, so that a lab can say what the product
decides alone:

- `virtualNetworks.properties.routingDomainId` (GUID; default: the virtual network's instanceId)
- `virtualNetworks/subnets.properties.virtualSubnetId` (4096 .. 16777214; default: the lowest free one)
- `networkInterfaces.properties.partnerProviderAddress` (IPv4; an appliance that encapsulates itself)
- `virtualGateways/bgpRouters/bgpPeers.properties.holdTimeSeconds` (default 180, the product's)
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from lab.controller.models_connection import NetworkConnection
from lab.controller.models_policy import PortSettings
from lab.controller.shapes import (
    Address,
    AnyPrefix,
    AsNumber,
    Guid,
    Ipv4,
    Mac,
    OptionalReference,
    PositiveUint32,
    Prefix,
    Reference,
    Refers,
    Resource,
    Shape,
    Vsid,
    word,
)


class AddressSpace(Shape):
    """The prefixes that a virtual network's subnets are cut from."""

    address_prefixes: tuple[AnyPrefix, ...] = Field(min_length=1)


class VirtualSubnet(Shape):
    """A broadcast domain of a virtual network, IPv4 or IPv6; its first address is the distributed router."""

    inherited: ClassVar[frozenset[str]] = frozenset({"virtual_subnet_id"})

    address_prefix: AnyPrefix
    virtual_subnet_id: Vsid | None = None
    access_control_list: Annotated[OptionalReference, Refers("accessControlLists")] = None
    route_table: Annotated[OptionalReference, Refers("routeTables")] = None


class VirtualNetwork(Shape):
    """A tenant's network: one routing domain."""

    inherited: ClassVar[frozenset[str]] = frozenset({"routing_domain_id"})

    address_space: AddressSpace
    logical_network: Annotated[OptionalReference, Refers("logicalNetworks")] = None
    routing_domain_id: Guid | None = None
    subnets: tuple[Resource[VirtualSubnet], ...] = ()


class DnsSettings(Shape):
    """Name servers that the VM is told of."""

    dns_servers: tuple[Address, ...] = ()


class IpConfiguration(Shape):
    """A customer address of an interface."""

    inherited: ClassVar[frozenset[str]] = frozenset({"private_ip_address"})

    private_ip_address: Address | None = None
    private_ip_allocation_method: Annotated[str, word("Static", "Dynamic", "Unmanaged")] = "Static"
    subnet: Annotated[Reference, Refers("virtualNetworks/subnets", "logicalNetworks/subnets")]
    access_control_list: Annotated[OptionalReference, Refers("accessControlLists")] = None
    public_ip_address: Annotated[OptionalReference, Refers("publicIPAddresses")] = None


class NetworkInterface(Shape):
    """A VM's adapter. Its resourceId is the interface id of the vport that carries it.

    With a `partner_provider_address` it is a partner's appliance instead: it stands on the provider network
    and encapsulates itself, so there is no server and no vport.
    """

    inherited: ClassVar[frozenset[str]] = frozenset({"private_mac_address"})

    private_mac_address: Mac | None = None
    private_mac_allocation_method: Annotated[str, word("Static", "Dynamic")] = "Static"
    is_primary: bool = True
    is_host_virtual_network_interface: bool = False
    server: Annotated[OptionalReference, Refers("servers")] = None
    dns_settings: DnsSettings | None = None
    port_settings: PortSettings = PortSettings()
    partner_provider_address: Ipv4 | None = None
    ip_configurations: tuple[Resource[IpConfiguration], ...] = Field(default=(), max_length=1)


class BgpPeer(Shape):
    """A BGP neighbour of a compartment: a router of the customer's site."""

    peer_ip_address: Ipv4
    as_number: PositiveUint32 | None = None
    peer_as_number: PositiveUint32 | None = None
    ext_as_number: AsNumber | None = None
    hold_time_seconds: int = Field(default=180, ge=3, le=65535)


class BgpRouter(Shape):
    """A compartment's BGP speaker."""

    ext_as_number: AsNumber
    router_id: Ipv4 | None = None
    router_ip: tuple[Ipv4, ...] = ()
    is_enabled: bool = True
    require_igp_sync: bool = Field(default=True, alias="requireIGPSync")
    bgp_networks: tuple[Prefix, ...] = ()
    bgp_peers: tuple[Resource[BgpPeer], ...] = ()


class VirtualGateway(Shape):
    """A tenant's share of the gateways: its connections and its BGP router."""

    gateway_pools: Annotated[tuple[Reference, ...], Refers("gatewayPools")] = Field(min_length=1)
    gateway_subnets: Annotated[tuple[Reference, ...], Refers("virtualNetworks/subnets")] = Field(
        min_length=1, max_length=1
    )
    routing_type: Annotated[str, word("Dynamic", "Static")] = "Dynamic"
    network_connections: tuple[Resource[NetworkConnection], ...] = ()
    bgp_routers: tuple[Resource[BgpRouter], ...] = Field(default=(), max_length=1)
