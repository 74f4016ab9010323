"""What must be true of a tenant's BGP: nothing is accepted that its router would not do, or would refuse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network

from lab.controller.allocation import gateway_subnet, ipv6_gateway_subnet
from lab.controller.bgp import peer_as_number
from lab.controller.catalog import Path, children, parse_path, tree
from lab.controller.checks_network import unusable
from lab.controller.claims import CUSTOMER_ADDRESS
from lab.controller.inventory import Inventory
from lab.controller.models_bgp import (
    ADD_COMMUNITY,
    CLEAR_MED,
    IGNORE,
    MODIFY,
    NEW_LOCAL_PREF,
    NEW_MED,
    NEW_NEXT_HOP,
    REMOVE_COMMUNITY,
    BgpPeer,
    BgpRouter,
    Policy,
    PolicyMap,
    RouteAggregate,
    RouteFlapDampening,
    values,
)
from lab.controller.models_tenant import VirtualGateway, VirtualSubnet
from lab.controller.refusals import Complaint, invalid
from lab.controller.shapes import OptionalReference, Resource, as_number
from lab.prefixes import version_of

MOST_HALF_LIVES = 64
"""More of them than any penalty needs to vanish."""


def bgp(path: Path, resource: Resource[VirtualGateway], inventory: Inventory) -> Iterator[Complaint]:
    """The rules of a virtual gateway's BGP routers, peers and policy maps."""
    for at, child in tree(path, resource):
        if isinstance(child.properties, BgpRouter):
            yield from _router(at, child.properties)
            yield from _ipv6(at, child.properties, resource.properties, inventory)
            yield from _peers(at, child)
        elif isinstance(child.properties, PolicyMap):
            yield from _policy_map(at, child.properties)
    yield from _actions_that_work(path, resource, inventory)


def _router(at: Path, router: BgpRouter) -> Iterator[Complaint]:
    if router.cluster_id and not router.route_reflector:
        yield invalid("A cluster id is a route reflector's: set 'routeReflector'.", f"{at.ref}: clusterId")
    yield from _aggregates(at, router.aggregates)
    if router.dampening:
        yield from _dampening(at, router.dampening)


def _ipv6(at: Path, router: BgpRouter, gateway: VirtualGateway, inventory: Inventory) -> Iterator[Complaint]:
    """What of IPv6 can work: hosts are told of a route only with a next hop in an IPv6 subnet."""
    subnet = ipv6_gateway_subnet(inventory, gateway)
    if router.ipv6_routing == "Disabled":
        for field, prefixes in (
            ("bgpNetworks", router.bgp_networks),
            ("aggregates", tuple(item.prefix for item in router.aggregates)),
        ):
            for prefix in prefixes:
                if version_of(prefix) == 6:
                    message = f"The router carries no IPv6, and {prefix} is: set 'IPv6Routing' to Enabled."
                    yield invalid(message, f"{at.ref}: {field}")
    elif subnet is None:
        yield invalid(
            "IPv6 routes lead into an IPv6 subnet of the virtual network: give the gateway one, second in "
            "'gatewaySubnets'.",
            f"{at.ref}: IPv6Routing",
        )
    # The compartment gets the address in any case, so it must be free though the router carries no IPv6 yet.
    if subnet is not None and router.local_ipv6_address is not None:
        yield from _local_ipv6(at, router.local_ipv6_address, gateway, subnet, inventory)


def _local_ipv6(
    at: Path,
    address: str,
    gateway: VirtualGateway,
    subnet: tuple[Path, Resource[VirtualSubnet]],
    inventory: Inventory,
) -> Iterator[Complaint]:
    """The address that is asked for is the compartment's alone."""
    if address in _leg_addresses(gateway):
        return
    field, prefix = f"{at.ref}: localIPv6Address", subnet[1].properties.address_prefix
    if ip_address(address) not in ip_network(prefix):
        yield invalid(
            f"{address} is no address of the compartment: it has one in {prefix}, and those of its L3 "
            "connections.",
            field,
        )
    elif why := unusable(address, ip_network(prefix)):
        yield invalid(f"{why}.", field)
    elif holder := inventory.holder(CUSTOMER_ADDRESS, f"{subnet[0].root.key} {address}"):
        yield invalid(f"{address} is already held by {holder}.", field)


def _leg_addresses(gateway: VirtualGateway) -> set[str]:
    """The compartment's addresses in the VLANs of its L3 connections."""
    connections = (item.properties for item in gateway.network_connections)
    return {
        address.ip_address
        for connection in connections
        if connection.connection_type == "L3"
        for address in connection.ip_addresses
    }


def _aggregates(at: Path, aggregates: tuple[RouteAggregate, ...]) -> Iterator[Complaint]:
    seen: set[str] = set()
    for item in aggregates:
        if item.prefix in seen:
            yield invalid(f"{item.prefix} is aggregated twice.", f"{at.ref}: aggregates")
        seen.add(item.prefix)
        network = ip_network(item.prefix)
        if network.prefixlen in (0, network.max_prefixlen):
            what = "has no parts" if network.prefixlen else "would be a default route"
            yield invalid(f"The aggregate {item.prefix} {what}.", f"{at.ref}: aggregates")


def _dampening(at: Path, dampening: RouteFlapDampening) -> Iterator[Complaint]:
    field = f"{at.ref}: dampening"
    if dampening.reuse_threshold >= dampening.suppress_threshold:
        yield invalid("The reuse threshold lies below the suppress threshold.", field)
    half_lives = min(dampening.maximum_suppress_seconds / dampening.half_life_seconds, MOST_HALF_LIVES)
    if dampening.reuse_threshold * 2**half_lives <= dampening.suppress_threshold:
        yield invalid(
            "Nothing would ever be suppressed: within 'maximumSuppressSeconds' no penalty above the suppress"
            " threshold falls to the reuse threshold (RFC 2439 section 4.2).",
            field,
        )


