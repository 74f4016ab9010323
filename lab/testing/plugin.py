"""The pytest plugin: the `lab` fixture brings a topology up for the whole session and takes it down after it.

Name the topology in pytest's configuration (`hnvlab_topology = "lab.yml"`) or by `--topology`. A failed
test that used the fixture leaves a support bundle below `--bundle-dir`.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lab.testing.running import RunningLab


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plugin's options."""
    group = parser.getgroup("hnvlab", "hybrid-cloud labs")
    group.addoption("--topology", type=Path, help="topology file of the `lab` fixture")
    group.addoption("--keep-lab", action="store_true", help="leave the lab up after the session")
    group.addoption(
        "--bundle-dir",
        type=Path,
        default=Path("support-bundles"),
        help="where failed tests leave support bundles",
    )
    parser.addini("hnvlab_topology", "topology file of the `lab` fixture, relative to the configuration file")


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[RunningLab]:
    """A lab that is up and converged."""
    from lab.testing.running import RunningLab

    topology = request.config.getoption("--topology")
    if topology is None:
        named = request.config.getini("hnvlab_topology")
        if not named:
            pytest.fail("no topology: set hnvlab_topology in pytest's configuration, or pass --topology FILE")
        topology = request.config.rootpath / named
    running = RunningLab.bring_up(topology)
    yield running
    if not request.config.getoption("--keep-lab"):
        running.take_down()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Leave a support bundle when a test that used the lab failed."""
    report = yield
    running = getattr(item, "funcargs", {}).get("lab")
    if report.failed and call.when == "call" and running is not None:
        from lab.testing.bundle import write_bundle
        from lab.testing.running import RunningLab

        if not isinstance(running, RunningLab):
            return report  # somebody's own fixture of that name
        name = re.sub(r"[^\w.-]+", "_", item.name)
        place = write_bundle(running, item.config.getoption("--bundle-dir") / name)
        report.sections.append(("support bundle", str(place)))
    return report
