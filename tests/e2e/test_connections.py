"""Every kind of connection side by side, for two tenants with the same addresses; and a private cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.testing import RunningLab, dissect, eventually, hnvlab

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
CONNECTIONS = ("hq", "mpls", "dc", "internet")
PAGE = "http://10.0.0.4/"
AT_HOME = {"hq": "pc", "mpls": "branch", "dc": "db"}
"""A server behind each connection that leads to a site."""
WITHIN_S = 30


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    """The lab of all connections, up and converged, for all tests of this file."""
    hnvlab("down", "connections")
    running = RunningLab.bring_up(TOPOLOGIES / "connections.yml")
    yield running
    running.take_down()


def page(lab: RunningLab, node: str) -> str:
    """What a server at a site sees at the VM's address."""
    return lab.run(node, "curl", "-sS", "--max-time", "5", PAGE).check()


def test_all_kinds_carry_two_tenants_with_the_same_addresses(lab: RunningLab) -> None:
    hnvlab("check", lab.name)
    assert RunningLab.bring_up(lab.topology).summary["changes"] == 0


def test_each_kind_looks_on_the_wire_as_its_name_says(lab: RunningLab, tmp_path: Path) -> None:
    with lab.capture("gw01:fe0", directory=tmp_path) as files:
        for tenant in ("blue", "red"):
            for server in AT_HOME.values():
                assert tenant in page(lab, f"{tenant}-{server}").lower()
    file = files["gw01:fe0"]
    assert {tuple(row) for row in dissect(file, ("vlan.id",), "vlan && tcp")} == {("1001",), ("1002",)}
    tunnels = {tuple(row) for row in dissect(file, ("ip.src", "ip.dst", "gre.key"), "gre && tcp")}
    assert {key for _, _, key in tunnels} == {"0x000004d2"}
    far_ends = {source.split(",")[0] for source, _, _ in tunnels}
    assert len(far_ends) == 3, "the gateway's one GRE address, and one of each tenant's edge"
    assert dissect(file, ("esp.spi",), "esp"), "encrypted, in UDP where the kernel has no ESP"
    assert dissect(file, ("frame.number",), "tcp && !gre && !vlan && ip.addr == 10.0.0.4") == []


def test_states_tell_what_has_passed(lab: RunningLab) -> None:
    api = lab.controller()

    def counted() -> None:
        for tenant in ("blue", "red"):
            gateway = api.get(f"/virtualGateways/{tenant}")["properties"]
            states = {item["resourceId"]: item["properties"] for item in gateway["networkConnections"]}
            assert set(states) == set(CONNECTIONS)
            for name, state in states.items():
                assert state["connectionState"] == "Connected", name
                assert state["statistics"]["inboundBytes"] > 0, name
                assert state["statistics"]["outboundBytes"] > 0, name

    eventually(counted, within_s=WITHIN_S)


def test_a_tunnel_that_is_cut_takes_its_routes_and_nothing_else(lab: RunningLab) -> None:
    lab.run("blue-mpls", "ip", "link", "set", "wan0", "down").check()
    try:

        def noticed() -> None:
            shown = json.loads(hnvlab("bgp", "gw01", "blue", "--json", "--lab", lab.name).stdout)
            peers = {peer["address"]: peer["status"] for peer in shown["peers"]}
            assert peers.pop("192.168.60.1") != "Connected"
            assert set(peers.values()) == {"Connected"}

        eventually(noticed, within_s=WITHIN_S)
        assert "blue" in page(lab, "blue-pc").lower()
        assert "red" in page(lab, "red-branch").lower()
    finally:
        RunningLab.bring_up(lab.topology)
    eventually(lambda: page(lab, "blue-branch"), within_s=WITHIN_S)


def test_a_private_cloud_extends_the_corporations_network() -> None:
    hnvlab("down", "private-cloud")
    running = RunningLab.bring_up(TOPOLOGIES / "private-cloud.yml")
    try:
        hnvlab("check", running.name)
        assert RunningLab.bring_up(running.topology).summary["changes"] == 0
    finally:
        running.take_down()
