"""The policy compiler: routing domains in, goal states out. Pure.

A node gets a routing domain only if it carries one of its VMs or its compartment. Within a routing domain the
records are the same for every node, except for ports and compartments; so they are compiled once and shared
(`DomainPolicy`).

Which routes a host gets:

- on-link, one for each virtual subnet, metric 0: the distributed router;
- one for each prefix behind the compartment, next hop the compartment's address: learned by BGP while the
  gateway reports it, static while the connection that carries it is established. Lowest metric wins. A prefix
  that lies inside a virtual subnet of the same domain is left out: a site must not draw the traffic of VMs to
  itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from lab.controller.completion import derived_mac, router_address
from lab.controller.domains import Compartment, Domain, Endpoint, ProviderEnd, Subnet
from lab.controller.models_tenant import BgpPeer, BgpRouter, NetworkConnection
from lab.controller.shapes import Resource, as_number
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState, record

EndpointRecords = tuple[pb.Record, pb.Record]
"""A VM's lookup record, which all nodes of its domain get, and its port, which its own node gets."""


@dataclass(frozen=True, slots=True)
class DomainPolicy:
    """The policy of one routing domain.

    Attributes:
        shared: records that every node of the domain gets.
        own: records of one node only, by node; its keys are the nodes of the domain.
        endpoints: the records of each VM, by the VM and its node's provider address.
    """

    shared: GoalState
    own: Mapping[str, GoalState]
    endpoints: Mapping[tuple[Endpoint, str], EndpointRecords]


EMPTY = DomainPolicy({}, {}, {})


def compile_all(domains: Iterable[Domain], ends: Mapping[str, ProviderEnd]) -> dict[str, GoalState]:
    """The goal state of every node.

    Args:
        domains: all routing domains.
        ends: provider interface by node.
    """
    result: dict[str, GoalState] = {node: compile_end(end) for node, end in ends.items()}
    for domain in domains:
        policy = compile_domain(domain)
        for node, own in policy.own.items():
            result[node] |= policy.shared | own
    return result


def compile_end(end: ProviderEnd) -> GoalState:
    """What a node gets whatever it carries."""
    item = record(
        pb.ProviderAddress(address=end.address, prefix_length=end.prefix_length, gateway=end.gateway)
    )
    return {item.key: item}


def compile_domain(domain: Domain, before: DomainPolicy = EMPTY) -> DomainPolicy:
    """The policy of one routing domain.

    Args:
        domain: the routing domain.
        before: its policy as it was; what has not changed is taken from it, for speed.
    """
    if not domain.provider_addresses:
        return EMPTY
    own: dict[str, GoalState] = {node: {} for node in domain.provider_addresses}
    items = (*_subnets(domain), *_routes(domain), *_members(domain))
    shared = {item.key: item for item in items}
    endpoints: dict[tuple[Endpoint, str], EndpointRecords] = {}
    for endpoint in domain.endpoints:
        place = (endpoint, domain.provider_addresses[endpoint.node])
        lookup, port = endpoints[place] = before.endpoints.get(place) or _endpoint(*place)
        shared[lookup.key] = lookup
        own[endpoint.node][port.key] = port
    if domain.compartment is not None:
        node = own[domain.compartment.node]
        _add(
            node,
            pb.Port(
                interface_id=f"compartment/{domain.rdid}",
                vsid=domain.compartment.vsid,
                customer_address=domain.compartment.address,
                mac=derived_mac("compartment", domain.rdid),
            ),
        )
        _add(node, _compartment(domain, domain.compartment))
        _add(
            shared,
            pb.LookupRecord(
                vsid=domain.compartment.vsid,
                customer_address=domain.compartment.address,
                mac=derived_mac("compartment", domain.rdid),
                provider_address=domain.provider_addresses[domain.compartment.node],
            ),
        )
    return DomainPolicy(shared, own, endpoints)


def _add(state: GoalState, body: pb.Port | pb.Compartment | pb.LookupRecord) -> None:
    item = record(body)
    state[item.key] = item


def _endpoint(endpoint: Endpoint, provider_address: str) -> EndpointRecords:
    lookup = pb.LookupRecord(
        vsid=endpoint.vsid,
        customer_address=endpoint.address,
        mac=endpoint.mac,
        provider_address=provider_address,
    )
    port = pb.Port(
        interface_id=endpoint.interface_id,
        vsid=endpoint.vsid,
        customer_address=endpoint.address,
        mac=endpoint.mac,
    )
    return record(lookup), record(port)


