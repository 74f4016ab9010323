"""The virtual switch over the real path: IPv6, firewall, user routes, appliance, broadcast, team."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from lab.testing import RunningLab, dissect, eventually, hnvlab
from tests.e2e.conversation import adapter, conversation, goes_on, ports

TOPOLOGY = Path(__file__).parents[2] / "topologies" / "virtual-switch.yml"
WITHIN_S = 30
UPLINKS = ("hv01:pa0", "hv01:pa1", "hv02:pa0", "hv02:pa1")
APP_LIST = "/accessControlLists/blue.app"

HALF_A_REQUEST = """
import os, socket, sys, time
address, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with socket.create_connection((address, port), timeout=20) as tcp:
    tcp.sendall(b"GET / HTTP/1.0\\r\\n")
    open(f"/tmp/{name}.open", "w").close()
    while not os.path.exists(f"/tmp/{name}.go"):
        time.sleep(0.02)
    tcp.sendall(b"\\r\\n")
    print(tcp.recv(100).split(b"\\r\\n")[0].decode())
"""
"""Open a connection, and finish the request on it when a file appears."""


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    """The lab of the virtual switch, up and converged, for all tests of this file."""
    hnvlab("down", "virtual-switch")
    running = RunningLab.bring_up(TOPOLOGY)
    yield running
    running.take_down()


def connects(lab: RunningLab, node: str, address: str, port: int) -> bool:
    """Whether a TCP connection can be opened now."""
    command = ("timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}")
    return lab.run(node, *command).exit_code == 0


def expect(lab: RunningLab, wanted: bool, node: str, address: str, port: int) -> None:
    """Wait until a TCP connection can be opened, or cannot any more."""

    def condition() -> None:
        assert connects(lab, node, address, port) is wanted, f"{node} to {address} port {port}"

    eventually(condition, within_s=WITHIN_S)


class OpenConnection:
    """A connection that is half through a request."""

    def __init__(self, lab: RunningLab, node: str, address: str, port: int, name: str) -> None:
        self._lab, self._node, self._name = lab, node, name
        lab.run(node, "rm", "-f", f"/tmp/{name}.open", f"/tmp/{name}.go").check()
        self._pool = ThreadPoolExecutor(1)
        self._done = self._pool.submit(
            lab.run, node, "timeout", "40", "python3", "-c", HALF_A_REQUEST, address, str(port), name
        )
        eventually(self._is_open, within_s=WITHIN_S)

    def _is_open(self) -> None:
        assert self._lab.run(self._node, "test", "-e", f"/tmp/{self._name}.open").exit_code == 0

    def finish(self) -> str:
        """Send the rest; the status line that comes back."""
        self._lab.run(self._node, "touch", f"/tmp/{self._name}.go").check()
        answer = self._done.result(timeout=60)
        self._pool.shutdown()
        return answer.check().strip()


def test_the_lab_converges_and_passes_its_checks(lab: RunningLab) -> None:
    hnvlab("check", lab.name)
    assert RunningLab.bring_up(TOPOLOGY).summary["changes"] == 0


def test_ipv6_vms_find_each_other_and_nothing_of_it_is_seen_on_the_wire(
    lab: RunningLab, tmp_path: Path
) -> None:
    with lab.capture(*UPLINKS, directory=tmp_path) as files:
        lab.run("green-front", "ping", "-c", "2", "-W", "2", "fd00:2::5").check()
        # Nobody has this address: the VM asks for it, and asks again.
        assert lab.run("green-front", "ping", "-c", "2", "-W", "1", "fd00:2::77").exit_code == 1
        lab.run("green-back", "curl", "-sS", "-o", "/dev/null", "http://[fd00:2::4]:8080/").check()
    neighbours = lab.run("green-front", "ip", "-6", "neighbour", "show", "fd00:2::5").check()
    assert (
        f"lladdr {lab.run('green-peer', 'cat', '/sys/class/net/eth0/address').check().strip()}" in neighbours
    )
    solicited = [
        row for file in files.values() for row in dissect(file, ("icmpv6.type",), "icmpv6.type >= 133")
    ]
    assert solicited == [], "neighbour discovery is answered from policy, by the VM's own host"
    keys = {
        int(row[0], 16) >> 8 for file in files.values() for row in dissect(file, ("gre.key",), "gre && ipv6")
    }
    assert keys == {6001, 6002}


def test_a_changed_list_leaves_permitted_connections_alone_and_ends_the_others(lab: RunningLab) -> None:
    api = lab.controller()
    before = api.get(APP_LIST)["properties"]["aclRules"]
    assert not connects(lab, "blue-fw", "10.1.1.4", 8080)
    kept = OpenConnection(lab, "blue-web1", "10.1.1.4", 8080, "kept")
    try:
        _put_rules(lab, [_rule("dmz", "10.1.3.0/24", "Allow", 90 + 10), *_moved(before, 100)])
        expect(lab, True, "blue-fw", "10.1.1.4", 8080)
        assert kept.finish() == "HTTP/1.0 200 OK"

        cut = OpenConnection(lab, "blue-web1", "10.1.1.4", 8080, "cut")
        _put_rules(lab, [_rule("nobody", "10.1.0.0/24", "Deny", 100), *_moved(before, 100)])
        expect(lab, False, "blue-web1", "10.1.1.4", 8080)
        with pytest.raises(AssertionError, match="exit"):
            cut.finish()
    finally:
        _put_rules(lab, before)
    expect(lab, True, "blue-web1", "10.1.1.4", 8080)
    expect(lab, False, "blue-fw", "10.1.1.4", 8080)


def _rule(name: str, source: str, action: str, priority: int) -> dict[str, object]:
    return {
        "resourceId": name,
        "properties": {
            "protocol": "TCP",
            "sourceAddressPrefix": source,
            "destinationAddressPrefix": "*",
            "sourcePortRange": "*",
            "destinationPortRange": "8080",
            "action": action,
            "type": "Inbound",
            "logging": "Disabled",
            "priority": str(priority),
        },
    }


def _moved(rules: list[dict[str, object]], by: int) -> list[dict[str, object]]:
    """The same rules behind others."""
    moved = json.loads(json.dumps(rules))
    for rule in moved:
        rule["properties"]["priority"] = int(rule["properties"]["priority"]) + by
    return list(moved)


def _put_rules(lab: RunningLab, rules: list[dict[str, object]]) -> None:
    lab.controller().put(APP_LIST, {"resourceId": "blue.app", "properties": {"aclRules": rules}})


def test_a_user_defined_route_leads_through_the_appliance_both_ways(lab: RunningLab, tmp_path: Path) -> None:
    with lab.capture("hv02:v-blue-fw", directory=tmp_path) as files:
        lab.run("blue-app", "curl", "-sS", "-o", "/dev/null", "http://10.1.2.4:5432/").check()
    ways = {tuple(row) for row in dissect(files["hv02:v-blue-fw"], ("ip.src", "ip.dst"), "tcp")}
    assert ways == {("10.1.1.4", "10.1.2.4"), ("10.1.2.4", "10.1.1.4")}
    assert lab.run("blue-web1", "ping", "-c", "1", "-W", "1", "10.1.2.4").exit_code != 0, (
        "the route says none"
    )


def test_a_partner_s_appliance_is_reached_and_reaches(lab: RunningLab, tmp_path: Path) -> None:
    with lab.capture("blue-partner:pa0", directory=tmp_path) as files:
        for vm in ("blue-web1", "blue-web2", "blue-app"):
            lab.run(vm, "ping", "-c", "1", "-W", "2", "10.1.0.20").check()
        for address in ("10.1.0.4", "10.1.0.5", "10.1.1.4"):
            lab.run("blue-partner", "python3", "/srv/nvgre.py", "ping", address).check()
    rows = dissect(files["blue-partner:pa0"], ("ip.src", "gre.key"), "gre && icmp")
    assert {int(key, 16) >> 8 for _, key in rows} == {5001, 5002}
    foreign = lab.run("green-front", "ping", "-c", "1", "-W", "1", "10.1.0.20")
    assert foreign.exit_code != 0


def test_a_broadcast_stays_inside_its_virtual_subnet(lab: RunningLab, tmp_path: Path) -> None:
    vports = {"blue-web1": "hv01", "blue-db": "hv01", "green-front": "hv01", "blue-web2": "hv02"}
    vports |= dict.fromkeys(("blue-app", "blue-fw", "green-peer", "green-back"), "hv02")
    places = {vm: f"{host}:v-{vm}" for vm, host in vports.items()}
    with lab.capture(*places.values(), "blue-partner:pa0", directory=tmp_path) as files:
        lab.run("blue-web1", "ping", "-b", "-c", "3", "-i", "0.2", "-W", "1", "10.1.0.255")
    seen = {vm for vm, place in places.items() if dissect(files[place], ("ip.dst",), "ip.dst == 10.1.0.255")}
    assert seen == {"blue-web1", "blue-web2"}
    copies = dissect(files["blue-partner:pa0"], ("gre.key",), "ip.dst == 10.1.0.255")
    assert [int(key, 16) >> 8 for (key,) in copies] == [5001] * 3


def test_one_uplink_is_cut_and_no_connection_notices(lab: RunningLab) -> None:
    for port in ("p-hv01", "p2-hv01"):
        tcp = OpenConnection(lab, "blue-web2", "10.1.0.4", 80, port)
        lab.run("tor", "ip", "link", "set", port, "down").check()
        try:
            for source, target in (
                ("blue-web1", "10.1.0.5"),
                ("blue-app", "10.1.2.4"),
                ("green-back", "fd00:2::4"),
            ):
                eventually(partial(_pings, lab, source, target), within_s=WITHIN_S)
            assert tcp.finish() == "HTTP/1.0 200 OK", f"over what is left without {port}"
        finally:
            lab.run("tor", "ip", "link", "set", port, "up").check()
        eventually(lambda: _pings(lab, "blue-web1", "10.1.0.5"), within_s=WITHIN_S)


def _pings(lab: RunningLab, source: str, target: str) -> None:
    answer = lab.run(source, "ping", "-c", "3", "-i", "0.2", "-W", "1", target)
    assert answer.exit_code == 0, f"{source} to {target}: {answer.stdout}"


def takes_its_time(lab: RunningLab) -> None:
    """Six megabytes at blue-db's 50 Mbit/s take one second; without the limit they take a twentieth of it."""
    lab.run("blue-db", "sh", "-c", "head -c 6000000 /dev/zero >/tmp/six").check()
    began = time.monotonic()
    lab.run("blue-app", "curl", "-sS", "-o", "/dev/null", "http://10.1.2.4:5432/tmp/six").check()
    assert time.monotonic() - began > 0.7


