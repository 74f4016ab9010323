"""Where tenants go, and what is given out and kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.controller.catalog import parse_path
from lab.controller.inventory import COMPARTMENT_ADDRESS, PLACEMENT, PROVIDER_ADDRESS
from lab.controller.placement import TENANTS_PER_GATEWAY, Candidate, active, best_fit
from lab.controller.refusals import Refused
from lab.controller.shapes import as_number
from lab.controller.views import render
from lab.model.loader import load
from lab.model.resolve import resolve
from lab.plan.intent import intent
from lab.southbound import southbound_pb2 as pb

from .controller_support import Datacenter, hybrid_cloud

ROOT = Path(__file__).parents[2]
BLUE = "5d0c4d4a-0b1e-4000-8000-0000000000b1"


def candidate(name: str, free_kbps: int, tenants: int = 0) -> Candidate:
    return Candidate(name, 1_000_000, 1_000_000 - free_kbps, tenants)


@pytest.mark.parametrize(
    ("demand", "candidates", "chosen"),
    [
        (100, [candidate("a", 500), candidate("b", 200), candidate("c", 99)], "b"),
        (100, [candidate("b", 200), candidate("a", 200)], "a"),
        (501, [candidate("a", 500)], None),
        (500, [candidate("a", 500)], "a"),
        (1, [candidate("a", 200, TENANTS_PER_GATEWAY), candidate("b", 500)], "b"),
        (0, [], None),
        (5_000_001, [Candidate("a", 10_000_000, 0, 0)], None),
    ],
)
def test_best_fit(demand: int, candidates: Sequence[Candidate], chosen: str | None) -> None:
    assert best_fit(demand, candidates) == chosen


@pytest.mark.parametrize(
    ("loaded", "redundant", "expected"),
    [
        (set(), 0, ("a", "b", "c")),
        (set(), 1, ("a", "b")),
        ({"c"}, 1, ("c", "a")),
        ({"a", "b", "c"}, 1, ("a", "b", "c")),
    ],
)
def test_active_gateways(loaded: set[str], redundant: int, expected: tuple[str, ...]) -> None:
    assert active(("a", "b", "c"), loaded, redundant) == expected


@pytest.mark.parametrize(
    ("text", "number"), [("0.64512", 64512), ("1.10", 65546), ("4200000000", 4_200_000_000)]
)
def test_as_numbers(text: str, number: int) -> None:
    assert as_number(text) == number


@pytest.mark.parametrize("text", ["0.65536", "65536.1", "0", "x", "4294967296", "-1"])
def test_what_is_no_as_number(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        as_number(text)


def shown(datacenter: Datacenter, ref: str) -> dict[str, Any]:
    found = datacenter.controller.inventory.at(ref)
    assert found is not None
    return dict(render(*found, datacenter.controller)["properties"])


def test_a_tenant_stays_where_it_is(tmp_path: Path) -> None:
    datacenter = Datacenter(tmp_path, hybrid_cloud())
    pool = {"resourceRef": "/gatewayPools/default"}
    datacenter.put("/gateways/gw00", {"properties": {"pool": pool}})
    allocations = datacenter.controller.inventory.allocations
    assert {v for (kind, _), v in allocations.items() if kind == PLACEMENT} == {"gw01"}
    with pytest.raises(Refused, match="is in use"):
        datacenter.delete("/gatewayPools/default")
    datacenter.delete("/gateways/gw01")
    assert {v for (kind, _), v in allocations.items() if kind == PLACEMENT} == {"gw00"}
    assert f"compartment/{BLUE}" in datacenter.goal_state("gw00")


def learned(prefix: str) -> pb.Report:
    return pb.Report(
        learned_routes=[pb.LearnedRoutes(rdid=BLUE, routes=[pb.LearnedRoute(prefix=prefix, metric=1)])]
    )


def test_routes_go_with_the_gateway_that_learned_them(tmp_path: Path) -> None:
    datacenter = Datacenter(tmp_path, hybrid_cloud())
    pool = {"resourceRef": "/gatewayPools/default"}
    datacenter.put("/gateways/gw00", {"properties": {"pool": pool}})
    datacenter.observe("gw01", learned("192.168.50.0/24"))
    assert f"customer-route/{BLUE}/192.168.50.0/24" in datacenter.goal_state("hv01")
    datacenter.delete("/gateways/gw01")
    assert f"customer-route/{BLUE}/192.168.50.0/24" not in datacenter.goal_state("hv01")


def test_a_node_that_does_not_carry_a_tenant_cannot_speak_for_it(tmp_path: Path) -> None:
    datacenter = Datacenter(tmp_path, hybrid_cloud())
    datacenter.observe("gw01", learned("192.168.50.0/24"))
    before = dict(datacenter.controller.observations)
    datacenter.observe("hv01", learned("192.168.66.0/24"))
    assert datacenter.controller.observations == before


def test_a_dynamic_address_is_not_the_compartments(tmp_path: Path) -> None:
    datacenter = Datacenter(tmp_path, hybrid_cloud())
    subnet = {"resourceRef": "/virtualNetworks/blue/subnets/gateway"}
    dynamic = {"privateIPAllocationMethod": "dynamic", "subnet": subnet}
    nic = {"ipConfigurations": [{"resourceId": "ip", "properties": dynamic}]}
    datacenter.put("/networkInterfaces/late", {"properties": nic})
    given = shown(datacenter, "/networkInterfaces/late/ipConfigurations/ip")["privateIPAddress"]
    assert given == "10.0.2.3"


def test_gateways_that_stand_by_carry_nothing(tmp_path: Path) -> None:
    datacenter = Datacenter(tmp_path, [])
    for path, body in hybrid_cloud():
        if path == "/gatewayPools/default":
            body["properties"]["redundantGatewayCount"] = "1"
        datacenter.put(path, body)
    blue = shown(datacenter, "/virtualGateways/blue")["configurationState"]
    assert (blue["status"], blue["detailedInfo"][0]["code"]) == ("Failure", "Overloaded")
    assert shown(datacenter, "/gateways/gw01")["state"] == "Redundant"
    pool = {"resourceRef": "/gatewayPools/default"}
    datacenter.put("/gateways/gw02", {"properties": {"pool": pool}})
    assert shown(datacenter, "/gateways/gw01")["state"] == "Active"
    assert shown(datacenter, "/gateways/gw02")["state"] == "Redundant"
    assert len(shown(datacenter, "/gateways/gw01")["virtualGateways"]) == 2


def test_a_compartment_takes_the_lowest_free_address_and_keeps_it(tmp_path: Path) -> None:
    steps = [step for step in hybrid_cloud() if "virtualGateways" not in step[0]]
    gateways = [step for step in hybrid_cloud() if "virtualGateways" in step[0]]
    datacenter = Datacenter(tmp_path, steps)
    subnet = {"resourceRef": "/virtualNetworks/blue/subnets/gateway"}
    nic = {
        "ipConfigurations": [
            {"resourceId": "ip", "properties": {"privateIPAddress": "10.0.2.2", "subnet": subnet}}
        ]
    }
    datacenter.put("/networkInterfaces/early", {"properties": nic})
    for path, body in gateways:
        datacenter.put(path, body)
    given = {
        k: v
        for (kind, k), v in datacenter.controller.inventory.allocations.items()
        if kind == COMPARTMENT_ADDRESS
    }
    assert sorted(given.values()) == ["10.0.2.2", "10.0.2.3"]
    datacenter.delete("/networkInterfaces/early")
    datacenter.put("/servers/hv03", {"properties": {}})
    assert sorted(given.values()) == ["10.0.2.2", "10.0.2.3"]


def test_an_empty_pool_is_named(tmp_path: Path) -> None:
    datacenter = Datacenter(tmp_path, [])
    for path, body in hybrid_cloud()[:3]:
        if path == "/logicalNetworks/provider":
            body["properties"]["subnets"][0]["properties"]["ipPools"][0]["properties"]["endIpAddress"] = (
                "192.168.6.10"
            )
        datacenter.put(path, body)
    state = shown(datacenter, "/servers/hv02")["configurationState"]
    assert state["detailedInfo"][0]["code"] == "PAIpAddressExhausted"
    assert (PROVIDER_ADDRESS, "hv02") not in datacenter.controller.inventory.allocations
    assert datacenter.goal_state("hv02") == {}


def test_peers_without_a_way_are_named_as_the_product_does(tmp_path: Path) -> None:
    datacenter = Datacenter(tmp_path, hybrid_cloud())
    path, body = next(step for step in hybrid_cloud() if step[0] == "/virtualGateways/blue")
    body["properties"]["networkConnections"][0]["properties"]["routes"] = []
    datacenter.put(path, body)
    state = shown(datacenter, path)["configurationState"]
    assert state["detailedInfo"][0] == {
        "source": "NetworkController",
        "code": "PolicyConfigurationFailure",
        "message": "Peers 192.168.50.1 do not have connectivity through any networkconnection",
    }


def test_the_labs_own_intent_is_accepted_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    wanted = intent(resolve(load(ROOT / "topologies/hybrid-cloud.yml")))
    datacenter = Datacenter(tmp_path, wanted)
    before = [datacenter.controller.etag(path) for ref, _ in wanted if (path := parse_path(ref))]
    assert [datacenter.put(path, body).etag for path, body in wanted] == before
    assert "port/blue-web" in datacenter.goal_state("hv01")
    assert len([key for key in datacenter.goal_state("gw01") if key.startswith("compartment/")]) == 2