def _subnets(domain: Domain) -> Iterator[pb.Record]:
    for subnet in domain.subnets:
        yield record(
            pb.VirtualSubnet(
                vsid=subnet.vsid,
                rdid=domain.rdid,
                prefix=subnet.prefix,
                router_address=router_address(subnet.prefix),
                router_mac=derived_mac("router", domain.rdid),
            )
        )
        yield record(pb.CustomerRoute(rdid=domain.rdid, prefix=subnet.prefix, vsid=subnet.vsid))


def _routes(domain: Domain) -> Iterator[pb.Record]:
    if domain.compartment is None:
        return
    inside = [IPv4Network(subnet.prefix) for subnet in domain.subnets]
    for route in domain.routes:
        if any(IPv4Network(route.prefix).subnet_of(subnet) for subnet in inside):
            continue
        yield record(
            pb.CustomerRoute(
                rdid=domain.rdid,
                prefix=route.prefix,
                vsid=domain.compartment.vsid,
                next_hop=domain.compartment.address,
                metric=route.metric,
            )
        )


def _members(domain: Domain) -> Iterator[pb.Record]:
    gateway = domain.compartment.node if domain.compartment else None
    for node, address in domain.provider_addresses.items():
        yield record(pb.ProviderMember(rdid=domain.rdid, provider_address=address, gateway=node == gateway))


def _compartment(domain: Domain, place: Compartment) -> pb.Compartment:
    prefixes = _vm_prefixes(domain.subnets, place)
    return pb.Compartment(
        rdid=domain.rdid,
        tenant=place.tenant,
        vsid=place.vsid,
        customer_address=place.address,
        prefix_length=IPv4Network(place.prefix).prefixlen,
        mac=derived_mac("compartment", domain.rdid),
        router_address=router_address(place.prefix),
        vm_prefixes=prefixes,
        vip=place.vip,
        connections=[_connection(item) for item in place.resource.network_connections],
        bgp=_bgp(place, prefixes),
    )


def _vm_prefixes(subnets: tuple[Subnet, ...], place: Compartment) -> list[str]:
    """Everything but the gateway subnet: reached through the distributed router, offered to the sites."""
    return [subnet.prefix for subnet in subnets if subnet.vsid != place.vsid]


def _connection(item: Resource[NetworkConnection]) -> pb.Connection:
    wanted = item.properties
    result = pb.Connection(
        name=item.resource_id,
        outbound_kbps=wanted.outbound_kilo_bits_per_second,
        inbound_kbps=wanted.inbound_kilo_bits_per_second,
        routes=[pb.StaticRoute(prefix=r.destination_prefix, metric=r.metric) for r in wanted.routes],
    )
    ipsec = wanted.ip_sec_configuration
    if ipsec is not None:
        main, quick = ipsec.main_mode, ipsec.quick_mode
        result.ipsec.CopyFrom(
            pb.Ipsec(
                peer=wanted.destination_ip_address or "",
                shared_secret=ipsec.shared_secret or "",
                main_mode=pb.MainMode(
                    encryption=main.encryption_algorithm,
                    integrity=main.integrity_algorithm,
                    dh_group=main.diffie_hellman_group,
                    sa_life_time_s=main.sa_life_time_seconds,
                ),
                quick_mode=pb.QuickMode(
                    cipher=quick.cipher_transformation_constant,
                    authentication=quick.authentication_transformation_constant,
                    pfs=quick.perfect_forward_secrecy,
                    sa_life_time_s=quick.sa_life_time_seconds,
                    sa_life_time_kb=quick.sa_life_time_kilo_bytes,
                    idle_disconnect_s=quick.idle_disconnect_seconds,
                ),
            )
        )
    return result


def _bgp(place: Compartment, prefixes: list[str]) -> pb.BgpRouter | None:
    router: BgpRouter | None = next(
        (r.properties for r in place.resource.bgp_routers if r.properties.is_enabled), None
    )
    if router is None:
        return None
    return pb.BgpRouter(
        asn=as_number(router.ext_as_number),
        router_id=router.router_id or place.address,
        networks=router.bgp_networks or prefixes,
        peers=[_peer(item) for item in router.bgp_peers],
    )


def _peer(item: Resource[BgpPeer]) -> pb.BgpPeer:
    peer = item.properties
    number = as_number(peer.ext_as_number) if peer.ext_as_number else peer.peer_as_number or peer.as_number
    return pb.BgpPeer(
        name=item.resource_id,
        address=peer.peer_ip_address,
        asn=number or 0,
        hold_time_s=peer.hold_time_seconds,
    )
