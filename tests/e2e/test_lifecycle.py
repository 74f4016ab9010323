"""up converges, down leaves nothing: after a good run, and after one that was shot at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from lab.testing import RunningLab, hnvlab
from lab.testing.running import COMMAND

TOPOLOGY = Path(__file__).parent / "topologies" / "one-tenant.yml"
NAME = "e2e-one"


@dataclass(frozen=True)
class Traces:
    """Everything a lab could leave on the machine."""

    containers: frozenset[str]
    networks: frozenset[str]
    volumes: frozenset[str]
    interfaces: frozenset[str]
    namespaces: frozenset[str]
    pins: frozenset[str]
    processes: frozenset[str]


def traces() -> Traces:
    """What of any lab is on the machine now."""
    client = docker.from_env()
    networks = client.networks.list(filters={"label": "hnvlab.lab"})
    links = json.loads(subprocess.check_output(["ip", "-j", "link"]))
    return Traces(
        containers=frozenset(
            item.name for item in client.containers.list(all=True, filters={"label": f"hnvlab.lab={NAME}"})
        ),
        networks=frozenset(item.name for item in networks if item.name.startswith(NAME)),
        volumes=frozenset(item.name for item in client.volumes.list(filters={"label": "hnvlab.lab"})),
        interfaces=frozenset(link["ifname"].split("@")[0] for link in links),
        namespaces=_listing("/run/netns"),
        pins=_listing("/sys/fs/bpf"),
        processes=_lab_processes(),
    )


def _listing(directory: str) -> frozenset[str]:
    path = Path(directory)
    return frozenset(item.name for item in path.iterdir()) if path.is_dir() else frozenset()


def _lab_processes() -> frozenset[str]:
    """Processes of a lab's daemons, told by the identity file that their root file system holds."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            identity = json.loads((entry / "root/etc/hnvlab/node.json").read_text())
        except (OSError, ValueError):
            continue
        if identity["lab"] == NAME:
            found.add(entry.name)
    return frozenset(found)


@pytest.fixture
def before() -> Iterator[Traces]:
    """What was on the machine before the test; whatever happens, the test's lab is gone after it."""
    hnvlab("down", NAME)
    yield traces()
    hnvlab("down", NAME)


def test_up_converges_and_down_leaves_nothing(before: Traces) -> None:
    lab = RunningLab.bring_up(TOPOLOGY)
    assert lab.summary["changes"] > 0
    ids = {container.name: container.id for container in lab.containers()}
    assert len(ids) == 8
    hnvlab("check", NAME)

    again = RunningLab.bring_up(TOPOLOGY)
    assert again.summary["changes"] == 0
    assert {container.name: container.id for container in lab.containers()} == ids

    lab.run("hv01", "ip", "link", "delete", "v-green-web").check()
    assert lab.run("green-pc", "ping", "-c", "1", "-W", "1", "10.0.0.4").exit_code != 0
    repaired = RunningLab.bring_up(TOPOLOGY)
    assert repaired.summary["changes"] > 0
    assert {container.name: container.id for container in lab.containers()} == ids
    hnvlab("check", NAME)

    lab.take_down()
    assert traces() == before


@pytest.mark.parametrize("moment", ["fabric", "running", "machines", "intent", "waiting for"])
def test_down_cleans_up_after_an_up_that_was_killed(before: Traces, moment: str) -> None:
    """Kill -9 as soon as `up` says that it has reached a moment."""
    process = subprocess.Popen([*COMMAND, "up", str(TOPOLOGY)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if moment in line:
            break
    else:
        pytest.fail(f"`up` never spoke of {moment!r}: {''.join(seen)}")
    process.kill()
    process.wait()
    hnvlab("down", NAME)
    assert traces() == before


def test_an_interrupted_first_up_takes_back_what_it_made(before: Traces) -> None:
    process = subprocess.Popen([*COMMAND, "up", str(TOPOLOGY)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "running" in line:
            break
    os.kill(process.pid, signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert traces() == before


def test_containers_run_without_privilege(lab: RunningLab) -> None:
    for container in lab.containers():
        host = container.attrs["HostConfig"]
        assert not host["Privileged"], container.name
        assert host["Init"], container.name
        if container.labels["hnvlab.kind"] != "controller":
            assert host["NetworkMode"] == "none", container.name
