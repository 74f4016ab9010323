"""Connections as they shall stand, from the records of the goal state. Pure.

A connection has a device in the compartment, and a *leg*: the end of a veth pair in the default compartment.
What the pair's other end is depends on the kind: the connection's device itself (GRE, L3 forwarding, NAT), or
the front end of a namespace of its own, where a charon turns what arrives into plaintext; charon's device has
been moved into the compartment (IPsec, dial-in). A link has no leg: its device and that of the other VM
network are one pair.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from urllib.parse import quote

from gwnode.dial_in import server
from gwnode.link import LinkEnd, link_end
from gwnode.nat import Nat, nat
from gwnode.site_to_site import tunnel
from gwnode.transit import Transit
from lab.errors import LabError, Problem
from lab.ipsec.dial_in import DialInServer
from lab.ipsec.esp import EspBackend
from lab.ipsec.strongswan import Timers
from lab.ipsec.tunnel import Tunnel
from lab.model.names import interface_name
from lab.southbound import southbound_pb2 as pb

UNKNOWN_KIND = "HNV-GW-002"

GRE_MTU = 1472
"""Bytes: 1500 of the front end less IPv4 and GRE with a key."""
XFRM_IF_ID = 1
"""Of the connection's device, where the kernel encrypts; unique in charon's own namespace only."""


@dataclass(frozen=True, slots=True)
class IpsecDefaults:
    """What the node decides about IPsec.

    Attributes:
        backend: who encrypts ESP here.
        timers: of connections that say nothing of them.
    """

    backend: EspBackend
    timers: Timers


@dataclass(frozen=True, slots=True)
class IpsecEnd:
    """Site-to-site IKEv2: a charon of its own, in a namespace of its own.

    Attributes:
        timers: how long its peer may be silent.
    """

    tunnel: Tunnel
    transit: Transit
    timers: Timers

    @property
    def subnets(self) -> tuple[IPv4Network, ...]:
        """What charon protects on our side."""
        return tuple(IPv4Network(prefix) for prefix in self.tunnel.local_ts)

    @property
    def peer(self) -> IPv4Address:
        """The site's public address."""
        return IPv4Address(self.tunnel.remote)


@dataclass(frozen=True, slots=True)
class GreEnd:
    """IPv4 and IPv6 in GRE with a key (RFC 2784, RFC 2890)."""

    local: IPv4Address
    remote: IPv4Address
    key: int


@dataclass(frozen=True, slots=True)
class ForwardingEnd:
    """A leg in a VLAN of the tenant's own."""

    vlan: int
    addresses: tuple[IPv4Interface | IPv6Interface, ...]


@dataclass(frozen=True, slots=True)
class NatEnd:
    """Behind a public address of the tenant's own."""

    nat: Nat
    transit: Transit

    @property
    def public(self) -> IPv4Address:
        """The address that the outside sees."""
        return self.nat.public


@dataclass(frozen=True, slots=True)
class DialInEnd:
    """Road warriors: a charon of its own that answers at a public address of the tenant's own.

    Attributes:
        public: the address that they call.
    """

    server: DialInServer
    transit: Transit
    timers: Timers
    public: IPv4Address

    @property
    def subnets(self) -> tuple[IPv4Network, ...]:
        """What charon protects on our side."""
        return self.server.subnets


End = IpsecEnd | GreEnd | ForwardingEnd | NatEnd | DialInEnd | LinkEnd

KINDS: Mapping[type[End], str] = {
    IpsecEnd: "ipsec",
    GreEnd: "gre",
    ForwardingEnd: "forwarding",
    NatEnd: "nat",
    DialInEnd: "dial_in",
    LinkEnd: "link",
}
"""The kinds as the records call them."""
DEVICE_PREFIXES: Mapping[type[End], str] = {
    IpsecEnd: "ipsec-",
    GreEnd: "gre-",
    ForwardingEnd: "vlan-",
    NatEnd: "nat-",
    DialInEnd: "p2s-",
    LinkEnd: "link-",
}


@dataclass(frozen=True, slots=True)
class Way:
    """A static route of a connection; it stands while the connection does.

    Attributes:
        metric: of the routes to one prefix the lowest wins.
        next_hop: None: the far end of the connection.
    """

    prefix: IPv4Network | IPv6Network
    metric: int
    next_hop: IPv4Address | IPv6Address | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection of a tenant.

    Attributes:
        tenant, name: together unique on the gateway.
        ways: its static routes.
        outbound_kbps, inbound_kbps: 0: not limited.
        end: what its kind needs.
    """

    tenant: str
    name: str
    ways: tuple[Way, ...]
    outbound_kbps: int
    inbound_kbps: int
    end: End

    @property
    def device(self) -> str:
        """Its interface in the compartment."""
        return device_name(type(self.end), self.name)

    @property
    def leg(self) -> str:
        """Its interface in the default compartment; a link has none."""
        return leg_name(self.tenant, self.name, KINDS[type(self.end)])

    @property
    def mac(self) -> str:
        """Of the inner end of its leg's pair: who sends into it must know."""
        return ":".join(("02", *(f"{octet:02x}" for octet in hashlib.sha256(self.leg.encode()).digest()[:5])))

    @property
    def unit(self) -> str:
        """What its own namespace, service and files are called."""
        return unit_name(self.tenant, self.name)

    @property
    def transit(self) -> Transit | None:
        """Addresses of its leg's pair; None: the kind needs none."""
        return None if isinstance(self.end, GreEnd | ForwardingEnd | LinkEnd) else self.end.transit

    @property
    def on_demand(self) -> bool:
        """Whether the first packet for one of its routes has it called: so its routes stand always."""
        return isinstance(self.end, IpsecEnd) and self.end.tunnel.on_demand

    @property
    def carries_ipv6(self) -> bool:
        """Whether IPv6 may pass, in a tenant that has it."""
        match self.end:
            case GreEnd():
                return True
            case ForwardingEnd(addresses=addresses):
                return any(address.version == 6 for address in addresses)
        return False

    @property
    def has_charon(self) -> bool:
        """Whether a charon in a namespace of its own makes plaintext for it."""
        return isinstance(self.end, IpsecEnd | DialInEnd)


