"""Rules 7 and 8: what a port may not offer, and where a packet may not go."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from lab.datapath.abi import Drop
from lab.datapath.policy import Port

from .outcome import Ended
from .parsing import UDP, Address, Packet

DHCP_SERVER = {4: 67, 6: 547}
NOWHERE4 = (IPv4Network("0.0.0.0/8"), IPv4Network("127.0.0.0/8"), IPv4Network("240.0.0.0/4"))
BROADCAST = IPv4Address("255.255.255.255")


def check_dhcp(port: Port, packet: Packet) -> None:
    """Rule 7."""
    if packet.protocol != UDP or packet.ports is None or port.dhcp_server:
        return
    if packet.ports[0] == DHCP_SERVER[packet.version]:
        raise Ended(Drop.DHCP_GUARD)


def is_for_many(destination_mac: bytes, packet: Packet) -> bool:
    """Rule 8: whether the frame is flooded."""
    return bool(destination_mac[0] & 1) or packet.destination.is_multicast or packet.destination == BROADCAST


def check_destination(packet: Packet) -> None:
    """Rule 8: addresses that nobody has."""
    if not is_unicast(packet.destination):
        raise Ended(Drop.BUM)


def is_unicast(address: Address) -> bool:
    """Whether it can be one station's address."""
    if isinstance(address, IPv4Address):
        return not address.is_multicast and not any(address in network for network in NOWHERE4)
    return not (address.is_multicast or address.is_unspecified or address.is_loopback)
