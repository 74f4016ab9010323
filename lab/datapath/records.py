"""Goal-state records, each as what it says to a switch. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network
from typing import Any, TypeVar
from uuid import UUID

from lab.datapath.policy import (
    AclRule,
    Address,
    CustomerRoute,
    LookupRecord,
    Network,
    Port,
    PortQos,
    ProviderMember,
    Subnet,
    SwitchSettings,
    TeamMode,
    UserRoute,
)
from lab.southbound import southbound_pb2 as pb
from lab.southbound.identity import COMPARTMENT_PREFIX

ICMP_PPS = 1000
"""ICMP errors that the distributed router sends to one port in a second, at most."""
EVENT_PPS = 10
"""Drops of one reason that are told in a second, at most; all are counted."""

_TEAM_MODES = {
    "": TeamMode.PORT,
    "hyper-v-port": TeamMode.PORT,
    "hash": TeamMode.HASH,
    "dynamic": TeamMode.DYNAMIC,
}
_VXLAN = {"": False, "nvgre": False, "vxlan": True}
_UNIFORM = {"": False, "pipe": False, "uniform": True}

Meaning = TypeVar("Meaning")


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A PA that the node shall carry.

    Attributes:
        gateway: next hop to PAs of other networks; None: there is none.
        uplink: the team member that it is at home on; 0 is pa0.
    """

    key: str
    address: IPv4Address
    prefix_length: int
    gateway: IPv4Address | None
    uplink: int


_DEFAULTS = SwitchSettings(icmp_pps=ICMP_PPS, event_pps=EVENT_PPS)


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What a node has once.

    Attributes:
        switch: without what depends on interfaces.
        uplink_kbps: speed of the uplinks together; 0: not limited.
    """

    switch: SwitchSettings = _DEFAULTS
    uplink_kbps: int = 0


@dataclass(frozen=True, slots=True)
class PortRecord:
    """A port as its record says it, whether its interface is there or not.

    Attributes:
        port: with interface 0 and without rules.
        lists: ids of its access control lists, in order.
    """

    interface_id: str
    port: Port
    lists: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RuleList:
    """An access control list."""

    id: str
    rules: tuple[AclRule, ...]


Read = (
    NodeAddress
    | NodeSettings
    | PortRecord
    | RuleList
    | Subnet
    | LookupRecord
    | CustomerRoute
    | UserRoute
    | ProviderMember
)
"""What a record of the switch's becomes."""


def read(key: str, record: pb.Record) -> Read | None:
    """What a record says; None: it is not the switch's.

    Raises:
        ValueError: a field cannot be read.
    """
    kind = record.WhichOneof("body")
    build = _BUILDERS.get(kind or "")
    return None if build is None else build(key, getattr(record, str(kind)))


@lru_cache(maxsize=4096)
def _address4(text: str) -> IPv4Address:
    return IPv4Address(text)


@lru_cache(maxsize=4096)
def _address(text: str) -> Address:
    if ":" not in text:
        return IPv4Address(text)
    address = IPv6Address(text)
    if address.ipv4_mapped is not None or address.is_unspecified:
        raise ValueError(f"{text} is no address of a station")
    return address


def _node_address(key: str, body: pb.ProviderAddress) -> NodeAddress:
    return NodeAddress(
        key,
        IPv4Address(body.address),
        IPv4Network((0, body.prefix_length)).prefixlen,
        IPv4Address(body.gateway) if body.gateway else None,
        body.uplink,
    )


def _settings(_key: str, body: pb.SwitchSettings) -> NodeSettings:
    return NodeSettings(
        SwitchSettings(
            vxlan=_word(_VXLAN, "encapsulation", body.encapsulation),
            dscp_uniform=_word(_UNIFORM, "dscp", body.dscp),
            external_router=body.external_router,
            team=_word(_TEAM_MODES, "team_mode", body.team_mode),
            icmp_pps=ICMP_PPS,
            event_pps=EVENT_PPS,
        ),
        body.uplink_kbps,
    )


def _word(words: Mapping[str, Meaning], field: str, word: str) -> Meaning:
    if word not in words:
        raise ValueError(f"{field} is {word!r}, not one of {', '.join(filter(None, words))}")
    return words[word]


def _subnet(key: str, body: pb.VirtualSubnet) -> Subnet:
    return Subnet(key, body.vsid, UUID(body.rdid), _address(body.router_address), body.router_mac)


def _lookup(key: str, body: pb.LookupRecord) -> LookupRecord:
    return LookupRecord(
        key,
        body.vsid,
        _address(body.customer_address),
        body.mac,
        _address4(body.provider_address),
    )


def _route(key: str, body: pb.CustomerRoute) -> CustomerRoute:
    return CustomerRoute(
        key,
        UUID(body.rdid),
        ip_network(body.prefix),
        body.vsid,
        _address(body.next_hop) if body.next_hop else None,
        IPv4Address(body.external_router) if body.external_router else None,
    )


def _user_route(key: str, body: pb.UserRoute) -> UserRoute:
    next_hop = _address(body.next_hop) if body.next_hop else None
    external = IPv4Address(body.external_router) if body.external_router else None
    if next_hop is not None and external is not None:
        raise ValueError("a route has a next hop or an external router, not both")
    return UserRoute(key, body.vsid, ip_network(body.prefix), next_hop, body.next_hop_vsid, external)


def _member(key: str, body: pb.ProviderMember) -> ProviderMember:
    return ProviderMember(
        key, UUID(body.rdid), IPv4Address(body.provider_address), body.gateway, body.forwarder
    )


def _rule_list(_key: str, body: pb.AccessControlList) -> RuleList:
    return RuleList(body.id, tuple(map(_rule, body.rules)))


def _rule(body: pb.AclRule) -> AclRule:
    return AclRule(
        id=body.id,
        inbound=body.inbound,
        deny=body.deny,
        log=body.log,
        protocol=_octet(body.protocol) or None,
        source=_any_or(body.source_prefix),
        destination=_any_or(body.destination_prefix),
        source_ports=_ports(body.source_port_first, body.source_port_last),
        destination_ports=_ports(body.destination_port_first, body.destination_port_last),
    )


def _octet(number: int) -> int:
    if number > 255:
        raise ValueError(f"there is no IP protocol {number}")
    return number


def _any_or(prefix: str) -> Network | None:
    return ip_network(prefix) if prefix else None


def _ports(first: int, last: int) -> tuple[int, int]:
    if not first <= last <= 65535:
        raise ValueError(f"{first} to {last} is no range of ports")
    return first, last


def _port(key: str, body: pb.Port) -> PortRecord:
    port = Port(
        key,
        0,
        body.vsid,
        _address(body.customer_address),
        body.mac,
        gateway=body.interface_id.startswith(COMPARTMENT_PREFIX),
        provider_address=IPv4Address(body.provider_address) if body.provider_address else None,
        forwarding=body.forwarding,
        dhcp_server=body.dhcp_server,
        router_advertiser=body.router_advertiser,
        storm_limit_pps=body.storm_limit_pps,
        qos=PortQos(body.outbound_maximum_kbps, body.outbound_reserved_kbps, body.inbound_maximum_kbps),
    )
    return PortRecord(body.interface_id, port, tuple(body.access_control_lists))


_BUILDERS: Mapping[str, Callable[[str, Any], Read]] = {
    "provider_address": _node_address,
    "switch_settings": _settings,
    "virtual_subnet": _subnet,
    "lookup_record": _lookup,
    "customer_route": _route,
    "user_route": _user_route,
    "provider_member": _member,
    "access_control_list": _rule_list,
    "port": _port,
}
