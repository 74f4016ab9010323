"""BGP in the Network Controller: what a tenant may ask for, and what its gateway is told."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from gwnode.bgp.family import FAMILIES
from gwnode.bgp.policies import statements
from lab.southbound import southbound_pb2 as pb

from .controller_support import Datacenter, hybrid_cloud

BLUE = "/virtualGateways/blue"
Json = dict[str, Any]


@pytest.fixture
def center(tmp_path: Path) -> Datacenter:
    return Datacenter(tmp_path, hybrid_cloud())


def gateway(**router: Any) -> Json:
    """Blue's virtual gateway with other properties of its BGP router."""
    body = deepcopy(dict(hybrid_cloud())[BLUE])
    body["properties"]["bgpRouters"][0]["properties"] |= router
    return body


def with_peer(maps: list[Json] | None = None, router: Json | None = None, **peer: Any) -> Json:
    """The same with other properties of its first peer, and policy maps."""
    body = gateway(**(router or {}))
    body["properties"]["bgpRouters"][0]["properties"]["bgpPeers"][0]["properties"] |= peer
    body["properties"]["policyMaps"] = maps or []
    return body


def policy_map(*policies: Json, name: str = "in") -> Json:
    return {"resourceId": name, "properties": {"policyList": list(policies)}}


def policy(kind: str = "Deny", name: str = "p", **clauses: Any) -> Json:
    """A policy; keywords that begin with Match or Ignore are criteria, others actions."""
    criteria = [
        {"clause": clause, "operator": "And", "value": value}
        for clause, value in clauses.items()
        if clause.startswith(("Match", "Ignore"))
    ]
    actions = [
        {"action": action} | ({"value": value} if value else {})
        for action, value in clauses.items()
        if not action.startswith(("Match", "Ignore"))
    ]
    return {"policyName": name, "policyType": kind, "matchCriteria": criteria, "setActions": actions}


IN = {"resourceRef": f"{BLUE}/policyMaps/in"}


def router_of(center: Datacenter) -> pb.BgpRouter:
    """What blue's gateway is told."""
    found = [
        item.bgp
        for node in ("gw01", "gw02")
        for item in center.records(node, "compartment")
        if item.tenant == "blue"
    ]
    assert len(found) == 1
    router = found[0]
    assert isinstance(router, pb.BgpRouter)
    return router


def test_all_of_a_router_reaches_the_gateway(center: Datacenter) -> None:
    body = with_peer(
        router={
            "routeReflector": "True",
            "clusterId": "10.0.2.9",
            "transitRouting": True,
            "ecmp": True,
            "aggregates": [{"prefix": "10.0.0.0/16", "summaryOnly": True, "preserveASPath": True}],
            "dampening": {"halfLifeSeconds": "300"},
        },
        operationMode="server",
        peeringMode="Manual",
        maximumPrefixes=50,
        weight=100,
        idleHoldTimeSeconds=7,
        extAsNumber="0.64512",
        routeReflectorClient=True,
    )
    router = body["properties"]["bgpRouters"][0]["properties"]
    router["extAsNumber"] = "0.64512"
    center.put(BLUE, body)
    told = router_of(center)
    assert (told.route_reflector, told.cluster_id, told.transit_routing, told.ecmp) == (
        *(True, "10.0.2.9"),
        *(True, True),
    )
    assert list(told.aggregates) == [
        pb.BgpAggregate(prefix="10.0.0.0/16", summary_only=True, preserve_as_path=True)
    ]
    assert told.dampening == pb.BgpDampening(half_life_s=300, reuse=500, suppress=2000, maximum_s=2400)
    peer = told.peers[0]
    assert (peer.passive, peer.stopped, peer.max_prefixes, peer.weight, peer.idle_hold_time_s) == (
        *(True, True),
        *(50, 100, 7),
    )
    assert peer.route_reflector_client


def test_without_any_of_it_a_router_is_what_it_was(center: Datacenter) -> None:
    told = router_of(center)
    assert not told.HasField("dampening")
    assert [told.route_reflector, told.transit_routing, told.ecmp, *told.aggregates] == [False] * 3
    assert (told.peers[0].weight, told.peers[0].stopped, list(told.peers[0].inbound)) == (0, False, [])


