"""External router mode: hosts know less, packets find their way all the same, and `up` leads back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.testing import RunningLab, dissect, hnvlab
from tests.e2e.conversation import adapter, conversation, goes_on, ports

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "external-router.yml"
NODES = ("hv01", "hv02", "hv03", "gw01")
TABLES = ("virtual_subnets", "lookup_records", "customer_routes", "provider_members")


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    """The corporation's lab in external router mode."""
    hnvlab("down", "external-router")
    running = RunningLab.bring_up(TOPOLOGY)
    yield running
    running.take_down()


def entries(lab: RunningLab) -> dict[str, int]:
    """How many entries of policy each node has."""
    policies = {node: lab.policy(node) for node in NODES}
    return {node: sum(len(policy[table]) for table in TABLES) for node, policy in policies.items()}


def moves(lab: RunningLab) -> None:
    """Assert that red-1 can move to a host that had nothing of its subnet, and keeps its connection."""
    before = adapter(lab, "red-1")
    with conversation(lab, "red-1", "blue-1", "10.3.0.4") as trips:
        goes_on(trips)
        hnvlab("migrate", "red-1", "hv03", "--lab", lab.name)
        goes_on(trips)
    assert "v-red-1" in ports(lab, "hv03") - ports(lab, "hv01")
    assert adapter(lab, "red-1") == before
    lab.run("red-2", "ping", "-c", "2", "-W", "2", "10.4.0.4").check()


def test_a_host_needs_less_policy_and_the_gateway_decides(lab: RunningLab, tmp_path: Path) -> None:
    hnvlab("check", lab.name)
    external = entries(lab)
    with lab.capture("gw01:pa0", directory=tmp_path) as files:
        lab.run("red-1", "ping", "-c", "2", "-W", "2", "10.3.0.4").check()
        lab.run("red-1", "ping", "-c", "2", "-W", "2", "10.4.0.5").check()
        lab.run("purple-1", "ping", "-c", "2", "-W", "2", "10.2.0.5").check()
        lab.run("blue-1", "ping", "-c", "2", "-W", "2", "10.2.0.4").check()
    crossed = {tuple(row[0].split(",")[1:]) for row in dissect(files["gw01:pa0"], ("ip.dst",), "gre && icmp")}
    between = {("10.3.0.4",), ("10.4.0.4",), ("10.2.0.4",)}
    assert crossed == between, "what stays in a subnet never sees the gateway, what leaves one always does"

    moves(lab)

    text = TOPOLOGY.read_text().replace("    router: external", "    encapsulation: vxlan")
    text = text.replace("at-most: 7", f"at-least: {2 * external['hv01']}")
    other = tmp_path / "distributed.yml"
    other.write_text(text)
    assert RunningLab.bring_up(other).summary["changes"] > 0
    hnvlab("check", lab.name)
    distributed = entries(lab)
    assert external["hv01"] < distributed["hv01"]
    assert external["hv02"] <= distributed["hv02"]
    assert external["hv03"] < distributed["hv03"]
    assert external["gw01"] > external["hv01"]

    with lab.capture("hv01:pa0", directory=tmp_path) as files:
        lab.run("red-1", "ping", "-c", "2", "-W", "2", "10.3.0.4").check()
    rows = dissect(files["hv01:pa0"], ("vxlan.vni", "udp.dstport"), "vxlan && icmp")
    assert {tuple(row) for row in rows} == {("5002", "4789"), ("5001", "4789")}

    moves(lab)
