"""What goes wrong ends in a message that says what to do, and leaves nothing half-built behind."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from lab.datapath.image import LOOKUP
from lab.datapath.pins import PINS, map_pins
from lab.testing import RunningLab, eventually, hnvlab
from lab.testing.running import COMMAND

TOPOLOGY = Path(__file__).parent / "topologies" / "one-tenant.yml"
NAME = "e2e-one"

FILL = """
import sys
from pathlib import Path
from lab.datapath.maps import Map
table = Map.pinned(Path(sys.argv[1]))
held = table.items()
size = {name: len(octets) for name, octets in zip(("key", "value"), next(iter(held.items())))}
more = (number.to_bytes(size["key"], "big") for number in range(1, table.max_entries - len(held) + 1))
table.update({key: bytes(size["value"]) for key in more})
"""
"""Fill a table of the switch to its last entry."""


@pytest.fixture
def clean() -> Iterator[None]:
    """The test's lab is gone before and after the test."""
    hnvlab("down", NAME)
    yield
    hnvlab("down", NAME)


def errors(done: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    """The problems that a command with --json reports."""
    problems: list[dict[str, str]] = json.loads(done.stdout)["errors"]
    assert problems
    for problem in problems:
        assert problem["code"].startswith("HNV-")
        assert problem["hint"], f"{problem['message']}: no word on what to do"
    return problems


def variant(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """A copy of the small topology with text replaced."""
    text = TOPOLOGY.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "lab.yml"
    path.write_text(text)
    return path


def test_every_problem_of_a_file_is_named_with_its_line(tmp_path: Path, clean: None) -> None:
    path = variant(
        tmp_path,
        ("vsid: 7001", "vsid: 12"),
        ("address: 10.0.0.4", "address: 10.0.0.1"),
        ("site: green-hq", "site: green-h"),
    )
    done = hnvlab("up", str(path), "--json", check=False)
    assert done.returncode == 2
    problems = errors(done)
    lines = {int(problem["place"].rsplit(":", 1)[1]) for problem in problems}
    text = path.read_text().splitlines()
    right = {
        number
        for number, line in enumerate(text, 1)
        if any(bad in line for bad in ("vsid: 12", "address: 10.0.0.1,", "site: green-h,"))
    }
    assert lines == right
    assert not docker.from_env().containers.list(all=True, filters={"label": f"hnvlab.lab={NAME}"})


def test_a_foreign_container_with_a_nodes_name_is_left_alone(clean: None) -> None:
    client = docker.from_env()
    (image, *_) = client.images.list(filters={"label": "hnvlab.image=vm"})
    foreign: Container = client.containers.create(image.id, ["sleep", "infinity"], name=f"{NAME}-hv01")
    try:
        done = hnvlab("up", str(TOPOLOGY), "--json", check=False)
        assert done.returncode in (1, 2)
        assert any(f"{NAME}-hv01" in problem["message"] for problem in errors(done))
        hnvlab("down", NAME)
        foreign.reload()
    finally:
        foreign.remove(force=True)


def test_a_busy_lab_names_who_works_on_it(clean: None) -> None:
    first = subprocess.Popen([*COMMAND, "up", str(TOPOLOGY)], stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None
    for line in first.stderr:
        if "fabric" in line:
            break
    second = hnvlab("up", str(TOPOLOGY), "--json", check=False)
    _, rest = first.communicate(timeout=300)
    assert first.returncode == 0, rest
    assert second.returncode == 1
    assert str(first.pid) in json.dumps(errors(second))


def test_without_an_engine_the_hint_says_how_to_get_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "up", str(TOPOLOGY), "--json"],
        env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 4
    errors(done)


def test_a_wrong_secret_is_named_by_up_and_by_the_controller(clean: None, tmp_path: Path) -> None:
    lab = RunningLab.bring_up(TOPOLOGY)
    client = lab.controller()
    path = "virtualGateways/green/networkConnections/green-hq"
    body = client.get(path)
    body["properties"]["ipSecConfiguration"]["sharedSecret"] = "not what the site has"
    client.put(path, body)
    lab.run("green-hq", "s6-svc", "-r", "/run/service/charon").check()

    def refused() -> None:
        properties = client.get(path)["properties"]
        assert properties["connectionState"] != "Connected"
        assert "auth" in properties["connectionErrorReason"].lower()

    # The site's charon may hang in its end, as it is called and hung up on: it is killed after 40 s then.
    eventually(refused, within_s=90)
    done = hnvlab("status", NAME, check=False)
    assert done.returncode == 1
    assert "pre-shared keys differ" in done.stdout
    repaired = RunningLab.bring_up(TOPOLOGY)
    assert repaired.summary["changes"] > 0
    # A BGP session that outlived the outage may fall yet: TCP waits longer and longer before it tries again.
    eventually(lambda: hnvlab("status", NAME), within_s=60)


def test_an_expired_wait_names_what_is_missing_and_shows_its_log(clean: None) -> None:
    lab = RunningLab.bring_up(TOPOLOGY)
    lab.run("green-hq", "s6-svc", "-d", "/run/service/charon").check()
    lab.run("green-hq", "s6-svc", "-d", "/run/service/exabgp").check()

    def gone() -> None:
        state = lab.controller().get("virtualGateways/green/networkConnections/green-hq")
        assert state["properties"]["connectionState"] != "Connected"

    eventually(gone, within_s=60)
    done = hnvlab("up", str(TOPOLOGY), "--json", "--timeout", "5", check=False)
    assert done.returncode == 5
    assert "green-hq" in json.dumps(errors(done))


def test_policy_that_a_node_refuses_is_told_with_its_reason(clean: None) -> None:
    """A table of its switch is full: the host answers NACK, and the next change finds it in order."""
    lab = RunningLab.bring_up(TOPOLOGY)
    lab.run("hv01", "python3", "-c", FILL, str(map_pins(PINS) / LOOKUP)).check()
    client = lab.controller()
    interface = client.get("networkInterfaces/green-web")
    interface["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"] = "10.0.0.5"
    client.put("networkInterfaces/green-web", interface)

    def failed() -> None:
        state = client.get("servers/hv01")["properties"]["configurationState"]
        assert state["status"] == "Failure", state
        assert "the kernel refused the policy" in state["detailedInfo"][0]["message"]

    eventually(failed, within_s=20)
    done = hnvlab("status", NAME, check=False)
    assert done.returncode == 1
    assert "the kernel refused the policy" in done.stdout + done.stderr
    assert RunningLab.bring_up(TOPOLOGY).summary["changes"] > 0
    hnvlab("status", NAME)


def test_an_uplink_that_is_down_is_told_and_repaired(clean: None) -> None:
    lab = RunningLab.bring_up(TOPOLOGY)
    lab.run("hv01", "ip", "link", "set", "pa0", "down").check()

    def told() -> None:
        done = hnvlab("status", NAME, check=False)
        assert done.returncode == 1
        assert "no living uplink carries 192.168." in done.stdout

    eventually(told, within_s=20)
    assert RunningLab.bring_up(TOPOLOGY).summary["changes"] > 0
    hnvlab("status", NAME)
