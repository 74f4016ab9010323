"""Who may send from which address: rule 6 of a VM's frame, rules 3 and 5 of a packet from the fabric."""

from __future__ import annotations

from ipaddress import IPv6Address

from lab.datapath.abi import Drop
from lab.datapath.policy import Port, ProviderMember, Subnet

from .outcome import Ended
from .parsing import Address, Packet, mac
from .tables import Tables

ROUTER_REPLIES = {4: {0, 3, 11}, 6: {1, 2, 3, 129}}
"""What a router says in its own name: errors and echo replies (RFC 792, RFC 4443)."""


ROUTERS_WORD = {134, 137}
"""What a router says to its link: advertisements and redirects (RFC 4861)."""


def link_local(address: bytes) -> IPv6Address:
    """RFC 4291 appendix A: the address that a station makes of its MAC."""
    eui = bytes([address[0] ^ 2]) + address[1:3] + b"\xff\xfe" + address[3:]
    return IPv6Address(b"\xfe\x80" + bytes(6) + eui)


def is_routers_word(packet: Packet, station: bytes) -> bool:
    """Whether a router of the tenant's says this to its link, from the link-local address of its MAC."""
    said = packet.version == 6 and packet.icmp_type in ROUTERS_WORD and packet.ttl == 255
    return said and packet.source == link_local(station)


def may_send(tables: Tables, port: Port, address: Address, packet: Packet | None = None) -> bool:
    """Rule 6.

    Args:
        address: the source.
        packet: what it stands in; None: an ARP request.
    """
    if address == port.customer_address:
        return True
    if packet and port.router_advertiser and is_routers_word(packet, mac(port.mac)):
        return True
    on_link = tables.on_link(tables.subnets[port.vsid], address)
    if port.gateway and on_link is None:
        return True
    if not port.forwarding or address.is_loopback or address.is_multicast or address.is_unspecified:
        return False
    if on_link is None or on_link.router != address:
        return True
    return packet is not None and packet.icmp_type in ROUTER_REPLIES[packet.version]


def check_wire_source(
    tables: Tables, subnet: Subnet, sender: Address, member: ProviderMember, packet: Packet, frame: bytes
) -> None:
    """From the fabric, rule 5.

    Args:
        sender: outer source.
        frame: the inner one, which begins with destination and source MAC.
    """
    destination, source = frame[:6], frame[6:12]
    if source[0] & 1:
        raise Ended(Drop.MAC_SPOOF)
    if is_routers_word(packet, source) and mac(subnet.router_mac) not in (destination, source):
        return
    home = tables.on_link(subnet, packet.source)
    if home is None:
        if not member.gateway:
            raise Ended(Drop.CA_SPOOF)
        return
    if home.router == packet.source:
        if not member.forwarder or packet.icmp_type not in ROUTER_REPLIES[packet.version]:
            raise Ended(Drop.CA_SPOOF)
        return
    record = tables.records.get((home.vsid, packet.source))
    if record is None or (record.provider_address != sender and not member.forwarder):
        raise Ended(Drop.CA_SPOOF)
    allowed = {mac(subnet.router_mac)} | ({mac(record.mac)} if record.vsid == subnet.vsid else set())
    if source not in allowed and not member.forwarder:
        raise Ended(Drop.MAC_SPOOF)
