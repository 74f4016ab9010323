"""Bodies of a tenant's BGP: its router, the router's peers, and the routing policies.

Fields and spelling: MS-NCNBI §3.1.5.17 (bgpRouters, policyMaps); the words of the policies are those of
Add-BgpRoutingPolicy, their values one text, separated by commas. Extensions to Microsoft's shape, all
optional, after Add-BgpRouter, Add-BgpPeer, Add-BgpRouteAggregate and Set-BgpRouteFlapDampening:

- `bgpRouters.properties`: `IPv6Routing` (Enabled, or Disabled: the product's default), `localIPv6Address`
  (next hop of what is offered of IPv6; default: the compartment's address in its IPv6 subnet),
  `routeReflector`, `clusterId`, `transitRouting`, `ecmp`, `aggregates`, `dampening`
- `bgpPeers.properties`: `holdTimeSeconds` (default 180, the product's), `idleHoldTimeSeconds`,
  `operationMode` (Mixed, or Server: the peer calls), `peeringMode` (Automatic, or Manual: not connected),
  `maximumPrefixes` (of each IP version), `weight` (0: the product's, 32768), `routeReflectorClient`
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from lab.controller.shapes import (
    AnyPrefix,
    AsNumber,
    Ipv4,
    Ipv6,
    OptionalReference,
    PositiveUint32,
    Refers,
    Resource,
    Shape,
    word,
)

UINT32_MAX = 0xFFFFFFFF
ALLOW, DENY, MODIFY = "Allow", "Deny", "ModifyAttribute"
PREFIX, IGNORE, ASN, COMMUNITY, NEXT_HOP = (
    *("MatchPrefix", "IgnorePrefix", "MatchASNRange"),
    *("MatchCommunity", "MatchNextHop"),
)
NEW_LOCAL_PREF, NEW_MED, CLEAR_MED, NEW_NEXT_HOP = "NewLocalPref", "NewMED", "ClearMED", "NewNextHop"
ADD_COMMUNITY, REMOVE_COMMUNITY, REMOVE_ALL = "AddCommunity", "RemoveCommunity", "RemoveAllCommunities"


def values(text: str) -> list[str]:
    """The values of a criterion or an action."""
    return [item for item in re.split(r"[,\s]+", text) if item]


def _prefix(text: str) -> None:
    ip_network(text)


def _address(text: str) -> None:
    if "%" in str(ip_address(text)):
        raise ValueError("a next hop has no scope")


def _community(text: str) -> None:
    found = re.fullmatch(r"([0-9]{1,5}):([0-9]{1,5})", text)
    if found is None or int(found[1]) > 0xFFFF or int(found[2]) > 0xFFFF:
        raise ValueError(f"'{text}' is no community: two numbers of 16 bits, as 64512:100")


def _number(text: str) -> None:
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > UINT32_MAX:
        raise ValueError(f"'{text}' is no number from 0 to {UINT32_MAX}")


def _span(text: str) -> None:
    first, last = asn_range(text)
    if not 0 < first <= last <= UINT32_MAX:
        raise ValueError(f"'{text}' is no range of AS numbers, as 64512-65000")


def asn_range(text: str) -> tuple[int, int]:
    """First and last AS number of "64512-65000", or of "64512" alone.

    Raises:
        ValueError: it is no range.
    """
    found = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", text)
    if found is None:
        raise ValueError(f"'{text}' is no range of AS numbers, as 64512-65000")
    return int(found[1]), int(found[2] or found[1])


_CLAUSES: Mapping[str, Callable[[str], None]] = {
    PREFIX: _prefix,
    IGNORE: _prefix,
    ASN: _span,
    COMMUNITY: _community,
    NEXT_HOP: _address,
}
_ACTIONS: Mapping[str, Callable[[str], None] | None] = {
    NEW_LOCAL_PREF: _number,
    NEW_MED: _number,
    CLEAR_MED: None,
    NEW_NEXT_HOP: _address,
    ADD_COMMUNITY: _community,
    REMOVE_COMMUNITY: _community,
    REMOVE_ALL: None,
}
_SINGLE = (NEW_LOCAL_PREF, NEW_MED, NEW_NEXT_HOP)


def _joined(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value).strip()


Values = Annotated[str, BeforeValidator(_joined)]


class MatchCriterion(Shape):
    """What a route must have for a policy to apply: one of these values."""

    clause: Annotated[str, word(*_CLAUSES)]
    operator: Annotated[str, word("And")] = "And"
    value: Values

    @model_validator(mode="after")
    def _can_match(self) -> MatchCriterion:
        found = values(self.value)
        if not found:
            raise ValueError(f"{self.clause} needs a value")
        for text in found:
            _CLAUSES[self.clause](text)
        return self


class SetAction(Shape):
    """What a policy changes of a route."""

    action: Annotated[str, word(*_ACTIONS)]
    value: Values = ""

    @model_validator(mode="after")
    def _can_be_done(self) -> SetAction:
        check, found = _ACTIONS[self.action], values(self.value)
        if check is None:
            if found:
                raise ValueError(f"{self.action} takes no value")
            return self
        if not found or (self.action in _SINGLE and len(found) > 1):
            raise ValueError(f"{self.action} needs {'one' if self.action in _SINGLE else 'a'} value")
        for text in found:
            check(text)
        return self


class Policy(Shape):
    """A routing policy. All criteria must hold; the first policy of a map that applies decides.

    A map with an Allow says what passes: what none of its policies names is ignored (MS-RRASM §2.2.1.2.260).
    """

    policy_name: Annotated[str, Field(min_length=1, max_length=200)]
    policy_type: Annotated[str, word(ALLOW, DENY, MODIFY)]
    match_criteria: tuple[MatchCriterion, ...] = ()
    set_actions: tuple[SetAction, ...] = ()


class PolicyMap(Shape):
    """Routing policies in their order, for the peers that refer to them."""

    policy_list: tuple[Policy, ...] = Field(min_length=1)


class RouteAggregate(Shape):
    """A prefix that is offered for as long as a part of it is known."""

    prefix: AnyPrefix
    summary_only: bool = False
    preserve_as_path: bool = Field(default=False, alias="preserveASPath")


class RouteFlapDampening(Shape):
    """When a route that comes and goes is left out (RFC 2439); defaults as Microsoft's example."""

    half_life_seconds: PositiveUint32 = 600
    reuse_threshold: PositiveUint32 = 500
    suppress_threshold: PositiveUint32 = 2000
    maximum_suppress_seconds: PositiveUint32 = 2400


