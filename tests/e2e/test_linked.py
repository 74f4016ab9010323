"""Two VM networks linked through the gateway, end to end: by both sides' word, and no longer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.testing import RunningLab, eventually, hnvlab

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "linked.yml"
LINK = "/virtualGateways/green/networkConnections/blue"
WITHIN_S = 30


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    """Blue and Green linked; Red is not."""
    hnvlab("down", "linked")
    running = RunningLab.bring_up(TOPOLOGY)
    yield running
    running.take_down()


def test_linked_networks_reach_each_other_until_one_of_them_ends_it(lab: RunningLab) -> None:
    hnvlab("check", lab.name)
    api = lab.controller()
    api.delete(LINK)

    def ended() -> None:
        state = api.get("/virtualGateways/blue/networkConnections/green")["properties"]
        assert state["connectionState"] == "Disconnected"
        assert "no link back" in state["connectionErrorReason"]
        prefixes = [route["prefix"] for route in lab.policy("hv01")["customer_routes"]]
        assert "10.1.0.0/24" not in prefixes

    eventually(ended, within_s=WITHIN_S)
    assert lab.run("blue-web", "ping", "-c", "1", "-W", "1", "10.1.0.4").exit_code != 0
    assert RunningLab.bring_up(TOPOLOGY).summary["changes"] > 0
    hnvlab("check", lab.name)
