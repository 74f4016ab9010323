"""The policy compiler: what the hybrid cloud becomes, and what must hold for every datacenter."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict

from lab.controller.domains import (
    Compartment,
    Domain,
    Endpoint,
    Frame,
    NodeEnd,
    ProviderInterface,
    Router,
    Subnet,
)
from lab.controller.models_tenant import VirtualGateway
from lab.controller.observations import LearnedRoute
from lab.controller.policy import compile_all
from lab.southbound import southbound_pb2 as pb
from lab.southbound.keys import GoalState

from .controller_support import Datacenter, hybrid_cloud

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
    frame = Frame(
        rdid=BLUE,
        subnets=(Subnet(5001, "10.0.0.0/24"), Subnet(5003, "10.0.2.0/29")),
        compartment=Compartment("gw01", "blue", 5003, "10.0.2.0/29", "10.0.2.2", "203.0.113.10", GATEWAY),
        router=Router("gw01", PA["gw01"]),
        routes=routes,
    )
    vm = Endpoint("vm", "hv01", 5001, "10.0.0.4", "00:15:5d:00:00:04", PA["hv01"])
    return Domain(frame, {"vm": vm})


GATEWAY = VirtualGateway.model_validate(
    {
        "gatewayPools": [{"resourceRef": "/gatewayPools/p"}],
        "gatewaySubnets": [{"resourceRef": "/virtualNetworks/blue/subnets/gateway"}],
        "bgpRouters": [{"resourceId": "r", "properties": {"extAsNumber": "0.64512"}}],
    }
)
PA = {node: f"192.168.6.{i}" for i, node in enumerate(NODES, 1)}
ENDS = {node: NodeEnd((ProviderInterface(address, 24, ""),)) for node, address in PA.items()}


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
