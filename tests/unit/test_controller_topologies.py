"""The controller takes what the lab PUTs for every topology that we ship."""

from __future__ import annotations

from pathlib import Path

import pytest
from controller_support import Datacenter

from lab.model.loader import load
from lab.model.resolve import resolve
from lab.plan.intent import intent

TOPOLOGIES = sorted((Path(__file__).parents[2] / "topologies").glob("*.yml"))


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda path: path.stem)
def test_intent_is_taken_and_put_again_changes_nothing(tmp_path: Path, topology: Path) -> None:
    resources = [(path, dict(body)) for path, body in intent(resolve(load(topology)))]
    lab = Datacenter(tmp_path, resources)
    tags = {path: lab.get(path)["etag"] for path, _ in resources}
    for path, body in resources:
        lab.put(path, body)
    assert {path: lab.get(path)["etag"] for path, _ in resources} == tags
    lab.store.close()
