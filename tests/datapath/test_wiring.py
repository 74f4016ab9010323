"""The wiring between real network namespaces, each held open by a sleeping process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.engine import netlink
from lab.engine.namespaces import WiringError
from lab.engine.wiring import Absent, Bridge, Link, Port, Route, Sysctl, Wiring
from lab.model.node_settings import NO_IPV6_MACHINE, static_ipv6
from lab.testing import eventually

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


def test_a_segment_keeps_its_address_when_its_ports_go(wiring: Wiring, pids: dict[str, int]) -> None:
    """By itself a bridge has the lowest of its ports' addresses, and its neighbours remember that."""
    netlink.apply(wiring, pids)
    before = link(pids["tor"], "br-pa")["address"]
    for item in wiring.links:
        assert link(pids["tor"], item.b.name)["address"] != before
        in_namespace(pids["tor"], "ip", "link", "del", item.b.name)
    assert link(pids["tor"], "br-pa")["address"] == before


def neighbour(pid: int, address: str) -> str:
    """The hardware address that a node remembers of another."""
    found: list[Mapping[str, Any]] = json.loads(in_namespace(pid, "ip", "-j", "neigh", "show", address))
    return str(found[0]["lladdr"])


@pytest.mark.parametrize("turned", [False, True])
def test_who_comes_again_elsewhere_tells_the_segment(
    wiring: Wiring, pids: dict[str, int], turned: bool
) -> None:
    netlink.apply(wiring, pids)
    ping(pids["hv02"], "192.168.6.11")
    assert neighbour(pids["hv02"], "192.168.6.11") == "02:00:00:00:00:01"
    first, second = wiring.links
    in_namespace(pids["hv01"], "ip", "link", "del", "pa0")
    # Within `locktime` (1 s) the kernel takes an entry for just learned, and keeps it.
    in_namespace(pids["hv02"], "sysctl", "-qw", "net.ipv4.neigh.pa0.locktime=0")
    host = replace(first.a, mac="02:00:00:00:00:0a")
    again = Link(first.b, host) if turned else Link(host, first.b)
    netlink.apply(replace(wiring, links=(again, second)), pids)
    eventually(lambda: remembered(pids["hv02"], "192.168.6.11", "02:00:00:00:00:0a"), 5)


def remembered(pid: int, address: str, mac: str) -> None:
    assert neighbour(pid, address) == mac


TAKE_OVER = """
from ipaddress import IPv4Network
from pyroute2 import IPRoute
from lab.speaker.routes import KernelRoutes, Lan
with IPRoute() as kernel:
    lan = Lan("br-pa", IPv4Network("192.168.6.0/24"))
    KernelRoutes(kernel, "tunnel", "192.168.6.1", lan=lan).set(["192.168.6.8/29", "10.0.0.0/24"])
"""


def test_a_router_that_learns_a_part_of_its_segment_tells_it(wiring: Wiring, pids: dict[str, int]) -> None:
    """The part is elsewhere from now on, and who remembers its machines must come to the router."""
    netlink.apply(wiring, pids)
    ping(pids["hv02"], "192.168.6.11")
    in_namespace(pids["hv02"], "sysctl", "-qw", "net.ipv4.neigh.pa0.locktime=0")
    in_namespace(pids["tor"], "ip", "link", "add", "tunnel", "up", "type", "bridge")
    in_namespace(pids["tor"], sys.executable, "-c", TAKE_OVER)
    router = link(pids["tor"], "br-pa")["address"]
    eventually(lambda: remembered(pids["hv02"], "192.168.6.11", router), 5)


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
    with pytest.raises(WiringError, match=r"hv01: x{16} linked to hv02:y"):
        netlink.apply(unusable, pids)


def test_a_node_without_a_process_is_named(wiring: Wiring, pids: dict[str, int]) -> None:
    with pytest.raises(WiringError, match="hv02"):
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


def migratable(host: str) -> Wiring:
    """A VM's cable to a host, as the engine wires it."""
    return Wiring(
        links=(
            Link(
                Port(host, "v-web", alias="hnvlab:test:web", addresses=("10.0.0.1/30",)),
                Port("tor", "eth0", mac="02:00:00:00:00:99", addresses=("10.0.0.2/30",)),
            ),
        ),
        # Hosts are wired to something else as well: by that their namespaces are looked at.
        sysctls=tuple(Sysctl(node, "net.ipv4.conf.lo.rp_filter", "0") for node in ("hv01", "hv02")),
    )


