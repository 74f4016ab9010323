"""Disaster recovery as a service: a site's server is lost, and comes up in the cloud with its own address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.testing import RunningLab, hnvlab

TOPOLOGIES = Path(__file__).parents[2] / "topologies"


@pytest.fixture
def lab() -> Iterator[RunningLab]:
    hnvlab("down", "dr-service")
    running = RunningLab.bring_up(TOPOLOGIES / "dr-service.yml")
    yield running
    running.take_down()


def test_the_server_moves_into_the_cloud_and_back_and_keeps_its_address(lab: RunningLab) -> None:
    hnvlab("check", lab.name)
    lab.container("blue-db").kill()
    assert hnvlab("check", lab.name, "--timeout", "1", check=False).returncode == 1
    RunningLab.bring_up(TOPOLOGIES / "dr-service-failed-over.yml")
    hnvlab("check", lab.name)
    RunningLab.bring_up(lab.topology)
    hnvlab("check", lab.name)
