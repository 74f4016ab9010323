"""What the data plane and user space agree on, in Python: the mirror of bpf/abi.h.

A test compares every structure and enum here with the BTF of the compiled object, member by member.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum, IntFlag
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network


class Drop(IntEnum):
    """enum hnv_drop: why a frame ended; FORWARDED: it went on."""

    FORWARDED = 0
    PORT_BLOCKED = 1
    VLAN = 2
    MAC_SPOOF = 3
    CA_SPOOF = 4
    NON_IP = 5
    IP_VERSION = 6
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
    VXLAN_FLAGS = 33
    ND_MALFORMED = 34
    ND_SPOOF = 35
    ND_UNKNOWN = 36
    ND_IGNORED = 37
    DHCP_GUARD = 38
    RA_GUARD = 39
    STORM = 40
    ACL = 41
    FRAGMENT = 42
    BLACKHOLE = 43
    EXTENSION_HEADERS = 44


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


class Team(IntEnum):
    """enum hnv_team: how packets are spread over a node's uplinks."""

    PORT = 0
    HASH = 1
    DYNAMIC = 2


class AclDirection(IntEnum):
    """enum hnv_acl_direction, as the VM sees it; meters use it too."""

    OUTBOUND = 0
    INBOUND = 1


class FlowState(IntEnum):
    """enum hnv_flow_state."""

    NEW = 0
    ESTABLISHED = 1
    CLOSING = 2


class MeterKind(IntEnum):
    """enum hnv_meter_kind: is the other end a CA of the routing domain?"""

    INTERNAL = 0
    GATEWAY = 1


class EventKind(IntEnum):
    """enum hnv_event_kind."""

    DROP = 1
    ACL_LOG = 2
    TRACE = 3


class Stage(IntEnum):
    """enum hnv_stage: what a followed packet has passed."""

    VPORT_IN = 0
    ACL_OUT = 1
    SHAPED = 2
    SWITCHED = 3
    ROUTED = 4
    LOOKUP = 5
    ENCAP = 6
    WIRE_OUT = 7
    WIRE_IN = 8
    DECAP = 9
    ACL_IN = 10
    VPORT_OUT = 11
    DROP = 12


class PortFlag(IntFlag):
    """Flags of a vport (HNV_PORT_)."""

    NONE = 0
    GATEWAY = 1
    FORWARDING = 2
    DHCP_SERVER = 4
    ROUTER = 8


class SubnetFlag(IntFlag):
    """Flags of a virtual subnet (HNV_SUBNET_)."""

    NONE = 0
    USER_ROUTES = 1


class RouteFlag(IntFlag):
    """Flags of a route (HNV_ROUTE_)."""

    NONE = 0
    BLACKHOLE = 1


class MemberFlag(IntFlag):
    """Flags of a provider member (HNV_MEMBER_)."""

    NONE = 0
    GATEWAY = 1
    FORWARDER = 2


class SettingsFlag(IntFlag):
    """Flags of the node's settings (HNV_SETTINGS_)."""

    NONE = 0
    VXLAN = 1
    DSCP_UNIFORM = 2
    EXTERNAL_ROUTER = 4
    TRACE = 8


class RuleFlag(IntFlag):
    """Flags of an ACL rule (HNV_RULE_)."""

    NONE = 0
    DENY = 1
    LOG = 2
    ANY_PROTOCOL = 4


FLOOD_MAX = 64
"""Copies of one broadcast or multicast frame (HNV_FLOOD_MAX)."""
UPLINKS_MAX = 4
"""Provider links of a node (HNV_UPLINKS_MAX)."""
ACL_RULES_MAX = 256
"""Rules of one port and direction (HNV_ACL_RULES_MAX)."""
TABLE_USER = 0x80000000
"""Set in a route key's table beside the VSID: user-defined routes of one subnet (HNV_TABLE_USER)."""
EVENT_VERSION = 1
EVENT_CAPTURE = 96
"""Octets of a frame that an event holds (HNV_EVENT_CAPTURE)."""


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
        ("pa", Addr),
        ("mac", Mac),
        ("flags", ctypes.c_uint16),
        ("acl", ctypes.c_uint32),
        ("storm_pps", ctypes.c_uint32),
        ("qos_class", ctypes.c_uint32),
    )


