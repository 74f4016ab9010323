"""What tests need of the machine: a Docker engine and the node images."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def engine(request: pytest.FixtureRequest) -> None:
    """Find the Docker engine, or start one as `hnvlab up` does; build the node images that are missing.

    Once, ahead of everything: no test's own time limit has to bear it.
    """
    if not any(item.get_closest_marker("docker") for item in request.session.items):
        return
    from lab.engine import images
    from lab.engine.docker_engine import connect

    client = connect(lambda _event: None, may_start=True)
    images.ensure(client, {"fabric", "vm", "server"}, lambda _event: None)
