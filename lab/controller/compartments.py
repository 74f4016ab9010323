"""Compartments as records: a tenant's connections and BGP router in the words of the southbound protocol."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from lab.controller.bgp import router_record
from lab.controller.completion import COMPARTMENT, COMPARTMENT_IPV6, derived_mac, router_address
from lab.controller.connections import connection_record
from lab.controller.domains import Compartment, Frame, Subnet
from lab.prefixes import version_of
from lab.southbound import southbound_pb2 as pb


def compartment_record(frame: Frame, place: Compartment) -> pb.Compartment:
    """What the gateway's agent builds a compartment from.

    Args:
        frame: the routing domain.
        place: where its compartment stands.
    """
    prefixes = _vm_prefixes(frame.subnets, place, 4)
    connections = [connection_record(item, place) for item in place.resource.network_connections]
    record = pb.Compartment(
        rdid=frame.rdid,
        tenant=place.tenant,
        vsid=place.vsid,
        customer_address=place.address,
        prefix_length=IPv4Network(place.prefix).prefixlen,
        mac=derived_mac(COMPARTMENT, frame.rdid),
        router_address=router_address(place.prefix),
        vm_prefixes=prefixes,
        vip=place.vip,
        connections=[*connections, *([place.dial_in] if place.dial_in else [])],
        bgp=router_record(place, [*prefixes, *(_vm_prefixes(frame.subnets, place, 6) if place.ipv6 else [])]),
    )
    if place.ipv6 is not None:
        record.ipv6.CopyFrom(
            pb.CompartmentIpv6(
                customer_address=place.ipv6.address,
                prefix_length=IPv6Network(place.ipv6.prefix).prefixlen,
                mac=derived_mac(COMPARTMENT_IPV6, frame.rdid),
                router_address=router_address(place.ipv6.prefix),
                vm_prefixes=_vm_prefixes(frame.subnets, place, 6),
            )
        )
    return record


def _vm_prefixes(subnets: tuple[Subnet, ...], place: Compartment, version: int) -> list[str]:
    """Everything of an IP version but the gateway subnets: reached through the distributed router, offered to
    the sites.
    """
    own = {place.vsid, *([place.ipv6.vsid] if place.ipv6 else [])}
    return [s.prefix for s in subnets if s.vsid not in own and version_of(s.prefix) == version]
