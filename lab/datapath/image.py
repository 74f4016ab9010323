"""A policy as the content of the kernel's maps, and the order in which one content becomes another. Pure."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from uuid import UUID

from lab.datapath import abi
from lab.datapath.policy import Policy

VPORTS = "hnv_vports_v1"
SUBNETS = "hnv_subnets_v1"
LOOKUP = "hnv_lookup_v1"
LOCALS = "hnv_locals_v1"
MEMBERS = "hnv_members_v1"
DOMAINS = "hnv_domains_v1"
ROUTES = "hnv_routes_v1"
SETTINGS = "hnv_settings_v1"
METRICS = "hnv_metrics_v1"

MAKE_ORDER = (DOMAINS, SUBNETS, MEMBERS, LOOKUP, ROUTES, SETTINGS, VPORTS, LOCALS)
"""Make before break: what an entry leads to is there before the entry; a port speaks last. Removals go the
other way: a port is silent before its policy goes, a domain's number is free only after its last use."""

Content = dict[bytes, bytes]
Image = dict[str, Content]
"""By map name; all maps but the metrics."""


@dataclass(frozen=True, slots=True)
class Step:
    """Entries to set, or to remove, in one map."""

    map_name: str
    upserts: Content
    removes: tuple[bytes, ...]


def domain_numbers(current: Content, wanted: set[UUID]) -> dict[UUID, int]:
    """The dense number of each routing domain: kept where there is one, else the smallest that is free.

    Args:
        current: content of the domains map; numbers in it stay taken even when their domain is leaving,
            as entries that bear them are removed only later.
        wanted: routing domains of the new policy.
    """
    known = {UUID(bytes=key): int.from_bytes(value, "little") for key, value in current.items()}
    numbers = {rdid: known[rdid] for rdid in wanted if rdid in known}
    taken = set(known.values())
    candidate = 1
    for rdid in sorted(wanted - known.keys()):
        while candidate in taken:
            candidate += 1
        numbers[rdid] = candidate
        taken.add(candidate)
    return numbers


def image_of(policy: Policy, numbers: Mapping[UUID, int]) -> Image:
    """The content of all maps that makes the data plane follow a valid policy.

    Args:
        policy: validated.
        numbers: of `domain_numbers`, for all routing domains of the policy.
    """
    domain_of = {subnet.vsid: numbers[subnet.rdid] for subnet in policy.subnets}
    settings = abi.Settings(abi.addr(policy.provider_address), policy.uplink, 0)
    return {
        DOMAINS: {rdid.bytes: _u32(number) for rdid, number in numbers.items()},
        SUBNETS: {
            _u32(s.vsid): bytes(abi.Subnet(numbers[s.rdid], abi.mac(s.router_mac), 0, abi.addr(s.router)))
            for s in policy.subnets
        },
        MEMBERS: {
            bytes(abi.MemberKey(numbers[m.rdid], abi.addr(m.provider_address))): _u32(
                abi.MemberFlag.GATEWAY if m.gateway else abi.MemberFlag.NONE
            )
            for m in policy.members
        },
        LOOKUP: {
            lookup_key(r.vsid, r.customer_address): bytes(
                abi.Lookup(abi.addr(r.provider_address), abi.mac(r.mac), 0)
            )
            for r in policy.lookups
        },
        ROUTES: {
            bytes(
                abi.RouteKey(
                    abi.mapped_prefix_bits(r.prefix.prefixlen),
                    socket.htonl(numbers[r.rdid]),
                    abi.addr(r.prefix.network_address),
                )
            ): bytes(abi.Route(r.vsid, 0, abi.addr(r.next_hop)))
            for r in policy.routes
        },
        SETTINGS: {_u32(0): bytes(settings)},
        VPORTS: {
            _u32(p.ifindex): bytes(
                abi.VPort(
                    p.vsid,
                    domain_of[p.vsid],
                    abi.addr(p.customer_address),
                    abi.mac(p.mac),
                    abi.PortFlag.GATEWAY if p.gateway else abi.PortFlag.NONE,
                )
            )
            for p in policy.ports
        },
        LOCALS: {bytes(abi.LocalKey(p.vsid, abi.mac(p.mac), 0)): _u32(p.ifindex) for p in policy.ports},
    }


def lookup_key(vsid: int, customer_address: IPv4Address) -> bytes:
    """A lookup record's key."""
    return bytes(abi.LookupKey(vsid, abi.addr(customer_address)))


def steps_between(current: Image, wanted: Image) -> list[Step]:
    """What takes the maps from one content to another, make before break; nothing to do: no steps."""
    makes = []
    breaks = []
    for name in MAKE_ORDER:
        upserts = {k: v for k, v in wanted[name].items() if current[name].get(k) != v}
        removes = tuple(k for k in current[name] if k not in wanted[name])
        if upserts:
            makes.append(Step(name, upserts, ()))
        if removes:
            breaks.append(Step(name, {}, removes))
    return makes + breaks[::-1]


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "little")
