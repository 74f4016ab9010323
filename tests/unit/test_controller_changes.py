"""Changes that concern more than the document they come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.controller.inventory import PROVIDER_ADDRESS
from lab.controller.store import Commit
from lab.southbound import southbound_pb2 as pb

from .controller_support import Datacenter, hybrid_cloud

BLUE = "5d0c4d4a-0b1e-4000-8000-0000000000b1"
RED = "5d0c4d4a-0b1e-4000-8000-0000000000e1"
SITE_ROUTE = f"customer-route/{BLUE}/192.168.50.0/24"


def learned() -> pb.Report:
    routes = [pb.LearnedRoute(prefix="192.168.50.0/24", metric=1)]
    connection = pb.ConnectionState(rdid=BLUE, name="blue-hq", state="Connected")
    return pb.Report(connections=[connection], learned_routes=[pb.LearnedRoutes(rdid=BLUE, routes=routes)])


def body_of(wanted: str) -> dict[str, Any]:
    return next(body for path, body in hybrid_cloud() if path == wanted)


def test_a_tenant_that_gets_room_later_gets_its_policy_then(tmp_path: Path) -> None:
    blue, red = body_of("/virtualGateways/blue"), body_of("/virtualGateways/red")
    small = blue["properties"]["networkConnections"][0]["properties"]
    others = [step for step in hybrid_cloud() if not step[0].startswith("/virtualGateways")]
    datacenter = Datacenter(tmp_path, others)
    small["outboundKiloBitsPerSecond"] = 990_000
    datacenter.put("/virtualGateways/blue", blue)
    datacenter.put("/virtualGateways/red", red)
    assert f"compartment/{RED}" not in datacenter.goal_state("gw01")
    small["outboundKiloBitsPerSecond"] = 5_000
    datacenter.put("/virtualGateways/blue", blue)
    assert f"compartment/{RED}" in datacenter.goal_state("gw01")


def test_what_a_gateway_said_is_forgotten_when_the_tenant_leaves_it(tmp_path: Path) -> None:
    """It comes back only when the gateway says so again."""
    datacenter = Datacenter(tmp_path, hybrid_cloud())
    datacenter.observe("gw01", learned())
    assert SITE_ROUTE in datacenter.goal_state("hv01")
    datacenter.delete("/gateways/gw01")
    assert datacenter.controller.observations == {}
    datacenter.put("/gateways/gw01", body_of("/gateways/gw01"))
    assert f"compartment/{BLUE}" in datacenter.goal_state("gw01")
    assert SITE_ROUTE not in datacenter.goal_state("hv01")
    assert datacenter.restarted().observations == {}


def test_a_report_that_could_not_be_stored_counts_when_it_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datacenter = Datacenter(tmp_path, hybrid_cloud())

    def full(_commit: Commit) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(datacenter.store, "commit", full)
        with pytest.raises(OSError, match="no space"):
            datacenter.observe("gw01", learned())
    datacenter.observe("gw01", learned())
    assert SITE_ROUTE in datacenter.goal_state("hv01")


def test_a_provider_address_is_given_out_once_though_pools_overlap(tmp_path: Path) -> None:
    network = body_of("/logicalNetworks/provider")
    pools = [
        {"resourceId": f"p{i}", "properties": {"startIpAddress": first, "endIpAddress": "192.168.6.12"}}
        for i, first in enumerate(("192.168.6.10", "192.168.6.11"))
    ]
    network["properties"]["subnets"][0]["properties"]["ipPools"] = pools
    datacenter = Datacenter(tmp_path, [("/logicalNetworks/provider", network)])
    # All nodes are there before the first address: a pool that comes late serves them in one step.
    datacenter.delete("/logicalNetworks/provider")
    for i in range(5):
        datacenter.put(f"/servers/hv0{i}", {"properties": {}})
    datacenter.put("/logicalNetworks/provider", network)
    given = [v for (k, _), v in datacenter.controller.inventory.allocations.items() if k == PROVIDER_ADDRESS]
    assert sorted(given) == ["192.168.6.10", "192.168.6.11", "192.168.6.12"]


def test_a_change_compiles_anew_only_what_it_concerns(tmp_path: Path) -> None:
    """Or one PUT into a routing domain of thousands of interfaces would take seconds."""
    datacenter = Datacenter(tmp_path, hybrid_cloud())
    untouched = ("lookup/5001/10.0.0.4", "lookup/6001/10.0.0.4", "port/blue-web")
    before = {key: datacenter.goal_state("hv01")[key] for key in untouched}
    moved = body_of("/networkInterfaces/blue-app")
    moved["properties"]["server"] = {"resourceRef": "/servers/hv01"}
    datacenter.put("/networkInterfaces/blue-app", moved)
    after = datacenter.goal_state("hv01")
    assert "port/blue-app" in after
    assert all(after[key] is item for key, item in before.items())


def test_a_new_vsid_of_a_subnet_reaches_its_interfaces(tmp_path: Path) -> None:
    datacenter = Datacenter(tmp_path, hybrid_cloud())
    network = body_of("/virtualNetworks/blue")
    for subnet in network["properties"]["subnets"]:
        subnet["properties"]["virtualSubnetId"] = int(subnet["properties"]["virtualSubnetId"]) + 100
    datacenter.put("/virtualNetworks/blue", network)
    assert datacenter.goal_state("hv01")["port/blue-web"].port.vsid == 5101
    assert not [key for key in datacenter.goal_state("hv01") if "/500" in key]