class Subnet(ctypes.Structure):
    """struct hnv_subnet."""

    _fields_ = (
        ("rd", ctypes.c_uint32),
        ("router_mac", Mac),
        ("flags", ctypes.c_uint16),
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
    """struct hnv_route_key; table in network order, so that the kernel compares it before the prefix."""

    _fields_ = (("prefix_bits", ctypes.c_uint32), ("table", ctypes.c_uint32), ("prefix", Addr))


class Route(ctypes.Structure):
    """struct hnv_route."""

    _fields_ = (
        ("vsid", ctypes.c_uint32),
        ("flags", ctypes.c_uint16),
        ("prefix_bits", ctypes.c_uint16),
        ("next_hop", Addr),
        ("external_router", Addr),
    )


class MemberKey(ctypes.Structure):
    """struct hnv_member_key."""

    _fields_ = (("rd", ctypes.c_uint32), ("pa", Addr))


class Settings(ctypes.Structure):
    """struct hnv_settings."""

    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("team", ctypes.c_uint32),
        ("qos_in", ctypes.c_uint32),
        ("icmp_pps", ctypes.c_uint32),
        ("event_pps", ctypes.c_uint32),
        ("uplink_count", ctypes.c_uint32),
        ("uplink", ctypes.c_uint32 * UPLINKS_MAX),
        ("pa_network", ctypes.c_uint32),
        ("pa_mask", ctypes.c_uint32),
        ("pa_gateway", ctypes.c_uint32),
    )


class FloodKey(ctypes.Structure):
    """struct hnv_flood_key."""

    _fields_ = (("vsid", ctypes.c_uint32), ("index", ctypes.c_uint32))


class Flood(ctypes.Structure):
    """struct hnv_flood; PA all zero: a port of this node."""

    _fields_ = (("pa", Addr), ("ifindex", ctypes.c_uint32))


class AclDigest(ctypes.Structure):
    """struct hnv_acl_digest."""

    _fields_ = (("byte", ctypes.c_uint8 * 16),)


class AclKey(ctypes.Structure):
    """struct hnv_acl_key."""

    _fields_ = (("acl", ctypes.c_uint32), ("direction", ctypes.c_uint16), ("index", ctypes.c_uint16))


