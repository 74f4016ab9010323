"""ARP announcements (RFC 5227 §2.3): whoever comes up, moves or takes over tells its segment where it is."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address

ETH_P_ARP = 0x0806
_BROADCAST = b"\xff" * 6


def announce(interface: str, mac: str, *addresses: IPv4Address) -> None:
    """Say that these addresses are at this hardware address; who knew them elsewhere corrects that.

    Parameters:
        interface: where to say so, in the calling thread's network namespace.
        mac: the hardware address, `aa:bb:cc:dd:ee:ff`.
        addresses: what is there.

    Raises:
        OSError: the interface is down or gone.
    """
    own = bytes.fromhex(mac.replace(":", ""))
    head = _BROADCAST + own + struct.pack("!HHHBBH", ETH_P_ARP, 1, 0x0800, 6, 4, 1) + own
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((interface, 0))
        for address in addresses:
            raw.send(head + address.packed + bytes(6) + address.packed)
