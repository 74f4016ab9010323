"""Agents and the Network Controller die; packets go on, and what was changed meanwhile arrives."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.errors import LabError
from lab.testing import RunningLab, eventually

AGENTS = {"hv01": "hvhost", "hv02": "hvhost", "gw01": "gwnode"}


@contextmanager
def undisturbed(lab: RunningLab, node: str, target: str) -> Iterator[None]:
    """Ping twenty times a second for as long as the context lasts, and assert that every echo came back."""
    process = subprocess.Popen(
        ["docker", "exec", f"{lab.name}-{node}", "ping", "-i", "0.05", "-w", "60", target],
        stdout=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    first = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if "bytes from" in line:
                first.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert first.wait(10), f"{target} does not answer {node}"
        yield
    finally:
        lab.run(node, "pkill", "-INT", "-x", "ping")
        process.wait(30)
        reader.join(30)
    summary = re.search(r"(\d+) packets transmitted, (\d+) received", "".join(lines))
    assert summary, "".join(lines)
    sent, received = map(int, summary.groups())
    assert sent > 10
    assert sent - received <= 1, f"{sent - received} of {sent} echoes were lost"


def pids(lab: RunningLab, node: str, service: str) -> set[str]:
    """The process of a supervised service, as its supervisor knows it."""
    out = lab.run(node, "s6-svstat", "-o", "pid", f"/run/service/{service}").check().strip()
    return {out} - {"-1"}


def kill(lab: RunningLab, node: str, service: str) -> None:
    """Kill a service with SIGKILL and wait until its supervisor has started it again."""
    (old,) = pids(lab, node, service)
    lab.run(node, "kill", "-KILL", old).check()

    def restarted() -> None:
        now = pids(lab, node, service)
        assert now, f"{service} of {node} is not running"
        assert now != {old}

    eventually(restarted, within_s=15)


def configuration_states(lab: RunningLab) -> dict[str, str]:
    """What the Network Controller says of every node's policy."""
    client = lab.controller()
    return {
        item["resourceId"]: item["properties"]["configurationState"]["status"]
        for kind in ("servers", "gateways")
        for item in client.list(kind)
    }


def synchronised(lab: RunningLab) -> None:
    states = configuration_states(lab)
    assert set(states.values()) == {"Success"}, states


@pytest.mark.parametrize("node", AGENTS)
def test_a_killed_agent_disturbs_no_packet_and_resynchronises(lab: RunningLab, node: str) -> None:
    with undisturbed(lab, "blue-web", "10.0.1.4"), undisturbed(lab, "red-web", "192.168.50.10"):
        kill(lab, node, AGENTS[node])
        eventually(lambda: synchronised(lab), within_s=20)


def test_the_controller_dies_and_a_change_made_after_it_arrives(lab: RunningLab) -> None:
    """A customer's address moves in the policy while an agent is down: it learns of it when it returns."""
    client = lab.controller()
    interface = client.get("networkInterfaces/blue-app")
    with undisturbed(lab, "red-web", "192.168.50.10"), undisturbed(lab, "blue-web", "192.168.50.10"):
        kill(lab, "nc", "controller")
        lab.run("hv01", "s6-svc", "-d", "/run/service/hvhost").check()
        try:
            changed = json.loads(json.dumps(interface))
            changed["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"] = "10.0.1.44"
            lab.controller(retry_for_s=20).put("networkInterfaces/blue-app", changed)
            assert "10.0.1.44" not in records(lab, "hv01")
        finally:
            lab.run("hv01", "s6-svc", "-u", "/run/service/hvhost").check()
        try:
            eventually(lambda: _assert_in("10.0.1.44", records(lab, "hv01")), within_s=20)
            assert "10.0.1.4" not in records(lab, "hv01")
        finally:
            client.put("networkInterfaces/blue-app", interface)
        eventually(lambda: synchronised(lab), within_s=20)
    lab.run("blue-web", "ping", "-c", "1", "-W", "2", "10.0.1.4").check()


def test_every_acknowledged_put_survives_the_controllers_death(lab: RunningLab) -> None:
    client = lab.controller()
    acknowledged: list[str] = []
    stop = threading.Event()

    def put_until_it_dies() -> None:
        for number in range(10_000):
            name = f"survivor-{number}"
            try:
                client.put(
                    f"credentials/{name}",
                    {"properties": {"type": "UsernamePassword", "userName": name, "value": "x"}},
                )
            except LabError:
                return  # no acknowledgement
            acknowledged.append(name)
            if stop.is_set():
                return

    writer = threading.Thread(target=put_until_it_dies)
    writer.start()
    try:
        eventually(lambda: _assert_at_least(20, len(acknowledged)), within_s=20)
        kill(lab, "nc", "controller")
    finally:
        stop.set()
        writer.join(30)

    there = {item["resourceId"] for item in lab.controller(retry_for_s=20).list("credentials")}
    assert set(acknowledged) <= there
    for name in there:
        if name.startswith("survivor-"):
            lab.controller(retry_for_s=20).delete(f"credentials/{name}")
    eventually(lambda: synchronised(lab), within_s=20)


def records(lab: RunningLab, host: str) -> set[str]:
    """Customer addresses of blue's second subnet in a host's policy."""
    return {item["customer_address"] for item in lab.policy(host)["lookup_records"] if item["vsid"] == 5002}


def _assert_in(item: str, items: set[str]) -> None:
    assert item in items


def _assert_at_least(least: int, now: int) -> None:
    assert now >= least
