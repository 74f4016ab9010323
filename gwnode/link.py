"""Two VM networks that are linked through the gateway: who with whom, and what may pass. Pure.

The gateway "can provide a link between virtual networks" (seed 003) that otherwise know nothing of each other
(seed 004). Nothing passes by one side's word: each compartment lets through what its own link allows, so what
both allow remains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, collapse_addresses

from gwnode.nft import Json, field, match, meta, rule
from lab.errors import LabError, Problem
from lab.southbound import southbound_pb2 as pb

BAD_LINK = "HNV-GW-007"
NO_WAY_BACK = "the other VM network has no link back on this gateway"
"""What is said of a link that only one side wants."""


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """A link to another VM network on the same gateway.

    Attributes:
        rdid, peer: routing domains of this side and of the other.
        local: prefixes of this VM network that the other may reach.
        remote: prefixes of the other that this one may reach, and hear from.
    """

    rdid: str
    peer: str
    local: tuple[IPv4Network, ...]
    remote: tuple[IPv4Network, ...]

    @property
    def mac(self) -> str:
        """Of both ends: nobody resolves addresses between them, so each sends to the address that it has."""
        digest = hashlib.sha256("/".join(sorted((self.rdid, self.peer))).encode()).digest()
        return ":".join(("02", *(f"{octet:02x}" for octet in digest[:5])))


def link_end(place: str, compartment: pb.Compartment, item: pb.Connection) -> LinkEnd:
    """A link out of its record.

    Parameters:
        place: key of the record, for refusals.

    Raises:
        LabError: it leads to its own VM network, or the two overlap (HNV-GW-007).
    """
    inside = [IPv4Network(prefix) for prefix in compartment.vm_prefixes]
    end = LinkEnd(
        compartment.rdid,
        item.link.peer_rdid,
        tuple(IPv4Network(prefix) for prefix in item.link.local_prefixes),
        tuple(IPv4Network(route.prefix) for route in item.routes),
    )
    problems = []
    if end.peer == end.rdid:
        problems.append(f"{item.name} leads to its own VM network")
    problems += [
        f"{item.name}: {remote} of the other VM network overlaps {prefix} of this one"
        for remote in end.remote
        for prefix in inside
        if remote.overlaps(prefix)
    ]
    if problems:
        hint = "linked prefixes must be different on both sides: a link translates nothing"
        raise LabError([Problem(BAD_LINK, text, place=place, hint=hint) for text in problems])
    return end


def link_rules(hook: str, device: str, end: LinkEnd) -> list[Json]:
    """What is dropped of a link's packets, before anything is accepted; the rest goes as of any connection.

    Parameters:
        hook: "input" or "forward". Nobody behind a link talks to the compartment itself.
        device: the link's, in the compartment.
    """
    arriving, leaving = match(meta("iifname"), device), match(meta("oifname"), device)
    if hook == "input":
        return [rule(hook, arriving, {"drop": None})]
    # What a router on the way says about a packet of a known flow comes from the router's own address.
    said = match({"ct": {"key": "state"}}, "related", "in")
    icmp = match(meta("l4proto"), "icmp")
    return [
        *(rule(hook, side, said, icmp, {"accept": None}) for side in (arriving, leaving)),
        *(rule(hook, arriving, *outside, {"drop": None}) for outside in _outside(end.remote, end.local)),
        *(rule(hook, leaving, *outside, {"drop": None}) for outside in _outside(end.local, end.remote)),
    ]


def _outside(sources: Sequence[IPv4Network], destinations: Sequence[IPv4Network]) -> list[list[Json]]:
    """What matches all packets but those from one of the sources to one of the destinations."""
    if not sources or not destinations:
        return [[]]
    return [
        [match(field("ip", name), {"set": [_prefix(item) for item in collapse_addresses(prefixes)]}, "!=")]
        for name, prefixes in (("saddr", sources), ("daddr", destinations))
    ]


def _prefix(prefix: IPv4Network) -> Json:
    return {"prefix": {"addr": str(prefix.network_address), "len": prefix.prefixlen}}
