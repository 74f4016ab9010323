"""The hosts know a customer's network for as long as BGP offers it, and no longer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.testing import RunningLab, eventually

RDID = {"blue": "5d0c4d4a-0b1e-4000-8000-0000000000b1", "red": "5d0c4d4a-0b1e-4000-8000-0000000000e1"}
SITE = "192.168.50.0/24"
WITHDRAWN_WITHIN_S = 40
"""BGP hold time or dead-peer detection of the lab, and the way through the Network Controller."""
RESTORED_WITHIN_S = 60


def knows(lab: RunningLab, company: str, host: str) -> bool:
    """Whether a host's policy routes the company's site."""
    routes = lab.policy(host)["customer_routes"]
    return any(route["rdid"] == RDID[company] and route["prefix"] == SITE for route in routes)


def holds(lab: RunningLab, company: str, wanted: bool) -> Callable[[], None]:
    """The condition that all hosts know, or do not know, the company's site."""

    def condition() -> None:
        seen = {host: knows(lab, company, host) for host in ("hv01", "hv02")}
        assert set(seen.values()) == {wanted}, f"route to {company}'s site on each host: {seen}"

    return condition


def page(lab: RunningLab, company: str) -> str:
    return lab.run(f"{company}-pc", "curl", "--silent", "--max-time", "5", "http://10.0.0.4/").check()


@pytest.mark.parametrize("daemon", ["exabgp", "charon"])
def test_a_site_without_its_daemon_is_forgotten_and_learned_again(lab: RunningLab, daemon: str) -> None:
    holds(lab, "blue", True)()
    lab.run("blue-hq", "s6-svc", "-d", f"/run/service/{daemon}").check()
    try:
        eventually(holds(lab, "blue", False), within_s=WITHDRAWN_WITHIN_S)
        holds(lab, "red", True)()
        assert "Red Rock Mining" in page(lab, "red")
        assert lab.run("blue-web", "ping", "-c", "1", "-W", "1", "192.168.50.10").exit_code != 0
        lab.run("blue-web", "ping", "-c", "1", "-W", "2", "10.0.1.4").check()
    finally:
        lab.run("blue-hq", "s6-svc", "-u", f"/run/service/{daemon}").check()
    eventually(holds(lab, "blue", True), within_s=RESTORED_WITHIN_S)
    eventually(lambda: _assert_in("Blue Yonder Airlines", page(lab, "blue")), within_s=10)


def _assert_in(text: str, seen: str) -> None:
    assert text in seen
