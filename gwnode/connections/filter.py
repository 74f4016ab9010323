"""What may pass between a charon and the outside. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from gwnode.nft import Json, chain, field, match, meta, named_set, rule

FILTER = 0
IKE_PORTS = (500, 4500)
FRONT_SIDE = "fe0"


def charon_ruleset(peers: Sequence[IPv4Address] | None) -> list[Json]:
    """The whole table of a charon's own namespace: IKE and ESP with its peers, and nothing is forwarded.

    Parameters:
        peers: public addresses that it may hear; None: anybody's.
    """
    accept: Json = {"accept": None}
    known = [] if peers is None else [match(field("ip", "saddr"), "@peers")]
    arriving = [match(meta("iifname"), FRONT_SIDE), *known]
    return [
        named_set("peers", ["ipv4_addr"], sorted((str(peer),) for peer in peers or ())),
        chain("input", "filter", "input", FILTER, "drop"),
        rule("input", match(meta("iifname"), "lo"), accept),
        rule("input", *arriving, match(field("udp", "dport"), {"set": list(IKE_PORTS)}), accept),
        rule("input", *arriving, match(meta("l4proto"), "esp"), accept),
        # "Fragmentation needed" of a router on the way.
        rule("input", match({"ct": {"key": "state"}}, "related", "in"), accept),
        chain("forward", "filter", "forward", FILTER, "drop"),
    ]