def test_a_policy_map_reaches_the_gateway_in_its_order(center: Datacenter) -> None:
    policies = (
        policy(
            "modifyattribute",
            "mark",
            MatchPrefix="192.168.50.0/24, 192.168.51.0/24",
            IgnorePrefix=["192.168.52.0/24"],
            MatchASNRange="64521-64530, 7",
            MatchCommunity="64521:1",
            MatchNextHop="192.168.50.1",
            NewLocalPref=200,
            NewMED="10",
            NewNextHop="10.0.2.5",
            AddCommunity="64512:100,64512:101",
            RemoveCommunity="64521:1",
            RemoveAllCommunities="",
        ),
        policy("Allow", "way out", MatchPrefix="0.0.0.0/0"),
        policy("Deny", "rest"),
    )
    center.put(BLUE, with_peer([policy_map(*policies)], policyMapIn=IN))
    inbound = router_of(center).peers[0].inbound
    assert inbound[0] == pb.BgpPolicy(
        name="mark",
        action="modify",
        match_prefixes=["192.168.50.0/24", "192.168.51.0/24"],
        ignore_prefixes=["192.168.52.0/24"],
        match_asns=[pb.AsnRange(first=64521, last=64530), pb.AsnRange(first=7, last=7)],
        match_communities=["64521:1"],
        match_next_hops=["192.168.50.1"],
        set_local_preference=200,
        set_med=10,
        set_next_hop="10.0.2.5",
        add_communities=["64512:100", "64512:101"],
        remove_communities=["64521:1"],
        remove_all_communities=True,
    )
    assert [(item.name, item.action) for item in inbound[1:]] == [("way out", "allow"), ("rest", "deny")]
    # The gateway understands what the controller says.
    assert all(statements(list(inbound), family, inbound=True) for family in FAMILIES)
    assert center.get(f"{BLUE}/policyMaps/in")["properties"]["policyList"][1]["policyName"] == "way out"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (policy(MatchPrefix="10.0.0.1/24"), "host bits"),
        (policy(MatchPrefix="2001:db8::1/32"), "host bits"),
        (policy("ModifyAttribute", NewNextHop="fe80::1%x"), "scope"),
        (policy(MatchPrefix=""), "needs a value"),
        (policy(MatchASNRange="7-3"), "range of AS numbers"),
        (policy(MatchASNRange="0"), "range of AS numbers"),
        (policy(MatchASNRange="x"), "range of AS numbers"),
        (policy(MatchCommunity="1:65536"), "no community"),
        (policy(MatchCommunity="1:1 ]; accept"), "no community"),
        (policy(MatchNextHop="here"), "here"),
        (policy(MatchFoo="1"), "one of MatchPrefix"),
        (policy("Permit"), "one of Allow"),
        (policy("ModifyAttribute"), "needs set actions"),
        (policy("Allow", ClearMED=""), "Only a policy of type ModifyAttribute"),
        (policy("ModifyAttribute", NewMED="-1"), "no number"),
        (policy("ModifyAttribute", NewMED="4294967296"), "no number"),
        (policy("ModifyAttribute", NewMED="1,2"), "needs one value"),
        (policy("ModifyAttribute", NewMED=""), "needs one value"),
        (policy("ModifyAttribute", ClearMED="7"), "takes no value"),
        (policy("ModifyAttribute", NewMED="7", ClearMED=""), "contradict"),
        (policy("ModifyAttribute", AddCommunity="1:1", RemoveCommunity="1:1"), "both added and removed"),
        (policy("ModifyAttribute", NewNextHop="192.168.50.9"), "not in the gateway subnet"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(center: Datacenter, bad: Json, why: str) -> None:
    assert why in center.refusal(BLUE, with_peer([policy_map(bad)], policyMapIn=IN))


def _twice(body: Json) -> None:
    peers = body["properties"]["bgpRouters"][0]["properties"]["bgpPeers"]
    peers.append({**deepcopy(peers[0]), "resourceId": "second"})


def _no_number(body: Json) -> None:
    peer = body["properties"]["bgpRouters"][0]["properties"]["bgpPeers"][0]["properties"]
    for name in [name for name in peer if "AsNumber" in name or name == "asNumber"]:
        del peer[name]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [(_twice, "Two peers have the address"), (_no_number, "needs 'extAsNumber'")],
)
def test_peers_that_cannot_be_are_refused(
    center: Datacenter, spoil: Callable[[Json], None], why: str
) -> None:
    body = gateway()
    spoil(body)
    assert why in center.refusal(BLUE, body)


