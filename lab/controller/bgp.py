"""A tenant's BGP router as a part of its compartment's record: in the words of the southbound protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.controller.catalog import parse_path
from lab.controller.domains import Compartment
from lab.controller.models_bgp import (
    ADD_COMMUNITY,
    ALLOW,
    ASN,
    CLEAR_MED,
    COMMUNITY,
    DENY,
    IGNORE,
    MODIFY,
    NEW_LOCAL_PREF,
    NEW_MED,
    NEW_NEXT_HOP,
    NEXT_HOP,
    PREFIX,
    REMOVE_ALL,
    REMOVE_COMMUNITY,
    BgpPeer,
    BgpRouter,
    Policy,
    PolicyMap,
    asn_range,
    values,
)
from lab.controller.shapes import OptionalReference, Resource, as_number
from lab.prefixes import version_of
from lab.southbound import southbound_pb2 as pb

_ACTIONS = {ALLOW: "allow", DENY: "deny", MODIFY: "modify"}


def router_record(place: Compartment, prefixes: Sequence[str]) -> pb.BgpRouter | None:
    """The compartment's BGP router; None: the tenant has none, or it is off.

    Parameters:
        place: the compartment.
        prefixes: offered to the peers where the tenant names none.
    """
    router: BgpRouter | None = next(
        (r.properties for r in place.resource.bgp_routers if r.properties.is_enabled), None
    )
    if router is None:
        return None
    maps = {item.resource_id.lower(): item.properties for item in place.resource.policy_maps}
    record = pb.BgpRouter(
        asn=as_number(router.ext_as_number),
        router_id=router.router_id or place.address,
        networks=[
            prefix
            for prefix in router.bgp_networks or prefixes
            if version_of(prefix) == 4 or router.ipv6_routing == "Enabled"
        ],
        peers=[_peer(item, maps) for item in router.bgp_peers],
        aggregates=[
            pb.BgpAggregate(
                prefix=item.prefix, summary_only=item.summary_only, preserve_as_path=item.preserve_as_path
            )
            for item in router.aggregates
        ],
        route_reflector=router.route_reflector,
        cluster_id=router.cluster_id or "",
        ecmp=router.ecmp,
        transit_routing=router.transit_routing,
    )
    if router.ipv6_routing == "Enabled" and place.ipv6 is not None:
        record.local_ipv6_address = router.local_ipv6_address or place.ipv6.address
    if router.dampening is not None:
        record.dampening.CopyFrom(
            pb.BgpDampening(
                half_life_s=router.dampening.half_life_seconds,
                reuse=router.dampening.reuse_threshold,
                suppress=router.dampening.suppress_threshold,
                maximum_s=router.dampening.maximum_suppress_seconds,
            )
        )
    return record


def peer_as_number(peer: BgpPeer) -> int:
    """A peer's AS number, in whichever of Microsoft's fields it stands; 0: in none."""
    number = as_number(peer.ext_as_number) if peer.ext_as_number else peer.peer_as_number or peer.as_number
    return number or 0


def _peer(item: Resource[BgpPeer], maps: Mapping[str, PolicyMap]) -> pb.BgpPeer:
    peer = item.properties
    return pb.BgpPeer(
        name=item.resource_id,
        address=peer.peer_ip_address,
        asn=peer_as_number(peer),
        hold_time_s=peer.hold_time_seconds,
        passive=peer.operation_mode == "Server",
        max_prefixes=peer.maximum_prefixes,
        weight=peer.weight,
        route_reflector_client=peer.route_reflector_client,
        inbound=_policies(peer.policy_map_in, maps),
        outbound=_policies(peer.policy_map_out, maps),
        stopped=peer.peering_mode == "Manual",
        idle_hold_time_s=peer.idle_hold_time_seconds,
    )


def _policies(reference: OptionalReference, maps: Mapping[str, PolicyMap]) -> list[pb.BgpPolicy]:
    path = parse_path(reference.resource_ref) if reference else None
    found = maps.get(path.ids[-1].lower()) if path else None
    return [policy_record(policy) for policy in found.policy_list] if found else []


def policy_record(policy: Policy) -> pb.BgpPolicy:
    """A policy; criteria of one clause are one choice of values."""
    record = pb.BgpPolicy(name=policy.policy_name, action=_ACTIONS[policy.policy_type])
    lists = {
        PREFIX: record.match_prefixes,
        IGNORE: record.ignore_prefixes,
        COMMUNITY: record.match_communities,
        NEXT_HOP: record.match_next_hops,
    }
    for criterion in policy.match_criteria:
        found = values(criterion.value)
        if criterion.clause == ASN:
            for first, last in map(asn_range, found):
                record.match_asns.add(first=first, last=last)
        else:
            lists[criterion.clause].extend(found)
    for item in policy.set_actions:
        found = values(item.value)
        if item.action == NEW_LOCAL_PREF:
            record.set_local_preference = int(found[0])
        elif item.action == NEW_MED:
            record.set_med = int(found[0])
        elif item.action == NEW_NEXT_HOP:
            record.set_next_hop = found[0]
        elif item.action == ADD_COMMUNITY:
            record.add_communities.extend(found)
        elif item.action == REMOVE_COMMUNITY:
            record.remove_communities.extend(found)
        record.clear_med |= item.action == CLEAR_MED
        record.remove_all_communities |= item.action == REMOVE_ALL
    return record
