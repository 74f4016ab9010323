"""Bodies of the tenants' resources: virtual networks, the interfaces of their VMs, and their gateways.

Fields and spelling: MS-NCNBI §3.1.5.13 (networkInterfaces), §3.1.5.17 (virtualGateways), §3.1.5.18
(virtualNetworks). Extensions to Microsoft's shape, all optional, so that a lab can say what the product
decides alone:

- `virtualNetworks.properties.routingDomainId` (GUID; default: the virtual network's instanceId)
- `virtualNetworks/subnets.properties.virtualSubnetId` (4096 .. 16777214; default: the lowest free one)
- `networkInterfaces.properties.partnerProviderAddress` (IPv4; an appliance that encapsulates itself)
- `virtualGateways/bgpRouters/bgpPeers.properties.holdTimeSeconds` (default 180, the product's)
- `virtualGateways/networkConnections.properties.natConfiguration` (docs/decisions/0008-nat-shape.md)
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

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

Port = Annotated[int, Field(ge=1, le=65535)]


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


class Route(Shape):
    """A prefix behind a connection. The product wants every BGP peer's address among them, as a /32."""

    destination_prefix: Prefix
    next_hop: str | None = None
    metric: int = Field(default=10, ge=0, le=0xFFFFFFFF)
    protocol: str | None = None


class QuickMode(Shape):
    """IPsec (child SA) parameters; defaults where Add-VpnS2SInterface documents them."""

    perfect_forward_secrecy: Annotated[
        str, word("None", "PFS1", "PFS2", "PFS2048", "ECP256", "ECP384", "PFSMM", "PFS24")
    ] = "ECP256"
    cipher_transformation_constant: Annotated[
        str, word("DES", "DES3", "AES128", "AES192", "AES256", "GCMAES128", "GCMAES192", "GCMAES256", "None")
    ] = "GCMAES128"
    authentication_transformation_constant: Annotated[
        str, word("MD596", "SHA196", "SHA256128", "GCMAES128", "GCMAES192", "GCMAES256", "None")
    ] = "GCMAES128"
    sa_life_time_seconds: PositiveUint32 = 3600
    sa_life_time_kilo_bytes: PositiveUint32 = 33_553_408
    idle_disconnect_seconds: int = Field(default=300, ge=0, le=0xFFFFFFFF)


class MainMode(Shape):
    """IKE SA parameters."""

    diffie_hellman_group: Annotated[
        str, word("Group1", "Group2", "Group14", "ECP256", "ECP384", "Group24")
    ] = "ECP256"
    encryption_algorithm: Annotated[str, word("DES", "DES3", "AES128", "AES192", "AES256")] = "AES256"
    integrity_algorithm: Annotated[str, word("MD5", "SHA1", "SHA256", "SHA384")] = "SHA256"
    sa_life_time_seconds: PositiveUint32 = 28_800
    sa_life_time_kilo_bytes: int | None = None


class IpsecConfiguration(Shape):
    """How a site-to-site connection is protected."""

    write_only: ClassVar[frozenset[str]] = frozenset({"shared_secret"})
    inherited: ClassVar[frozenset[str]] = frozenset({"shared_secret"})

    authentication_method: Annotated[str, word("PSK")] = "PSK"
    shared_secret: Annotated[str, Field(min_length=1)] | None = None
    quick_mode: QuickMode = QuickMode()
    main_mode: MainMode = MainMode()
    local_vpn_traffic_selector: tuple[dict[str, Any], ...] = ()
    remote_vpn_traffic_selector: tuple[dict[str, Any], ...] = ()


class InboundNatRule(Shape):
    """From a port of the public address to one VM; the names are those of loadBalancers/inboundNatRules.

    Without `backendPort` it is the frontend's, and without `remoteAddressPrefix` anybody may use it
    (Add-NetNatStaticMapping).
    """

    protocol: Annotated[str, word("TCP", "UDP")]
    frontend_port: Port
    backend_port: Port | None = None
    backend_ip_address: Ipv4
    remote_address_prefix: Prefix | None = None


class NatConfiguration(Shape):
    """How a connection of type NAT translates: what New-NetNat and Add-NetNatExternalAddress say."""

    public_ip_address: Annotated[Reference, Refers("publicIPAddresses")]
    start_port: Port = 1024
    end_port: Port = 65535
    inbound_nat_rules: tuple[Resource[InboundNatRule], ...] = ()


class NetworkConnection(Shape):
    """What ties a virtual network to one site."""

    connection_type: Annotated[str, word("IPSec")]
    outbound_kilo_bits_per_second: PositiveUint32 = 5120
    inbound_kilo_bits_per_second: PositiveUint32 = 5120
    routes: tuple[Route, ...] = ()
    ip_addresses: tuple[dict[str, Any], ...] = ()
    peer_ip_addresses: tuple[Ipv4, ...] = ()
    destination_ip_address: Ipv4 | None = None
    ip_sec_configuration: IpsecConfiguration | None = None
    nat_configuration: NatConfiguration | None = None


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
