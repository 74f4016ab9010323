"""Rules 7 and 8: what a port may not offer, and where a packet may not go."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from lab.datapath.abi import Drop
from lab.datapath.policy import Port

from .outcome import Ended
from .parsing import UDP, Packet

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
    """Rule 8: whether the frame is flooded; ends it when it is for nobody."""
    if destination_mac[0] & 1 or packet.destination.is_multicast or packet.destination == BROADCAST:
        return True
    if isinstance(packet.destination, IPv4Address):
        nowhere = any(packet.destination in network for network in NOWHERE4)
    else:
        nowhere = packet.destination.is_unspecified or packet.destination.is_loopback
    if nowhere:
        raise Ended(Drop.BUM)
    return False
