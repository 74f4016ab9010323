"""The policy compiler: what the hybrid cloud becomes, and what must hold for every datacenter."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from controller_support import Datacenter, hybrid_cloud
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.controller.compiler import compile_all
from lab.controller.domains import Compartment, Domain, Endpoint, ProviderEnd, Subnet
from lab.controller.models_tenant import VirtualGateway
from lab.controller.observations import LearnedRoute
from lab.controller.policy import Policy
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState

GOLDEN = Path(__file__).parents[1] / "golden"
BLUE = "5d0c4d4a-0b1e-4000-8000-0000000000b1"
RED = "5d0c4d4a-0b1e-4000-8000-0000000000e1"
NODES = ("hv01", "hv02", "hv03", "gw01")


def readable(states: dict[str, GoalState]) -> str:
    """Goal states as text that a person can compare."""
    data = {
        node: [MessageToDict(item, preserving_proto_field_name=True) for _, item in sorted(state.items())]
        for node, state in sorted(states.items())
    }
    return json.dumps(data, indent=1) + "\n"


def test_golden_hybrid_cloud(tmp_path: Path) -> None:
    """Blue's site is connected and offers a prefix, red's is not: blue's hosts know the way, red's do not."""
    datacenter = Datacenter(tmp_path, hybrid_cloud())
    datacenter.observe(
        "gw01",
        pb.Report(
            connections=[pb.ConnectionState(rdid=BLUE, name="blue-hq", state="Connected")],
            learned_routes=[
                pb.LearnedRoutes(rdid=BLUE, routes=[pb.LearnedRoute(prefix="192.168.50.0/24", metric=100)]),
                pb.LearnedRoutes(rdid=RED),
            ],
        ),
    )
    text = readable({node: datacenter.goal_state(node) for node in ("hv01", "hv02", "gw01")})
    path = GOLDEN / "compiler_hybrid_cloud.json"
    if os.environ.get("HNVLAB_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


# --- routes ---


def one_domain(*routes: LearnedRoute) -> Domain:
    return Domain(
        rdid=BLUE,
        subnets=(Subnet(5001, "10.0.0.0/24"), Subnet(5003, "10.0.2.0/29")),
        endpoints=(Endpoint("vm", "hv01", 5001, "10.0.0.4", "00:15:5d:00:00:04"),),
        compartment=Compartment("gw01", "blue", 5003, "10.0.2.0/29", "10.0.2.2", "203.0.113.10", GATEWAY),
        routes=routes,
        provider_addresses={"gw01": "192.168.6.3", "hv01": "192.168.6.1"},
    )


GATEWAY = VirtualGateway.model_validate(
    {
        "gatewayPools": [{"resourceRef": "/gatewayPools/p"}],
        "gatewaySubnets": [{"resourceRef": "/virtualNetworks/blue/subnets/gateway"}],
        "bgpRouters": [{"resourceId": "r", "properties": {"extAsNumber": "0.64512"}}],
    }
)
ENDS = {node: ProviderEnd(f"192.168.6.{i}", 24, "") for i, node in enumerate(NODES, 1)}


def routes_of(domain: Domain) -> dict[str, pb.CustomerRoute]:
    state = compile_all([domain], ENDS)["hv01"]
    return {
        item.customer_route.prefix: item.customer_route
        for item in state.values()
        if item.WhichOneof("body") == "customer_route"
    }


def test_learned_route_leads_to_the_compartment() -> None:
    route = routes_of(one_domain(LearnedRoute("192.168.50.0/24", 20)))["192.168.50.0/24"]
    assert (route.vsid, route.next_hop, route.metric) == (5003, "10.0.2.2", 20)


@pytest.mark.parametrize("prefix", ["10.0.0.0/24", "10.0.0.128/25", "10.0.0.4/32"])
def test_a_site_cannot_draw_the_traffic_of_vms_to_itself(prefix: str) -> None:
    routes = routes_of(one_domain(LearnedRoute(prefix, 0)))
    assert {p: r.next_hop for p, r in routes.items()} == {"10.0.0.0/24": "", "10.0.2.0/29": ""}


def test_vm_prefixes_and_bgp_networks_leave_the_gateway_subnet_out() -> None:
    state = compile_all([one_domain()], ENDS)["gw01"]
    compartment = state[f"compartment/{BLUE}"].compartment
    assert list(compartment.vm_prefixes) == ["10.0.0.0/24"]
    assert list(compartment.bgp.networks) == ["10.0.0.0/24"]
    assert compartment.bgp.router_id == "10.0.2.2"


# --- any datacenter ---


def gateway_place(tenant: int, vsid: int, prefix: str) -> Compartment:
    return Compartment(
        "gw01", f"t{tenant}", vsid, prefix, prefix.replace(".0/24", ".2"), "203.0.113.10", GATEWAY
    )


@st.composite
def domain(draw: st.DrawFn, tenant: int) -> Domain:
    """One tenant of a random datacenter; the addresses of all tenants overlap."""
    count = draw(st.integers(1, 3))
    subnets = tuple(Subnet(5000 + 10 * tenant + i, f"10.0.{i}.0/24") for i in range(count))
    places = draw(st.lists(st.tuples(st.integers(0, count - 1), st.sampled_from(NODES[:3])), max_size=4))
    endpoints = tuple(
        Endpoint(f"vm-{tenant}-{i}", node, subnets[s].vsid, f"10.0.{s}.{4 + i}", f"00:15:5d:00:00:{i:02x}")
        for i, (s, node) in enumerate(places)
    )
    compartment = None
    if draw(st.booleans()):
        compartment = gateway_place(tenant, subnets[-1].vsid, subnets[-1].prefix)
    learned = draw(st.lists(st.integers(0, 3), unique=True, max_size=2))
    nodes = {e.node for e in endpoints} | ({"gw01"} if compartment else set())
    return Domain(
        rdid=f"{tenant:08x}-0000-0000-0000-000000000000",
        subnets=subnets,
        endpoints=endpoints,
        compartment=compartment,
        routes=tuple(LearnedRoute(f"192.168.{n}.0/24", 10) for n in learned) if compartment else (),
        provider_addresses={node: ENDS[node].address for node in sorted(nodes)},
    )


datacenters = st.tuples(*(st.one_of(st.none(), domain(i)) for i in range(3))).map(
    lambda tenants: [d for d in tenants if d is not None]
)


def domain_of_record(item: pb.Record, vsids: dict[int, str]) -> str | None:
    body = getattr(item, item.WhichOneof("body") or "")
    if isinstance(body, pb.ProviderAddress):
        return None
    return body.rdid if hasattr(body, "rdid") else vsids[body.vsid]


@given(datacenters)
def test_a_node_gets_only_the_domains_that_it_carries(domains: list[Domain]) -> None:
    vsids = {subnet.vsid: d.rdid for d in domains for subnet in d.subnets}
    for node, state in compile_all(domains, ENDS).items():
        carried = {d.rdid for d in domains if node in d.provider_addresses}
        assert {domain_of_record(item, vsids) for item in state.values()} - {None} == carried


@given(datacenters)
def test_a_node_knows_every_address_of_the_domains_that_it_carries(domains: list[Domain]) -> None:
    for node, state in compile_all(domains, ENDS).items():
        for d in domains:
            if node in d.provider_addresses:
                for e in d.endpoints:
                    lookup = state[f"lookup/{e.vsid}/{e.address}"].lookup_record
                    assert lookup.provider_address == ENDS[e.node].address
                    assert f"provider-member/{d.rdid}/{ENDS[e.node].address}" in state


@settings(max_examples=60)
@given(st.lists(datacenters, min_size=1, max_size=5))
def test_changes_add_up_to_what_compiling_everything_gives(steps: list[list[Domain]]) -> None:
    policy = Policy()
    held: dict[str, GoalState] = {node: {} for node in NODES}
    known: set[str] = set()
    ends: dict[str, ProviderEnd | None] = dict(ENDS)
    for step in steps:
        now = {d.rdid: d for d in step}
        changes = policy.update(dict.fromkeys(known - now.keys()) | now, ends)
        known = set(now)
        for node, records in changes.items():
            assert records, "a node that nothing changed for is not named"
            for key, item in records.items():
                assert held[node].get(key) != item, "a record that did not change is not sent"
                held[node].pop(key, None)
                if item is not None:
                    held[node][key] = item
        expected = compile_all(step, ENDS)
        assert held == expected
        assert {node: policy.goal_state(node) for node in NODES} == expected