class BgpPeer(Shape):
    """A BGP neighbour of a compartment: a router of the customer's site."""

    peer_ip_address: Ipv4
    as_number: PositiveUint32 | None = None
    peer_as_number: PositiveUint32 | None = None
    ext_as_number: AsNumber | None = None
    hold_time_seconds: int = Field(default=180, ge=3, le=65535)
    idle_hold_time_seconds: int = Field(default=0, ge=0, le=3600)
    operation_mode: Annotated[str, word("Mixed", "Server")] = "Mixed"
    peering_mode: Annotated[str, word("Automatic", "Manual")] = "Automatic"
    maximum_prefixes: int = Field(default=0, ge=0, le=UINT32_MAX)
    weight: int = Field(default=0, ge=0, le=65535)
    route_reflector_client: bool = False
    policy_map_in: Annotated[OptionalReference, Refers("virtualGateways/policyMaps")] = None
    policy_map_out: Annotated[OptionalReference, Refers("virtualGateways/policyMaps")] = None


class BgpRouter(Shape):
    """A compartment's BGP speaker."""

    ext_as_number: AsNumber
    router_id: Ipv4 | None = None
    router_ip: tuple[Ipv4, ...] = ()
    is_enabled: bool = True
    require_igp_sync: bool = Field(default=True, alias="requireIGPSync")
    bgp_networks: tuple[AnyPrefix, ...] = ()
    ipv6_routing: Annotated[str, word("Enabled", "Disabled"), Field(alias="IPv6Routing")] = "Disabled"
    local_ipv6_address: Ipv6 | None = Field(default=None, alias="localIPv6Address")
    route_reflector: bool = False
    cluster_id: Ipv4 | None = None
    transit_routing: bool = False
    ecmp: bool = False
    aggregates: tuple[RouteAggregate, ...] = ()
    dampening: RouteFlapDampening | None = None
    bgp_peers: tuple[Resource[BgpPeer], ...] = ()
