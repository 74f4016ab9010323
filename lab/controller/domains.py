"""One routing domain, and one node, as the compiler wants them: everything that their policy depends on, and
nothing else. Plain, frozen data: what is equal has equal policy.

A routing domain is a `Frame`, what concerns it as a whole, and its `Endpoint`s, one for each VM. They are
apart because a change of one VM must not cost more in a domain of 60,000 VMs than in one of six.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.controller.models_tenant import NetworkInterface, VirtualGateway
from lab.controller.observations import LearnedRoute
from lab.controller.shapes import Resource
from lab.prefixes import version_of
from lab.southbound import southbound_pb2 as pb


@dataclass(frozen=True, slots=True)
class Hop:
    """A user-defined route of a virtual subnet. `next_hop` empty: what goes there is dropped."""

    prefix: str
    next_hop: str
    next_hop_vsid: int


@dataclass(frozen=True, slots=True)
class Subnet:
    """A virtual subnet with its user-defined routes."""

    vsid: int
    prefix: str
    hops: tuple[Hop, ...] = ()


@dataclass(frozen=True, slots=True)
class PortRules:
    """What a vport lets through; rates in kbit/s and packets per second, 0: not limited, none reserved."""

    forwarding: bool = False
    dhcp_server: bool = False
    router_advertiser: bool = False
    storm_limit_pps: int = 0
    outbound_maximum_kbps: int = 0
    outbound_reserved_kbps: int = 0
    inbound_maximum_kbps: int = 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A customer address: a VM's vport on a node, or a partner's appliance.

    Attributes:
        node: where its vport is; empty: an appliance, which has none.
        mac: as `aa:bb:cc:dd:ee:ff`.
        provider_address: where it lives.
        acls: ids of access control lists, its own before its subnet's.
        interface: what it was made from.
    """

    interface_id: str
    node: str
    vsid: int
    address: str
    mac: str
    provider_address: str
    acls: tuple[str, ...] = ()
    rules: PortRules = PortRules()
    interface: Resource[NetworkInterface] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Ipv6Place:
    """A compartment's place in an IPv6 subnet of the VM network."""

    vsid: int
    prefix: str
    address: str


@dataclass(frozen=True, slots=True)
class Compartment:
    """A tenant's place on a gateway.

    Attributes:
        vip: public address that the pool's tenants share.
        resource: what the client wants, secrets included.
        gre_vip: the gateway's address for GRE tunnels; empty: it has none.
        vlans: VLAN ids of the L3 connections, by connection.
        nats: what the NAT connections translate to, by connection.
        dial_in: the remote access, as a connection; None: there is none.
        links: routing domains that links lead to, by connection.
        ipv6: None: the compartment is IPv4 alone.
    """

    node: str
    tenant: str
    vsid: int
    prefix: str
    address: str
    vip: str
    resource: VirtualGateway
    gre_vip: str = ""
    vlans: Mapping[str, int] = field(default_factory=dict)
    nats: Mapping[str, pb.Nat] = field(default_factory=dict)
    dial_in: pb.Connection | None = field(default=None, repr=False)
    links: Mapping[str, str] = field(default_factory=dict)
    ipv6: Ipv6Place | None = None

    def next_hop(self, prefix: str) -> tuple[int, str] | None:
        """Where hosts send what goes to a prefix: VSID and customer address. None: the compartment has none
        of that IP version.
        """
        if version_of(prefix) == 4:
            return self.vsid, self.address
        return (self.ipv6.vsid, self.ipv6.address) if self.ipv6 else None


@dataclass(frozen=True, slots=True)
class Router:
    """The gateway that carries a routing domain: a node and its provider address."""

    node: str
    provider_address: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What concerns a routing domain as a whole.

    Attributes:
        rdid: routing domain id.
        subnets: all its virtual subnets.
        compartment: its tenant's place on a gateway, if there is one that is placed.
        router: the gateway of its compartment; in external router mode there is one without a compartment
            too.
        routes: what lies behind the compartment: learned by BGP, and static of established connections.
        external: hosts know their own virtual subnets only and leave routing to `router`
            (Set-NetVirtualizationGlobal -UseExternalRouter).
    """

    rdid: str
    subnets: tuple[Subnet, ...]
    compartment: Compartment | None = None
    router: Router | None = None
    routes: tuple[LearnedRoute, ...] = ()
    external: bool = False


@dataclass(frozen=True, slots=True)
class Domain:
    """A routing domain whole; endpoints by interface id."""

    frame: Frame
    endpoints: Mapping[str, Endpoint]


@dataclass(frozen=True, slots=True)
class ProviderInterface:
    """One of a node's PAs, and the way out of the provider subnet (empty: none)."""

    address: str
    prefix_length: int
    gateway: str


@dataclass(frozen=True, slots=True)
class FrontEndBgp:
    """A gateway's own BGP router on the front-end network.

    Attributes:
        asn: its AS number.
        peers: address and AS number of each router that it announces to.
    """

    asn: int
    peers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class NodeEnd:
    """A node's side of the fabric.

    Attributes:
        interfaces: its PAs by team member.
        encapsulation: "nvgre" or "vxlan".
        dscp: "pipe" or "uniform".
        team_mode: "hyper-v-port", "hash" or "dynamic".
        external_router: a gateway that routes for the hosts.
        uplink_kbps: speed of its uplinks together; 0: not limited.
        front_end: a gateway's own BGP router; None: it has none.
    """

    interfaces: tuple[ProviderInterface, ...]
    encapsulation: str = "nvgre"
    dscp: str = "pipe"
    team_mode: str = "hyper-v-port"
    external_router: bool = False
    uplink_kbps: int = 0
    front_end: FrontEndBgp | None = None
