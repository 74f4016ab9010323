"""The policy compiler: pieces of a routing domain in, records of goal states out. Pure.

A node gets a routing domain only if it carries one of its VMs or its compartment. Which records then:

- Distributed router (the default): every node of the domain gets the same, except for ports and
  compartments. Routes: one on-link route for each virtual subnet, metric 0; one for each prefix behind the
  compartment, next hop the compartment's address: learned by BGP while the gateway reports it, static while
  the connection that carries it is established. Lowest metric wins. A prefix that lies inside a virtual
  subnet of the same domain is left out: a site must not draw the traffic of VMs to itself. User-defined
  routes of every subnet.
- External router mode: a host gets the virtual subnets that its VMs are in, with an on-link route and the
  lookup records of each, and for everything else routes to the gateway's PA; from each of its subnets to the
  others, too. The gateway gets what every node gets in the other mode, and routes for all.

`View` says which of these a node has; two nodes with the same view share the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import permutations

from lab.controller.compartments import compartment_record
from lab.controller.completion import COMPARTMENT, COMPARTMENT_IPV6, derived_mac, router_address
from lab.controller.domains import Endpoint, Frame, NodeEnd, Subnet
from lab.controller.models_policy import ANY, PROTOCOLS, AccessControlList, AclRule, ports
from lab.controller.shapes import Resource
from lab.prefixes import inside
from lab.southbound import southbound_pb2 as pb
from lab.southbound.identity import compartment_port
from lab.southbound.keys import GoalState, record

DEFAULT_ROUTES = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass(frozen=True, slots=True)
class View:
    """What a node sees of a routing domain.

    Attributes:
        vsids: the virtual subnets that it knows; None: all.
        router: PA of the gateway that routes for it; empty: it routes itself.
    """

    vsids: frozenset[int] | None = None
    router: str = ""


WHOLE = View()


@dataclass(frozen=True, slots=True)
class Membership:
    """Who may send into a routing domain: PAs by virtual subnet, and those of virtual appliances."""

    addresses: Mapping[int, frozenset[str]]
    forwarders: frozenset[str]


NodeBody = pb.ProviderAddress | pb.SwitchSettings | pb.ProviderMember | pb.FrontEndRouter


def compile_end(end: NodeEnd) -> GoalState:
    """What a node gets whatever it carries. A switch that works by default needs no settings."""
    bodies: list[NodeBody] = [
        pb.ProviderAddress(
            address=item.address, prefix_length=item.prefix_length, gateway=item.gateway, uplink=member
        )
        for member, item in enumerate(end.interfaces)
    ]
    if end != NodeEnd(end.interfaces, front_end=end.front_end):
        bodies.append(
            pb.SwitchSettings(
                encapsulation=end.encapsulation,
                dscp=end.dscp,
                team_mode=end.team_mode,
                external_router=end.external_router,
                uplink_kbps=end.uplink_kbps,
            )
        )
    if end.front_end:
        peers = [pb.BgpPeer(name=peer, address=peer, asn=asn) for peer, asn in end.front_end.peers]
        bodies.append(pb.FrontEndRouter(asn=end.front_end.asn, peers=peers))
    return _state(bodies)


def _state(bodies: Iterable[NodeBody]) -> GoalState:
    return {item.key: item for item in map(record, bodies)}


def compile_lookup(endpoint: Endpoint) -> pb.Record:
    """Where a customer address lives: for every node that knows its virtual subnet."""
    return record(
        pb.LookupRecord(
            vsid=endpoint.vsid,
            customer_address=endpoint.address,
            mac=endpoint.mac,
            provider_address=endpoint.provider_address,
        )
    )


def compile_port(endpoint: Endpoint) -> pb.Record:
    """A vport, for the node that it is on."""
    rules = endpoint.rules
    return record(
        pb.Port(
            interface_id=endpoint.interface_id,
            vsid=endpoint.vsid,
            customer_address=endpoint.address,
            mac=endpoint.mac,
            provider_address=endpoint.provider_address,
            access_control_lists=endpoint.acls,
            forwarding=rules.forwarding,
            dhcp_server=rules.dhcp_server,
            router_advertiser=rules.router_advertiser,
            storm_limit_pps=rules.storm_limit_pps,
            outbound_maximum_kbps=rules.outbound_maximum_kbps,
            outbound_reserved_kbps=rules.outbound_reserved_kbps,
            inbound_maximum_kbps=rules.inbound_maximum_kbps,
        )
    )


def compartment_endpoints(frame: Frame) -> dict[str, Endpoint | None]:
    """The compartment's addresses, each like a VM's, by interface id; None: none of that IP version."""
    place, router = frame.compartment, frame.router
    ipv6 = place.ipv6 if place else None
    return {
        (name := compartment_port(frame.rdid, ipv6=kind == COMPARTMENT_IPV6)): Endpoint(
            interface_id=name,
            node=place.node,
            vsid=at.vsid,
            address=at.address,
            mac=derived_mac(kind, frame.rdid),
            provider_address=router.provider_address,
        )
        if place and at and router
        else None
        for kind, at in ((COMPARTMENT, place), (COMPARTMENT_IPV6, ipv6))
    }


def compile_compartment(frame: Frame) -> GoalState:
    """What only the gateway gets that carries the compartment."""
    if frame.compartment is None:
        return {}
    item = record(compartment_record(frame, frame.compartment))
    return {item.key: item}


def compile_view(frame: Frame, view: View) -> GoalState:
    """Virtual subnets and routes of a routing domain as a node sees them."""
    subnets = [s for s in frame.subnets if view.vsids is None or s.vsid in view.vsids]
    items = [item for subnet in subnets for item in _subnet(frame.rdid, subnet, view)]
    items += _away(frame.rdid, subnets, view) if view.router else _routes(frame)
    return {item.key: item for item in items}


def _subnet(rdid: str, subnet: Subnet, view: View) -> Iterator[pb.Record]:
    yield record(
        pb.VirtualSubnet(
            vsid=subnet.vsid,
            rdid=rdid,
            prefix=subnet.prefix,
            router_address=router_address(subnet.prefix),
            router_mac=derived_mac("router", rdid),
        )
    )
    yield record(pb.CustomerRoute(rdid=rdid, prefix=subnet.prefix, vsid=subnet.vsid))
    if view.vsids is not None:
        return
    for hop in subnet.hops:
        yield record(
            pb.UserRoute(
                vsid=subnet.vsid, prefix=hop.prefix, next_hop=hop.next_hop, next_hop_vsid=hop.next_hop_vsid
            )
        )


def _away(rdid: str, subnets: list[Subnet], view: View) -> Iterator[pb.Record]:
    """A host in external router mode leaves all that crosses subnets to the gateway.

    Its own subnets' routes are on-link, for by them it knows where an address lives, and so who may send from
    it. What one of these subnets sends to another is kept off them by a route of the sender's subnet: of two
    with the same prefix it goes before the routing domain's.
    """
    for version in sorted({ip_network(subnet.prefix).version for subnet in subnets}):
        prefix = DEFAULT_ROUTES[version]
        yield record(pb.CustomerRoute(rdid=rdid, prefix=prefix, external_router=view.router))
    for subnet, other in permutations(subnets, 2):
        if ip_network(subnet.prefix).version == ip_network(other.prefix).version:
            yield record(pb.UserRoute(vsid=subnet.vsid, prefix=other.prefix, external_router=view.router))


def _routes(frame: Frame) -> list[pb.Record]:
    place = frame.compartment
    if place is None:
        return []
    subnets = [ip_network(subnet.prefix) for subnet in frame.subnets]
    return [
        record(
            pb.CustomerRoute(
                rdid=frame.rdid, prefix=route.prefix, vsid=hop[0], next_hop=hop[1], metric=route.metric
            )
        )
        for route in frame.routes
        if (hop := place.next_hop(route.prefix))
        and not any(inside(ip_network(route.prefix), subnet) for subnet in subnets)
    ]


def compile_members(frame: Frame, view: View, membership: Membership) -> GoalState:
    """Who may send to a node. In external router mode only who shares a virtual subnet with it does so
    directly; the gateway does for all others.

    An appliance forwards what others have sent, and they can be outside of the routing domain.
    """
    router = frame.router.provider_address if frame.router else ""
    by_vsid = membership.addresses
    known = by_vsid if view.vsids is None else by_vsid.keys() & view.vsids
    addresses = {address for vsid in known for address in by_vsid[vsid]}
    if view.router:
        addresses.add(view.router)
    return _state(
        pb.ProviderMember(
            rdid=frame.rdid,
            provider_address=address,
            gateway=address == router or address in membership.forwarders,
            forwarder=address in membership.forwarders or address == view.router,
        )
        for address in sorted(addresses)
    )


def compile_acl(resource: Resource[AccessControlList]) -> pb.Record:
    """An access control list, first match first."""
    rules = sorted(resource.properties.acl_rules, key=lambda item: item.properties.priority)
    return record(
        pb.AccessControlList(
            id=resource.resource_id,
            rules=[rule for item in rules for rule in _rules(item.resource_id, item.properties)],
        )
    )


def _rules(name: str, rule: AclRule) -> Iterator[pb.AclRule]:
    source, destination = ports(rule.source_port_range), ports(rule.destination_port_range)
    for protocol in PROTOCOLS[rule.protocol]:
        yield pb.AclRule(
            id=name,
            inbound=rule.type == "Inbound",
            deny=rule.action == "Deny",
            log=rule.logging == "Enabled",
            protocol=protocol,
            source_prefix=rule.source_address_prefix.replace(ANY, ""),
            destination_prefix=rule.destination_address_prefix.replace(ANY, ""),
            source_port_first=source[0],
            source_port_last=source[1],
            destination_port_first=destination[0],
            destination_port_last=destination[1],
        )
