"""The wiring between real network namespaces, each held open by a sleeping process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lab.engine import netlink
from lab.engine.wiring import Bridge, Link, Port, Route, Sysctl, Wiring

pytestmark = pytest.mark.root


@pytest.fixture
def pids() -> Iterator[dict[str, int]]:
    """Three nodes: each a process in a network namespace of its own."""
    with ExitStack() as stack:
        processes: dict[str, int] = {}
        for name in ("tor", "hv01", "hv02"):
            # The echo says that unshare(2) is done.
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
        yield processes


@pytest.fixture
def wiring() -> Wiring:
    """Two hosts on a segment of a router."""
    return Wiring(
        bridges=(Bridge(Port("tor", "br-pa", mtu=1700, addresses=("192.168.6.1/24",))),),
        links=tuple(
            Link(
                Port(host, "pa0", mac=f"02:00:00:00:00:0{n}", mtu=1700, addresses=(f"192.168.6.1{n}/24",)),
                Port("tor", f"p-{host}", mtu=1700, bridge="br-pa", alias=f"hnvlab:test:{host}"),
            )
            for n, host in enumerate(("hv01", "hv02"), 1)
        ),
        routes=(Route("hv01", "0.0.0.0/0", "192.168.6.1"),),
        sysctls=(Sysctl("hv01", "net.ipv4.conf.pa0.rp_filter", "2"),),
    )


def in_namespace(pid: int, *command: str) -> str:
    """What a command prints in a node's namespace."""
    done = subprocess.run(
        ["nsenter", "--target", str(pid), "--net", *command], capture_output=True, text=True, check=True
    )
    return done.stdout


PING = """
import socket, struct, sys
address, size = sys.argv[1], int(sys.argv[2])
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
    raw.settimeout(2)
    raw.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER = IP_PMTUDISC_DO: never fragment
    body = struct.pack("!HH", 7, 1) + bytes(size)
    total = sum(struct.unpack(f"!{len(body) // 2}H", body)) + (8 << 8)
    total = (total & 0xFFFF) + (total >> 16)
    raw.sendto(struct.pack("!BBH", 8, 0, ~total & 0xFFFF) + body, (address, 0))
    while raw.recv(65535)[20] != 0:  # until the echo reply
        pass
"""


def ping(pid: int, address: str, size: int = 56) -> None:
    """One echo from a node's namespace; size is the payload in bytes."""
    in_namespace(pid, sys.executable, "-c", PING, address, str(size))


def link(pid: int, name: str) -> Mapping[str, Any]:
    """What iproute2, which is not ours, says about an interface."""
    found: list[Mapping[str, Any]] = json.loads(in_namespace(pid, "ip", "-j", "-d", "address", "show", name))
    return found[0]


def machine_interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def test_what_is_wired_carries_packets(wiring: Wiring, pids: dict[str, int]) -> None:
    before = machine_interfaces()
    netlink.apply(wiring, pids)
    ping(pids["hv01"], "192.168.6.12")
    ping(pids["hv02"], "192.168.6.1", size=1672)
    assert machine_interfaces() == before


def test_interfaces_are_as_the_wiring_says(wiring: Wiring, pids: dict[str, int]) -> None:
    netlink.apply(wiring, pids)
    pa0 = link(pids["hv01"], "pa0")
    assert (pa0["address"], pa0["mtu"]) == ("02:00:00:00:00:01", 1700)
    assert [(a["local"], a["prefixlen"]) for a in pa0["addr_info"] if a["family"] == "inet"] == [
        ("192.168.6.11", 24)
    ]
    port = link(pids["tor"], "p-hv01")
    assert (port["master"], port["ifalias"]) == ("br-pa", "hnvlab:test:hv01")
    assert "default via 192.168.6.1" in in_namespace(pids["hv01"], "ip", "route")
    assert in_namespace(pids["hv01"], "sysctl", "-n", "net.ipv4.conf.pa0.rp_filter").strip() == "2"


def test_a_second_application_changes_nothing(wiring: Wiring, pids: dict[str, int]) -> None:
    assert netlink.apply(wiring, pids).changes
    assert netlink.apply(wiring, pids).changes == ()


