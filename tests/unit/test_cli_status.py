"""What `hnvlab status` says of nodes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from lab.cli.status import _caller, _policy_of, _with_absent
from lab.controller.client import VpnClient
from lab.engine.observe import StandingNode
from lab.engine.state import LabRecord, LabState

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "hybrid-cloud.yml"
STANDING = StandingNode("hv01", "host", "hybrid-cloud-hv01", "running", "fabric")


def test_a_node_that_was_taken_away_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert _with_absent([STANDING], "hybrid-cloud") == [STANDING], "nothing is known of what should be there"
    LabState.of("hybrid-cloud").save(LabRecord(TOPOLOGY))
    states = {item.node: item.state for item in _with_absent([STANDING], "hybrid-cloud")}
    assert states["hv01"] == "running"
    assert states["blue-web"] == "gone"
    assert list(states) == sorted(states)


def test_a_policy_that_is_not_well_says_why() -> None:
    agent = {"status": "Failure", "provider_address": "192.168.6.10", "message": "not connected"}
    assert _policy_of(agent) == ("Failure", "192.168.6.10", "not connected")
    assert _policy_of({**agent, "status": "Success"})[2] == ""
    assert _policy_of(None) == ("", "", "")


def test_who_has_called_is_a_row() -> None:
    alice = VpnClient("blue", "alice", "10.99.0.1", "198.51.100.2", "2026-01-01T00:00:00+00:00", 7, 9)
    row = _caller(asdict(alice))
    assert row == ("blue", "alice", "10.99.0.1", "198.51.100.2", "2026-01-01T00:00:00+00:00", "7", "9")
