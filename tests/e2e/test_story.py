"""Seed 001's story: the web server moved to the hoster, and nobody reconfigured anything."""

from __future__ import annotations

import json

import pytest

from lab.testing import RunningLab, eventually, hnvlab

PAGES = {"blue": "Blue Yonder Airlines", "red": "Red Rock Mining"}


def page(lab: RunningLab, company: str) -> str:
    """What a company's PC sees at the one address."""
    return lab.run(f"{company}-pc", "curl", "--silent", "--max-time", "5", "http://10.0.0.4/").check()


@pytest.mark.parametrize("company", PAGES)
def test_the_same_address_shows_each_company_its_own_page(lab: RunningLab, company: str) -> None:
    seen = page(lab, company)
    assert PAGES[company] in seen
    assert not any(text in seen for other, text in PAGES.items() if other != company)


def test_every_check_of_the_topology_passes(lab: RunningLab) -> None:
    done = hnvlab("check", lab.name, "--json")
    results = json.loads(done.stdout)["checks"]
    assert len(results) >= 9
    assert [result["name"] for result in results if not result["passed"]] == []


def test_a_failing_check_says_what_it_saw(lab: RunningLab) -> None:
    red_sql = lab.container("red-sql")
    red_sql.pause()
    try:
        done = hnvlab("check", lab.name, "--json", check=False)
    finally:
        red_sql.unpause()
    assert done.returncode == 1
    failed = [result for result in json.loads(done.stdout)["checks"] if not result["passed"]]
    assert [result["name"] for result in failed] == [
        "Red's PC opens the very same address and sees Red's row"
    ]
    assert failed[0]["seen"]


def test_traceroute_shows_every_router_on_the_way(lab: RunningLab) -> None:
    out = lab.run("blue-web", "traceroute", "-n", "-q", "1", "-w", "2", "192.168.50.10").check()
    hops = [line.split()[1] for line in out.splitlines()[1:]]
    assert hops == ["10.0.0.1", "10.0.2.2", "192.168.50.1", "192.168.50.10"]


def test_a_tenant_is_undisturbed_when_all_servers_of_the_other_are_stopped(lab: RunningLab) -> None:
    servers = ("red-dns", "red-sql", "red-pc", "red-web", "red-app")
    for server in servers:
        lab.container(server).kill()
    try:
        assert PAGES["blue"] in page(lab, "blue")
        lab.run("blue-web", "ping", "-c", "3", "-W", "2", "10.0.1.4").check()
        assert lab.run("red-hq", "ping", "-c", "1", "-W", "1", "192.168.50.10").exit_code != 0
    finally:
        repaired = RunningLab.bring_up(lab.topology)
    assert repaired.summary["changes"] > 0
    eventually(lambda: _assert_in(PAGES["red"], page(lab, "red")), within_s=15)


def _assert_in(text: str, seen: str) -> None:
    assert text in seen