def test_a_port_sends_no_faster_than_its_maximum(lab: RunningLab) -> None:
    takes_its_time(lab)


def test_a_vm_moves_with_its_limits_its_list_and_the_connections_that_the_list_follows(
    lab: RunningLab,
) -> None:
    """blue-db may open nothing: what it sends after the move passes for the connection's sake alone."""
    before = adapter(lab, "blue-db")
    kept = OpenConnection(lab, "blue-app", "10.1.2.4", 5432, "moved")
    hnvlab("migrate", "blue-db", "hv02", "--lab", lab.name)
    try:
        assert "v-blue-db" in ports(lab, "hv02") - ports(lab, "hv01")
        assert kept.finish() == "HTTP/1.0 200 OK"
        assert adapter(lab, "blue-db") == before
        assert not connects(lab, "blue-db", "10.1.0.4", 80)
        takes_its_time(lab)
    finally:
        RunningLab.bring_up(TOPOLOGY)
    assert "v-blue-db" in ports(lab, "hv01") - ports(lab, "hv02")


def test_a_vm_with_an_ipv6_address_moves(lab: RunningLab) -> None:
    before = adapter(lab, "green-front")
    try:
        with conversation(lab, "green-front", "green-back", "fd00:2:0:1::4") as trips:
            goes_on(trips)
            moved = json.loads(hnvlab("migrate", "green-front", "hv02", "--lab", lab.name, "--json").stdout)
            assert moved["blackout_ms"] is not None
            goes_on(trips)
            assert adapter(lab, "green-front") == before
            lab.run("green-peer", "ping", "-c", "1", "-W", "2", "fd00:2::4").check()
    finally:
        RunningLab.bring_up(TOPOLOGY)