def _peers(at: Path, router: Resource[BgpRouter]) -> Iterator[Complaint]:
    held: dict[str, Path] = {}
    asn = as_number(router.properties.ext_as_number)
    for below, child in children(at, router):
        peer: BgpPeer = child.properties
        number = peer_as_number(peer)
        if not number:
            yield invalid("A BGP peer needs 'extAsNumber' or 'asNumber'.", f"{below.ref}: extAsNumber")
        other = held.setdefault(peer.peer_ip_address, below)
        if other is not below:
            yield invalid(
                f"Two peers have the address {peer.peer_ip_address}: {other.ids[-1]} and {below.ids[-1]}.",
                f"{below.ref}: peerIPAddress",
            )
        if peer.route_reflector_client and not router.properties.route_reflector:
            yield invalid("The router is no route reflector.", f"{below.ref}: routeReflectorClient")
        elif peer.route_reflector_client and number != asn:
            yield invalid(
                f"A reflector's client is of the router's own AS, {asn}, not {number}.",
                f"{below.ref}: routeReflectorClient",
            )
        for field, reference in _maps(peer):
            target = parse_path(reference.resource_ref) if reference else None
            if target is not None and target.root.key != at.root.key:
                yield invalid(
                    f"'{target.ref}' is another virtual gateway's: a peer has policy maps of its own.",
                    f"{below.ref}: {field}",
                )


def _maps(peer: BgpPeer) -> tuple[tuple[str, OptionalReference], tuple[str, OptionalReference]]:
    return ("policyMapIn", peer.policy_map_in), ("policyMapOut", peer.policy_map_out)


def _policy_map(at: Path, policies: PolicyMap) -> Iterator[Complaint]:
    seen: set[str] = set()
    for policy in policies.policy_list:
        field = f"{at.ref}: {policy.policy_name}"
        if policy.policy_name.lower() in seen:
            yield invalid(f"Two policies are called '{policy.policy_name}'.", field)
        seen.add(policy.policy_name.lower())
        yield from _policy(policy, field)


def _policy(policy: Policy, field: str) -> Iterator[Complaint]:
    clauses = [criterion.clause for criterion in policy.match_criteria]
    for clause in sorted({clause for clause in clauses if clauses.count(clause) > 1}):
        if clause != IGNORE:
            yield invalid(f"'{clause}' stands twice: give its values in one criterion.", field)
    actions = [item.action for item in policy.set_actions]
    if policy.policy_type != MODIFY and actions:
        yield invalid(f"Only a policy of type {MODIFY} has set actions.", field)
    if policy.policy_type == MODIFY and not actions:
        yield invalid(f"A policy of type {MODIFY} needs set actions.", field)
    for action in (NEW_LOCAL_PREF, NEW_MED, NEW_NEXT_HOP):
        if actions.count(action) > 1:
            yield invalid(f"'{action}' stands twice.", field)
    if NEW_MED in actions and CLEAR_MED in actions:
        yield invalid(f"'{NEW_MED}' and '{CLEAR_MED}' contradict each other.", field)
    added, removed = (
        {c for item in policy.set_actions if item.action == action for c in values(item.value)}
        for action in (ADD_COMMUNITY, REMOVE_COMMUNITY)
    )
    for community in sorted(added & removed):
        yield invalid(f"The community {community} is both added and removed.", field)


def _actions_that_work(
    path: Path, resource: Resource[VirtualGateway], inventory: Inventory
) -> Iterator[Complaint]:
    """A policy's actions, with the peers that it is for.

    What a peer offers can be sent elsewhere only where the compartment reaches a neighbour; and a local
    preference is told to no other AS (RFC 4271 §5.1.5).
    """
    gateway = resource.properties
    found_subnets = gateway_subnet(inventory, gateway), ipv6_gateway_subnet(inventory, gateway)
    subnets = [item[1].properties.address_prefix for item in found_subnets if item]
    maps = {
        at.key: child.properties
        for at, child in tree(path, resource)
        if isinstance(child.properties, PolicyMap)
    }
    for at, child in tree(path, resource):
        peer = child.properties
        if not isinstance(peer, BgpPeer):
            continue
        for field, reference in _maps(peer):
            target = parse_path(reference.resource_ref) if reference else None
            found = maps.get(target.key) if target else None
            for policy in found.policy_list if found else ():
                where = f"{at.ref}: {field}: {policy.policy_name}"
                for item in policy.set_actions:
                    if field == "policyMapIn" and item.action == NEW_NEXT_HOP and subnets:
                        yield from _foreign(item.value, subnets, where)
                    if field == "policyMapOut" and item.action == NEW_LOCAL_PREF and _external(at, resource):
                        yield invalid("A local preference is not told to a peer of another AS.", where)


def _external(at: Path, resource: Resource[VirtualGateway]) -> bool:
    """Whether the peer at a path is of another AS than its router."""
    for router in resource.properties.bgp_routers:
        for peer in router.properties.bgp_peers:
            if (router.resource_id.lower(), peer.resource_id.lower()) == tuple(map(str.lower, at.ids[1:])):
                return peer_as_number(peer.properties) != as_number(router.properties.ext_as_number)
    return False


def _foreign(hop: str, prefixes: Sequence[str], field: str) -> Iterator[Complaint]:
    if not any(ip_address(hop) in ip_network(prefix) for prefix in prefixes):
        yield invalid(
            f"The next hop {hop} of what a peer offers is not in the gateway subnet {' or '.join(prefixes)}.",
            field,
        )
