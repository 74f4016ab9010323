"""A VM moves to another host and notices nothing but a pause."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab.testing import RunningLab, eventually, hnvlab
from tests.e2e.conversation import adapter, conversation, goes_on, ports


@pytest.fixture
def at_home(lab: RunningLab) -> Iterator[RunningLab]:
    """The lab, all VMs where its file places them; before and after the test."""
    yield lab
    RunningLab.bring_up(lab.topology)


def server(lab: RunningLab) -> str:
    """The process that serves on blue-web."""
    return lab.run("blue-web", "pgrep", "-f", "web.py").check()


def test_a_vm_moves_with_an_open_connection_and_up_moves_it_back(at_home: RunningLab) -> None:
    lab = at_home
    before = adapter(lab, "blue-web"), server(lab)
    with conversation(lab, "blue-web", "blue-app", "10.0.1.4") as trips:
        goes_on(trips)
        moved = json.loads(hnvlab("migrate", "blue-web", "hv02", "--lab", lab.name, "--json").stdout)
        assert (moved["source"], moved["destination"]) == ("hv01", "hv02")
        assert moved["target"] == "10.0.1.4"
        assert moved["blackout_ms"] is not None, "the VM was still cut off at the end"
        assert moved["sent"] > moved["lost"] >= 0
        goes_on(trips)
        assert (adapter(lab, "blue-web"), server(lab)) == before
        assert "v-blue-web" in ports(lab, "hv02") - ports(lab, "hv01")
        assert hnvlab("status", lab.name).returncode == 0
        lab.run("blue-pc", "curl", "--silent", "--fail", "--max-time", "5", "http://10.0.0.4/").check()

        again = json.loads(hnvlab("migrate", "blue-web", "hv02", "--lab", lab.name, "--json").stdout)
        assert (again["source"], again["sent"]) == ("hv02", None), "it was there already"

        back = RunningLab.bring_up(lab.topology)
        assert back.summary["changes"] > 0
        goes_on(trips)
        assert (adapter(lab, "blue-web"), server(lab)) == before
        assert "v-blue-web" in ports(lab, "hv01") - ports(lab, "hv02")
    assert RunningLab.bring_up(lab.topology).summary["changes"] == 0
    hnvlab("check", lab.name)


def test_a_vm_stays_where_it_is_while_the_controller_is_away(at_home: RunningLab) -> None:
    lab = at_home
    lab.run("nc", "s6-svc", "-wD", "-d", "/run/service/controller").check()
    try:
        done = hnvlab("migrate", "red-app", "hv02", "--lab", lab.name, "--json", check=False)
    finally:
        lab.run("nc", "s6-svc", "-u", "/run/service/controller").check()
    assert done.returncode == 1
    assert json.loads(done.stdout)["errors"][0]["code"] == "HNV-NC-001"
    assert "v-red-app" in ports(lab, "hv01")
    lab.run("red-app", "ping", "-c", "1", "-W", "2", "10.0.0.4").check()


@pytest.mark.parametrize("host", ["hv01", "hv02"])
def test_a_vm_stays_where_it_is_while_a_host_would_not_follow(at_home: RunningLab, host: str) -> None:
    lab = at_home
    lab.run(host, "s6-svc", "-wD", "-d", "/run/service/hvhost").check()
    try:

        def away() -> None:
            assert lab.controller().node_states()[host].code == "HostNotConnectedToController"

        eventually(away, within_s=20)
        done = hnvlab("migrate", "red-app", "hv02", "--lab", lab.name, "--json", check=False)
        assert lab.controller().get("networkInterfaces/red-app")["properties"]["server"] == {
            "resourceRef": "/servers/hv01"
        }
    finally:
        lab.run(host, "s6-svc", "-u", "/run/service/hvhost").check()
    assert done.returncode == 1
    (error,) = json.loads(done.stdout)["errors"]
    assert (error["code"], error["place"]) == ("HNV-ENG-095", host)
    assert "v-red-app" in ports(lab, "hv01") - ports(lab, "hv02")
    lab.run("red-app", "ping", "-c", "1", "-W", "2", "10.0.0.4").check()
