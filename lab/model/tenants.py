"""A tenant, resolved: subnets, VMs, appliances, access control lists, and the way to the outside. Pure data.

Only the standard library is imported here at run time, as in `lab.model.lab`.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import TYPE_CHECKING

from lab.model.connections import Connection, DialIn

if TYPE_CHECKING:
    from lab.model.types import IpAddress, IpNetwork, PortRange


@dataclass(frozen=True, slots=True)
class UserRoute:
    """A user-defined route of a subnet; `next_hop` is the CA of an appliance, None: dropped."""

    prefix: IpNetwork
    next_hop: IpAddress | None


@dataclass(frozen=True, slots=True)
class Subnet:
    """A virtual subnet, IPv4 or IPv6.

    Attributes:
        router: its first address: the distributed router.
        acl: name of the access control list of all its ports; None: none.
        routes: user-defined routes of the VMs in it.
    """

    name: str
    vsid: int
    prefix: IpNetwork
    router: IpAddress
    acl: str | None = None
    routes: tuple[UserRoute, ...] = ()


@dataclass(frozen=True, slots=True)
class Qos:
    """Bandwidth of a VM's port in Mbit/s; None: not limited, or nothing reserved."""

    outbound_maximum_mbps: int | None = None
    outbound_reserved_mbps: int | None = None
    inbound_maximum_mbps: int | None = None


@dataclass(frozen=True, slots=True)
class GatewayVm:
    """What makes a VM the gateway of its tenant (Windows Server 2012).

    Attributes:
        public_address: on the front-end network.
        site, peer, lan: the site's name, its router's public address, its own network.
        prefixes: what the site reaches: the tenant's other subnets.
    """

    public_address: IPv4Address
    site: str
    peer: IPv4Address
    lan: IPv4Network
    shared_secret: str
    prefixes: tuple[IPv4Network, ...]


@dataclass(frozen=True, slots=True)
class Vm:
    """A tenant's VM; its name is also its node's and its networkInterface's.

    Attributes:
        acl: name of the access control list of its port; None: none.
        forwarding: a virtual appliance: carries packets of others' addresses.
        dhcp_guard, router_guard: it may not send DHCP replies; router advertisements and redirects.
        storm_limit_pps: broadcast and multicast packets a second that it may send; None: not limited.
        gateway: it is the tenant's gateway; None: it is not.
    """

    name: str
    host: str
    subnet: str
    address: IpAddress
    mac: str
    dns: tuple[IpAddress, ...]
    acl: str | None = None
    forwarding: bool = False
    dhcp_guard: bool = True
    router_guard: bool = True
    storm_limit_pps: int | None = None
    qos: Qos = Qos()
    gateway: GatewayVm | None = None


@dataclass(frozen=True, slots=True)
class Appliance:
    """A partner's appliance on the provider network; its name is also its node's and its networkInterface's.

    Attributes:
        provider_address: where hosts send what is for its customer address.
        forwarding: carries packets of others' addresses.
    """

    name: str
    provider_address: IPv4Address
    subnet: str
    address: IpAddress
    mac: str
    forwarding: bool = False


@dataclass(frozen=True, slots=True)
class AclRule:
    """A stateful rule; the lower priority goes first, the first match decides.

    Attributes:
        protocol: "tcp", "udp", "icmp" (ICMPv6 too) or "any".
        source, destination: None: any.
        source_ports, destination_ports: of TCP and UDP, both ends included; None: all.
        log: what the rule decides leaves an event.
    """

    name: str
    allow: bool
    inbound: bool
    protocol: str
    source: IpNetwork | None
    destination: IpNetwork | None
    source_ports: PortRange | None
    destination_ports: PortRange | None
    priority: int
    log: bool


@dataclass(frozen=True, slots=True)
class AccessControlList:
    """An access control list of a tenant, its rules by priority."""

    name: str
    rules: tuple[AclRule, ...]


@dataclass(frozen=True, slots=True)
class Ipv6Place:
    """Where a compartment is in IPv6: name of the gateway subnet, and the compartment's CA there."""

    subnet: str
    address: IPv6Address


@dataclass(frozen=True, slots=True)
class TenantGateway:
    """A tenant's way to the outside.

    Attributes:
        subnet: name of the gateway subnet.
        address: the compartment's CA there.
        asn: AS number of the tenant's BGP router.
        hold_time_s: BGP hold time.
        dial_in: remote access; None: there is none.
        ipv6: None: the compartment is IPv4 alone.
    """

    subnet: str
    address: IPv4Address
    asn: int
    hold_time_s: int
    connections: tuple[Connection, ...]
    dial_in: DialIn | None = None
    ipv6: Ipv6Place | None = None

    @property
    def subnets(self) -> tuple[str, ...]:
        """Names of the gateway subnets, that of IPv4 first."""
        return (self.subnet, *([self.ipv6.subnet] if self.ipv6 else []))


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant with its VM network; `routing_domain` is a GUID in lower case, no braces."""

    name: str
    routing_domain: str
    subnets: tuple[Subnet, ...]
    vms: tuple[Vm, ...]
    gateway: TenantGateway | None
    appliances: tuple[Appliance, ...] = ()
    acls: tuple[AccessControlList, ...] = ()
