"""The distributed router, rules 1 to 6, up to where the next hop lives."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from lab.datapath.abi import Drop
from lab.datapath.policy import Subnet

from .outcome import HOST_UNREACHABLE, NET_UNREACHABLE, TIME_EXCEEDED, Ended
from .parsing import Packet, mac
from .tables import Route, Tables


@dataclass(frozen=True)
class Hop:
    """Where a frame goes next.

    Attributes:
        address: the PA of the node.
        mac: of the next hop in its subnet.
    """

    vsid: int
    address: IPv4Address
    mac: bytes
    frame: bytes


class Local(Exception):
    """The packet is for a router's own address."""


def switched(tables: Tables, subnet: Subnet, packet: Packet, frame: bytes) -> Hop:
    """Within a subnet: nothing of the frame changes."""
    record = tables.records.get((subnet.vsid, packet.destination))
    if record is None:
        raise Ended(Drop.NO_RECORD)
    if mac(record.mac) != frame[:6]:
        raise Ended(Drop.MAC_MISMATCH)
    return Hop(subnet.vsid, record.provider_address, frame[:6], frame)


def routed(tables: Tables, subnet: Subnet, packet: Packet, frame: bytes) -> Hop:
    """To the router's MAC. Raises Local when it is for the router itself."""
    route = tables.route(subnet, packet.destination)
    if route and route.blackhole:
        raise Ended(Drop.BLACKHOLE)
    if packet.destination == subnet.router and (route is None or route.external_router):
        raise Local
    if route and route.external_router:
        return Hop(subnet.vsid, route.external_router, mac(subnet.router_mac), frame)
    if route and _is_router(tables, route, packet):
        raise Local
    if packet.ttl <= 1:
        raise Ended(Drop.TTL_EXCEEDED, TIME_EXCEEDED)
    if route is None:
        raise Ended(Drop.NO_ROUTE, NET_UNREACHABLE)
    beyond = tables.subnets.get(route.vsid)
    if beyond is None or beyond.rdid != subnet.rdid:
        raise Ended(Drop.NO_SUBNET)
    record = tables.records.get((route.vsid, route.next_hop or packet.destination))
    if record is None:
        raise Ended(Drop.NO_RECORD, HOST_UNREACHABLE)
    ethernet = mac(record.mac) + mac(beyond.router_mac) + frame[12:14]
    return Hop(
        route.vsid, record.provider_address, mac(record.mac), ethernet + packet.with_ttl(packet.ttl - 1)
    )


def _is_router(tables: Tables, route: Route, packet: Packet) -> bool:
    beyond = tables.subnets.get(route.vsid) if route.on_link else None
    return beyond is not None and beyond.router == packet.destination
