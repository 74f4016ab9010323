"""Compartments as records: a tenant's connections and BGP router in the words of the southbound protocol."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network

from lab.controller.bgp import router_record
from lab.controller.completion import derived_mac, router_address
from lab.controller.connections import connection_record
from lab.controller.domains import Compartment, Frame, Subnet
from lab.southbound import southbound_pb2 as pb


def compartment_record(frame: Frame, place: Compartment) -> pb.Compartment:
    """What the gateway's agent builds a compartment from.

    Args:
        frame: the routing domain.
        place: where its compartment stands.
    """
    prefixes = _vm_prefixes(frame.subnets, place)
    connections = [connection_record(item, place) for item in place.resource.network_connections]
    return pb.Compartment(
        rdid=frame.rdid,
        tenant=place.tenant,
        vsid=place.vsid,
        customer_address=place.address,
        prefix_length=IPv4Network(place.prefix).prefixlen,
        mac=derived_mac("compartment", frame.rdid),
        router_address=router_address(place.prefix),
        vm_prefixes=prefixes,
        vip=place.vip,
        connections=[*connections, *([place.dial_in] if place.dial_in else [])],
        bgp=router_record(place, prefixes),
    )


def _vm_prefixes(subnets: tuple[Subnet, ...], place: Compartment) -> list[str]:
    """Everything but the gateway subnet: reached through the distributed router, offered to the sites. A
    compartment is IPv4.
    """
    return [s.prefix for s in subnets if s.vsid != place.vsid and ip_network(s.prefix).version == 4]
