"""A tenant's connections, resolved, kind by kind. Pure data; only the standard library at run time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import TYPE_CHECKING

from lab.model.certificates import Identities

if TYPE_CHECKING:
    from lab.model.types import IpNetwork, PortRange


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """What a connection leads to; of routes to one prefix the lowest metric wins."""

    prefix: IpNetwork
    metric: int


@dataclass(frozen=True, slots=True)
class MainMode:
    """Protection of IKE, in Microsoft's words; lifetime in seconds."""

    dh_group: str
    encryption: str
    integrity: str
    lifetime_s: int


@dataclass(frozen=True, slots=True)
class QuickMode:
    """Protection of the traffic, in Microsoft's words; lifetimes in seconds and kilobytes."""

    cipher: str
    authentication: str
    pfs: str
    lifetime_s: int
    lifetime_kb: int


@dataclass(frozen=True, slots=True)
class Ipsec:
    """IKEv2 with a pre-shared key or machine certificates.

    Attributes:
        shared_secret: empty: by certificates.
        identities: names in the certificates; None: by the secret.
        persistent: always up; else called by the first packet.
        idle_disconnect_s: 0: never.
        network_outage_s, retries, retry_interval_s: None: the gateway's own.
    """

    shared_secret: str
    identities: Identities | None
    main_mode: MainMode
    quick_mode: QuickMode
    persistent: bool
    idle_disconnect_s: int
    network_outage_s: int | None
    retries: int | None
    retry_interval_s: int | None


@dataclass(frozen=True, slots=True)
class Gre:
    """A GRE tunnel with a key."""

    key: int


@dataclass(frozen=True, slots=True)
class Forwarding:
    """A leg in a VLAN; `address` is the compartment's there, `ipv6_address` that of IPv6 if it has one."""

    vlan: int
    address: IPv4Interface
    ipv6_address: IPv6Interface | None = None


@dataclass(frozen=True, slots=True)
class NatMapping:
    """A port of the public address that leads to a VM.

    Attributes:
        protocol: "tcp" or "udp".
        source: who may come in; None: everybody.
    """

    name: str
    protocol: str
    port: int
    address: IPv4Address
    internal_port: int
    source: IpNetwork | None


@dataclass(frozen=True, slots=True)
class Nat:
    """Translation to a public address; `ports` None: the gateway's own choice."""

    public_address: IPv4Address
    ports: PortRange | None
    mappings: tuple[NatMapping, ...]


@dataclass(frozen=True, slots=True)
class DialIn:
    """A tenant's remote access.

    Attributes:
        identity: what the gateway calls itself, and its certificate calls it.
        public_address: what is called.
        pool: where callers' addresses are from.
        dns: name servers that they are told.
        maximum: of callers at a time; 0: as many as the pool has addresses.
        interim_accounting_s: between two accounting records of a caller who stays; 0: none.
        users: passwords by user name.
        certificates: machines with a certificate of the tenant's authority may call.
        outbound_kbps, inbound_kbps: of all callers together.
    """

    identity: str
    public_address: IPv4Address
    pool: IPv4Network
    dns: tuple[IPv4Address, ...]
    maximum: int
    interim_accounting_s: int
    users: Mapping[str, str] = field(repr=False)
    certificates: bool
    outbound_kbps: int
    inbound_kbps: int


@dataclass(frozen=True, slots=True)
class Link:
    """A link to another tenant's VM network; its routes are what this side uses of it.

    Attributes:
        tenant: the other one.
        offers: prefixes of this tenant that the other may reach.
    """

    tenant: str
    offers: tuple[IPv4Network, ...]


@dataclass(frozen=True, slots=True)
class SiteEnd:
    """The far end of a connection to a site.

    Attributes:
        name: of the site.
        peer: its router's address towards the gateway: `wan`.
        lan_prefix: the site's own network, which BGP offers.
        bgp_peer: its BGP router, which the connection has a static route to.
        bgp_peer_asn: the site's AS number; None: the site has no BGP router.
        ipv6_lan: its IPv6 network, which BGP offers as well, its router's address being next hop; None: none.
        ipv6_peer: its router's address in the VLAN; None: it has none, or no VLAN.
    """

    name: str
    peer: IPv4Address
    lan_prefix: IPv4Network
    bgp_peer: IPv4Address
    bgp_peer_asn: int | None
    ipv6_lan: IPv6Network | None = None
    ipv6_peer: IPv6Address | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """What ties a tenant to the outside.

    Attributes:
        kind: of which kind it is, with what only that kind has.
        site: None: it leads to no site (NAT, link).
        routes: all static routes, the one to the site's BGP router first.
        outbound_kbps, inbound_kbps: bandwidth for each direction.
    """

    name: str
    kind: Ipsec | Gre | Forwarding | Nat | Link
    site: SiteEnd | None
    routes: tuple[StaticRoute, ...]
    outbound_kbps: int
    inbound_kbps: int


EVERYWHERE = IPv4Network("0.0.0.0/0")
"""What a NAT connection leads to."""
DIAL_IN = "dial-in"
"""What a tenant's remote access is called among its connections."""
