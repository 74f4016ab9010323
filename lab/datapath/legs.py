"""The legs of a gateway's connections, and what the front end's maps hold for them. Pure."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from lab.datapath import abi
from lab.datapath import front_end_abi as fe
from lab.datapath.errors import InvalidPolicyError
from lab.datapath.image import Image
from lab.datapath.validation import STATION_MAC
from lab.errors import Problem

FIRST_VLAN, LAST_VLAN = 1, 4094
"""IEEE 802.1Q §9.6: 0 is a priority only, 4095 is reserved."""
LAST_KEY = 2**32 - 1
"""RFC 2890 §2.1."""
MOST_LEGS = 4096
"""Entries of the maps (bpf/fe_maps.h)."""
MAKE_ORDER = (fe.LEGS, fe.TUNNELS, fe.VLANS, fe.LOCALS)
"""What an entry leads to is there before the entry; removals go the other way (see lab.datapath.image)."""


@dataclass(frozen=True, slots=True)
class GreLeg:
    """The outer end of a GRE connection (RFC 2784, RFC 2890).

    Attributes:
        interface: the outer end.
        mac: of the inner end.
        local: our end of the tunnel, the gateway's GRE VIP.
        remote: the customer's end.
        key: 0 to 2^32 - 1.
    """

    interface: str
    mac: str
    local: IPv4Address
    remote: IPv4Address
    key: int


@dataclass(frozen=True, slots=True)
class VlanLeg:
    """The outer end of an L3 connection: its VLAN on the front end (IEEE 802.1Q).

    Attributes:
        interface: the outer end.
        vlan: 1 to 4094.
    """

    interface: str
    vlan: int


ConnectionLeg = GreLeg | VlanLeg


@dataclass(frozen=True, slots=True)
class Device:
    """An interface, as the kernel has it."""

    ifindex: int
    mac: str


def validate_legs(legs: Sequence[ConnectionLeg], front_end: str, devices: Mapping[str, Device]) -> None:
    """Refuse what no front end could carry out, all of it at once.

    Args:
        legs: what is asked for.
        front_end: name of the front-end interface.
        devices: the interfaces that are there, by name.

    Raises:
        InvalidPolicyError: each problem's place is the interface at fault.
    """
    problems = [*absent((front_end, *(leg.interface for leg in legs)), devices)]
    if len(legs) > MOST_LEGS:
        problems.append(
            Problem(
                "HNV-FE-006", f"{len(legs)} connections", place=front_end, expected=f"at most {MOST_LEGS}"
            )
        )
    taken = {f"the interface {front_end}": "the front end"}
    for leg in legs:
        faults = faults_of_tunnel(leg) if isinstance(leg, GreLeg) else faults_of_vlan(leg.interface, leg.vlan)
        problems += [*faults, *_twins(leg, taken)]
    if problems:
        raise InvalidPolicyError(problems)


def absent(names: Iterable[str], devices: Mapping[str, Device]) -> Iterator[Problem]:
    """Interfaces that are asked for and not there."""
    for name in dict.fromkeys(names):
        if name not in devices:
            yield Problem(
                "HNV-FE-003",
                f"there is no interface {name}",
                place=name,
                hint="make it before anything is attached to it",
            )


def faults_of_vlan(interface: str, vlan: int) -> Iterator[Problem]:
    """What is wrong with the VLAN that an interface is to have."""
    if not FIRST_VLAN <= vlan <= LAST_VLAN:
        yield Problem(
            "HNV-FE-001",
            f"{vlan} is no VLAN id",
            place=interface,
            expected=f"{FIRST_VLAN} to {LAST_VLAN} (IEEE 802.1Q)",
        )


def faults_of_tunnel(leg: GreLeg) -> Iterator[Problem]:
    """What is wrong with a GRE connection."""
    if not STATION_MAC.fullmatch(leg.mac):
        yield Problem(
            "HNV-FE-004",
            f"{leg.mac!r} is no MAC address of a station",
            place=leg.interface,
            expected="even first octet",
        )
    if not 0 <= leg.key <= LAST_KEY:
        yield Problem(
            "HNV-FE-005",
            f"{leg.key} is no GRE key",
            place=leg.interface,
            expected=f"0 to {LAST_KEY} (RFC 2890)",
        )
    for end in (leg.local, leg.remote):
        if end.is_multicast or end.is_unspecified or end.is_loopback or end.is_reserved:
            yield Problem(
                "HNV-FE-005", f"no tunnel can end at {end}", place=leg.interface, expected="a unicast address"
            )
    if leg.local == leg.remote:
        yield Problem(
            "HNV-FE-005", f"both ends are {leg.local}", place=leg.interface, expected="two addresses"
        )


def _twins(leg: ConnectionLeg, taken: dict[str, str]) -> Iterator[Problem]:
    """What another leg has already.

    Args:
        leg: the next one.
        taken: the interface that has it, by what it is; this leg's is put in.
    """
    for thing in (f"the interface {leg.interface}", identity(leg)):
        owner = taken.get(thing)
        if owner is not None:
            yield Problem(
                "HNV-FE-002",
                f"{thing} is taken by {owner}",
                place=leg.interface,
                expected="every interface, VLAN and tunnel once",
            )
        taken.setdefault(thing, leg.interface)


def identity(leg: ConnectionLeg) -> str:
    """What a frame on the front end is known by: no two legs have the same."""
    if isinstance(leg, GreLeg):
        return f"the tunnel {leg.local} to {leg.remote} with key {leg.key}"
    return f"VLAN {leg.vlan}"


def image_of(legs: Iterable[ConnectionLeg], front_end: Device, devices: Mapping[str, Device]) -> Image:
    """What the maps hold for valid legs.

    Args:
        legs: of `validate_legs`.
        front_end: the front-end interface.
        devices: by name, those of the legs at least.
    """
    image: Image = {name: {} for name in MAKE_ORDER}
    for leg in legs:
        outer = devices[leg.interface]
        held = fe.Leg(front_end=front_end.ifindex, outer_mac=abi.mac(outer.mac))
        index = _u32(outer.ifindex)
        if isinstance(leg, VlanLeg):
            held.vlan = leg.vlan
            image[fe.VLANS][_u32(leg.vlan)] = index
        else:
            tunnel = leg.local.packed + leg.remote.packed + leg.key.to_bytes(4, "big")
            key = fe.TunnelKey.from_buffer_copy(tunnel)
            held.local, held.remote, held.key = key.local, key.remote, key.key
            held.inner_mac = abi.mac(leg.mac)
            image[fe.TUNNELS][tunnel] = index
            image[fe.LOCALS][leg.local.packed] = _u32(1)
        image[fe.LEGS][index] = bytes(held)
    return image


def _u32(number: int) -> bytes:
    return number.to_bytes(4, sys.byteorder)
