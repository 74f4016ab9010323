"""Point-to-site, from the topology file to the laptop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.testing import RunningLab, eventually, hnvlab

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "roadwarriors.yml"
WITHIN_S = 60


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    """Two tenants with the same pool, and four who call."""
    hnvlab("down", "roadwarriors")
    running = RunningLab.bring_up(TOPOLOGY)
    yield running
    running.take_down()


def callers(lab: RunningLab) -> dict[str, dict[str, Any]]:
    """Who is connected, by tenant: nobody has two callers here."""
    with lab.controller() as api:
        gateways = api.list("/virtualGateways")
    return {
        gateway["resourceId"]: client
        for gateway in gateways
        for client in gateway["properties"]["vpnConfiguration"]["vpnClients"]
    }


def accounted(lab: RunningLab) -> list[str]:
    """The accounting lines of the gateway."""
    log = lab.container("gw01").logs().decode()
    return [line.partition("accounting ")[2] for line in log.splitlines() if " accounting " in line]


def report(lab: RunningLab, node: str) -> dict[str, Any]:
    """What a road warrior knows of its connection."""
    found: dict[str, Any] = json.loads(lab.run(node, "cat", "/run/hnvlab/vpn.json").check())
    return found


def test_every_check_of_the_topology_passes(lab: RunningLab) -> None:
    results = json.loads(hnvlab("check", lab.name, "--json").stdout)["checks"]
    assert len(results) == 13
    assert [result["name"] for result in results if not result["passed"]] == []


def test_who_is_connected_is_seen_and_who_is_refused_is_told_why(lab: RunningLab) -> None:
    """Both tenants' callers have the same address."""
    seen = {
        tenant: (c["userName"], c["ipAddress"], c["sourceIPAddress"]) for tenant, c in callers(lab).items()
    }
    assert seen == {
        "blue": ("alice", "10.99.0.1", "198.51.100.2"),
        "red": ("CN=red-laptop", "10.99.0.1", "198.51.100.10"),
    }

    def reasons() -> None:
        status = json.loads(hnvlab("status", lab.name, "--json").stdout)
        assert {link["tenant"]: link["error"] for link in status["links"]} == {
            "blue": "untrusted certificate of CN=stranger",
            "red": "wrong password of carol",
        }
        assert {caller["user"] for caller in status["callers"]} == {"alice", "CN=red-laptop"}

    eventually(reasons, WITHIN_S)
    assert report(lab, "stranger")["addresses"] == report(lab, "red-guess")["addresses"] == []

    def told() -> None:
        assert "certificate" in report(lab, "stranger")["last_error"]
        assert "wrong password" in report(lab, "red-guess")["last_error"]

    eventually(told, WITHIN_S)


def test_a_call_that_ends_is_accounted_and_disturbs_nobody(lab: RunningLab) -> None:
    lab.run("blue-laptop", "s6-svc", "-d", "/run/service/charon").check()

    def is_gone() -> None:
        assert set(callers(lab)) == {"red"}
        stops = [line for line in accounted(lab) if line.startswith("Stop user='alice'")]
        assert stops, accounted(lab)
        assert "address=10.99.0.1 from=198.51.100.2" in stops[-1]

    eventually(is_gone, WITHIN_S)
    page = lab.run("red-laptop", "curl", "--silent", "--max-time", "5", "http://10.0.0.4/").check()
    assert "Red's web server" in page
    assert "nameserver 10.0.0.53" not in lab.run("blue-laptop", "cat", "/etc/resolv.conf").check()

    lab.run("blue-laptop", "s6-svc", "-u", "/run/service/charon").check()

    def is_back() -> None:
        assert set(callers(lab)) == {"blue", "red"}
        assert sum(line.startswith("Start user='alice'") for line in accounted(lab)) == 2
        seen = lab.run("blue-laptop", "curl", "--silent", "--max-time", "2", "http://10.0.0.4/")
        assert "Blue's web server" in seen.check()

    eventually(is_back, WITHIN_S)


def test_a_user_who_is_taken_away_is_out_and_a_changed_password_lets_in(
    lab: RunningLab, tmp_path: Path
) -> None:
    """`up` again with another list of users; Red's laptop, which stays as it is, stays connected."""
    since = callers(lab)["red"]["connectedSince"]
    other = tmp_path / "changed.yml"
    text = TOPOLOGY.read_text().replace("roadwarriors/", f"{TOPOLOGY.parent}/roadwarriors/")
    text = text.replace("users: {alice: blue-sky-over-alice}", "users: {bob: another-for-bob}")
    other.write_text(text)
    assert RunningLab.bring_up(other).summary["changes"] > 0
    eventually(lambda: _only(lab, {"red"}), WITHIN_S)

    other.write_text(
        text.replace("user: alice, password: blue-sky-over-alice", "user: bob, password: another-for-bob")
    )
    RunningLab.bring_up(other)
    _only(lab, {"blue", "red"})
    assert callers(lab)["blue"]["userName"] == "bob"
    assert callers(lab)["red"]["connectedSince"] == since


def test_remote_access_that_is_taken_away_leaves_nothing(lab: RunningLab) -> None:
    """By the API, as any client of it would. The last test of this lab."""
    with lab.controller() as api:
        gateway = api.get("/virtualGateways/red")
        gateway["properties"].pop("vpnConfiguration")
        api.put("/virtualGateways/red", gateway)

    def is_gone() -> None:
        assert "red+dial-in" not in lab.run("gw01", "ip", "netns").check()
        assert "p2s-" not in lab.run("gw01", "ip", "netns", "exec", "red", "ip", "link").check()
        assert not lab.run("gw01", "find", "/run/hnvlab", "-name", "red+dial-in*").check()
        prefixes = {route["prefix"] for route in lab.policy("hv02")["customer_routes"]}
        assert "10.99.0.0/24" not in prefixes
        assert [line for line in accounted(lab) if line.startswith("Stop user='CN=red-laptop'")]

    eventually(is_gone, WITHIN_S)


def _only(lab: RunningLab, tenants: set[str]) -> None:
    assert set(callers(lab)) == tenants
