"""The default compartment's way between the internet and the tenants' NAT connections. Pure.

Each tenant with NAT has a public address of its own, and a leg: a veth pair with a /31 (RFC 3021) to its
compartment, which translates. Here nothing is translated, and nothing tracked. Every rule is O(1), whatever
the number of tenants.

A leg's packets are marked, and the mark's routing table knows nothing but the router of the front end:
whatever a tenant calls, another tenant's public address as well, is reached as from anywhere in the
internet, or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from gwnode.nat import disjoint
from gwnode.nft import Json, chain, concatenation, field, match, meta, named_set, prefix_set, rule
from gwnode.transit import Transit
from lab.errors import Problem

SHARED_ADDRESS = "HNV-GW-026"

RAW = -300
MARK = 0x4E
"""fwmark of what comes from a leg."""
TABLE = 78
"""Routing table of that mark."""
RULE_PRIORITY = 78
SYSCTLS: Mapping[str, str] = {
    # A proxied address is answered for at once; the kernel's default is a random time up to 0.8 seconds.
    "net/ipv4/neigh/{front_end}/proxy_delay": "0",
}
"""Of the default compartment; the name of the front end's interface goes into the braces."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A tenant's NAT connection, seen from the default compartment.

    Attributes:
        tenant: name.
        device: its end of the veth pair.
        public: the tenant's public address.
        transit: of the pair; its other end is in the compartment.
    """

    tenant: str
    device: str
    public: IPv4Address
    transit: Transit


@dataclass(frozen=True, slots=True)
class PublicRoute:
    """A route of the default compartment.

    Attributes:
        prefix: destination.
        device: interface.
        via: next hop.
        table: routing table; 254 is the main one.
    """

    prefix: IPv4Network
    device: str
    via: IPv4Address
    table: int = 254


def leg_routes(legs: Collection[Leg], front_end: str, router: IPv4Address) -> list[PublicRoute]:
    """Public addresses to their legs, and everything from a leg to the router.

    Besides them the default compartment needs: one `ip rule` (priority RULE_PRIORITY, fwmark MARK, table
    TABLE); for each public address that lies in the front end's own network a proxy neighbour on the front
    end, because no interface here has the address; and SYSCTLS.

    Parameters:
        legs: of all tenants.
        front_end: interface towards the internet.
        router: next hop there.
    """
    if not legs:
        return []
    return [
        *(PublicRoute(IPv4Network(leg.public), leg.device, leg.transit.inner) for leg in legs),
        PublicRoute(IPv4Network("0.0.0.0/0"), front_end, router, TABLE),
    ]


def leg_items(legs: Collection[Leg], front_end: str, protected: Collection[IPv4Network]) -> list[Json]:
    """Sets, chain and rules for the default compartment's table, after its chains "forward" and "input".

    "forward" must drop by policy. From a leg, only the tenant's public address leaves, and only by the front
    end; to a leg, only what is for its public address, and only from the front end. So no leg leads to
    another. The chain here ends nothing: it marks, and spares the tracking, which would see what one tenant
    sends to another's address twice.

    Parameters:
        legs: of all tenants.
        front_end: interface towards the internet.
        protected: destinations that are nobody's in the internet: provider, transit and management networks.
    """
    ordered = sorted(legs, key=lambda leg: leg.tenant)
    from_leg = match(meta("iifname"), "@nat_legs")
    source, destination = field("ip", "saddr"), field("ip", "daddr")
    outside = match(meta("iifname"), front_end)
    accept: Json = {"accept": None}
    return [
        named_set("nat_legs", ["ifname"], [(leg.device,) for leg in ordered]),
        named_set("nat_publics", ["ipv4_addr"], [(str(leg.public),) for leg in ordered]),
        named_set("nat_pairs", ["ifname", "ipv4_addr"], [(leg.device, str(leg.public)) for leg in ordered]),
        prefix_set("nat_protected", disjoint(protected)),
        chain("nat_raw", "filter", "prerouting", RAW),
        rule("nat_raw", from_leg, {"mangle": {"key": meta("mark"), "value": MARK}}),
        rule("nat_raw", from_leg, {"notrack": None}),
        rule("nat_raw", outside, match(destination, "@nat_publics"), {"notrack": None}),
        rule("forward", from_leg, match(destination, "@nat_protected"), {"drop": None}),
        rule(
            "forward",
            match(meta("oifname"), front_end),
            match(concatenation(meta("iifname"), source), "@nat_pairs"),
            accept,
        ),
        rule("forward", outside, match(concatenation(meta("oifname"), destination), "@nat_pairs"), accept),
        rule("input", from_leg, {"drop": None}),
    ]


def shared_addresses(legs: Collection[Leg], vips: Collection[IPv4Address]) -> list[Problem]:
    """A public address is one tenant's alone, and none that the tenants' IPsec connections share."""
    owners: dict[IPv4Address, str] = dict.fromkeys(vips, "the gateway")
    problems = []
    for leg in sorted(legs, key=lambda leg: leg.tenant):
        owner = owners.setdefault(leg.public, leg.tenant)
        if owner != leg.tenant:
            message = f"{leg.public} cannot be {leg.tenant}'s for NAT: it is {owner}'s"
            hint = "give each tenant with NAT a public address of its own"
            problems.append(Problem(SHARED_ADDRESS, message, place=leg.tenant, hint=hint))
    return problems
