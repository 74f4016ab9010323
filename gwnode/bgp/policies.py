"""Routing policies as statements of BIRD's filter language. Pure.

A policy's criteria are one conjunction (MS-RRASM §2.2.1.2.261: "grouped in logical AND"), any value of each;
the first policy of a list that matches a route decides. What no policy matches passes, unless the list allows
something: then the list says what passes, and the rest is ignored (MS-RRASM §2.2.1.2.260, bDeny 0).

One list is for both IP versions. A criterion whose values are all of the other version matches no route, and
a next hop of the other version is not set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gwnode.bgp.family import Family
from lab.southbound import southbound_pb2 as pb

ALLOW, DENY, MODIFY = "allow", "deny", "modify"
HALF = 0xFFFF


def statements(policies: Sequence[pb.BgpPolicy], family: Family, *, inbound: bool) -> list[str]:
    """The body of a filter, down to its last word.

    A default route is refused, whether a site may be the tenant's way to everything is the hoster's decision:
    only a policy that names it lets it in.

    Parameters:
        policies: in their order.
        family: of the routes that the filter sees.
        inbound: whether the filter is for what a peer offers; else for what it is offered.

    Raises:
        ValueError: a policy holds what is no prefix, address or community, or an unknown action.
    """
    lines: list[str] = []
    for policy in policies:
        condition = _condition(policy, family, inbound=inbound)
        if condition is not None:
            end = "reject" if policy.action == DENY else "accept"
            body = " ".join([*(_changes(policy, family, inbound=inbound)), f"{end};"])
            lines.append(f"if {condition} then {{ {body} }}" if condition else body)
    if inbound:
        lines.append(f'if net = {family.default_route} then reject "default route";')
    allows = any(policy.action == ALLOW for policy in policies)
    return [*lines, "reject;" if allows else "accept;"]


def allows_default_route(policy: pb.BgpPolicy, family: Family) -> bool:
    """Whether it lets in a default route: it must say so."""
    return policy.action in (ALLOW, MODIFY) and family.default_route in policy.match_prefixes


def _condition(policy: pb.BgpPolicy, family: Family, *, inbound: bool) -> str | None:
    """What BIRD asks a route; empty: nothing, all match; None: no route can match."""
    if policy.action not in (ALLOW, DENY, MODIFY):
        raise ValueError(f"policy {policy.name}: unknown action {policy.action!r}")
    terms = []
    if policy.match_prefixes:
        prefixes = family.prefixes(policy.match_prefixes)
        if not prefixes:
            return None
        terms.append(f"net ~ {_set(prefixes)}")
    if ignored := family.prefixes(policy.ignore_prefixes):
        terms.append(f"! (net ~ {_set(ignored)})")
    if inbound and policy.action != DENY and not allows_default_route(policy, family):
        terms.append(f"net != {family.default_route}")
    if policy.match_asns:
        terms.append(f"bgp_path ~ {_set(_span(item) for item in policy.match_asns)}")
    if policy.match_communities:
        terms.append(f"bgp_community ~ {_set(map(pair, policy.match_communities))}")
    if policy.match_next_hops:
        hops = family.addresses(policy.match_next_hops)
        if not hops:
            return None
        # What is the router's own has no next hop yet, and BIRD would not compare with nothing.
        terms.append(f"defined(bgp_next_hop) && bgp_next_hop ~ {_set(hops)}")
    return " && ".join(terms)


def _changes(policy: pb.BgpPolicy, family: Family, *, inbound: bool) -> list[str]:
    if policy.action != MODIFY:
        return []
    changes = []
    if policy.HasField("set_local_preference"):
        changes.append(f"bgp_local_pref = {policy.set_local_preference};")
    if policy.clear_med:
        changes.append("unset(bgp_med);")
    if policy.HasField("set_med"):
        changes.append(f"bgp_med = {policy.set_med};")
    for hop in family.addresses([policy.set_next_hop] if policy.set_next_hop else []):
        changes.append(f"bgp_next_hop = {hop};")
        if inbound:
            # BIRD has resolved the offered one already; it must be a neighbour, else the route is refused.
            changes.append(f"gw = {hop};")
    if policy.remove_all_communities:
        changes.append("bgp_community = -empty-;")
    changes += [f"bgp_community.delete({pair(text)});" for text in policy.remove_communities]
    changes += [f"bgp_community.add({pair(text)});" for text in policy.add_communities]
    return changes


def pair(text: str) -> str:
    """`(64512,100)` from "64512:100" (RFC 1997).

    Raises:
        ValueError: it is no community.
    """
    found = re.fullmatch(r"([0-9]{1,5}):([0-9]{1,5})", text)
    if not found or int(found[1]) > HALF or int(found[2]) > HALF:
        raise ValueError(f"{text!r} is no community, as 64512:100")
    return f"({int(found[1])},{int(found[2])})"


def _span(item: pb.AsnRange) -> str:
    return f"{item.first}..{item.last}" if item.last > item.first else str(item.first)


def _set(words: Iterable[str]) -> str:
    return f"[ {', '.join(words)} ]"
