"""Bodies of the tenants' resources: virtual networks, the interfaces of their VMs, and their gateways.

Fields and spelling: MS-NCNBI §3.1.5.13 (networkInterfaces), §3.1.5.17 (virtualGateways), §3.1.5.18
(virtualNetworks). Extensions to Microsoft's shape, all optional, so that a lab can say what the product
decides alone:

- `virtualNetworks.properties.routingDomainId` (GUID; default: the virtual network's instanceId)
- `virtualNetworks/subnets.properties.virtualSubnetId` (4096 .. 16777214; default: the lowest free one)
- `virtualGateways.properties.vpnConfiguration`: see `lab.controller.models_vpn`
- `networkInterfaces.properties.partnerProviderAddress` (IPv4; an appliance that encapsulates itself)
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from lab.controller.models_bgp import BgpRouter, PolicyMap
from lab.controller.models_connection import NetworkConnection
from lab.controller.models_policy import PortSettings
from lab.controller.models_vpn import VpnConfiguration
from lab.controller.shapes import (
    Address,
    AnyPrefix,
    Guid,
    Ipv4,
    Mac,
    OptionalReference,
    Reference,
    Refers,
    Resource,
    Shape,
    Vsid,
    empty_is_none,
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


class VirtualGateway(Shape):
    """A tenant's share of the gateways: its connections, its remote access and its BGP router.

    Its compartment stands in the first gateway subnet, which is IPv4, and in the second, which is IPv6, if
    there is one.
    """

    gateway_pools: Annotated[tuple[Reference, ...], Refers("gatewayPools")] = Field(min_length=1)
    gateway_subnets: Annotated[tuple[Reference, ...], Refers("virtualNetworks/subnets")] = Field(
        min_length=1, max_length=2
    )
    routing_type: Annotated[str, word("Dynamic", "Static")] = "Dynamic"
    vpn_configuration: Annotated[VpnConfiguration | None, BeforeValidator(empty_is_none)] = None
    network_connections: tuple[Resource[NetworkConnection], ...] = ()
    bgp_routers: tuple[Resource[BgpRouter], ...] = Field(default=(), max_length=1)
    policy_maps: tuple[Resource[PolicyMap], ...] = ()