def device_name(kind: type[End], name: str) -> str:
    """The device of a connection in its compartment."""
    return interface_name(DEVICE_PREFIXES[kind], name)


def leg_name(tenant: str, name: str, kind: str) -> str:
    """The leg of a connection. Many tenants call theirs the same: half of the name is a hash.

    One that becomes of another kind is another one: its leg leads elsewhere.
    """
    hashed = hashlib.sha256(f"{tenant}/{name}/{kind}".encode()).hexdigest()[:8]
    return f"c-{quote(tenant)[:4]}-{hashed}"


def unit_name(tenant: str, name: str) -> str:
    """Quoted, neither of the two holds the sign between them."""
    return f"{quote(tenant)}+{quote(name)}"


def needs_transit(item: pb.Connection) -> bool:
    """Whether a connection's leg has addresses."""
    return item.WhichOneof("kind") in ("ipsec", "nat", "dial_in")


def wanted_connection(
    place: str,
    compartment: pb.Compartment,
    item: pb.Connection,
    transit: Transit | None,
    ipsec: IpsecDefaults,
) -> Connection:
    """A connection out of its record.

    Parameters:
        place: key of the record, for refusals.
        compartment: whose it is.
        item: the connection.
        transit: addresses of its leg; None where `needs_transit` says so.
        ipsec: what the node decides.

    Raises:
        LabError: this gateway cannot do it.
    """
    end = _end(place, compartment, item, transit, ipsec)
    in_network = isinstance(end, ForwardingEnd)
    ways = [
        Way(
            ip_network(route.prefix),
            route.metric,
            ip_address(route.next_hop) if route.next_hop and in_network else None,
        )
        for route in item.routes
    ]
    if isinstance(end, NatEnd):
        ways = [replace(way, next_hop=end.transit.outer) for way in ways]
    if isinstance(end, DialInEnd):
        ways.append(Way(end.server.pool, 0))
    return Connection(compartment.tenant, item.name, tuple(ways), item.outbound_kbps, item.inbound_kbps, end)


def _end(
    place: str,
    compartment: pb.Compartment,
    item: pb.Connection,
    transit: Transit | None,
    ipsec: IpsecDefaults,
) -> End:
    match item.WhichOneof("kind"), transit:
        case "ipsec", Transit():
            return _ipsec(place, compartment, item, transit, ipsec)
        case "nat", Transit():
            inside = [IPv4Network(prefix) for prefix in compartment.vm_prefixes]
            return NatEnd(nat(place, item, device_name(NatEnd, item.name), inside), transit)
        case "dial_in", Transit():
            return _dial_in(place, compartment, item, transit, ipsec)
        case "gre", None:
            return GreEnd(IPv4Address(item.gre.local), IPv4Address(item.gre.peer), item.gre.key)
        case "forwarding", None:
            addresses = tuple(map(ip_interface, item.forwarding.addresses))
            return ForwardingEnd(item.forwarding.vlan, addresses)
        case "link", None:
            return link_end(place, compartment, item)
    message = f"connection {item.name} is of no kind that this gateway knows"
    raise LabError(Problem(UNKNOWN_KIND, message, place=place))


def _ipsec(
    place: str, compartment: pb.Compartment, item: pb.Connection, transit: Transit, node: IpsecDefaults
) -> IpsecEnd:
    outage_s = item.ipsec.network_outage_s
    timers = Timers.for_outage(outage_s) if outage_s else node.timers
    made = tunnel(
        place,
        compartment.vip,
        item,
        transit.inner,
        node.backend,
        dpd_delay_s=timers.dpd_delay_s,
        if_id=XFRM_IF_ID if node.backend is EspBackend.KERNEL else 0,
    )
    return IpsecEnd(made, transit, timers)


def _dial_in(
    place: str, compartment: pb.Compartment, item: pb.Connection, transit: Transit, node: IpsecDefaults
) -> DialInEnd:
    made = server(
        place,
        compartment,
        item,
        transit.inner,
        node.backend,
        dpd_delay_s=node.timers.dpd_delay_s,
        if_id=XFRM_IF_ID if node.backend is EspBackend.KERNEL else 0,
    )
    return DialInEnd(made, transit, node.timers, IPv4Address(item.dial_in.public_address))
