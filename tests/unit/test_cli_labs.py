"""Which lab and which node a verb means."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import docker
import pytest

from lab.cli import labs
from lab.engine import observe
from lab.engine.observe import StandingNode
from lab.engine.state import LabRecord, LabState
from lab.errors import ExitCode, UsageError

CLIENT = cast(docker.DockerClient, None)
TOPOLOGY = Path(__file__).parents[2] / "topologies" / "hybrid-cloud.yml"


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the labs that are up; a test fills it."""
    found: list[str] = []
    monkeypatch.setattr(observe, "labs", lambda _client: tuple(found))
    return found


def test_the_only_lab_need_not_be_named(standing: list[str]) -> None:
    standing.append("trial")
    assert labs.chosen(CLIENT, None) == labs.chosen(CLIENT, "trial") == "trial"


def test_of_several_labs_one_must_be_named(standing: list[str]) -> None:
    standing += ["one", "two"]
    assert labs.chosen(CLIENT, "two") == "two"
    with pytest.raises(UsageError) as caught:
        labs.chosen(CLIENT, None)
    assert caught.value.problems[0].expected == "one of one, two"
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_lab_that_is_not_up_is_refused(standing: list[str]) -> None:
    with pytest.raises(UsageError, match="no lab is up"):
        labs.chosen(CLIENT, None)
    standing.append("one")
    with pytest.raises(UsageError, match="there is no lab two") as caught:
        labs.chosen(CLIENT, "two")
    assert caught.value.problems[0].expected == "one of one"


def test_a_mistyped_node_is_answered_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = tuple(
        StandingNode(name, "vm", f"trial-{name}", "running", "sha256:0") for name in ("blue-web", "hv01")
    )
    monkeypatch.setattr(observe, "nodes", lambda _client, _lab: nodes)
    assert labs.node(CLIENT, "trial", "hv01").container == "trial-hv01"
    with pytest.raises(UsageError) as caught:
        labs.node(CLIENT, "trial", "blue-wbe")
    assert caught.value.problems[0].hint == "did you mean blue-web?"
    assert caught.value.problems[0].expected == "one of blue-web, hv01"


def test_the_topology_of_a_lab_is_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    LabState.of("hybrid-cloud").save(LabRecord(TOPOLOGY))
    assert labs.topology("hybrid-cloud").name == "hybrid-cloud"
    with pytest.raises(UsageError, match="which topology file"):
        labs.topology("other")
