"""Bodies of the fabric's resources: logical networks, hosts, gateways and what they refer to.

Fields and spelling: MS-NCNBI §3.1.5 and the write shapes of SDN Express. Fields that this controller does not
act upon yet are kept and answered, so that a client finds again what it wrote.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from lab.controller.shapes import (
    MAX_MBPS,
    AsNumber,
    Guid,
    Ipv4,
    OptionalReference,
    Prefix,
    Reference,
    Refers,
    Resource,
    Shape,
    empty_is_none,
    word,
)


class IpPool(Shape):
    """A range of provider addresses that the controller gives out, both ends included."""

    start_ip_address: Ipv4 = Field(alias="startIpAddress")
    end_ip_address: Ipv4 = Field(alias="endIpAddress")


class LogicalSubnet(Shape):
    """A subnet of the physical network."""

    address_prefix: Prefix
    vlan_id: int = Field(default=0, alias="vlanID", ge=0, le=4094)
    dns_servers: tuple[Ipv4, ...] = ()
    default_gateways: tuple[Ipv4, ...] = ()
    is_public: bool = False
    ip_pools: tuple[Resource[IpPool], ...] = ()


class LogicalNetwork(Shape):
    """A physical network. The one with network virtualization enabled is the provider network."""

    network_virtualization_enabled: bool = False
    subnets: tuple[Resource[LogicalSubnet], ...] = ()


class Credential(Shape):
    """What the controller identifies itself with at a device; its value is write-only."""

    write_only: ClassVar[frozenset[str]] = frozenset({"value"})
    inherited: ClassVar[frozenset[str]] = frozenset({"value"})

    type: Annotated[
        str, word("UsernamePassword", "X509Certificate", "X509CertificateSubjectName", "SnmpCommunityString")
    ]
    user_name: str | None = None
    value: str | None = None


class DeviceConnection(Shape):
    """How a device is reached for management."""

    management_addresses: tuple[str, ...] = ()
    credential: Annotated[OptionalReference, Refers("credentials")] = None
    credential_type: str | None = None


class ServerInterface(Shape):
    """A physical network adapter of a host."""

    is_bmc: bool = Field(default=False, alias="isBMC")
    logical_subnets: Annotated[tuple[Reference, ...], Refers("logicalNetworks/subnets")] = ()


class Server(Shape):
    """A Hyper-V host. Its resourceId is the name of the node whose agent speaks for it.

    Extensions to Microsoft's shape, where the switch embedded team is set up on the host itself:
    `uplinkCount` (1 or 2 provider links), `teamMode`, and `uplinkMbps` (speed of the links together, which
    reservations share; 0: not limited).
    """

    connections: tuple[DeviceConnection, ...] = ()
    network_interfaces: tuple[Resource[ServerInterface], ...] = ()
    certificate: str | None = None
    vendor: str | None = None
    model: str | None = None
    os: str | None = None
    uplink_count: int = Field(default=1, ge=1, le=2)
    team_mode: Annotated[str, word("hyper-v-port", "hash", "dynamic")] = "hyper-v-port"
    uplink_mbps: int = Field(default=0, ge=0, le=MAX_MBPS)


class VirtualServer(Shape):
    """A VM that carries a network function, such as a gateway."""

    connections: tuple[DeviceConnection, ...] = ()
    vm_guid: Guid | None = None
    certificate: str | None = None


class PublicIpAddress(Shape):
    """An address that the internet knows."""

    ip_address: Ipv4
    public_ip_allocation_method: Annotated[str, word("Static", "Dynamic")] = "Static"
    public_ip_address_version: str | None = None
    idle_timeout_in_minutes: int = 4


class PoolIpConfiguration(Shape):
    """The addresses that a gateway pool's tenants share."""

    public_ip_addresses: Annotated[tuple[Reference, ...], Refers("publicIPAddresses")] = ()
    gre_vip_subnets: Annotated[tuple[Reference, ...], Refers("logicalNetworks/subnets")] = ()


class GatewayPool(Shape):
    """Gateways of one type and capacity, of which `redundant_gateway_count` stand by."""

    type: Annotated[str, word("S2sIpSec", "S2sGre", "Forwarding", "All")] = "All"
    redundant_gateway_count: int = Field(default=0, ge=0)
    gateway_capacity_kilo_bits_per_second: int = Field(default=10_000_000, gt=0)
    ip_configuration: PoolIpConfiguration = PoolIpConfiguration()


class GatewayInterfaces(Shape):
    """The two sides of a gateway."""

    external_network_interface: Annotated[OptionalReference, Refers("networkInterfaces")] = None
    internal_network_interface: Annotated[OptionalReference, Refers("networkInterfaces")] = None


class FrontEndPeer(Shape):
    """A router of the front-end network that a gateway announces its public addresses to."""

    peer_ip: Ipv4 = Field(alias="peerIP")
    peer_ext_as_number: AsNumber


class GatewayBgp(Shape):
    """A gateway's own BGP speaker."""

    ext_as_number: AsNumber = Field(alias="extASNumber")
    bgp_peer: tuple[FrontEndPeer, ...] = ()


class Gateway(Shape):
    """A multitenant gateway. Its resourceId is the name of the node whose agent speaks for it."""

    pool: Annotated[Reference, Refers("gatewayPools")]
    type: str | None = None
    virtual_server: Annotated[OptionalReference, Refers("virtualServers")] = None
    network_interfaces: GatewayInterfaces = GatewayInterfaces()
    bgp_config: Annotated[GatewayBgp | None, BeforeValidator(empty_is_none)] = None
