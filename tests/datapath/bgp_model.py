"""What routing policies do to a route, said once more and without BIRD: the reference of the properties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lab.southbound import southbound_pb2 as pb

DEFAULT_ROUTES = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True)
class Seen:
    """A route as a policy sees it, and as it leaves it.

    Attributes:
        next_hop: empty: the router itself originates it.
    """

    prefix: str
    path: tuple[int, ...]
    communities: frozenset[str]
    next_hop: str
    local_preference: int | None = None
    med: int | None = None


def matches(policy: pb.BgpPolicy, route: Seen) -> bool:
    """Whether every criterion that the policy has holds."""
    spans = [(item.first, item.last) for item in policy.match_asns]
    return all(
        (
            not policy.match_prefixes or route.prefix in policy.match_prefixes,
            route.prefix not in policy.ignore_prefixes,
            not spans or any(low <= number <= high for number in route.path for low, high in spans),
            not policy.match_communities or not route.communities.isdisjoint(policy.match_communities),
            not policy.match_next_hops or route.next_hop in policy.match_next_hops,
        )
    )


def modified(policy: pb.BgpPolicy, route: Seen) -> Seen:
    """The route after a policy that modifies."""
    communities = frozenset() if policy.remove_all_communities else route.communities
    communities = (communities - set(policy.remove_communities)) | set(policy.add_communities)
    med = None if policy.clear_med else route.med
    return replace(
        route,
        communities=communities,
        med=policy.set_med if policy.HasField("set_med") else med,
        local_preference=policy.set_local_preference
        if policy.HasField("set_local_preference")
        else route.local_preference,
        next_hop=policy.set_next_hop if _of_one_version(policy.set_next_hop, route) else route.next_hop,
    )


def _of_one_version(hop: str, route: Seen) -> bool:
    """Whether a next hop can be the route's: one list of policies is for both IP versions."""
    return bool(hop) and (":" in hop) == (":" in route.prefix)


def evaluated(policies: Sequence[pb.BgpPolicy], route: Seen, *, inbound: bool) -> Seen | None:
    """The route after a list of policies; None: refused."""
    by_default = inbound and route.prefix in DEFAULT_ROUTES
    for policy in policies:
        if not matches(policy, route):
            continue
        if policy.action == "deny":
            return None
        if by_default and route.prefix not in policy.match_prefixes:
            continue
        return modified(policy, route) if policy.action == "modify" else route
    if by_default or any(policy.action == "allow" for policy in policies):
        return None
    return route
