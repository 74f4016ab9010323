"""Policies by chance, from few names, so that they meet. The `Random` is hypothesis' to give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from random import Random
from typing import Any, TypeVar
from uuid import UUID

from lab.datapath.policy import (
    AclRule,
    CustomerRoute,
    LookupRecord,
    Policy,
    Port,
    ProviderAddress,
    ProviderMember,
    Subnet,
    SwitchSettings,
    TeamMode,
    UserRoute,
)

from .model.parsing import Address, mac
from .model.spoofing import link_local

Item = TypeVar("Item")

RDIDS = (UUID(int=0xB1), UUID(int=0xE1))
ROUTER_MACS = ("00:15:5d:00:00:01", "00:15:5d:00:00:02")
MACS = ("00:15:5d:0a:00:04", "00:15:5d:0a:00:05", "00:15:5d:0a:00:06")
"""Both tenants use the same: overlap is the point."""
VSIDS = {RDIDS[0]: (5001, 5002), RDIDS[1]: (6001, 6002)}
PREFIXES: dict[int, tuple[IPv4Network | IPv6Network, ...]] = {
    4: (IPv4Network("10.0.0.0/24"), IPv4Network("10.0.1.0/24")),
    6: (IPv6Network("fd00:0:0:1::/64"), IPv6Network("fd00:0:0:2::/64")),
}
OUTSIDE: dict[int, IPv4Network | IPv6Network] = {
    4: IPv4Network("192.168.50.0/24"),
    6: IPv6Network("2001:db8:50::/64"),
}
EVERYTHING: dict[int, IPv4Network | IPv6Network] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
OWN = (IPv4Address("192.168.6.10"), IPv4Address("192.168.6.20"))
AWAY = (IPv4Address("192.168.6.11"), IPv4Address("192.168.6.12"))
STRANGER = IPv4Address("192.168.6.66")
HOSTS = (4, 5, 6)
ADDRESSES: dict[int, tuple[Address, ...]] = {
    4: (
        *(prefix[n] for prefix in PREFIXES[4] for n in (1, *HOSTS, 77, 255)),
        OUTSIDE[4][10],
        *map(IPv4Address, ("8.8.8.8", "224.0.0.251", "255.255.255.255", "0.0.0.0", "127.0.0.1", "240.0.0.1")),
    ),
    6: (
        *(prefix[n] for prefix in PREFIXES[6] for n in (1, *HOSTS, 77)),
        OUTSIDE[6][10],
        *map(IPv6Address, ("2001:db8::8", "ff02::fb", "::", "::1")),
        *(link_local(mac(m)) for m in (*MACS, *ROUTER_MACS)),
    ),
}
TRANSPORT_PORTS = (53, 1000, 1001, 4789)
PROTOCOLS = {4: (None, 1, 6, 17), 6: (None, 58, 6, 17)}


@dataclass(frozen=True)
class Devices:
    """What a policy may stand on: ifindexes."""

    ports: Sequence[int]
    uplinks: Sequence[int]


def often(rng: Random, of: int = 8) -> bool:
    """True but for one case in `of`."""
    return rng.randrange(of) != 0


def policies(rng: Random, devices: Devices) -> Policy:
    """Two routing domains with the same addresses and MACs; records at random places, some missing."""
    return _Draft(rng, devices).policy()


def again(rng: Random, devices: Devices, before: Policy) -> Policy:
    """A policy that comes after another: a new one, or the same with other lists and records."""
    if not often(rng, 3):
        return policies(rng, devices)
    draft = _Draft(rng, devices)
    draft.families = {s.rdid: s.router.version for s in before.subnets} or draft.families
    draft.encapsulate_like(before)
    return draft.policy()


class _Draft:
    def __init__(self, rng: Random, devices: Devices) -> None:
        self.rng = rng
        self.uplinks = tuple(devices.uplinks) if often(rng, 6) else (rng.choice(devices.uplinks),)
        self.families = {rdid: rng.choice((4, 4, 6)) for rdid in RDIDS}
        self.free = list(devices.ports)
        rng.shuffle(self.free)
        self.own: tuple[IPv4Address, ...] = OWN if often(rng, 3) else OWN[:1]
        self.settings = SwitchSettings(
            vxlan=not often(rng, 2),
            dscp_uniform=not often(rng, 3),
            external_router=not often(rng, 3),
            team=rng.choice(list(TeamMode)),
        )
        if not often(rng, 24):
            self.uplinks = ()
        if not often(rng, 24):
            self.own = ()
        self.lists: dict[type, list[Any]] = {
            kind: [] for kind in (Subnet, LookupRecord, CustomerRoute, UserRoute, ProviderMember, Port)
        }

    def encapsulate_like(self, before: Policy) -> None:
        """A lab does not change its encapsulation."""
        self.settings = before.switch

    def policy(self) -> Policy:
        for rdid in RDIDS:
            self._domain(rdid)
        provider = tuple(
            ProviderAddress(f"pa{n}", address, self.uplinks[n % len(self.uplinks)] if self.uplinks else 0)
            for n, address in enumerate(self.own)
        )
        lists = (tuple(items) for items in self.lists.values())
        return Policy(provider, self.uplinks, self.settings, *lists)

    def _add(self, item: object) -> None:
        self.lists[type(item)].append(item)

    def _domain(self, rdid: UUID) -> None:
        rng, family = self.rng, self.families[rdid]
        for vsid, prefix in zip(VSIDS[rdid], PREFIXES[family], strict=True):
            self._add(Subnet("s", vsid, rdid, prefix[1], rng.choice(ROUTER_MACS)))
            if often(rng):
                away = None if often(rng) else rng.choice(AWAY)
                self._add(CustomerRoute("r", rdid, prefix, vsid, None, away))
            self._members_of_subnet(vsid, prefix)
            self._user_routes(rdid, vsid)
        for pa in (*OWN, *AWAY):
            if often(rng, 12):
                self._add(ProviderMember("m", rdid, pa, not often(rng, 2), not often(rng, 3)))
        for prefix in (OUTSIDE[family], EVERYTHING[family]):
            if often(rng, 2):
                hop = rng.choice(range(2))
                next_hop = PREFIXES[family][hop][rng.choice(HOSTS)]
                away = None if often(rng) else rng.choice(AWAY)
                self._add(CustomerRoute("r", rdid, prefix, VSIDS[rdid][hop], next_hop, away))

    def _members_of_subnet(self, vsid: int, prefix: IPv4Network | IPv6Network) -> None:
        rng = self.rng
        for host, address in zip(HOSTS, MACS, strict=True):
            if not often(rng, 5):
                continue
            home = rng.choice([*self.own, *self.own, *AWAY])
            self._add(LookupRecord("l", vsid, prefix[host], address, home))
            if home in self.own and self.free and often(rng, 5):
                self._add(self._port(vsid, prefix[host], address, home))

    def _port(self, vsid: int, address: Address, station: str, home: IPv4Address) -> Port:
        rng = self.rng
        return Port(
            f"p{vsid}{address}",
            self.free.pop(),
            vsid,
            address,
            station,
            gateway=not often(rng, 5),
            provider_address=home,
            forwarding=not often(rng, 5),
            dhcp_server=not often(rng, 4),
            router_advertiser=often(rng, 2),
            acl=tuple(acl_rule(rng, address.version) for _ in range(rng.choice((0, 0, 1, 2, 4)))),
        )

    def _user_routes(self, rdid: UUID, vsid: int) -> None:
        rng, family = self.rng, self.families[rdid]
        prefixes = [*PREFIXES[family], OUTSIDE[family], EVERYTHING[family]]
        prefixes.append(type(prefixes[0])(PREFIXES[family][1][rng.choice((1, *HOSTS))]))
        for prefix in prefixes:
            if often(rng, 8):
                continue
            hop = rng.choice(range(2))
            next_hop = None if not often(rng, 4) else PREFIXES[family][hop][rng.choice(HOSTS)]
            self._add(UserRoute("u", vsid, prefix, next_hop, VSIDS[rdid][hop]))


def acl_rule(rng: Random, family: int) -> AclRule:
    """A rule that has a fair chance to match."""
    networks = (None, None, *PREFIXES[family], OUTSIDE[family], type(OUTSIDE[family])(PREFIXES[family][0][4]))
    ports = ((0, 65535), (0, 65535), (0, 65535), (53, 53), (1000, 1001), (0, 0))
    return AclRule(
        "a",
        inbound=bool(rng.randrange(2)),
        deny=bool(rng.randrange(2)),
        protocol=rng.choice(PROTOCOLS[family]),
        source=rng.choice(networks),
        destination=rng.choice(networks),
        source_ports=rng.choice(ports),
        destination_ports=rng.choice(ports),
    )
