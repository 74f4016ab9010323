"""The rules of docs/front-end.md for what comes untagged out of the fabric: hypothesis compares them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lab.datapath.front_end import GreLeg
from lab.datapath.front_end_abi import FrontEndDrop

IPV6 = b"\x86\xdd"


@dataclass(frozen=True)
class Verdict:
    """What becomes of a frame.

    Attributes:
        reason: None: it is the kernel's.
        leg: whom it is counted for; "": nobody.
        frame: as the leg gets it.
    """

    reason: FrontEndDrop | None
    leg: str = ""
    frame: bytes = b""


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def judge(
    frame: bytes, station: bytes, legs: tuple[GreLeg, ...], macs: dict[str, bytes], mtu: int
) -> Verdict:
    """An untagged frame at the front end.

    Args:
        frame: from its Ethernet header on.
        station: MAC of the front end.
        legs: the tunnels.
        macs: of the legs' outer ends.
        mtu: of the legs.
    """
    ip = frame[14:34]
    if frame[:6] != station or frame[12:14] != b"\x08\0" or len(ip) < 20 or ip[0] >> 4 != 4 or ip[9] != 47:
        return Verdict(None)
    if ip[16:20] not in {leg.local.packed for leg in legs}:
        return Verdict(None)
    length, fragment = struct.unpack("!H2xH", ip[2:8])
    if fragment & 0x3FFF:
        return Verdict(FrontEndDrop.OUTER_FRAG)
    if ip[0] & 15 != 5 or not 28 <= length <= len(frame) - 14 or checksum(ip):
        return Verdict(FrontEndDrop.OUTER_MALFORMED)
    flags, protocol, key = struct.unpack("!HHI", frame[34:42])
    if flags != 0x2000:
        return Verdict(FrontEndDrop.GRE_FLAGS)
    if protocol not in (0x0800, 0x86DD):
        return Verdict(FrontEndDrop.GRE_PROTOCOL)
    for leg in legs:
        if (leg.local.packed, leg.remote.packed, leg.key) == (ip[16:20], ip[12:16], key):
            return _inside(frame, ip[1], length - 28, leg, macs[leg.interface], mtu)
    return Verdict(FrontEndDrop.GRE_UNKNOWN)


def _inside(frame: bytes, outer_tos: int, brought: int, leg: GreLeg, outer_mac: bytes, mtu: int) -> Verdict:
    packet, protocol = frame[42:], frame[36:38]
    sound = _sound6 if protocol == IPV6 else _sound4
    if not sound(packet, brought):
        return Verdict(FrontEndDrop.INNER_MALFORMED, leg.interface)
    if len(packet) > mtu:
        return Verdict(FrontEndDrop.TOO_BIG, leg.interface)
    # RFC 6040, table 4: rows are the inner field, columns the outer one; None: drop.
    table = {0: (0, 0, 0, None), 1: (1, 1, 1, 3), 2: (2, 1, 2, 3), 3: (3, 3, 3, 3)}
    before = packet[1] if protocol != IPV6 else int.from_bytes(packet[:2], "big") >> 4 & 0xFF
    ecn = table[before & 3][outer_tos & 3]
    if ecn is None:
        return Verdict(FrontEndDrop.ECN, leg.interface)
    if ecn != before & 3:
        packet = (_with_class if protocol == IPV6 else _with_tos)(packet, before & 0xFC | ecn)
    mac = bytes.fromhex(leg.mac.replace(":", ""))
    return Verdict(FrontEndDrop.FORWARDED, leg.interface, mac + outer_mac + protocol + packet)


def _sound4(packet: bytes, brought: int) -> bool:
    if len(packet) < 20:
        return False
    header, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
    return packet[0] >> 4 == 4 and header >= 20 and header <= total <= brought


def _sound6(packet: bytes, brought: int) -> bool:
    if len(packet) < 40:
        return False
    return packet[0] >> 4 == 6 and 40 + int.from_bytes(packet[4:6], "big") <= brought


def _with_class(packet: bytes, traffic_class: int) -> bytes:
    first = int.from_bytes(packet[:4], "big") & 0xF00FFFFF | traffic_class << 20
    return first.to_bytes(4, "big") + packet[4:]


def _with_tos(packet: bytes, tos: int) -> bytes:
    """The packet with another TOS; RFC 1624 eqn. 3: a wrong checksum stays wrong."""
    (word, check), changed = struct.unpack("!H8xH", packet[:12]), bytes((packet[0], tos))
    total = (~check & 0xFFFF) + (~word & 0xFFFF) + int.from_bytes(changed, "big")
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return changed + packet[2:10] + struct.pack("!H", ~total & 0xFFFF) + packet[12:]