class AclRule(ctypes.Structure):
    """struct hnv_acl_rule; ports in host order, both ends included."""

    _fields_ = (
        ("source", Addr),
        ("source_mask", Addr),
        ("destination", Addr),
        ("destination_mask", Addr),
        ("source_port_first", ctypes.c_uint16),
        ("source_port_last", ctypes.c_uint16),
        ("destination_port_first", ctypes.c_uint16),
        ("destination_port_last", ctypes.c_uint16),
        ("protocol", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("pad", ctypes.c_uint16),
        ("id", ctypes.c_uint32),
    )


class FlowKey(ctypes.Structure):
    """struct hnv_flow_key; ports in network order."""

    _fields_ = (
        ("ifindex", ctypes.c_uint32),
        ("local", Addr),
        ("remote", Addr),
        ("local_port", ctypes.c_uint16),
        ("remote_port", ctypes.c_uint16),
        ("protocol", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
    )


class Flow(ctypes.Structure):
    """struct hnv_flow."""

    _fields_ = (
        ("last_ns", ctypes.c_uint64),
        ("packets", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("acl", ctypes.c_uint32),
        ("opener", ctypes.c_uint8),
        ("state", ctypes.c_uint8),
        ("pad", ctypes.c_uint16),
    )


class MeterKey(ctypes.Structure):
    """struct hnv_meter_key."""

    _fields_ = (("ifindex", ctypes.c_uint32), ("direction", ctypes.c_uint16), ("kind", ctypes.c_uint16))


class TraceKey(ctypes.Structure):
    """struct hnv_trace_key."""

    _fields_ = (
        ("rd", ctypes.c_uint32),
        ("mark", ctypes.c_uint32),
        ("source", Addr),
        ("destination", Addr),
    )


class Event(ctypes.Structure):
    """struct hnv_event."""

    _fields_ = (
        ("version", ctypes.c_uint8),
        ("kind", ctypes.c_uint8),
        ("stage", ctypes.c_uint8),
        ("direction", ctypes.c_uint8),
        ("reason", ctypes.c_uint32),
        ("time_ns", ctypes.c_uint64),
        ("trace", ctypes.c_uint32),
        ("vsid", ctypes.c_uint32),
        ("ifindex", ctypes.c_uint32),
        ("detail", ctypes.c_uint32),
        ("pa", Addr),
        ("length", ctypes.c_uint32),
        ("captured", ctypes.c_uint32),
        ("frame", ctypes.c_uint8 * EVENT_CAPTURE),
    )


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
    "hnv_flood_key": FloodKey,
    "hnv_flood": Flood,
    "hnv_acl_digest": AclDigest,
    "hnv_acl_key": AclKey,
    "hnv_acl_rule": AclRule,
    "hnv_flow_key": FlowKey,
    "hnv_flow": Flow,
    "hnv_meter_key": MeterKey,
    "hnv_trace_key": TraceKey,
    "hnv_event": Event,
    "hnv_rdid": Rdid,
    "hnv_metric_key": MetricKey,
    "hnv_metric": Metric,
}
"""By their names in C."""

ENUMS: dict[str, tuple[type[IntEnum], str]] = {
    "hnv_direction": (Direction, "HNV_"),
    "hnv_team": (Team, "HNV_TEAM_"),
    "hnv_acl_direction": (AclDirection, "HNV_ACL_"),
    "hnv_flow_state": (FlowState, "HNV_FLOW_"),
    "hnv_meter_kind": (MeterKind, "HNV_METER_"),
    "hnv_event_kind": (EventKind, "HNV_EVENT_"),
    "hnv_stage": (Stage, "HNV_STAGE_"),
}
"""By their names in C, with what their constants begin with; enum hnv_drop is `Drop`."""

CONSTANTS: dict[str, int] = {
    "HNV_FLOOD_MAX": FLOOD_MAX,
    "HNV_UPLINKS_MAX": UPLINKS_MAX,
    "HNV_ACL_RULES_MAX": ACL_RULES_MAX,
    "HNV_TABLE_USER": TABLE_USER,
    "HNV_EVENT_VERSION": EVENT_VERSION,
    "HNV_EVENT_CAPTURE": EVENT_CAPTURE,
    **{f"HNV_PORT_{flag.name}": flag.value for flag in PortFlag},
    **{f"HNV_SUBNET_{flag.name}": flag.value for flag in SubnetFlag},
    **{f"HNV_ROUTE_{flag.name}": flag.value for flag in RouteFlag},
    **{f"HNV_MEMBER_{flag.name}": flag.value for flag in MemberFlag},
    **{f"HNV_SETTINGS_{flag.name}": flag.value for flag in SettingsFlag},
    **{f"HNV_RULE_{flag.name}": flag.value for flag in RuleFlag},
}
"""Flags and sizes by their names in C."""

ADDR_BITS = 128
TABLE_BITS = 32
_MAPPED_BITS = 96
_MAPPED = bytes(10) + b"\xff\xff"


def addr(address: IPv4Address | IPv6Address | None) -> Addr:
    """An address as the maps hold it; None is all zero.

    Raises:
        ValueError: an IPv6 address that would be taken for IPv4, or for none at all.
    """
    if address is None:
        return Addr()
    if isinstance(address, IPv4Address):
        return Addr.from_buffer_copy(_MAPPED + address.packed)
    if address.ipv4_mapped is not None or not int(address):
        raise ValueError(f"{address} is no address of a station")
    return Addr.from_buffer_copy(address.packed)


def address_of(value: Addr) -> IPv4Address | IPv6Address | None:
    """The address in a map's field; None when it is all zero."""
    packed = bytes(value)
    if not any(packed):
        return None
    address = IPv6Address(packed)
    return address.ipv4_mapped or address


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


def route_prefix(prefix_bits: int, prefix: Addr) -> IPv4Network | IPv6Network:
    """The prefix of a route's key."""
    length = prefix_bits - TABLE_BITS
    packed = bytes(prefix)
    if length >= _MAPPED_BITS and packed.startswith(_MAPPED):
        return IPv4Network((packed[len(_MAPPED) :], length - _MAPPED_BITS))
    return IPv6Network((packed, length))
