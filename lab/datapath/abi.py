"""What the data plane and user space agree on, in Python: the mirror of bpf/abi.h.

A test compares every structure and enum here with the BTF of the compiled object, member by member.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum, IntFlag
from ipaddress import IPv4Address, IPv6Address


class Drop(IntEnum):
    """enum hnv_drop: why a frame ended; FORWARDED: it went on."""

    FORWARDED = 0
    PORT_BLOCKED = 1
    VLAN = 2
    MAC_SPOOF = 3
    CA_SPOOF = 4
    NON_IP = 5
    NON_IP4 = 6
    MALFORMED = 7
    ARP_MALFORMED = 8
    ARP_SPOOF = 9
    ARP_UNKNOWN = 10
    ARP_IGNORED = 11
    BUM = 12
    NO_SUBNET = 13
    NO_RECORD = 14
    MAC_MISMATCH = 15
    NO_ROUTE = 16
    TTL_EXCEEDED = 17
    ROUTER_LOCAL = 18
    TOO_BIG = 19
    PORT_ABSENT = 20
    NO_UPLINK = 21
    ENCAP = 22
    DECAP = 23
    GRE_FLAGS = 24
    GRE_PROTOCOL = 25
    OUTER_FRAG = 26
    OUTER_MALFORMED = 27
    VSID_RESERVED = 28
    PA_SPOOF = 29
    INNER_VLAN = 30
    ECN = 31
    NOT_LOCAL = 32


class Direction(IntEnum):
    """enum hnv_direction: where in the switch a frame was counted."""

    VPORT_IN = 0
    VPORT_OUT = 1
    WIRE_IN = 2
    WIRE_OUT = 3

    @property
    def label(self) -> str:
        """The word that reports and listings use, e.g. "vport-in"."""
        return self.name.lower().replace("_", "-")


class PortFlag(IntFlag):
    """Flags of a vport."""

    NONE = 0
    GATEWAY = 1


class MemberFlag(IntFlag):
    """Flags of a provider member."""

    NONE = 0
    GATEWAY = 1


class Addr(ctypes.Structure):
    """struct hnv_addr: IPv6, or IPv4 mapped, in network order."""

    _fields_ = (("word", ctypes.c_uint32 * 4),)


class Mac(ctypes.Structure):
    """struct hnv_mac."""

    _fields_ = (("byte", ctypes.c_uint8 * 6),)


class VPort(ctypes.Structure):
    """struct hnv_vport."""

    _fields_ = (
        ("vsid", ctypes.c_uint32),
        ("rd", ctypes.c_uint32),
        ("ca", Addr),
        ("mac", Mac),
        ("flags", ctypes.c_uint16),
    )


class Subnet(ctypes.Structure):
    """struct hnv_subnet."""

    _fields_ = (
        ("rd", ctypes.c_uint32),
        ("router_mac", Mac),
        ("pad", ctypes.c_uint16),
        ("router", Addr),
    )


class LookupKey(ctypes.Structure):
    """struct hnv_lookup_key."""

    _fields_ = (("vsid", ctypes.c_uint32), ("ca", Addr))


class Lookup(ctypes.Structure):
    """struct hnv_lookup."""

    _fields_ = (("pa", Addr), ("mac", Mac), ("flags", ctypes.c_uint16))


class LocalKey(ctypes.Structure):
    """struct hnv_local_key."""

    _fields_ = (("vsid", ctypes.c_uint32), ("mac", Mac), ("pad", ctypes.c_uint16))


class RouteKey(ctypes.Structure):
    """struct hnv_route_key; rd in network order, so that the kernel compares it before the prefix."""

    _fields_ = (("prefix_bits", ctypes.c_uint32), ("rd", ctypes.c_uint32), ("prefix", Addr))


class Route(ctypes.Structure):
    """struct hnv_route."""

    _fields_ = (("vsid", ctypes.c_uint32), ("flags", ctypes.c_uint32), ("next_hop", Addr))


class MemberKey(ctypes.Structure):
    """struct hnv_member_key."""

    _fields_ = (("rd", ctypes.c_uint32), ("pa", Addr))


class Settings(ctypes.Structure):
    """struct hnv_settings."""

    _fields_ = (("pa", Addr), ("uplink", ctypes.c_uint32), ("flags", ctypes.c_uint32))


class Rdid(ctypes.Structure):
    """struct hnv_rdid: the GUID's bytes in the order in which it is written."""

    _fields_ = (("byte", ctypes.c_uint8 * 16),)


class MetricKey(ctypes.Structure):
    """struct hnv_metric_key."""

    _fields_ = (
        ("reason", ctypes.c_uint32),
        ("direction", ctypes.c_uint32),
        ("vsid", ctypes.c_uint32),
    )


class Metric(ctypes.Structure):
    """struct hnv_metric, one for each CPU."""

    _fields_ = (("packets", ctypes.c_uint64), ("bytes", ctypes.c_uint64))


STRUCTURES: dict[str, type[ctypes.Structure]] = {
    "hnv_addr": Addr,
    "hnv_mac": Mac,
    "hnv_vport": VPort,
    "hnv_subnet": Subnet,
    "hnv_lookup_key": LookupKey,
    "hnv_lookup": Lookup,
    "hnv_local_key": LocalKey,
    "hnv_route_key": RouteKey,
    "hnv_route": Route,
    "hnv_member_key": MemberKey,
    "hnv_settings": Settings,
    "hnv_rdid": Rdid,
    "hnv_metric_key": MetricKey,
    "hnv_metric": Metric,
}
"""By their names in C."""

ADDR_BITS = 128
RD_BITS = 32
_MAPPED_BITS = 96
_MAPPED = bytes(10) + b"\xff\xff"


def addr(address: IPv4Address | None) -> Addr:
    """An address as the maps hold it; None is all zero."""
    return Addr.from_buffer_copy(bytes(16) if address is None else _MAPPED + address.packed)


def address_of(value: Addr) -> IPv4Address | None:
    """The address in a map's field; None when it is all zero."""
    packed = bytes(value)
    if not any(packed):
        return None
    mapped = IPv6Address(packed).ipv4_mapped
    if mapped is None:
        raise ValueError(f"no IPv4 address: {packed.hex()}")
    return mapped


def mac(text: str) -> Mac:
    """A MAC as the maps hold it, from "aa:bb:cc:dd:ee:ff" or "AA-BB-CC-DD-EE-FF".

    Raises:
        ValueError: the text is no MAC.
    """
    packed = bytes.fromhex(text.replace("-", ":").replace(":", ""))
    return Mac.from_buffer_copy(packed)


def mac_text(value: Mac) -> str:
    """A MAC as people read it."""
    return bytes(value).hex(":")


def mapped_prefix_bits(prefix_length: int) -> int:
    """Length of an IPv4 prefix in a route's key, which counts the routing domain and the mapped address."""
    return RD_BITS + _MAPPED_BITS + prefix_length
