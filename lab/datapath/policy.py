"""What one node's switch shall do, as plain data: the input of `Switch.apply`.

An address is IPv4 or IPv6; a virtual subnet has one family, that of its distributed router.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from uuid import UUID

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

ANY_PORT = (0, 65535)


class TeamMode(IntEnum):
    """enum hnv_team: how what the node sends is spread over its uplinks."""

    PORT = 0
    HASH = 1
    DYNAMIC = 2


@dataclass(frozen=True, slots=True)
class ProviderAddress:
    """One of the node's own PAs.

    Attributes:
        uplink_ifindex: of the uplink that carries it now; 0: none does.
    """

    key: str
    address: IPv4Address
    uplink_ifindex: int


@dataclass(frozen=True, slots=True)
class SwitchSettings:
    """How the switch works, whatever it carries.

    Attributes:
        vxlan: encapsulate in VXLAN (RFC 7348), else NVGRE (RFC 7637).
        dscp_uniform: copy DSCP outwards and back (RFC 2983 §3), else outer 0 and inner kept.
        external_router: route frames from the wire that are addressed to the distributed router.
        icmp_pps: ICMP errors per second and port; 0: not limited.
        event_pps: drop events per second and reason; 0: none.
        qos_in: ifindex of the shaping device; 0: there is none.
        provider: the network that all PAs of the node are of; None: of several, and the kernel routes.
        provider_gateway: next hop to PAs of other networks; None: there is none.
    """

    vxlan: bool = False
    dscp_uniform: bool = False
    external_router: bool = False
    team: TeamMode = TeamMode.PORT
    icmp_pps: int = 0
    event_pps: int = 0
    qos_in: int = 0
    provider: IPv4Network | None = None
    provider_gateway: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class Subnet:
    """A virtual subnet and the distributed router's interface in it."""

    key: str
    vsid: int
    rdid: UUID
    router: Address
    router_mac: str


@dataclass(frozen=True, slots=True)
class LookupRecord:
    """(VSID, CA) → (MAC, PA): where a customer address lives."""

    key: str
    vsid: int
    customer_address: Address
    mac: str
    provider_address: IPv4Address


@dataclass(frozen=True, slots=True)
class CustomerRoute:
    """(RDID, prefix) → next hop.

    Attributes:
        vsid: subnet of the next hop; for an on-link route the subnet itself. Means nothing with an external
            router.
        next_hop: None: on-link.
        external_router: PA of the gateway that routes there instead of this node; None: this node does.
    """

    key: str
    rdid: UUID
    prefix: Network
    vsid: int
    next_hop: Address | None
    external_router: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class UserRoute:
    """A user-defined route of one virtual subnet.

    Attributes:
        vsid: of the subnet whose VMs it is for.
        next_hop: CA of a virtual appliance; None: what goes there is dropped.
        next_hop_vsid: subnet of the next hop, in the same routing domain; not looked at without one.
        external_router: PA of the gateway that routes there, in place of a next hop.
    """

    key: str
    vsid: int
    prefix: Network
    next_hop: Address | None
    next_hop_vsid: int = 0
    external_router: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class ProviderMember:
    """A PA that may send into a routing domain.

    Attributes:
        gateway: may carry sources that are no CA of the routing domain.
        forwarder: may carry sources that live elsewhere in the routing domain.
    """

    key: str
    rdid: UUID
    provider_address: IPv4Address
    gateway: bool
    forwarder: bool = False


@dataclass(frozen=True, slots=True)
class AclRule:
    """One rule of an access control list.

    Attributes:
        id: for people; the log of the switch names a rule by its position in its port's list.
        inbound: towards the VM, else from it.
        protocol: IP protocol number; None: any.
        source: None: any.
        destination: None: any.
        source_ports: first and last, both included. A packet without ports has 0.
        destination_ports: the same.
    """

    id: str
    inbound: bool
    deny: bool
    log: bool = False
    protocol: int | None = None
    source: Network | None = None
    destination: Network | None = None
    source_ports: tuple[int, int] = ANY_PORT
    destination_ports: tuple[int, int] = ANY_PORT


@dataclass(frozen=True, slots=True)
class PortQos:
    """Bandwidth of a port in kbit/s; 0: not limited, or nothing reserved. HTB carries it out."""

    outbound_maximum_kbps: int = 0
    outbound_reserved_kbps: int = 0
    inbound_maximum_kbps: int = 0


@dataclass(frozen=True, slots=True)
class Port:
    """A vport that is there.

    Attributes:
        ifindex: in the namespace of the switch.
        gateway: a compartment: carries sources and destinations from outside the routing domain.
        provider_address: outer source of what it sends; None: the node's first.
        forwarding: a virtual appliance: carries sources and destinations of its routing domain.
        dhcp_server: may send DHCP replies.
        router_advertiser: may send router advertisements.
        acl: rules of both directions, the first match of a direction decides, no match allows.
        storm_limit_pps: broadcast and multicast packets per second from the VM; 0: not limited.
        qos_class: handle of its HTB class on the shaping device (skb->priority); 0: not shaped.
    """

    key: str
    ifindex: int
    vsid: int
    customer_address: Address
    mac: str
    gateway: bool = False
    provider_address: IPv4Address | None = None
    forwarding: bool = False
    dhcp_server: bool = False
    router_advertiser: bool = False
    acl: tuple[AclRule, ...] = ()
    storm_limit_pps: int = 0
    qos_class: int = 0
    qos: PortQos = PortQos()


Item = Subnet | LookupRecord | CustomerRoute | UserRoute | ProviderMember | Port
"""What a policy holds any number of."""


@dataclass(frozen=True, slots=True)
class Node:
    """The part of a policy that the node has once.

    Attributes:
        provider_addresses: the node's own.
        uplinks: ifindexes of the provider interfaces that have carrier.
    """

    provider_addresses: tuple[ProviderAddress, ...] = ()
    uplinks: tuple[int, ...] = ()
    switch: SwitchSettings = SwitchSettings()


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that a switch knows.

    Attributes:
        provider_addresses: the node's own PAs; empty: it has none yet.
        uplinks: ifindexes of the provider interfaces that have carrier; empty: none is there.
    """

    provider_addresses: tuple[ProviderAddress, ...] = ()
    uplinks: tuple[int, ...] = ()
    switch: SwitchSettings = SwitchSettings()
    subnets: tuple[Subnet, ...] = ()
    lookups: tuple[LookupRecord, ...] = ()
    routes: tuple[CustomerRoute, ...] = ()
    user_routes: tuple[UserRoute, ...] = ()
    members: tuple[ProviderMember, ...] = ()
    ports: tuple[Port, ...] = ()

    @property
    def node(self) -> Node:
        """What the node has once."""
        return Node(self.provider_addresses, self.uplinks, self.switch)

    @property
    def items(self) -> tuple[Item, ...]:
        """All the rest."""
        return (
            *self.subnets,
            *self.lookups,
            *self.routes,
            *self.user_routes,
            *self.members,
            *self.ports,
        )
