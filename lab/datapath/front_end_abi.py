"""What the front end's programs and user space agree on, in Python: the mirror of bpf/fe_abi.h.

A test compares every structure and enum here with the BTF of the compiled object, member by member.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum

from lab.datapath.abi import Mac


class FrontEndDrop(IntEnum):
    """enum hnv_fe_drop: why a frame ended; FORWARDED: it went on."""

    FORWARDED = 0
    NO_LEG = 1
    VLAN_UNKNOWN = 2
    TAGGED = 3
    OUTER_FRAG = 4
    OUTER_MALFORMED = 5
    GRE_FLAGS = 6
    GRE_PROTOCOL = 7
    GRE_UNKNOWN = 8
    INNER_MALFORMED = 9
    ECN = 10
    NON_IP = 11
    TOO_BIG = 12
    ENCAP = 13
    DECAP = 14
    OTHER_VLAN = 15

    @property
    def label(self) -> str:
        """The word that reports and listings use, e.g. "gre-unknown"."""
        return self.name.lower().replace("_", "-")


class FrontEndDirection(IntEnum):
    """enum hnv_fe_direction, as the connection sees it: IN from the front end, OUT to it."""

    IN = 0
    OUT = 1


class Leg(ctypes.Structure):
    """struct hnv_fe_leg; addresses and key in network order."""

    _fields_ = (
        ("front_end", ctypes.c_uint32),
        ("vlan", ctypes.c_uint32),
        ("local", ctypes.c_uint32),
        ("remote", ctypes.c_uint32),
        ("key", ctypes.c_uint32),
        ("inner_mac", Mac),
        ("outer_mac", Mac),
    )


class TunnelKey(ctypes.Structure):
    """struct hnv_fe_tunnel_key; everything in network order."""

    _fields_ = (("local", ctypes.c_uint32), ("remote", ctypes.c_uint32), ("key", ctypes.c_uint32))


class CounterKey(ctypes.Structure):
    """struct hnv_fe_counter_key."""

    _fields_ = (("ifindex", ctypes.c_uint32), ("direction", ctypes.c_uint32), ("reason", ctypes.c_uint32))


STRUCTURES: dict[str, type[ctypes.Structure]] = {
    "hnv_fe_leg": Leg,
    "hnv_fe_tunnel_key": TunnelKey,
    "hnv_fe_counter_key": CounterKey,
}
"""By their names in C."""

ENUMS: dict[str, type[IntEnum]] = {
    "hnv_fe_drop": FrontEndDrop,
    "hnv_fe_direction": FrontEndDirection,
}
"""By their names in C."""

LEGS = "hnv_fe_legs_v1"
VLANS = "hnv_fe_vlans_v1"
TUNNELS = "hnv_fe_tunnels_v1"
LOCALS = "hnv_fe_locals_v1"
UNTAGGED = 0x1000
"""HNV_FE_UNTAGGED: in place of an access port's VLAN id."""
ACCESS = "hnv_fe_access_v1"
COUNTERS = "hnv_fe_counters_v1"
"""Names of the maps (bpf/fe_maps.h)."""
