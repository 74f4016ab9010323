"""What tests need of the machine: root, or a Docker engine and the node images."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who is not root sees what was left out; everything else that is missing is a failure."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root: network namespaces, eBPF"))


@pytest.fixture(scope="session", autouse=True)
def docker_engine(request: pytest.FixtureRequest) -> None:
    """Find the Docker engine, or start one as `hnvlab up` does; build the node images that are missing.

    Once, ahead of everything: no test's own time limit has to bear it.
    """
    if not any(item.get_closest_marker("docker") for item in request.session.items):
        return
    from lab.engine import images
    from lab.engine.docker_engine import connect

    client = connect(lambda _event: None, may_start=True)
    images.ensure(client, {"fabric", "vm", "server"}, lambda _event: None)
