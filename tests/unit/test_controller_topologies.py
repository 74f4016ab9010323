"""The controller takes what the lab PUTs for every topology that we ship, and the nodes' switches can carry
out what it makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.datapath.validation import validate
from lab.engine.certificates import certificates
from lab.model.loader import load
from lab.model.resolve import resolve
from lab.plan.intent import intent

from .controller_support import Datacenter
from .datapath_support import policy_of

TOPOLOGIES = sorted((Path(__file__).parents[2] / "topologies").glob("*.yml"))
MANAGER = "/virtualNetworkManager/configuration"
Resources = list[tuple[str, dict[str, Any]]]


@pytest.fixture(params=TOPOLOGIES, ids=lambda path: path.stem)
def resources(request: pytest.FixtureRequest, tmp_path: Path) -> Resources:
    wanted = resolve(load(request.param))
    return [(path, dict(body)) for path, body in intent(wanted, certificates(wanted, tmp_path))]


@pytest.fixture
def lab(tmp_path: Path, resources: Resources) -> Iterator[Datacenter]:
    result = Datacenter(tmp_path, resources)
    yield result
    result.store.close()


def test_put_again_changes_nothing(lab: Datacenter, resources: Resources) -> None:
    tags = {path: lab.get(path)["etag"] for path, _ in resources}
    for path, body in resources:
        lab.put(path, body)
    assert {path: lab.get(path)["etag"] for path, _ in resources} == tags


@pytest.mark.parametrize("external", [False, True], ids=["distributed", "external"])
@pytest.mark.parametrize("protocol", ["NVGRE", "VXLAN"])
def test_switches_can_carry_out_what_they_get(lab: Datacenter, protocol: str, external: bool) -> None:
    properties = {"networkVirtualizationProtocol": protocol, "useExternalRouter": external}
    lab.put(MANAGER, {"properties": properties})
    nodes = lab.controller.fleet.names
    assert nodes
    for node in nodes:
        ports = {port.interface_id: n for n, port in enumerate(lab.records(node, "port"), 1)}
        policy = policy_of(lab.goal_state(node), ports, (1, 2))
        validate(policy)
        assert len(policy.ports) == len(ports)
        assert policy.switch.vxlan == (protocol == "VXLAN")