@pytest.mark.parametrize(
    ("router", "peer", "why"),
    [
        ({"clusterId": "10.0.2.9"}, {}, "is a route reflector's"),
        ({}, {"routeReflectorClient": True}, "no route reflector"),
        ({"routeReflector": True}, {"routeReflectorClient": True}, "of the router's own AS"),
        ({}, {"weight": -1}, "greater than or equal to 0"),
        ({}, {"weight": 65536}, "less than or equal to 65535"),
        ({}, {"holdTimeSeconds": 2}, "greater than or equal to 3"),
        ({}, {"operationMode": "Client"}, "one of Mixed"),
        ({"aggregates": [{"prefix": "0.0.0.0/0"}]}, {}, "default route"),
        ({"aggregates": [{"prefix": "10.0.0.1/32"}]}, {}, "has no parts"),
        ({"aggregates": [{"prefix": "10.0.0.0/16"}] * 2}, {}, "aggregated twice"),
        ({"dampening": {"reuseThreshold": 2000}}, {}, "below the suppress threshold"),
        ({"dampening": {"maximumSuppressSeconds": 600}}, {}, "Nothing would ever be suppressed"),
        ({"dampening": {"halfLifeSeconds": 0}}, {}, "greater than 0"),
        ({}, {"policyMapIn": {"resourceRef": f"{BLUE}/policyMaps/none"}}, "does not exist"),
        ({}, {"policyMapIn": {"resourceRef": f"{BLUE}/bgpRouters/blue-router"}}, "does not exist"),
    ],
)
def test_what_a_router_cannot_do_is_refused(center: Datacenter, router: Json, peer: Json, why: str) -> None:
    assert why in center.refusal(BLUE, with_peer(router=router, **peer))


def test_a_policy_map_of_another_tenant_is_refused(center: Datacenter) -> None:
    red = deepcopy(dict(hybrid_cloud())["/virtualGateways/red"])
    red["properties"]["policyMaps"] = [policy_map(policy())]
    center.put("/virtualGateways/red", red)
    reference = {"resourceRef": "/virtualGateways/red/policyMaps/in"}
    assert "another virtual gateway's" in center.refusal(BLUE, with_peer(policyMapIn=reference))


def test_a_policy_map_in_use_is_not_removed_with_its_peers_left(center: Datacenter) -> None:
    center.put(BLUE, with_peer([policy_map(policy())], policyMapIn=IN))
    assert "does not exist" in center.refusal(BLUE, with_peer([], policyMapIn=IN))
    center.put(BLUE, with_peer([]))
    assert not router_of(center).peers[0].inbound


def test_a_local_preference_is_not_told_to_another_as(center: Datacenter) -> None:
    maps = [policy_map(policy("ModifyAttribute", NewLocalPref="7"))]
    assert "not told to a peer of another AS" in center.refusal(BLUE, with_peer(maps, policyMapOut=IN))
    center.put(BLUE, with_peer(maps, policyMapIn=IN))


def test_two_policies_of_one_name_or_one_clause_twice_are_refused(center: Datacenter) -> None:
    assert "are called 'p'" in center.refusal(BLUE, with_peer([policy_map(policy(), policy())]))
    double = policy(MatchPrefix="10.0.0.0/8")
    double["matchCriteria"] *= 2
    assert "stands twice" in center.refusal(BLUE, with_peer([policy_map(double)]))
