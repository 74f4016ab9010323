"""The gateway's older shapes: a VM for each tenant (2012), an active and a passive gateway (2012 R2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.testing import RunningLab, eventually, hnvlab

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
POOL = "/gatewayPools/gateways"
WITHIN_S = 90
"""Dead-peer detection of the sites, IKE, BGP, and the way through the Network Controller."""


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[RunningLab]:
    hnvlab("down", request.param)
    running = RunningLab.bring_up(TOPOLOGIES / f"{request.param}.yml")
    yield running
    running.take_down()


@pytest.mark.parametrize("lab", ["gateway-2012"], indirect=True)
def test_a_tenants_gateway_vm_is_its_own(lab: RunningLab) -> None:
    hnvlab("check", lab.name)
    lab.container("blue-gw").kill()
    assert lab.run("blue-web", "ping", "-c", "1", "-W", "1", "192.168.50.100").exit_code != 0
    lab.run("red-web", "ping", "-c", "1", "-W", "2", "192.168.50.100").check()
    assert RunningLab.bring_up(lab.topology).summary["changes"] > 0

    def again() -> None:
        lab.run("blue-web", "ping", "-c", "1", "-W", "1", "192.168.50.100").check()

    eventually(again, within_s=WITHIN_S)


@pytest.mark.parametrize("lab", ["gateway-2012r2"], indirect=True)
def test_the_passive_gateway_takes_over_when_the_active_one_is_declared_gone(lab: RunningLab) -> None:
    hnvlab("check", lab.name)
    api = lab.controller()

    def state(gateway: str) -> str:
        return str(api.get(f"/gateways/{gateway}")["properties"]["state"])

    assert (state("gw01"), state("gw02")) == ("Active", "Redundant")
    lab.container("gw01").kill()
    # What the operator declares: the active one is gone, and nobody stands by any more.
    api.delete("/gateways/gw01")
    pool = api.get(POOL)
    pool["properties"]["redundantGatewayCount"] = 0
    api.put(POOL, pool)

    def taken_over() -> None:
        assert state("gw02") == "Active"
        for tenant in ("blue", "red"):
            lab.run(f"{tenant}-pc", "ping", "-c", "1", "-W", "1", "10.0.0.4").check()

    eventually(taken_over, within_s=WITHIN_S)
    RunningLab.bring_up(lab.topology)
    assert (state("gw01"), state("gw02")) == ("Redundant", "Active"), "who comes back stands by"
    hnvlab("check", lab.name)
