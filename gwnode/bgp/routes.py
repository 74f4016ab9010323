"""BGP routes, out of BIRD's words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from gwnode.bgp.config import DAMPED_PREFERENCE
from gwnode.bgp.family import FAMILIES

OWN = tuple(name for family in FAMILIES for name in (family.offered, family.aggregates))
"""BIRD's names for what the router itself originates."""


class Kind(StrEnum):
    """Type of Get-BgpRouteInformation."""

    ALL = "all"
    BEST = "best"
    DAMPED = "damped"


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the tenant's BGP table.

    Attributes:
        prefix: where it leads to.
        protocol: the session that it came by, or what of the router's own it is.
        best: of all routes to this prefix.
        reachable: whether its next hop is, and the kernel took it. The router's own are not, for they are
            others' to take.
        damped: suppressed, because it flaps.
        next_hop: as offered, or set by a policy; empty: the router itself.
        origin: "IGP", "EGP" or "Incomplete".
        as_path: from the peer on.
        local_preference, med: None: it has none.
        communities: as 64512:100.
        peer: address of who offered it; empty where nobody asked for it, and for the router's own.
    """

    prefix: str
    protocol: str
    best: bool
    reachable: bool
    damped: bool
    next_hop: str = ""
    origin: str = ""
    as_path: tuple[int, ...] = ()
    local_preference: int | None = None
    med: int | None = None
    communities: tuple[str, ...] = ()
    peer: str = ""

    @property
    def own(self) -> bool:
        """Whether the router originates it."""
        return self.protocol in OWN

    def from_peer(self, address: str) -> Route:
        """The same, with the address of who offered it."""
        return replace(self, peer=address)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "own": self.own}


@dataclass(frozen=True, slots=True)
class Learned:
    """A prefix that a peer offers and that can be reached.

    Attributes:
        protocol: the session that it came by.
        metric: its MED; 0: none.
    """

    prefix: str
    protocol: str
    metric: int


COMMAND = "show route all where " + " || ".join(("source = RTS_BGP", *(f'proto = "{name}"' for name in OWN)))
"""Of all tables."""
ROUTE = re.compile(
    r"^(?P<prefix>\S*)\s+(?P<kind>\w+) \[(?P<protocol>\S+) [^\]]*\]\s*(?P<best>[*!]?)\s*\((?P<preference>\d+)"
)
NOT_TAKEN = "!"
"""In place of the best route's asterisk: the kernel refused it."""
ATTRIBUTE = re.compile(r"^\s+BGP\.(?P<name>\w+):\s+(?P<value>\S.*)$")
NUMBER = re.compile(r"\d+")
COMMUNITY = re.compile(r"\((\d+),\s*(\d+)\)")


def routes(lines: Iterable[str]) -> list[Route]:
    """The routes in the answer to COMMAND, in BIRD's order."""
    found: list[Route] = []
    prefix = ""
    for line in lines:
        if match := ROUTE.match(line):
            # A second route of the same prefix comes without it.
            prefix = match["prefix"] or prefix
            found.append(
                Route(
                    prefix=prefix,
                    protocol=match["protocol"],
                    best=bool(match["best"]),
                    reachable=match["kind"] == "unicast" and match["best"] != NOT_TAKEN,
                    damped=int(match["preference"]) == DAMPED_PREFERENCE,
                )
            )
        elif found and (attribute := ATTRIBUTE.match(line)):
            found[-1] = _with(found[-1], attribute["name"], attribute["value"])
    return found


def _with(route: Route, name: str, value: str) -> Route:
    if name == "origin":
        return replace(route, origin=value)
    if name == "as_path":
        return replace(route, as_path=tuple(map(int, NUMBER.findall(value))))
    if name == "next_hop":
        # Of IPv6 there may be two: a link-local one goes with the first (RFC 2545 §3).
        return replace(route, next_hop=value.split()[0])
    if name == "local_pref":
        return replace(route, local_preference=int(value))
    if name == "med":
        return replace(route, med=int(value))
    if name == "community":
        pairs = tuple(f"{high}:{low}" for high, low in COMMUNITY.findall(value))
        return replace(route, communities=pairs)
    return route


def of_kind(found: Iterable[Route], kind: Kind) -> list[Route]:
    """Those of one type."""
    return [
        route
        for route in found
        if kind is Kind.ALL
        or (kind is Kind.BEST and route.best and not route.damped)
        or (kind is Kind.DAMPED and route.damped)
    ]


def learned(found: Sequence[Route]) -> list[Learned]:
    """The best reachable routes that came from peers."""
    return [
        Learned(route.prefix, route.protocol, route.med or 0)
        for route in found
        if route.best and route.reachable and not route.damped and not route.own
    ]
