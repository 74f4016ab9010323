"""The traced packet between real network namespaces: sent by its mark, seen where it passes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from lab.engine import netlink
from lab.engine.wiring import Link, Port, Wiring

pytestmark = pytest.mark.root

PROBE = {"source": "10.9.0.1", "destination": "10.9.0.2", "protocol": "icmp", "port": 0, "mark": 4711}
SIX = {**PROBE, "source": "fd09::1", "destination": "fd09::2", "mark": 0xBEEF1}


@pytest.fixture
def pids() -> Iterator[dict[str, int]]:
    """Two machines with a cable between them."""
    with ExitStack() as stack:
        processes: dict[str, int] = {}
        for name in ("web", "sql"):
            process = stack.enter_context(
                subprocess.Popen(
                    ["unshare", "--net", "sh", "-c", "ip link set lo up; echo; exec sleep 300"],
                    stdout=subprocess.PIPE,
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
            processes[name] = process.pid
        ends = (
            Port("web", "eth0", addresses=("10.9.0.1/24",)),
            Port("sql", "eth1", addresses=("10.9.0.2/24",)),
        )
        netlink.apply(Wiring(links=(Link(*ends),)), processes)
        for name, interface, address in (("web", "eth0", "fd09::1/64"), ("sql", "eth1", "fd09::2/64")):
            command = ["ip", "address", "add", address, "dev", interface, "nodad"]
            subprocess.run(["nsenter", "--target", str(processes[name]), "--net", *command], check=True)
        yield processes


@pytest.mark.parametrize("probe", [PROBE, SIX], ids=["IPv4", "IPv6"])
def test_a_marked_packet_and_its_answer_are_seen_at_both_ends(
    pids: dict[str, int], probe: dict[str, Any]
) -> None:
    places = [{"node": name, "compartment": ""} for name in pids]
    places.append({"node": "web", "compartment": "not-on-this-node"})
    request = {"pids": pids, "source": "web", "places": places, "probe": probe}
    with subprocess.Popen(
        [sys.executable, "-m", "lab.engine.trace_sender"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def say(message: dict[str, Any]) -> None:
            assert process.stdin is not None
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()

        say(request)
        assert json.loads(process.stdout.readline()) == {"ready": True}
        say({"send": True})
        sent_ns, seen = 0, []
        for line in process.stdout:
            message = json.loads(line)
            sent_ns = message.get("sent_ns", sent_ns)
            seen += [message["seen"]] if "seen" in message else []
            if len(seen) == 3:
                break
        process.stdin.close()
        assert process.wait(20) == 0
    seen.sort(key=lambda item: item["time_ns"])
    assert [(item["node"], item["interface"], item["outgoing"], item["answer"]) for item in seen] == [
        ("web", "eth0", True, False),
        ("sql", "eth1", False, False),
        ("web", "eth0", False, True),
    ]
    assert all(sent_ns - 1_000_000 < item["time_ns"] for item in seen), "times are of one clock"
