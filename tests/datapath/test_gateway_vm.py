"""A gateway VM, as Windows Server 2012 had it, wired by the engine: where the kernel sends packets."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.engine import netlink, wiring
from lab.model.lab import Lab
from lab.model.loader import load
from lab.model.resolve import resolve
from lab.onprem.config import TUNNEL_DEVICE

pytestmark = pytest.mark.root

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "gateway-2012.yml"
GATEWAY, HOST, ROUTER = "blue-gw", "hostgw", "tor"
SITE_LAN, PEER = "192.168.50.0/24", "198.51.100.2"
FROM_VM = ("192.168.50.100", "from", "10.0.0.4", "iif", "eth0")


@pytest.fixture
def gateway() -> Iterator[int]:
    """The process that holds the gateway VM's namespace, wired to its host and to the front-end network."""
    lab = resolve(load(TOPOLOGY))
    with ExitStack() as stack:
        pids = {name: _node(stack, lab, name) for name in (GATEWAY, HOST, ROUTER)}
        whole = wiring.of(lab).among(frozenset(pids))
        # What else the router and the host are wired to is not here.
        own = wiring.Wiring(
            bridges=whole.bridges,
            links=whole.links,
            routes=tuple(item for item in whole.routes if item.node == GATEWAY),
            sysctls=tuple(item for item in whole.sysctls if item.node == GATEWAY),
        )
        netlink.apply(own, pids)
        yield pids[GATEWAY]


def _node(stack: ExitStack, lab: Lab, name: str) -> int:
    settings = " ".join(f"{key}={value}" for key, value in lab.nodes[name].sysctls.items())
    words = ["unshare", "--net", "sh", "-c", f"sysctl -qw {settings}; echo; exec sleep 300"]
    process = stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE))
    stack.callback(process.kill)
    assert process.stdout is not None
    process.stdout.readline()
    return process.pid


def ip(pid: int, *words: str) -> subprocess.CompletedProcess[str]:
    """`ip` in a namespace, whether or not it succeeds."""
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_nothing_for_the_site_leaves_beside_the_tunnel(gateway: int) -> None:
    """charon's device goes with it: then there is no way, rather than one that nobody encrypts."""
    ip(gateway, "link", "add", TUNNEL_DEVICE, "up", "type", "bridge")
    ip(gateway, "route", "add", SITE_LAN, "dev", TUNNEL_DEVICE)
    assert f"dev {TUNNEL_DEVICE}" in ip(gateway, "route", "get", *FROM_VM).stdout
    ip(gateway, "link", "del", TUNNEL_DEVICE)
    found = ip(gateway, "route", "get", *FROM_VM)
    assert found.returncode != 0, found.stdout
    assert "unreachable" in found.stderr
    assert "wan0" not in ip(gateway, "route", "get", "192.168.50.100").stdout, "nor its own"


def test_ike_and_esp_find_the_site(gateway: int) -> None:
    assert "via 203.0.113.1 dev wan0" in ip(gateway, "route", "get", PEER).stdout


def test_vms_are_answered_by_the_distributed_router(gateway: int) -> None:
    assert "via 10.0.2.1 dev eth0" in ip(gateway, "route", "get", "10.0.0.4").stdout