def test_what_an_agent_added_is_left_alone(wiring: Wiring, pids: dict[str, int]) -> None:
    netlink.apply(wiring, pids)
    in_namespace(pids["hv01"], "ip", "address", "add", "192.168.6.77/32", "dev", "pa0")
    assert netlink.apply(wiring, pids).changes == ()
    assert "192.168.6.77" in in_namespace(pids["hv01"], "ip", "address", "show", "pa0")


@pytest.mark.parametrize(
    ("damage", "node"),
    [
        (("ip", "link", "del", "pa0"), "hv01"),
        (("ip", "link", "set", "p-hv01", "nomaster"), "tor"),
        (("ip", "link", "set", "p-hv01", "mtu", "1400"), "tor"),
        (("ip", "link", "set", "pa0", "down"), "hv01"),
        (("ip", "address", "flush", "dev", "pa0"), "hv01"),
        (("ip", "link", "del", "br-pa"), "tor"),
        (("ip", "route", "replace", "default", "via", "192.168.6.12"), "hv01"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_damage_is_repaired(wiring: Wiring, pids: dict[str, int], damage: tuple[str, ...], node: str) -> None:
    netlink.apply(wiring, pids)
    in_namespace(pids[node], *damage)
    assert netlink.apply(wiring, pids).changes
    ping(pids["hv01"], "192.168.6.12")
    assert "default via 192.168.6.1" in in_namespace(pids["hv01"], "ip", "route")
    assert netlink.apply(wiring, pids).changes == ()


def test_a_namespace_that_came_back_empty_is_wired_anew(wiring: Wiring, pids: dict[str, int]) -> None:
    """What a restarted container looks like: the old pair died with its namespace."""
    netlink.apply(wiring, pids)
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo; exec sleep 300"], stdout=subprocess.PIPE
    ) as fresh:
        assert fresh.stdout is not None
        fresh.stdout.readline()
        try:
            changes = netlink.apply(wiring, {**pids, "hv01": fresh.pid}).changes
            assert any("hv01: pa0 linked to tor:p-hv01" in change for change in changes)
            assert not any("hv02" in change for change in changes)
            ping(pids["hv02"], "192.168.6.11")
        finally:
            fresh.kill()


def test_ports_with_the_same_name_on_different_nodes_do_not_meet(pids: dict[str, int]) -> None:
    netlink.apply(
        Wiring(links=(Link(Port("hv01", "x0", addresses=("10.0.0.1/30",)), Port("hv02", "x0")),)), pids
    )
    netlink.apply(Wiring(links=(Link(Port("tor", "x0"), Port("hv02", "x1")),)), pids)
    assert link(pids["tor"], "x0")["mtu"] == 1500
    assert link(pids["hv01"], "x0")["addr_info"][0]["local"] == "10.0.0.1"


def test_a_refusal_names_the_node_and_the_interface(pids: dict[str, int]) -> None:
    unusable = Wiring(links=(Link(Port("hv01", "x" * 16), Port("hv02", "y")),))
    with pytest.raises(netlink.WiringError, match=r"hv01: x{16} linked to hv02:y"):
        netlink.apply(unusable, pids)


def test_a_node_without_a_process_is_named(wiring: Wiring, pids: dict[str, int]) -> None:
    with pytest.raises(netlink.WiringError, match="hv02"):
        netlink.apply(wiring, {node: pid for node, pid in pids.items() if node != "hv02"})


def test_the_runner_program_does_the_same(wiring: Wiring, pids: dict[str, int]) -> None:
    def run() -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "lab.engine.netlink"],
            input=json.dumps({"wiring": wiring.to_json(), "pids": pids}),
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)["changes"]

    assert run()
    assert run() == []


def test_an_interface_that_leads_elsewhere_is_led_where_it_belongs(pids: dict[str, int]) -> None:
    """What a topology looks like whose VM has moved from one host to another."""
    netlink.apply(Wiring(links=(Link(Port("hv01", "v-web"), Port("tor", "eth0")),)), pids)
    netlink.apply(Wiring(links=(Link(Port("hv02", "v-web"), Port("hv02", "other")),)), pids)
    moved = Wiring(
        links=(
            Link(
                Port("hv02", "v-web", addresses=("10.0.0.1/30",)),
                Port("tor", "eth0", addresses=("10.0.0.2/30",)),
            ),
        )
    )
    netlink.apply(moved, pids)
    ping(pids["hv02"], "10.0.0.2")
    assert "v-web" not in in_namespace(pids["hv01"], "ip", "link")
    assert netlink.apply(moved, pids).changes == ()