def test_a_vm_whose_host_is_another_one_keeps_its_adapter(pids: dict[str, int]) -> None:
    netlink.apply(migratable("hv01"), pids)
    before = link(pids["tor"], "eth0")
    changes = netlink.apply(migratable("hv02"), pids).changes
    assert "hv01: v-web moved to hv02" in changes
    assert "v-web" not in in_namespace(pids["hv01"], "ip", "link")
    after = link(pids["tor"], "eth0")
    assert (after["ifindex"], after["address"]) == (before["ifindex"], before["address"])
    assert after["addr_info"] == before["addr_info"]
    assert link(pids["hv02"], "v-web")["ifalias"] == "hnvlab:test:web"
    ping(pids["hv02"], "10.0.0.2")
    assert netlink.apply(migratable("hv02"), pids).changes == ()


def test_a_port_that_moves_gets_an_index_that_neither_side_knows(pids: dict[str, int]) -> None:
    """The source's switch still runs on it for a moment, and must find no policy for it."""
    netlink.apply(migratable("hv01"), pids)
    old = link(pids["hv01"], "v-web")["ifindex"]
    netlink.apply(migratable("hv02"), pids)
    assert link(pids["hv02"], "v-web")["ifindex"] > old


def test_a_foreign_port_of_the_same_name_is_not_fetched(pids: dict[str, int]) -> None:
    netlink.apply(
        Wiring(links=(Link(Port("hv01", "v-web", alias="hnvlab:other:web"), Port("tor", "x")),)), pids
    )
    netlink.apply(migratable("hv02"), pids)
    assert link(pids["hv01"], "v-web")["ifalias"] == "hnvlab:other:web"


IPV6_VM = Wiring(
    links=(Link(Port("hv01", "v-green"), Port("hv02", "eth0", addresses=("fd00:2::4/64",), fixed=True)),),
    routes=(Route("hv02", "::/0", "fd00:2::1"),),
    sysctls=(
        Sysctl("hv01", "net.ipv6.conf.all.disable_ipv6", "1"),
        *(Sysctl("hv02", key, value) for key, value in static_ipv6("eth0").items()),
    ),
)


def _assert_none_is_tentative(pid: int) -> None:
    """The kernel looks at the link-local address, which it makes by itself, a moment after the link is up."""
    assert not any(item.get("tentative") for item in link(pid, "eth0")["addr_info"])


def test_a_vm_in_an_ipv6_subnet_has_one_static_address_and_no_duplicate_detection(
    pids: dict[str, int],
) -> None:
    in_namespace(pids["hv02"], "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    assert netlink.apply(IPV6_VM, pids).changes
    found = {
        (item["local"], item["scope"]) for item in link(pids["hv02"], "eth0")["addr_info"] if "local" in item
    }
    assert {address for address, scope in found if scope == "global"} == {"fd00:2::4"}
    eventually(lambda: _assert_none_is_tentative(pids["hv02"]), within_s=10)
    assert "default via fd00:2::1 dev eth0" in in_namespace(pids["hv02"], "ip", "-6", "route")
    assert "inet6" not in in_namespace(pids["hv01"], "ip", "address", "show", "v-green")
    assert netlink.apply(IPV6_VM, pids).changes == ()


def test_addresses_of_an_earlier_lab_go_where_the_lab_alone_decides(pids: dict[str, int]) -> None:
    netlink.apply(IPV6_VM, pids)
    now = replace(
        IPV6_VM,
        links=(Link(Port("hv01", "v-green"), Port("hv02", "eth0", addresses=("10.0.0.4/24",), fixed=True)),),
        routes=(Route("hv02", "0.0.0.0/0", "10.0.0.1"),),
        sysctls=tuple(Sysctl("hv02", key, value) for key, value in NO_IPV6_MACHINE.items()),
    )
    netlink.apply(now, pids)
    assert [item["local"] for item in link(pids["hv02"], "eth0")["addr_info"]] == ["10.0.0.4"]
    assert netlink.apply(now, pids).changes == ()
    netlink.apply(IPV6_VM, pids)
    found = [item["local"] for item in link(pids["hv02"], "eth0")["addr_info"] if item["scope"] == "global"]
    assert found == ["fd00:2::4"]


def test_a_link_that_the_lab_has_no_more_goes_with_its_ends(wiring: Wiring, pids: dict[str, int]) -> None:
    second = Link(Port("hv01", "pa1", mtu=1700), Port("tor", "p2-hv01", mtu=1700, bridge="br-pa"))
    netlink.apply(replace(wiring, links=(*wiring.links, second)), pids)
    assert link(pids["tor"], "p2-hv01")["master"] == "br-pa"
    now = replace(wiring, absent=(Absent("hv01", "pa1"),))
    assert netlink.apply(now, pids).changes
    assert "pa1" not in in_namespace(pids["hv01"], "ip", "link")
    assert "p2-hv01" not in in_namespace(pids["tor"], "ip", "link")
    assert netlink.apply(now, pids).changes == ()
    ping(pids["hv01"], "192.168.6.12")
